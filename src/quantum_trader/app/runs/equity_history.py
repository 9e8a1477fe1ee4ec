"""The equity of a run over time, from its checkpoint: one sample an hour of market time, and the drawdowns between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.report.data import curve_statistics
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


class EquitySharpe(msgspec.Struct, frozen=True, kw_only=True):
    """The Sharpe ratio of daily returns, a year, with its 95 % interval; None where too few days have moved."""

    sharpe: float | None
    low: float | None
    high: float | None
    verdict: str  # a sentence: whether luck explains what was earned


class EquityHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The equity since the books began, oldest first; *sharpe* is that of every sample, not of *points* alone."""

    start_equity: float | None  # None: the books have not begun
    points: tuple[EquityPoint, ...]
    sharpe: EquitySharpe | None = None  # None: the books have not begun


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
    known = [place for place, ts_ns in enumerate(times) if until_ns is None or ts_ns <= until_ns]
    kept = [place for place in known if times[place] >= since_ns]
    step = max(1, -(-len(kept) // most))
    points, low = [], 0.0
    for number, place in enumerate(kept):
        low = min(low, float(lows[place]))
        if (number + 1) % step == 0 or number == len(kept) - 1:
            points.append(EquityPoint(ts_ns=int(times[place]), equity=float(values[place]), drawdown=low))
            low = 0.0
    result = saved_result(saved)
    return EquityHistory(
        start_equity=result.start_equity if result is not None else None, points=tuple(points),
        sharpe=_sharpe([times[place] for place in known], [values[place] for place in known]) if known else None,
    )


def _sharpe(times: Sequence[int], values: Sequence[float]) -> EquitySharpe:
    """The Sharpe ratio of the equity *values* at *times*, and what it says about luck."""
    found = curve_statistics(np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))
    low, high = found["sharpe_low"], found["sharpe_high"]
    if low is None or high is None:
        verdict = "Too few days to tell profit or loss from luck."
    elif low > 0.0:
        verdict = "Luck alone does not explain the profit."
    elif high < 0.0:
        verdict = "Luck alone does not explain the loss."
    else:
        verdict = "This can be luck: the interval of the Sharpe ratio includes zero."
    return EquitySharpe(sharpe=found["sharpe"], low=low, high=high, verdict=verdict)


def _samples(saved: dict[str, Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Times, equity and deepest drawdowns of a replay's or a live session's samples."""
    if "samples" in saved:
        found = saved["samples"]
        return found["ts_ns"], found["equity"], found["lows"]
    found = saved.get("more", {}).get("history")
    return (found["ts_ns"], found["worth"], found["lows"]) if found else ((), (), ())
