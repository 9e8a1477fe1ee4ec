"""Lines of a model's source that may be at fault when its scores fail the check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec


class FaultKind(StrEnum):
    """What a line may do wrong."""

    AHEAD = "reads later rows"
    CHANCE = "is not determined by the bars"
    MEMORY = "remembers between runs"
    FILE = "reads a file"


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a model's file, and why it may be at fault."""

    line: int
    text: str  # the line itself
    why: str
    fault: FaultKind


_WINDOWED: Final = ("rolling", "ewm", "expanding", "cum_", "cum", "tail", "head")
_WHOLE: Final = frozenset({
    "mean", "std", "var", "min", "max", "median", "quantile", "sum", "skew", "kurtosis", "zscore", "percentile",
    "nanmean", "nanstd", "nanmin", "nanmax", "nanmedian", "nanquantile", "nanpercentile", "average", "mode", "first",
    "last", "cov", "corr", "describe",
})
_AHEAD: Final = {
    "bfill": "fills from later rows", "backward_fill": "fills from later rows",
    "interpolate": "fills a hole with the value behind it", "reverse": "turns the order of time",
    "flip": "turns the order of time", "fit": "learns from every row, later ones too",
    "fit_transform": "learns from every row, later ones too", "polyfit": "fits every row, later ones too",
    "lstsq": "fits every row, later ones too", "filtfilt": "filters forwards and backwards",
    "savgol_filter": "is a centred window", "detrend": "fits every row, later ones too",
    "gradient": "takes the next row too", "fft": "mixes all rows", "rfft": "mixes all rows",
    "qcut": "cuts by quantiles of every row", "rank": "ranks against every row, later ones too",
    "resample": "labels a longer bar with its start, before it has closed",
    "group_by_dynamic": "labels a longer bar with its start, before it has closed",
    "groupby": "joins rows with later ones of their group", "group_by": "joins rows with later ones of their group",
    "over": "joins rows with later ones of their group", "truncate": "labels a longer bar with its start",
    "drop_nulls": "moves later rows to earlier places when it is joined by row",
    "dropna": "moves later rows to earlier places when it is joined by row",
    "reset_index": "joins by row, not by time",
}
_CHANCE: Final = frozenset({"random", "default_rng", "normal", "uniform", "randn", "rand", "now", "time", "time_ns",
                            "perf_counter", "monotonic", "today", "utcnow", "uuid4", "urandom", "shuffle", "choice"})
_FILES: Final = frozenset({"read_csv", "read_parquet", "scan_csv", "scan_parquet", "open", "loadtxt", "genfromtxt",
                           "read_text", "read_bytes", "read_excel", "read_json", "load"})
_TAKES_ROWS: Final = frozenset({"shift", "diff", "pct_change", "roll", "lead"})


def suspects(source: str, name: str, columns: bool) -> tuple[Suspect, ...]:
    """The lines of class *name* (and of what its file shares) that may be at fault, in order.

    *columns*: it computes whole columns, so a mean over one holds later rows.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    lines = source.splitlines()
    found: dict[int, Suspect] = {}
    for top in _parts(tree, name):
        for node in ast.walk(top):
            for fault, why in _faults(node, top, columns):
                line = getattr(node, "end_lineno", 0) if isinstance(node, ast.Call) else getattr(node, "lineno", 0)
                if line not in found and 0 < line <= len(lines):
                    found[line] = Suspect(line=line, text=lines[line - 1].strip(), why=why, fault=fault)
    return tuple(found[line] for line in sorted(found))


def _parts(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of the file that class *name* is made of: its own, and those that its names lead to."""
    homes: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            homes[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            homes |= {one.id: node for one in targets if isinstance(one, ast.Name)}
    wanted: dict[int, ast.stmt] = {}
    ahead = [name]
    while ahead:
        part = homes.get(ahead.pop())
        if part is not None and part.lineno not in wanted:
            wanted[part.lineno] = part
            ahead += [node.id for node in ast.walk(part) if isinstance(node, ast.Name)]
    return [wanted[line] for line in sorted(wanted)]


def _faults(node: ast.AST, top: ast.stmt, columns: bool) -> Iterator[tuple[FaultKind, str]]:
    if isinstance(node, ast.Call):
        yield from _of_call(node, columns)
    elif isinstance(node, ast.Subscript) and columns:
        yield from _of_index(node)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict | ast.List | ast.Set):
        if node is top or (isinstance(top, ast.ClassDef) and node in top.body):
            yield FaultKind.MEMORY, "is one object for every run in this process; keep it on self, and in state()"
    elif isinstance(node, ast.Global):
        yield FaultKind.MEMORY, "is shared by every run in this process; keep it on self, and in state()"


def _of_call(node: ast.Call, columns: bool) -> Iterator[tuple[FaultKind, str]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    words = {word.arg: word.value for word in node.keywords}
    if name in _TAKES_ROWS and any(map(_is_negative, [*node.args, *words.values()])):
        yield FaultKind.AHEAD, f"{name} by a negative number takes a later row"
    if isinstance(words.get("center"), ast.Constant) and words["center"].value is True:  # type: ignore[attr-defined]
        yield FaultKind.AHEAD, "a centred window holds later rows"
    for key in ("strategy", "direction", "method"):
        value = getattr(words.get(key), "value", None)
        if value in ("backward", "bfill") and name not in ("join_asof", "merge_asof"):
            yield FaultKind.AHEAD, "fills from later rows"
        elif value in ("forward", "nearest") and name in ("join_asof", "merge_asof"):
            yield FaultKind.AHEAD, "joins with a later row"
    if name in _FILES:
        yield FaultKind.FILE, "reads a file: each row must carry the time at which it was known"
    if name in _CHANCE:
        yield FaultKind.CHANCE, "gives something else each time"
    if not columns:
        return
    if name in _AHEAD:
        yield FaultKind.AHEAD, _AHEAD[name]
    if name in _WHOLE and not _is_windowed(node):
        yield FaultKind.AHEAD, f"{name} of the whole column holds later rows; use a rolling or an expanding one"


def _of_index(node: ast.Subscript) -> Iterator[tuple[FaultKind, str]]:
    where = node.slice
    if isinstance(where, ast.Slice):
        if where.step is not None and _is_negative(where.step):
            yield FaultKind.AHEAD, "turns the order of time"
        elif isinstance(where.lower, ast.Constant) and isinstance(where.lower.value, int) and where.lower.value > 0:
            yield FaultKind.AHEAD, "moves later rows to earlier places"
    elif isinstance(where, ast.BinOp) and isinstance(where.right, ast.Constant):
        if isinstance(node.ctx, ast.Store) and isinstance(where.op, ast.Sub):
            yield FaultKind.AHEAD, "writes a row before the one that it has read"
        elif isinstance(node.ctx, ast.Load) and isinstance(where.op, ast.Add):
            yield FaultKind.AHEAD, "reads a later row"
    elif isinstance(node.ctx, ast.Load) and _is_negative(where):
        yield FaultKind.AHEAD, "takes a row counted from the last one, which lies ahead of the others"


def _is_negative(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _is_windowed(node: ast.Call) -> bool:
    """Whether the call stands behind a rolling, expanding or cumulative window."""
    step: ast.AST = node.func
    while True:
        if isinstance(step, ast.Attribute):
            if step.attr.startswith(_WINDOWED):
                return True
            step = step.value
        elif isinstance(step, ast.Call):
            step = step.func
        else:
            return False
