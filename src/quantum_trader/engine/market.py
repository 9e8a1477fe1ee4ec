"""What the bars say: measures, regimes, costs and signals of every symbol, and which symbols bad bars have halted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import (
    DIRECTION_CODES,
    EXIT_TREND_FOLLOW,
    TREND_CODES,
    VOL_CODES,
    VolLevel,
)
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine import stage
from quantum_trader.engine.facts import RefusedBar, RegimeChange
from quantum_trader.engine.halts import BAD_BARS, Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.records import Records
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.supervision import Supervise
from quantum_trader.market.costs import cost_in_r, round_trip_bps
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.loading import INTRADAY
from quantum_trader.pilot.paid_rates import PaidRates
from quantum_trader.risk.exits import exit_row, score_exit_row
from quantum_trader.risk.halts import BAD_TICKS_TO_HALT, GOOD_TICKS_TO_CLEAR, TICK_HALTED_SINCE, empty_ticks
from quantum_trader.risk.sizing import risk_weight
from quantum_trader.signals import columns as col
from quantum_trader.signals.kernel import SignalKernel

UNKNOWN_REGIME: Final = "UNKNOWN UNKNOWN"
_SAVED: Final = (stage.SYM_FEE_BPS, stage.SYM_FUNDING)  # the rest follows from the forecasts


class ExitPlan(NamedTuple):
    """How a position opened now would be left: its ATR in price units, and the exit row in multiples of it."""

    atr: float
    stop_atr: float
    target_atr: float
    breakeven_r: float
    trail_atr: float
    max_hours: float
    by_score: bool  # it is left when the model's score no longer wants it


class ShadowTerms(NamedTuple):
    """How the shadow trade of a signal ends that a model's score holds; its score ends it too."""

    atr: float  # of the model's bars, price units
    stop_atr: float
    weight: float  # of its R, by risk


SHADOW_HOURS: Final = 24.0  # longest time of a shadow trade with the standard bracket
SHADOW_HORIZONS: Final = 4.0  # and of one that a score holds, in horizons of the model


def shadow_hours(forecasts: Forecasts | None) -> float:
    """Longest time of a shadow trade."""
    if forecasts is None or not forecasts.exit.by_score:
        return SHADOW_HOURS
    return SHADOW_HORIZONS * forecasts.horizon_hours


class Wanted(NamedTuple):
    """What models want of positions that their scores hold. Arrays have one row a symbol."""

    targets: Any  # (S,) directions
    most: Any  # (S,) notional to hold at most, in equities, for a portfolio volatility of 100 % a year
    renewed: Any  # bool (S,) where that is new; positions change their size at these moments alone


