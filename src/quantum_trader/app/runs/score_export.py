"""The scores that came from outside as a file of scores, to be evaluated like any other model's."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quantum_trader.domain.clock import NS_PER_SECOND, from_ns
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.lake import journal_of
from quantum_trader.policy.storage import write_atomically


class ScoreLine(NamedTuple):
    """One line of a file of scores; without a score there is no view from then on."""

    ts_ns: int
    symbol: str
    score: float | None


def received_scores(state: Path, source: str = "") -> list[ScoreLine]:
    """The scores that models of the run in *state* took, by time, of *source* alone where it is given.

    A score that has expired before the next one came is followed by a line without a score.
    """
    rows = journal_of(state).sql(
        "select ts_ns, symbol, score, expires_ns from scores where ? in ('', source) order by producer, seq", [source]
    ).to_pylist()
    by_symbol: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_symbol.setdefault(row["symbol"], []).append(row)
    return sorted(
        (line for symbol, found in by_symbol.items() for line in _lines(symbol, found)),
        key=lambda line: (line.ts_ns, line.symbol),
    )


def _lines(symbol: str, rows: Sequence[dict[str, Any]]) -> list[ScoreLine]:
    """The lines of one symbol; of several scores at one time the last one counts."""
    found: dict[int, float | None] = {}
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        found[row["ts_ns"]] = row["score"]
        expires_ns = row["expires_ns"]
        if expires_ns and (after is None or after["ts_ns"] > expires_ns):
            found[expires_ns + 1] = None
    return [ScoreLine(ts_ns, symbol, score) for ts_ns, score in found.items()]


def write_scores(path: Path, lines: Sequence[ScoreLine]) -> None:
    """Write *lines* as CSV, as ``--model FILE.csv`` reads it. Raises StateError where it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("ts", "symbol", "score"))
    for line in lines:
        moment = f"{from_ns(line.ts_ns):%Y-%m-%dT%H:%M:%S}.{line.ts_ns % NS_PER_SECOND:09d}Z"
        writer.writerow((moment, line.symbol, "" if line.score is None else repr(line.score)))
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise StateError(f"{path}: cannot be written ({error.strerror})") from None
