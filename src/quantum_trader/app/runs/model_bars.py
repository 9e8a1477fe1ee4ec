"""The bars of models over a whole recording, as a run shows them to the models: screened, with the rates known then."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantum_trader.engine import stage
from quantum_trader.market.recording import Recording
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.whole_bars import Moments, WholeBars, rates_at, whole_bars
from quantum_trader.risk.halts import empty_ticks


def bars_of(recording: Recording, length_ns: int) -> WholeBars:
    """The bars of *length_ns* that *recording* makes."""
    span = int(recording.times[0]), int(recording.times[-1])
    return whole_bars(tuple(recording.symbols), recording.interval_ns, length_ns, span, _moments(recording))


def use_columns(forecasts: Forecasts | None, recording: Recording) -> None:
    """Let column models of *forecasts* compute their scores over the whole *recording* now. Raises ModelError."""
    if forecasts is not None and forecasts.has_columns:
        forecasts.use_columns(bars_of(recording, forecasts.length_ns))


def _moments(recording: Recording) -> Iterator[Moments]:
    """The recording without what is no bar, as the engine screens it."""
    count, interval = len(recording.symbols), recording.interval_ns
    ticks, clean = np.array([empty_ticks()] * count), np.zeros(count, dtype=np.bool_)
    for ts_ns, ohlcv, present, _ in recording.chunks():
        for row, moment in enumerate(ts_ns.tolist()):
            if stage.screen(ohlcv[row], present[row], ticks, clean, moment + interval):
                present[row] = clean
        funding = np.column_stack([
            rates_at(ts_ns, _known(recording, symbol), recording.assumed_funding_rate) for symbol in recording.symbols
        ])
        yield Moments(ts_ns, ohlcv, present, funding)


def _known(recording: Recording, symbol: str) -> tuple[object, object] | None:
    history = recording.funding.get(symbol)
    return (history[0], recording.funding_8h[symbol]) if history is not None else None