class Market:
    """The market as completed bars tell it. Arrays have one row a symbol, in the order of the instruments.

    ``kernel.out`` (S, SIZE) holds the measures and signals of the last moment (columns and SIZE in signals.columns),
    ``levels`` (S,) the volatility codes, ``costs`` (S,) the round trip in R, ``symbols`` (S, SYM_SIZE) fee and funding.
    """

    def __init__(
        self, instruments: Instruments, interval_ns: int, settings: EngineSettings, records: Records, halts: Halts,
        supervise: Supervise, forecasts: Forecasts | None = None,
    ) -> None:
        """*forecasts*: of the models that give the signals; without them the intraday ensemble does.

        *supervise*: runs the models of a live account so that one that fails halts openings and nothing else.
        """
        self.forecasts = forecasts
        if forecasts is not None:
            forecasts.judge_trends(settings.market)
        self._supervise = supervise
        self._instruments, self._records, self._halts = instruments, records, halts
        # Bars decided on this long after their close are of the past: a newer one is complete, and they open nothing.
        self._past_ns = max(interval_ns, int(settings.limits.max_data_age_s * NS_PER_SECOND) + 1)
        self.now_ns = 0  # close of the newest bars
        self.late_ns = 0  # how long after their close they were decided on; a replay is never late
        self.heard_ns = 0  # the newest time of anything else taken since those bars; 0: nothing
        count = len(instruments.symbols)
        self.kernel = SignalKernel(
            instruments.symbols, interval_ns, settings.market, settings.signals, instruments.ticks.tolist()
        )
        self.closes: Any = self.kernel.out[:, col.CLOSE]  # the newest close of each symbol, (S,)
        self.symbols = np.zeros((count, stage.SYM_SIZE))
        self.symbols[:, stage.SYM_FEE_BPS] = [i.taker_fee_bps for i in instruments.all]
        self.symbols[:, stage.SYM_FUNDING] = settings.funding_rate_8h
        self.levels = np.zeros(count, dtype=np.int64)
        self.costs = np.full(count, np.inf)
        self.regimes = np.tile(np.array([0, 0, VOL_CODES.index(VolLevel.UNKNOWN), 0]), (count, 1))
        self._regime_names = [UNKNOWN_REGIME] * count
        self._ticks = np.array([empty_ticks()] * count)
        self._clean = np.zeros(count, dtype=np.bool_)
        self.paid = PaidRates(count, [one.funding_interval_hours for one in instruments.all])
        self._halted: set[int] = set()  # symbols whose halt by bad bars is on record

    @property
    def taker_costs(self) -> Any:
        """What a taker pays in a calm market (S,), basis points a side without fee."""
        return self.kernel.out[:, col.TAKER_COST_BPS]

    @property
    def interval_ns(self) -> int:
        """Length of the bars that are decided on."""
        return self.kernel.interval_ns

    def row(self, index: int) -> list[float]:
        """A symbol's measures as plain numbers, columns in signals.columns."""
        row: list[float] = self.kernel.out[index].tolist()
        return row

    def close(self, index: int) -> float:
        """A symbol's newest close."""
        return float(self.kernel.out[index, col.CLOSE])

    @property
    def model_id(self) -> str:
        """The id of the model that gives the signals, of several joined by +; empty for the intraday ensemble."""
        return "+".join(self.forecasts.ids) if self.forecasts is not None else ""

    @property
    def is_past(self) -> bool:
        """Whether the newest closes are of the past (a warm-up, bars missed before a start or during an outage).

        They are as well where something later was heard of before the missed bars are taken: the next bar then comes
        too late. The account of now is not valued at them: what it holds may not have been there, and what it held may
        be gone.
        """
        return (
            self.now_ns == 0 or self.late_ns >= self._past_ns
            or self.heard_ns - self.now_ns >= self.interval_ns + self._past_ns
        )

    def heard(self, ts_ns: int) -> None:
        """Note that something of *ts_ns* is taken after the newest bars."""
        self.heard_ns = max(self.heard_ns, ts_ns)

    # ------------------------------------------------------------------ bars

    def screened(self, batch: MarketBatch, late_ns: int) -> MarketBatch:
        """*batch* without unusable bars, for a decision *late_ns* after its close.

        The third bad bar in a row halts its symbol, the third good one ends that.
        """
        now_ns = self.now_ns = batch.ts_ns + self.interval_ns
        self.late_ns, self.heard_ns = late_ns, 0
        if stage.screen(batch.ohlcv, batch.present, self._ticks, self._clean, now_ns):
            self._refuse_bad_bars(batch, now_ns)
            batch = MarketBatch(batch.ts_ns, batch.interval_ns, batch.ohlcv, self._clean.copy())
        if self._halted:
            self._release(now_ns)
        return batch

    def _refuse_bad_bars(self, batch: MarketBatch, now_ns: int) -> None:
        for index in np.flatnonzero(batch.present & ~self._clean).tolist():
            symbol, halted = self._instruments.symbols[index], self.is_halted(index)
            self._records.record("market.refused", "", now_ns, RefusedBar(
                symbol=symbol, ohlcv=batch.ohlcv[index].tolist(), halted=halted,
            ))
            if halted and index not in self._halted:
                self._halted.add(index)
                reason = f"{symbol}: {BAD_TICKS_TO_HALT} bad bars in a row; nothing opens in it"
                self._halts.begin(f"{BAD_BARS} {symbol}", reason, f"{GOOD_TICKS_TO_CLEAR} good bars in a row", now_ns)

    def _release(self, now_ns: int) -> None:
        """End the halts of the symbols that good bars have released."""
        for index in sorted(self._halted):
            if not self.is_halted(index):
                self._halted.discard(index)
                symbol = self._instruments.symbols[index]
                self._halts.end(f"{BAD_BARS} {symbol}", f"{symbol}: {GOOD_TICKS_TO_CLEAR} good bars in a row", now_ns)

    def is_halted(self, index: int) -> bool:
        """Whether bad bars keep a symbol from opening."""
        return bool(self._ticks[index, TICK_HALTED_SINCE] >= 0.0)

    def advance(self, batch: MarketBatch) -> list[int]:
        """Measure the bars of one moment; returns the symbols that have a new signal, in order."""
        made = self.kernel.advance(batch)
        if self.forecasts is not None:
            return self._forecast(batch, self.forecasts)
        if not made:
            return []
        signals: list[int] = np.flatnonzero(self.kernel.out[:, col.SIGNAL]).tolist()
        return signals

    def warm_models(self, ts_ns: int, ohlcv: Any, present: Any) -> None:
        """Show the models whole bars (S, 5) of their own interval; the market's own measures do not see them."""
        forecasts = self.forecasts
        if forecasts is None:
            return
        fees, funding = self.symbols[:, stage.SYM_FEE_BPS], self.symbols[:, stage.SYM_FUNDING]
        self._supervise(
            "model", forecasts.name, self.now_ns, forecasts.warm, ts_ns, ohlcv, present, 2.0 * fees, funding
        )

    def warm(self, batch: MarketBatch) -> None:
        """Let indicators, models and calibration see bars of before the trading begins; nothing else notes them."""
        self.kernel.advance(batch)
        if self.forecasts is not None:
            self._forecast(batch, self.forecasts)
        self.kernel.learn()

    def _forecast(self, batch: MarketBatch, forecasts: Forecasts) -> list[int]:
        """Put the models' forecasts in the place of the ensemble's; returns the symbols that have a new target."""
        out = self.kernel.out
        funding, costs_bps = self.symbols[:, stage.SYM_FUNDING], self.round_trips_bps()
        now_ns = batch.ts_ns + self.interval_ns
        new = self._supervise("model", forecasts.name, now_ns, forecasts.take, batch, costs_bps, funding)
        if forecasts.failed_ns:
            forecasts.decided[:] = False
        self._show(forecasts)
        return np.flatnonzero(out[:, col.SIGNAL]).tolist() if new else []

    def _show(self, forecasts: Forecasts) -> None:
        """Write the forecasts into the columns that a signal is made of."""
        stage.show_forecasts(
            forecasts.out, forecasts.decided, forecasts.exit.by_score, forecasts.exit.stop_atr,
            forecasts.horizon_hours, self.kernel.out, self.symbols,
        )
        if forecasts.trends is not None:
            stage.show_trends(forecasts.trends.codes, self.symbols)

    def target(self, index: int) -> int:
        """The direction that the models want of a symbol now: +1, -1 or 0."""
        return int(self.forecasts.out[index, fc.TARGET]) if self.forecasts is not None else 0

    def signal(self, index: int) -> tuple[int, float]:
        """Direction (+1 or -1) and confidence of a symbol's signal; of models, of their target."""
        wants = self.target(index) if self.forecasts is not None else self.kernel.out.item(index, col.SIGNAL)
        return 1 if wants > 0 else -1, self.kernel.out.item(index, col.CONFIDENCE)

    def standing_signal(self, index: int) -> tuple[int, float]:
        """Direction and confidence of what a symbol's signals want now: the models' target, or a signal's."""
        wants = self.target(index) if self.forecasts is not None else int(self.kernel.out.item(index, col.SIGNAL))
        return (1 if wants > 0 else -1 if wants < 0 else 0), self.kernel.out.item(index, col.CONFIDENCE)

    def confidence_over(self, index: int, confidence: float, days: float) -> float:
        """A symbol's *confidence* if what models want of it were held for *days*: one round trip in that time."""
        if self.forecasts is None:
            return confidence
        return fc.over_horizon(
            self.forecasts.out[index].tolist(), confidence, float(self.round_trips_bps()[index]), days
        )

    def cost_in_r(self, index: int, distance: float, hours: float) -> float:
        """What a round trip costs now, in R, with a stop at *distance* (price units) after *hours*."""
        row = self.kernel.out[index]
        return float(cost_in_r(
            self.close(index), distance, float(self.symbols[index, stage.SYM_FEE_BPS]), float(row[col.SPREAD_BPS]),
            float(row[col.SLIPPAGE_BPS]), abs(float(self.symbols[index, stage.SYM_FUNDING])), hours,
        ))

    def round_trips_bps(self) -> Any:
        """What a round trip costs a taker now (S,), in basis points."""
        out = self.kernel.out
        return round_trip_bps(
            self.symbols[:, stage.SYM_FEE_BPS], out[:, col.SLIPPAGE_BPS], out[:, col.SPREAD_BPS]
        )

    @property
    def exit_ranges(self) -> Any:
        """The ATR (S,) that exits are measured in, in price units: of the model's bars, or of hourly ones."""
        forecasts = self.forecasts
        if forecasts is not None and forecasts.exit.by_score:
            return forecasts.out[:, fc.ATR]
        return self.kernel.out[:, col.ATR_1H]

    @property
    def wanted(self) -> Wanted | None:
        """What the models want of positions; None where these are not left by the score."""
        forecasts = self.forecasts
        if forecasts is None or not forecasts.exit.by_score:
            return None
        renewed = forecasts.decided if not self.is_past else np.zeros_like(forecasts.decided)
        return Wanted(forecasts.out[:, fc.TARGET], forecasts.out[:, fc.MOST], renewed)

    def new_targets(self) -> tuple[Any, Any] | None:
        """Copies of the directions (S,) that models want and of which are new (S,); None: none, or not by the score."""
        forecasts = self.forecasts
        if forecasts is None or not forecasts.exit.by_score or not forecasts.decided.any():
            return None
        return forecasts.out[:, fc.TARGET].copy(), forecasts.decided.copy()

    def shadow_terms(self, index: int, volatility_pct: float, risk_pct: float) -> ShadowTerms | None:
        """How a signal's shadow trade ends, with its weight under fixed settings; None: the standard bracket."""
        forecasts = self.forecasts
        if forecasts is None or not forecasts.exit.by_score:
            return None
        atr, stop_atr = float(forecasts.out[index, fc.ATR]), float(forecasts.exit.stop_atr)
        weight = risk_weight(
            self.least_notional(index), volatility_pct, stop_atr * atr, self.close(index), risk_pct
        )
        return ShadowTerms(atr, stop_atr, float(weight))

    def least_notional(self, index: int) -> float:
        """Notional of a symbol to hold at least, in equities, for a portfolio volatility of 100 % a year."""
        return float(self.forecasts.out[index, fc.LEAST]) if self.forecasts is not None else 0.0

    def exit_plan(self, index: int, exit_code: int = EXIT_TREND_FOLLOW) -> ExitPlan:
        """How a position that a signal opens now would be left under the exit mode *exit_code*."""
        forecasts = self.forecasts
        if forecasts is None or not forecasts.exit.by_score:
            return self.regime_plan(index)
        row = score_exit_row(forecasts.exit.stop_atr, exit_code)
        return ExitPlan(float(forecasts.out[index, fc.ATR]), *row, True)

    def regime_plan(self, index: int) -> ExitPlan:
        """How a position is left by the table of its symbol's market regime."""
        row = self.kernel.out[index]
        return ExitPlan(float(row[col.ATR_1H]), *exit_row(int(row[col.TREND]), int(self.levels[index])), False)

    def prepare(self, ts_ns: int, index: int, bar: Any) -> None:
        """Measure a symbol's next bar (5,) before its moment is complete; nothing that counts changes."""
        if stage.is_bar(bar):
            self.kernel.prepare(ts_ns, index, bar)

    # ------------------------------------------------------------------ regimes and costs

    def regime_name(self, index: int) -> str:
        """A symbol's market state in words, as "TRENDING UP NORMAL"."""
        trend, side, level, _ = self.regimes[index].tolist()
        direction = DIRECTION_CODES[side]
        words = (TREND_CODES[trend].value, *((direction.value,) if direction else ()), VOL_CODES[level].value)
        return " ".join(words)

    def record_regimes(self, now_ns: int) -> None:
        """Record every symbol whose market state has changed in this moment."""
        for index in np.flatnonzero(self.regimes[:, 3]).tolist():
            before, after = self._regime_names[index], self.regime_name(index)
            self._regime_names[index] = after
            row = self.kernel.out[index]
            self._records.record("regime.changed", "", now_ns, RegimeChange(
                symbol=self._instruments.symbols[index], before=before, after=after, atr_1h=float(row[col.ATR_1H]),
                vol_ratio=float(row[col.VOL_RATIO]),
            ))

    def note_payment(self, symbol: str, ts_ns: int, rate_8h: float, rate: float | None = None) -> None:
        """Take a funding payment of *symbol* at *ts_ns*, at a rate per 8 hours, which its cost is counted with.

        *rate*: what is paid, of the notional; without it that follows from the time since the payment before.
        """
        self.note_funding_rate(symbol, rate_8h)
        self.paid.pay(self._instruments.index[symbol], ts_ns, rate_8h, rate)

    def funding_due(self, ts_ns: int) -> Any:
        """The sum of the funding rates (S,) that fell due since the bars before, up to *ts_ns*, the open of new ones.

        As a symbol's payments or its venue's announcements tell, also where nothing is held. To be asked once a moment.
        """
        due = self.paid.due(ts_ns, self.symbols[:, stage.SYM_FUNDING])
        self.paid.pass_to(ts_ns + self.interval_ns)
        return due

    def announce_rate(self, symbol: str, rate_8h: float, now_ns: int) -> None:
        """Take the rate of *symbol*'s next funding payment, per 8 hours, as the venue announces it at *now_ns*."""
        self.note_funding_rate(symbol, rate_8h)
        self.paid.announce(self._instruments.index[symbol], rate_8h, now_ns)

    def note_funding_rate(self, symbol: str, rate_8h: float) -> None:
        """Take the newest funding rate of *symbol*, per 8 hours, for its cost; an unknown one costs too much."""
        index = self._instruments.index.get(symbol)
        if index is None:
            raise InputError(f"symbol = {symbol!r}: is not traded here")
        self.symbols[index, stage.SYM_FUNDING] = rate_8h if math.isfinite(rate_8h) else math.inf

    def note_past_rates(self, symbol: str, times_ns: Any, rates_8h: Any, until_ns: int) -> None:
        """Show models and pilot what funding of *symbol* was, per 8 hours, at bars that open before *until_ns*."""
        index = self._instruments.index.get(symbol)
        if index is None:
            raise InputError(f"symbol = {symbol!r}: is not traded here")
        if self.forecasts is not None:
            self.forecasts.past_rates.note(index, times_ns, rates_8h, until_ns)
        for ts_ns, rate in zip(times_ns.tolist(), rates_8h.tolist(), strict=True):
            self.paid.pay(index, ts_ns, rate)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "kernel": self.kernel.state(), "symbols": self.symbols[:, _SAVED], "levels": self.levels,
            "costs": self.costs, "ticks": self._ticks, "regimes": self.regimes, "regime_names": self._regime_names,
            "now_ns": self.now_ns, "late_ns": self.late_ns, "heard_ns": self.heard_ns,
            "forecasts": self.forecasts.state() if self.forecasts is not None else None, "paid": self.paid.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.kernel.load_state(state["kernel"])
        self.symbols[:, _SAVED], self.levels[...], self.costs[...] = state["symbols"], state["levels"], state["costs"]
        check_saved_models(self.forecasts, state)
        if self.forecasts is not None:
            self.forecasts.load_state(state["forecasts"])
            self._show(self.forecasts)
        if "paid" in state:  # not in a folder of before there was a pilot
            self.paid.load_state(state["paid"])
        self._ticks[...], self.regimes[...] = state["ticks"], state["regimes"]
        self._regime_names = list(state["regime_names"])
        self.now_ns, self.late_ns, self.heard_ns = state["now_ns"], state["late_ns"], state.get("heard_ns", 0)
        self._halted = {index for index in range(len(self.levels)) if self.is_halted(index)}


def check_saved_models(forecasts: Forecasts | None, state: Mapping[str, Any]) -> None:
    """Raise StateError where a market's saved *state* was made with other models than *forecasts*'.

    None: the intraday ensemble gives the signals.
    """
    saved = state.get("forecasts")
    if forecasts is None and saved:
        raise StateError(
            f"models: the saved state was made with other models than {INTRADAY}; start it with the same --model or "
            "[[models]] (with neither, if it had neither), or start a new --state folder"
        )
    if forecasts is not None and not saved:
        raise StateError(
            f"models: the saved state was made with the intraday models, not with {forecasts.name}; give --model "
            f"{INTRADAY} to continue it (the intraday models were once the default), or start a new --state folder"
        )
    if forecasts is not None and saved:
        forecasts.check_saved(saved["models"])
