"""What the models say at each of their decisions, and what became of it, on record: also where no signal came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from quantum_trader.engine import ids
from quantum_trader.engine.account import Account
from quantum_trader.engine.facts import ModelsDecided
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.model_targets import ModelTargets
from quantum_trader.engine.records import Records
from quantum_trader.market.costs import BPS
from quantum_trader.market.intervals import interval_name
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts, Lack
from quantum_trader.models.loading import INTRADAY
from quantum_trader.signals import columns as col
from quantum_trader.signals.kernel import EnsembleWarmUp


class TargetState(str, Enum):
    """What became of what the models say of a symbol."""

    SIGNAL = "SIGNAL"  # a signal was given
    HELD = "HELD"  # the target is held
    NO_BAR = "NO_BAR"  # the symbol has no bar of this moment
    WARM_UP = "WARM_UP"  # a model lacks bars of it
    NO_VIEW = "NO_VIEW"  # its models are warm and give no score
    STOPPED_OUT = "STOPPED_OUT"  # a stop took it out of the target that is still wanted
    REFUSED = "REFUSED"  # the target meets the refusal that it met last, and is no new signal
    SMALL = "SMALL"  # from flat the score does not enter a position
    WAITS = "WAITS"  # the target is taken with the next bars
    LATE = "LATE"  # the bars came too late to open anything
    FAILED = "FAILED"  # a model has failed
    CALIBRATING = "CALIBRATING"  # the ensemble knows too few outcomes
    NEAR_HALF = "NEAR_HALF"  # the ensemble's probability is too near one half
    PAUSE = "PAUSE"  # the pause after the last signal in this direction is not over


class ModelRecords:
    """Makes the record of what the models say at a decision of theirs."""

    def __init__(
        self, market: Market, account: Account, targets: ModelTargets, instruments: Instruments, records: Records
    ) -> None:
        self._market, self._account, self._targets = market, account, targets
        self._instruments, self._records = instruments, records
        self._length_ns = market.kernel.warm_up().length_ns  # of the ensemble's decisions
        self._given: dict[int, int] = {}  # symbol -> number of the signal of this moment

    def given(self, index: int, seq: int) -> None:
        """Note that signal number *seq* was given for a symbol at this moment."""
        self._given[index] = seq

    def record(self, edge: float) -> None:
        """Record the decision of this moment, where the models have made one; *edge* is the ensemble's."""
        given, self._given = self._given, {}
        market, forecasts = self._market, self._market.forecasts
        if forecasts is None:
            if market.now_ns % self._length_ns == 0:
                self._records.record("models.decided", "", market.now_ns, self._of_ensemble(given, edge))
        elif forecasts.decided.any() or forecasts.failed_ns == market.now_ns:
            self._records.record("models.decided", "", market.now_ns, self._of_models(forecasts, given))

    def _of_models(self, forecasts: Forecasts, given: Mapping[int, int]) -> ModelsDecided:
        lacks, told = forecasts.lacks(), forecasts.out.tolist()
        lacking = {one.symbol for one in lacks}
        states = [
            TargetState.SIGNAL if index in given else self._state(forecasts, index, symbol in lacking)
            for index, symbol in enumerate(self._instruments.symbols)
        ]
        return ModelsDecided(
            model=forecasts.name, symbols=list(self._instruments.symbols), states=[one.value for one in states],
            reasons=[
                self._targets.refusal(index) if state is TargetState.REFUSED else ""
                for index, state in enumerate(states)
            ],
            signals=self._ids(given), scores=[row[fc.SCORE] for row in told],
            expected_bps=[row[fc.EXPECTED_DAY] * BPS for row in told],
            error_bps=[row[fc.ERROR_DAY] * BPS for row in told], cost_bps=[row[fc.COST_DAY] * BPS for row in told],
            confidences=[row[fc.CONFIDENCE] for row in told], lacks=tuple(lacks),
            outside_scores=[
                "+".join(forecasts.outside_scores(index)) for index in range(len(told))
            ] if forecasts.takes_scores else msgspec.UNSET,
        )

    def _state(self, forecasts: Forecasts, index: int, is_lacking: bool) -> TargetState:
        """What became of the models' target of a symbol for which no signal was given."""
        if forecasts.failed_ns:
            return TargetState.FAILED
        if not forecasts.decided[index]:
            return TargetState.NO_BAR
        state = target_state(self._market, self._account, self._targets, index, self._instruments.symbols[index])
        if state is TargetState.NO_VIEW and is_lacking:
            return TargetState.WARM_UP
        return TargetState.LATE if state is TargetState.WAITS and self._market.is_past else state

    def _of_ensemble(self, given: Mapping[int, int], edge: float) -> ModelsDecided:
        known = self._market.kernel.warm_up()
        up = self._market.kernel.out[:, col.UP_PROBABILITY].tolist()
        fresh = (self._market.kernel.out[:, col.MARKET_AGE] == 0.0).tolist()
        states = [
            TargetState.SIGNAL if index in given else _ensemble_state(known, index, up[index], edge)
            if fresh[index] else TargetState.NO_BAR for index in range(len(up))
        ]
        return ModelsDecided(
            model=INTRADAY, symbols=list(self._instruments.symbols), states=[one.value for one in states],
            signals=self._ids(given), confidences=[max(one, 1.0 - one) for one in up],
            lacks=ensemble_lacks(known, self._instruments.symbols),
        )

    def _ids(self, given: Mapping[int, int]) -> list[str]:
        count = len(self._instruments.symbols)
        return [ids.signal_id(given[index]) if index in given else "" for index in range(count)]


def target_state(
    market: Market, account: Account, targets: ModelTargets, index: int, symbol: str
) -> TargetState:
    """What became of the target of a symbol whose models have decided without giving a signal."""
    forecasts = market.forecasts
    assert forecasts is not None
    target, held = market.target(index), account.books.positions.get(symbol)
    if held is not None and held.sign == target:
        return TargetState.HELD
    if math.isnan(float(forecasts.out[index, fc.SCORE])):
        return TargetState.NO_VIEW
    if targets.is_stopped_out(index):
        return TargetState.STOPPED_OUT
    if targets.refusal(index):
        return TargetState.REFUSED
    return TargetState.SMALL if forecasts.is_small(index) or not target else TargetState.WAITS


def ensemble_lacks(known: EnsembleWarmUp, symbols: Sequence[str]) -> tuple[Lack, ...]:
    """What the intraday ensemble lacks of each symbol's bars; empty once it is warm."""
    length = interval_name(known.length_ns)
    return tuple(
        Lack(model=INTRADAY, symbol=symbol, bars=bars, needed=known.bars_needed, interval=length)
        for symbol, bars in zip(symbols, known.bars, strict=True) if bars < known.bars_needed
    )


def _ensemble_state(known: EnsembleWarmUp, index: int, up: float, edge: float) -> TargetState:
    if known.bars[index] < known.bars_needed:
        return TargetState.WARM_UP
    if known.outcomes < known.outcomes_needed:
        return TargetState.CALIBRATING
    return TargetState.NEAR_HALF if max(up, 1.0 - up) < edge else TargetState.PAUSE
