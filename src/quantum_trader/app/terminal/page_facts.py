"""What each page of the terminal's dashboard says, as plain values: the content of ``watch --json``.

Money is USDT, prices are USDT for one unit, times are nanoseconds since 1970 (UTC), R is the risk that a trade took.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.model_state import lacks_of, silence_words, too_small_words
from quantum_trader.app.runs.run_condition import Condition
from quantum_trader.app.runs.status import FolderStatus, PositionLine
from quantum_trader.app.terminal.folder_view import UNREADABLE, Facts, FolderView
from quantum_trader.app.terminal.signal_facts import (
    NEWEST,
    decisions_facts,
    learning_facts,
    models_facts,
    shadows_facts,
    signal_facts,
)
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import StateError


class PageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One page, or one *item* of it, as it was read at *read_ns*; *trouble* names what is missing and why."""

    page: str
    item: str = ""  # key of a row of the page; empty: the page itself
    read_ns: int
    facts: Facts
    trouble: tuple[str, ...] = ()


def read_page(state: Path, page: str, now_ns: int, item: str = "") -> PageFacts:
    """The facts of *page* of the run in *state* at *now_ns*, or of one *item* of it.

    Raises StateError where the status cannot be read.
    """
    view = FolderView(state, now_ns)
    try:
        head = _head(view)
        facts = {**head, **(ITEMS[page](view, item) if item else PAGES[page](view))}
    except StateError:
        raise
    except UNREADABLE as error:
        raise StateError(f"{state}: cannot be read ({type(error).__name__}: {error})") from error
    return PageFacts(page=page, item=item, read_ns=now_ns, facts=facts, trouble=tuple(view.trouble))


def _head(view: FolderView) -> Facts:
    """What stands at the top of every page."""
    found = view.condition()
    status = found.status
    return {
        "state": status.state, "kind": status.kind, "mode": status.mode, "endpoint": status.endpoint,
        "condition": found.condition.value, "why": found.why, "pid": status.pid, "as_of_ns": status.as_of_ns,
        "problem_count": len(status.problems),
    }


def overview_facts(view: FolderView) -> Facts:
    """Equity, drawdown, governor, halts, positions, the last trade, and why nothing happens."""
    status, history = view.condition().status, view.equity()
    trades = view.rows(
        "select ts_ns, symbol, side, qty, entry_price, exit_price, exit_reason, pnl, r_multiple, model from trades "
        f"{NEWEST} limit 1"
    )
    return {
        "equity": status.equity, "equity_ns": status.equity_ns, "governor": status.governor,
        "result": msgspec.to_builtins(status.result), "entries_halted": status.entries_halted,
        "halts": msgspec.to_builtins(status.halts), "positions": [position_facts(one) for one in status.positions],
        "last_trade": trades[0] if trades else None, "why_quiet": why_quiet(view),
        "curve": {
            "ts_ns": [one.ts_ns for one in history.points], "equity": [one.equity for one in history.points],
            "drawdown": [one.drawdown for one in history.points],
        },
        "problems": list(status.problems),
    }


def why_quiet(view: FolderView) -> list[str]:
    """Why nothing happens, in sentences; empty where nothing keeps the run from its next trade."""
    found = view.condition()
    status = found.status
    said = []
    if found.condition is not Condition.RUNNING:
        said.append(f"the run is {found.condition.value}: {found.why}")
    if status.entries_halted:
        said.append(f"no new positions: {status.entries_halted}")
    if status.governor not in (None, "NORMAL"):
        said.append(f"the safety governor is at {status.governor}")
    if (models := status.models) is not None:
        if lacks := lacks_of(models):
            said.append(f"the models still lack bars: {lacks}")
        if models.silence:
            said.append(f"no signal {silence_words(models)}")
        if small := too_small_words(models):
            said.append(small)
    return said


def position_facts(line: PositionLine) -> Facts:
    """One position, with what it has made so far and how far its stop is, where they are known."""
    sign, mark = Side(line.side).sign, line.mark_price
    known, stopped = mark > 0.0 and math.isfinite(mark), line.protected and line.stop > 0.0
    gain = sign * (mark - line.entry_price) if known else math.nan
    risk = abs(line.entry_price - line.first_stop) if line.first_stop > 0.0 else 0.0
    return {
        **msgspec.to_builtins(line),
        "unrealised_usdt": _finite(gain * line.qty), "unrealised_r": _finite(gain / risk) if risk > 0.0 else None,
        "stop_distance_pct": _finite(sign * (mark - line.stop) / mark * 100.0) if known and stopped else None,
    }


def position_item(view: FolderView, symbol: str) -> Facts:
    """The position in *symbol*, its orders, and the steps of the decision that opened it."""
    status = view.condition().status
    line = next((one for one in status.positions if one.symbol == symbol), None)
    return {
        "position": position_facts(line) if line is not None else None,
        "orders": msgspec.to_builtins([one for one in status.orders if one.symbol == symbol]),
        "trace": view.trace(line.trace_id) if line is not None else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def positions_facts(view: FolderView) -> Facts:
    """Open positions and orders that may still be open."""
    status = view.condition().status
    return {
        "positions": [position_facts(one) for one in status.positions], "orders": msgspec.to_builtins(status.orders),
        "by_others": msgspec.to_builtins(status.by_others),
    }


def health_facts(view: FolderView) -> Facts:
    """Problems, ages, lag, queue, requests that wait, damage of the journal."""
    status: FolderStatus = view.condition().status
    newest = view.rows(f"select ts_ns, kind from events {NEWEST} limit 1")
    names = (
        "stage", "source", "age_s", "checkpoint_age_s", "last_event_age_s", "lag_s", "queue_fill", "unreconciled_s",
        "in_doubt", "dropped_events", "bus", "direct_actions",
    )
    return {
        **{name: getattr(status, name) for name in names}, "problems": list(status.problems),
        "pending_requests": msgspec.to_builtins(status.pending_requests),
        "newest_record": newest[0] if newest else None, "journal_damage": list(view.damage),
    }


PAGES: Final[dict[str, Callable[[FolderView], Facts]]] = {
    "overview": overview_facts, "positions": positions_facts, "decisions": decisions_facts, "learning": learning_facts,
    "shadows": shadows_facts, "models": models_facts, "health": health_facts,
}
ITEMS: Final[dict[str, Callable[[FolderView, str], Facts]]] = {  # of pages whose rows can be opened
    "overview": position_item, "positions": position_item, "decisions": signal_facts, "shadows": signal_facts,
}
