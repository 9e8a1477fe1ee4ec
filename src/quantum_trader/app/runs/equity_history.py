"""The equity of a run over time, from its checkpoint: one sample an hour of market time, and the drawdowns between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.live_history import saved_result
from quantum_trader.app.runs.state_dir import unsealed
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.private_files import read_private

MOST_POINTS: Final = 5_000


class EquityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one time. Money in USDT, transfers left out; *drawdown* a fraction, 0 or negative."""

    ts_ns: int
    equity: float
    drawdown: float  # the deepest since the point before


class EquityHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The equity since the books began, oldest first."""

    start_equity: float | None  # None: the books have not begun
    points: tuple[EquityPoint, ...]


def equity_history(
    folder: Path, since_ns: int = 0, most: int = MOST_POINTS, *, until_ns: int | None = None
) -> EquityHistory:
    """The equity of the run in *folder* from *since_ns* to *until_ns* (None: its end), in at most *most* points.

    Of more samples every n-th is given, with the deepest drawdown since the one before. Raises StateError for a
    damaged checkpoint.
    """
    try:
        saved = unsealed(read_private(folder / "checkpoint"))
    except FileNotFoundError:
        return EquityHistory(start_equity=None, points=())
    if saved is None:
        raise StateError(f"{folder / 'checkpoint'}: is damaged; `quantum-trader status` says what the next start does")
    times, values, lows = _samples(saved)
    kept = [place for place, ts_ns in enumerate(times) if ts_ns >= since_ns and (until_ns is None or ts_ns <= until_ns)]
    step = max(1, -(-len(kept) // most))
    points, low = [], 0.0
    for number, place in enumerate(kept):
        low = min(low, float(lows[place]))
        if (number + 1) % step == 0 or number == len(kept) - 1:
            points.append(EquityPoint(ts_ns=int(times[place]), equity=float(values[place]), drawdown=low))
            low = 0.0
    result = saved_result(saved)
    return EquityHistory(start_equity=result.start_equity if result is not None else None, points=tuple(points))


def _samples(saved: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Times, equity and deepest drawdowns of a replay's or a live session's samples."""
    if "samples" in saved:
        found = saved["samples"]
        return found["ts_ns"], found["equity"], found["lows"]
    found = saved.get("more", {}).get("history")
    return (found["ts_ns"], found["worth"], found["lows"]) if found else ((), (), ())
