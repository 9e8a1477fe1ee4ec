"""The bars of models over a whole recording, as a run shows them to the models: screened, with the rates known then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from quantum_trader.engine import stage
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.recording import Recording
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.whole_bars import BaseBars, WholeBars, rates_at, whole_bars
from quantum_trader.risk.halts import empty_ticks


def bars_of(recording: Recording, length_ns: int) -> WholeBars:
    """The bars of *length_ns* that *recording* makes, those of before its range included where it has them."""
    first = recording if recording.earlier is None else recording.earlier
    span = int(first.times[0]), int(recording.times[-1])
    return whole_bars(tuple(recording.symbols), recording.interval_ns, length_ns, span, _moments(recording))


def use_columns(forecasts: Forecasts | None, recording: Recording) -> None:
    """Let column models of *forecasts* compute their scores over the whole *recording* now. Raises ModelError."""
    if forecasts is not None and forecasts.has_columns:
        forecasts.use_columns(bars_of(recording, forecasts.length_ns))


def _moments(recording: Recording) -> Iterator[BaseBars]:
    """The recording as the engine sees it: what is of before the range as it is, the range without what is no bar."""
    symbols, interval = recording.symbols, recording.interval_ns
    before = dict.fromkeys(symbols, recording.assumed_funding_rate)
    if recording.earlier is not None:
        for ts_ns, ohlcv, present, _ in recording.chunks_before():
            yield BaseBars(ts_ns, ohlcv, present, _funding(recording.earlier, ts_ns, before))
        newest = _funding(recording.earlier, recording.earlier.times[-1:], before)[0]
        before = dict(zip(symbols, newest.tolist(), strict=True))
    ticks, clean = np.array([empty_ticks()] * len(symbols)), np.zeros(len(symbols), dtype=np.bool_)
    for ts_ns, ohlcv, present, _ in recording.chunks():
        for row, moment in enumerate(ts_ns.tolist()):
            if stage.screen(ohlcv[row], present[row], ticks, clean, moment + interval):
                present[row] = clean
        yield BaseBars(ts_ns, ohlcv, present, _funding(recording, ts_ns, before))


def _funding(recording: Recording, times: Ints, before: Mapping[str, float]) -> Floats:
    """The rates known at *times*, a column for each symbol of *before*, which holds those of before the first one."""
    columns = []
    for symbol, rate in before.items():
        history = recording.funding.get(symbol)
        known = (history[0], recording.funding_8h[symbol]) if history is not None else None
        columns.append(rates_at(times, known, rate))
    return np.column_stack(columns)
