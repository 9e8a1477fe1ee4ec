"""What the models of a setting want at every moment of a recording: their scores and forecasts, computed once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.market import shadow_hours
from quantum_trader.engine.stage import EXPECTED_HOLD_SHARE
from quantum_trader.lab.sweep.columns import measure
from quantum_trader.lab.sweep.grid import Setting
from quantum_trader.lab.sweep.layout import Targets
from quantum_trader.lab.sweep.market import SweepMarket, WarmUp
from quantum_trader.lab.sweep.policy import with_trends
from quantum_trader.lab.sweep.walk_forward import EMBARGO_DAYS
from quantum_trader.market.arrays import Floats
from quantum_trader.market.costs import BPS, round_trip_bps
from quantum_trader.market.recording import Recording
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.loading import load_models

_COLUMNS: Final = (
    fc.TARGET, fc.SCORE, fc.CONFIDENCE, fc.ATR, fc.LEAST, fc.MOST, fc.EXPECTED_DAY, fc.COST_DAY,
)
_DAY_HOURS: Final = 24.0


class _Decisions:
    """The forecasts of each decision as they come; the first row is before all of them."""

    def __init__(self, forecasts: Forecasts) -> None:
        self._forecasts = forecasts
        self._rows: list[Floats] = []
        self._decided: list[npt.NDArray[np.bool_]] = []
        self._trends: list[Floats] = []
        self.keep()

    def keep(self) -> None:
        """Keep the forecasts as they are now."""
        if self._forecasts.trends is not None:
            self._trends.append(self._forecasts.trends.codes)
        self._rows.append(self._forecasts.out[:, _COLUMNS])
        self._decided.append(self._forecasts.decided.copy())

    @property
    def newest(self) -> int:
        """Row of the newest decision."""
        return len(self._rows) - 1

    def targets(self, row: list[int], state: Any) -> Targets:
        """The decisions as the sweep reads them; *row* (T,) names the newest one at each moment.

        *state* (T, S + 1): the markets as the tape has them.
        """
        rows = np.array(row, dtype=np.int64)
        if self._trends:
            state = with_trends(state, rows, np.array(self._trends))
        forecasts, told = self._forecasts, np.array(self._rows)
        target, score, confidence, atr, least, most, expected, cost = (
            np.ascontiguousarray(told[:, :, column]) for column in range(len(_COLUMNS))
        )
        days = forecasts.horizon_hours / _DAY_HOURS
        return Targets(
            by_score=int(forecasts.exit.by_score), stop_atr=float(forecasts.exit.stop_atr),
            shadow_hours=shadow_hours(forecasts), hours=forecasts.horizon_hours / EXPECTED_HOLD_SHARE, row=rows,
            target=target.astype(np.int8), decided=np.array(self._decided, dtype=np.uint8),
            small=np.logical_not(np.abs(score) >= fc.ENTER_AT).astype(np.uint8),
            confidence=np.nan_to_num(confidence), atr=atr, least=np.nan_to_num(least), most=np.nan_to_num(most),
            state=state, expected_bps=expected * days * BPS, cost_bps=cost * days * BPS,
        )


def targets_of(recording: Recording, market: SweepMarket, forecasts: Forecasts) -> Targets:
    """Take *forecasts* through *recording* as the engine does, and keep what they want at each moment.

    *market* is made of the recording. The bars from before the range come first. Raises ModelError.
    """
    tape, interval_ns = market.tape, recording.interval_ns
    forecasts.judge_trends(market.settings.engine.market)
    _warm_up(recording, market.warm_up, forecasts)
    decisions, row, first = _Decisions(forecasts), [], 0
    for ts_ns, ohlcv, present, _ in recording.chunks():
        here = slice(first, first + len(ts_ns))
        measures = tape.measures[here, 1:]
        slippage_bps, spread_bps = measures[:, :, measure.SLIPPAGE_BPS], measures[:, :, measure.SPREAD_BPS]
        costs = round_trip_bps(market.fee_bps, slippage_bps, spread_bps)
        funding = tape.funding_8h[here]
        for at, moment in enumerate(ts_ns.tolist()):
            batch = MarketBatch(moment, interval_ns, ohlcv[at], present[at])
            if forecasts.take(batch, costs[at], funding[at]):
                decisions.keep()
            row.append(decisions.newest)
        first = here.stop
    return decisions.targets(row, tape.state)


def _warm_up(recording: Recording, known: WarmUp, forecasts: Forecasts) -> None:
    """Show *forecasts* the bars from before the range."""
    row = 0
    for ts_ns, ohlcv, present, _ in recording.chunks_before():
        for at, moment in enumerate(ts_ns.tolist()):
            batch = MarketBatch(moment, recording.interval_ns, ohlcv[at], present[at])
            forecasts.take(batch, known.costs_bps[row], known.funding_8h[row])
            row += 1


def embargo_of(settings: Iterable[Setting]) -> int:
    """Days between training and test: the longest time an exit row allows a position, or that a score is meant for."""
    models = {one.variant: one.models for one in settings}.values()
    horizons = [loaded.horizon_ns for one in models for loaded in load_models(one) if loaded.exit.by_score]
    return max(EMBARGO_DAYS, math.ceil(max(horizons, default=0) / NS_PER_DAY))
