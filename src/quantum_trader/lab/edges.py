"""What forecasts promised against what came: by model and by symbol, over all decisions, traded or not.

An edge is the return a day in the direction that the model's own target asked for, in basis points, before costs; the
expectation is the forecast's at the decision, from earlier data alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.comparison import decision_rows
from quantum_trader.lab.sharpe import mean_interval
from quantum_trader.lab.sweep.layout import Targets
from quantum_trader.lab.sweep.market import SweepMarket, SweepSettings, prepare
from quantum_trader.lab.sweep.targets import targets_of
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.market.costs import BPS
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording
from quantum_trader.models import forecast as fc
from quantum_trader.models.kept import KeptForecasts

TOGETHER = "all together"


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Mean edges of one model or symbol, basis points a day."""

    name: str
    decisions: int  # with a target that was not flat, of which the next one's close is known
    expected_bps: float
    cost_bps: float
    realised_bps: float
    low_bps: float | None  # bounds of the true mean of what was realised, 95 %; None: too few days
    high_bps: float | None


class Edges:
    """The forecasts of a recording, beside what came of them."""

    def __init__(self, market: SweepMarket, targets: Targets, forecasts: KeptForecasts) -> None:
        """*targets* were made of *forecasts* over the recording of *market*."""
        self._market, self._targets = market, targets
        count = len(targets.target)
        self._rows, each = forecasts.together(count), forecasts.each(count)
        moments = np.searchsorted(targets.row, np.arange(count), side="left")
        last = len(market.tape.ts_ns) - 1
        known = (moments > 0) & (moments <= last)  # not the state before the first decision of the range
        price = np.where(known[:, None], market.tape.mark[np.minimum(moments, last)], np.nan)
        days = np.diff(market.tape.ts_ns[np.minimum(moments, last)]) / NS_PER_DAY
        decided = np.asarray(targets.decided[:-1], dtype=bool) & np.asarray(targets.decided[1:], dtype=bool)
        change = price[1:] / price[:-1] - 1.0
        self._moves = np.where(decided & (days[:, None] > 0.0), change / np.maximum(days, 1e-9)[:, None], np.nan)
        self._each = {loaded.name: each[:, number] for number, loaded in enumerate(forecasts.models)}

    def by_model(self) -> list[Edge]:
        """All models together, then each by itself, over all symbols."""
        found = [self._edge(TOGETHER, self._rows)]
        if len(self._each) > 1:
            found += [self._edge(name, told) for name, told in self._each.items()]
        return found

    def by_symbol(self) -> list[Edge]:
        """All models together, by symbol."""
        return [
            self._edge(symbol, self._rows[:, [index]], [index]) for index, symbol in enumerate(self._market.symbols)
        ]

    def _edge(self, name: str, told: Floats, columns: list[int] | None = None) -> Edge:
        """The mean edge of the forecasts *told* (D, S, FORECAST_SIZE) of the symbols in *columns*, or of all."""
        moves = self._moves if columns is None else self._moves[:, columns]
        before = told[:-1]
        target = before[:, :, fc.TARGET]
        counted: Bools = (target != 0.0) & np.isfinite(moves) & np.isfinite(before[:, :, fc.EXPECTED_DAY])
        gained = np.where(counted, target * moves, 0.0) * BPS
        a_day = counted.sum(axis=1)
        held = a_day > 0
        bounds = mean_interval(gained.sum(axis=1)[held] / a_day[held].mean()) if bool(held.any()) else None
        return Edge(
            name=name, decisions=int(counted.sum()), expected_bps=_mean(before[:, :, fc.EXPECTED_DAY] * BPS, counted),
            cost_bps=_mean(before[:, :, fc.COST_DAY] * BPS, counted), realised_bps=_mean(gained, counted),
            low_bps=bounds[0] if bounds else None, high_bps=bounds[1] if bounds else None,
        )

    def expected_net_bps(self, symbol: str, entry_ns: int, sign: int) -> float | None:
        """Expected return less cost, basis points a day, of the forecast before the open *entry_ns*.

        None where there was no target in the direction of *sign*: no forecast asked for that position.
        """
        row = int(decision_rows(self._market, self._targets, np.array([entry_ns]))[0])
        told = self._rows[row, self._market.symbols.index(symbol)]
        net = float(told[fc.EXPECTED_DAY] - told[fc.COST_DAY]) * BPS
        return net if told[fc.TARGET] == sign and np.isfinite(net) else None


def _mean(values: Any, counted: Bools) -> float:
    return float(values[counted].mean()) if bool(counted.any()) else float("nan")


def edges_of(recording: Recording, settings: SweepSettings, forecasts: KeptForecasts) -> Edges:
    """Take *forecasts*, which have seen nothing yet, through *recording*, and hold them against what came."""
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    market = prepare(recording, instruments, settings, (), forecasts.name)
    return Edges(market, targets_of(recording, market, forecasts), forecasts)
