"""The six gates on the road of an order: what they measure of a signal, and what the enforced ones refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from quantum_trader.domain.enums import VOL_HIGH
from quantum_trader.engine import stage
from quantum_trader.engine.account import Account
from quantum_trader.engine.facts import GatesJudged, GatesTaken, JudgedGate
from quantum_trader.engine.judging import Judging
from quantum_trader.engine.market import Market
from quantum_trader.engine.records import Records
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_SPREAD
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market import performance as perf
from quantum_trader.market.costs import BPS
from quantum_trader.models import forecast as fc
from quantum_trader.models.entry_features import (
    ENTRY_FEATURES_HASH,
    EntryFeatures,
    direction_edge_bps,
    signal_cost_bps,
    time_features,
    trend_agreement,
)
from quantum_trader.models.gates import (
    GATE_COUNT,
    GATES,
    OF_FORECAST,
    GateInputs,
    GateLimits,
    GateReading,
    GateSettings,
    first_gate,
    gate_readings,
    refused_gates,
    unmeasured_gates,
)
from quantum_trader.signals import columns as col

_DAY_HOURS: Final = 24.0


class MetaLabel(Protocol):
    """A trained meta-label: the calibrated probability that a signal wins after costs."""

    @property
    def model_id(self) -> str:
        """SHA-256 of the model."""

    def probability(self, features: EntryFeatures) -> float:
        """P(win after costs) of a signal; NaN where the model has no view."""


class GateJudgement(NamedTuple):
    """What the gates say of one signal."""

    mode: str
    inputs: GateInputs
    limits: GateLimits
    refused: int  # bits of the gates that do not pass, enforced or not
    enforced: int  # bits of the gates that were enforced
    features: EntryFeatures | None  # None: of an intent that is not a signal

    @property
    def bits(self) -> int:
        """The gates that do not pass and, GATE_COUNT bits higher, those whose measure is not known."""
        return self.refused | int(unmeasured_gates(self.inputs)) << GATE_COUNT

    @property
    def readings(self) -> tuple[GateReading, ...]:
        """Figure, limit and verdict of each gate."""
        return gate_readings(self.inputs, self.limits)

    @property
    def road(self) -> int:
        """ROAD code of the first enforced gate that refuses; ROAD_APPROVED: none does."""
        place = first_gate(self.refused & self.enforced)
        return ROAD_APPROVED if place < 0 else ROAD_SPREAD + place

    @property
    def refusal(self) -> tuple[float, float]:
        """Figure and limit of the enforced gate that refuses."""
        reading = self.readings[max(0, first_gate(self.refused & self.enforced))]
        return reading.observed, reading.limit


class GateCounts(msgspec.Struct, kw_only=True):
    """How many signals the gates have judged, and per gate, in their order, how many passed and were unmeasured."""

    judged: int = 0
    passed: list[int] = msgspec.field(default_factory=lambda: [0] * len(GATES))
    unmeasured: list[int] = msgspec.field(default_factory=lambda: [0] * len(GATES))

    def add(self, judgement: GateJudgement) -> None:
        """Count one more signal."""
        unmeasured = unmeasured_gates(judgement.inputs)
        self.judged += 1
        for place in range(len(GATES)):
            self.passed[place] += 1 - (judgement.refused >> place & 1)
            self.unmeasured[place] += unmeasured >> place & 1


class SignalGates:
    """The gates of one account: their settings in force, and the measures that they take of signals."""

    def __init__(
        self, market: Market, account: Account, judging: Judging, records: Records, settings: EngineSettings,
        meta_label: MetaLabel | None,
    ) -> None:
        self._market, self._account, self._judging, self._records = market, account, judging, records
        self.meta_label = meta_label
        forecasts = market.forecasts
        self._hours = settings.signals.horizon_hours if forecasts is None else forecasts.horizon_hours
        self.settings = settings.gates  # derives `mode` and `limits`
        self.counts = GateCounts()
        self.revision = 0  # of the gates file, of its newest change in force

    @property
    def settings(self) -> GateSettings:
        """The settings in force."""
        return self._settings

    @settings.setter
    def settings(self, settings: GateSettings) -> None:
        self._settings = settings
        forecasts = self._market.forecasts
        self.mode = settings.mode_of(by_score=forecasts is not None and forecasts.exit.by_score)
        self.limits = settings.limits(self.mode)
        self._enforced = settings.enforced_bits

    def judge(self, index: int, sign: int, confidence: float, min_confidence: float) -> GateJudgement:
        """Judge a signal of symbol *index*; *min_confidence* is the threshold in force."""
        row = self._market.row(index)
        expected, cost = self._edge(index, sign, row)
        known = self._inputs(index, row, confidence, min_confidence, expected, cost)
        features = self._features(index, sign, row, known)
        if self.meta_label is not None:
            known = known._replace(win_probability=float(self.meta_label.probability(features)))
        return GateJudgement(
            self.mode, known, self.limits, int(refused_gates(known, self.limits)), self._enforced, features
        )

    def refuses(self, index: int, confidence: float, min_confidence: float) -> int:
        """ROAD code for an opening intent that is no signal; ROAD_APPROVED where no enforced gate refuses it.

        The gates of the market and of confidence judge it. Those of the forecast do not: it has none.
        """
        if not self._enforced & ~OF_FORECAST:
            return ROAD_APPROVED
        known = self._inputs(index, self._market.row(index), confidence, min_confidence, math.nan, math.nan)
        enforced = self._enforced & ~OF_FORECAST
        return GateJudgement(
            self.mode, known, self.limits, int(refused_gates(known, self.limits)), enforced, None
        ).road

    def _inputs(
        self, index: int, row: list[float], confidence: float, min_confidence: float, expected: float, cost: float
    ) -> GateInputs:
        level = int(self._market.levels[index])
        return GateInputs(
            spread_bps=row[col.SPREAD_BPS], volume_ratio=row[col.VOLUME_RATIO_24H],
            trend=int(self._market.regimes[index, 0]), high_volatility=int(level >= VOL_HIGH), expected_bps=expected,
            cost_bps=cost, confidence=confidence, min_confidence=min_confidence, win_probability=math.nan,
            payoff=self._judging.payoff.ratio,
        )

    def _edge(self, index: int, sign: int, row: list[float]) -> tuple[float, float]:
        """Expected gross return and cost of a signal, basis points over the time that it is meant for."""
        forecasts = self._market.forecasts
        if forecasts is not None:
            told = forecasts.out[index]
            days = self._hours / _DAY_HOURS
            return float(told[fc.EXPECTED_DAY]) * days * BPS, float(told[fc.COST_DAY]) * days * BPS
        funding = float(self._market.symbols[index, stage.SYM_FUNDING])
        cost = signal_cost_bps(sign, float(self._market.round_trips_bps()[index]), funding, self._hours)
        edge = direction_edge_bps(row[col.CONFIDENCE], row[col.ATR_1H], row[col.CLOSE], self._hours)
        return float(edge), cost

    def _features(self, index: int, sign: int, row: list[float], known: GateInputs) -> EntryFeatures:
        """The features of a signal at its entry."""
        forecasts = self._market.forecasts
        error, score = math.nan, math.nan
        consensus = row[col.CONSENSUS]
        if forecasts is not None:
            told = forecasts.out[index]
            error = float(told[fc.ERROR_DAY]) * self._hours / _DAY_HOURS * BPS
            score, consensus = sign * float(told[fc.SCORE]), forecasts.consensus(index)
        record = self._account.performance.rows[index]
        hour_sin, hour_cos, weekday = time_features(self._market.now_ns)
        return EntryFeatures(
            sign=float(sign), confidence=known.confidence, expected_bps=known.expected_bps, error_bps=error,
            cost_bps=known.cost_bps, score=score, consensus=consensus, quality=row[col.QUALITY],
            spread_bps=known.spread_bps, volume_ratio=known.volume_ratio, trend=float(known.trend),
            direction=trend_agreement(sign, int(self._market.regimes[index, 1])), regime_age=row[col.REGIME_AGE],
            adx=row[col.ADX_1H], vol_ratio=row[col.VOL_RATIO], atr_bps=row[col.ATR_1H] / row[col.CLOSE] * BPS,
            funding_bps=sign * float(self._market.symbols[index, stage.SYM_FUNDING]) * BPS,
            symbol_trades=float(record[perf.TRADES]), symbol_winrate=float(record[perf.WINRATE]),
            symbol_avg_r=float(record[perf.AVG_R]), hour_sin=hour_sin, hour_cos=hour_cos, weekday=weekday,
        )

    # ------------------------------------------------------------------ state

    def set_settings(self, settings: GateSettings, change: Mapping[str, Any], now_ns: int) -> None:
        """Put other *settings* into force at *now_ns*; *change* says who asked for them and why, and its revision."""
        self.settings = settings
        self.revision = int(change.get("revision", self.revision))
        self._records.record("gates.changed", "", now_ns, GatesTaken(
            enforced=settings.enforced, in_force=msgspec.to_builtins(settings), change=dict(change),
        ))
        self._records.tally.event(now_ns, "gates", f"enforced: {', '.join(settings.enforced) or 'none'}")

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "settings": msgspec.to_builtins(self.settings), "counts": msgspec.to_builtins(self.counts),
            "revision": self.revision,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`; a folder of before there were gates has none."""
        if state:
            self.settings = msgspec.convert(state["settings"], GateSettings)
            self.counts = msgspec.convert(state["counts"], GateCounts)
            self.revision = state["revision"]


def gates_judged(
    signal_id: str, symbol: str, judgement: GateJudgement, regime: str, price: float, meta_label: str
) -> GatesJudged:
    """The record of what the gates say of a signal."""
    readings = judgement.readings
    features = judgement.features
    return GatesJudged(
        signal_id=signal_id, symbol=symbol, mode=judgement.mode,
        gates=tuple(
            JudgedGate(
                gate=one.gate, observed=one.observed, limit=one.limit, measured=one.measured, passed=one.passed,
                enforced=bool((judgement.enforced >> place) & 1),
            )
            for place, one in enumerate(readings)
        ),
        refused=tuple(one.gate for one in readings if not one.passed), payoff=judgement.inputs.payoff, regime=regime,
        price=price, features=features._asdict() if features is not None else {}, features_hash=ENTRY_FEATURES_HASH,
        meta_label=meta_label,
    )
