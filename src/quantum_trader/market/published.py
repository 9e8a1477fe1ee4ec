"""Regime, costs and symbol performance under their published names, for use in another program.

Thin faces over the scalar functions that the engine and the sweep run: no rule is written here a second time. Where the
original's thresholds differ, those of this system apply, and the docstring says so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import (
    DIRECTION_CODES,
    TAG_BAD,
    TAG_CODES,
    TREND_CODES,
    VOL_CODES,
    Direction,
    Trend,
    VolLevel,
)
from quantum_trader.domain.errors import InputError, StateError, require, require_finite
from quantum_trader.domain.indicators import regime_step, vol_level
from quantum_trader.domain.policy import SymbolPerformanceData
from quantum_trader.market import performance as perf
from quantum_trader.market.costs import (
    BPS,
    MAKER_SHARE_OF_BASE,
    RANGE_SLIPPAGE_BPS,
    UNMEASURED_ATR_RATIO,
    cost_in_r,
    liquidity_of,
    spread_bps,
    taker_slippage_bps,
)
from quantum_trader.market.regime import (
    MEASURE_ADX,
    MEASURE_DIRECTION,
    MEASURE_REGIME_AGE,
    MEASURE_SIZE,
    MEASURE_TREND,
    MEASURE_VOL_RATIO,
    measure_clear,
    measure_trend,
    measure_volatility,
)

_VOL_HOURS: Final = 4
_VERSION: Final = 1


class RegimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of :class:`RegimeDetector`; the defaults are those of the engine and of the profile STANDARD."""

    adx_trending: float = 25.0  # ADX at which RANGING turns TRENDING
    adx_ranging: float = 22.0  # ADX below which TRENDING turns RANGING
    min_bars: int = 3  # bars a trend state holds at least
    ema_period: int = 21
    high_vol_threshold: float = 0.04  # ATR(14) / price of 4-hour bars
    extreme_vol_threshold: float = 0.06


class RegimeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The regime of one symbol; *trend*, *direction* and *vol_level* are what ``update_policy`` takes."""

    regime: str  # the volatility regime, as it was published
    volatility_regime: str  # LOW_VOL, NORMAL_VOL, HIGH_VOL, EXTREME_VOL or UNKNOWN_VOL
    trend_regime: str  # TRENDING, RANGING or UNKNOWN
    trend: Trend
    direction: Direction | None
    vol_level: VolLevel
    atr_ratio: float  # ATR(14) / price of 4-hour bars; NaN until it is known
    adx: float  # of 1-hour bars; NaN until it is known


class RegimeDetector:
    """Trend and volatility of one symbol, from its completed 1-hour bars or from indicators of your own.

    The thresholds are this system's (spec 1 section 6), not the original's: volatility is measured on 4-hour bars, and
    the trend has a hysteresis, so that an ADX on the boundary does not flap. What is not known is UNKNOWN.
    """

    def __init__(self, config: RegimeConfig | None = None) -> None:
        self.config = RegimeConfig() if config is None else config
        self._row: list[float] = [0.0] * MEASURE_SIZE
        measure_clear(self._row, 0)
        self._open: list[float] = []  # the 4-hour bar that is forming: number, high, low, close

    def add_bar(self, ts_ns: int, high: float, low: float, close: float, volume: float = 0.0) -> RegimeResult:
        """Take in one completed 1-hour bar that opened at *ts_ns*; bars come in order of time."""
        for key, value in (("high", high), ("low", low), ("close", close)):
            require_finite(key, value)
        require(0.0 < low <= close <= high, "low, close, high", (low, close, high), "must be a bar: 0 < low <= high")
        number = ts_ns // (_VOL_HOURS * NS_PER_HOUR)
        if self._open and self._open[0] != number:
            self._close_bar()
        first = not self._open
        highest, lowest = (high, low) if first else (max(self._open[1], high), min(self._open[2], low))
        self._open = [float(number), highest, lowest, close]
        if ts_ns // NS_PER_HOUR % _VOL_HOURS == _VOL_HOURS - 1:
            self._close_bar()
        config = self.config
        measure_trend(
            self._row, 0, high, low, close, volume, config.ema_period, config.adx_trending, config.adx_ranging,
            float(config.min_bars),
        )
        return self._result(self._row[MEASURE_VOL_RATIO], self._row[MEASURE_ADX])

    def detect_regime(self, indicators: Mapping[str, float] | Any) -> RegimeResult:
        """The regime from *indicators*, a mapping or an object: ``price``, ``atr`` (4-hour bars), ``adx`` (hourly).

        ``ema_slope``, ``plus_di`` and ``minus_di`` give the direction where they are known. One call counts as one bar.
        A missing or unusable figure makes its part UNKNOWN.
        """
        price, atr, adx = (_figure(indicators, key) for key in ("price", "atr", "adx"))
        slope, plus, minus = (_figure(indicators, key) for key in ("ema_slope", "plus_di", "minus_di"))
        row, config = self._row, self.config
        trend, direction, age = regime_step(
            int(row[MEASURE_TREND]), int(row[MEASURE_DIRECTION]), int(row[MEASURE_REGIME_AGE]), adx,
            0.0 if math.isnan(slope) else slope, plus, minus, config.adx_trending, config.adx_ranging, config.min_bars,
        )
        row[MEASURE_TREND], row[MEASURE_DIRECTION], row[MEASURE_REGIME_AGE] = float(trend), float(direction), float(age)
        return self._result(atr / price if price > 0.0 else math.nan, adx)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as JSON values."""
        return {"version": _VERSION, "row": _plain(self._row), "open": _plain(self._open)}

    def load_state(self, state: object) -> None:
        """Continue from :meth:`state`; StateError when it is damaged."""
        row, opened = _loaded(state, "row"), _loaded(state, "open")
        if len(row) != MEASURE_SIZE or len(opened) not in (0, 4):
            raise StateError("regime state: is not what RegimeDetector.state() gave; start a new one")
        self._row, self._open = row, opened

    def _close_bar(self) -> None:
        _, high, low, close = self._open
        measure_volatility(self._row, 0, high, low, close)
        self._open = []

    def _result(self, ratio: float, adx: float) -> RegimeResult:
        level = VOL_CODES[vol_level(ratio, self.config.high_vol_threshold, self.config.extreme_vol_threshold)]
        trend = TREND_CODES[int(self._row[MEASURE_TREND])]
        return RegimeResult(
            regime=f"{level.value}_VOL", volatility_regime=f"{level.value}_VOL", trend_regime=trend.value, trend=trend,
            direction=DIRECTION_CODES[int(self._row[MEASURE_DIRECTION])], vol_level=level, atr_ratio=ratio, adx=adx,
        )


class CostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of :class:`CostModel`: fees and funding as fractions (0.0005 is 0.05 %), slippage in basis points a side.

    *base_slippage_bps* None: what was measured for the symbol, else 2. *volatility_slippage_factor* is part of the
    model (decision 0097); another number than its own is refused.
    """

    maker_fee_rate: float = 0.0002
    taker_fee_rate: float = 0.0005
    base_slippage_bps: float | None = None
    volatility_slippage_factor: float = RANGE_SLIPPAGE_BPS
    funding_rate_per_8h: float = 0.0001

    def __post_init__(self) -> None:
        for key in ("maker_fee_rate", "taker_fee_rate", "funding_rate_per_8h"):
            require_finite(key, getattr(self, key))
            require(abs(getattr(self, key)) < 0.1, key, getattr(self, key), "is a fraction (0.0005 means 0.05 %)")
        require(
            self.volatility_slippage_factor == RANGE_SLIPPAGE_BPS, "volatility_slippage_factor",
            self.volatility_slippage_factor, f"is {RANGE_SLIPPAGE_BPS:g} in this model and cannot be set",
        )


class CostEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The expected cost of a round trip, in quote currency; *cost_in_R* is its share of the risk taken."""

    entry_fee: float
    exit_fee: float
    entry_slippage: float  # half the spread included
    exit_slippage: float
    funding: float  # paid; income counts as 0
    total_cost: float
    cost_in_R: float  # noqa: N815 - the published name


class CostModel:
    """Expected trading costs, by the engine's own model; it keeps no state.

    Both sides are charged at the entry price, as the policy's cost in R is.
    """

    def __init__(self, config: CostConfig | None = None) -> None:
        self.config = CostConfig() if config is None else config

    def estimate_slippage(
        self, price: float, size: float, atr_ratio: float = UNMEASURED_ATR_RATIO, is_maker: bool = False,
        symbol: str = "",
    ) -> float:
        """Expected slippage of one order, quote currency; a maker pays a fifth of the base."""
        return price * size * self._slippage_bps(symbol, atr_ratio, is_maker) / BPS

    def estimate_cost(
        self, entry_price: float, exit_price: float, size: float, symbol: str = "", atr: float | None = None,
        stop_loss: float | None = None, is_maker: bool = False, holding_hours: float = 24.0,
    ) -> CostEstimate:
        """The expected cost of a round trip of *size* base units.

        R is the distance from the entry to *stop_loss*, else to *exit_price*. *atr* is of 4-hour bars; without it an
        ordinary market is assumed. Raises InputError for a figure that is not a positive number.
        """
        for key, value in (("entry_price", entry_price), ("exit_price", exit_price), ("size", size)):
            require_finite(key, value)
            require(value > 0.0, key, value, "must be above 0")
        ratio = UNMEASURED_ATR_RATIO if atr is None else atr / entry_price
        fee_bps = (self.config.maker_fee_rate if is_maker else self.config.taker_fee_rate) * BPS
        slippage = self._slippage_bps(symbol, ratio, is_maker)
        spread = 0.0 if is_maker else spread_bps(entry_price, 0.0, liquidity_of(symbol).spread_floor_bps, ratio)
        distance = abs(entry_price - (exit_price if stop_loss is None else stop_loss))
        notional, funding_rate = entry_price * size, self.config.funding_rate_per_8h
        in_r = cost_in_r(entry_price, distance, fee_bps, spread, slippage, funding_rate, holding_hours)
        funding = cost_in_r(entry_price, entry_price, 0.0, 0.0, 0.0, funding_rate, holding_hours) * notional
        fee, side = notional * fee_bps / BPS, notional * (slippage + 0.5 * spread) / BPS
        return CostEstimate(
            entry_fee=fee, exit_fee=fee, entry_slippage=side, exit_slippage=side, funding=funding,
            total_cost=2.0 * (fee + side) + funding, cost_in_R=in_r,
        )

    def net_R_after_costs(  # noqa: N802 - the published name
        self, raw_R: float, entry_price: float, stop_loss: float, take_profit: float | None = None,  # noqa: N803
        size: float = 1.0, symbol: str = "", atr: float | None = None, holding_hours: float = 24.0,
    ) -> float:
        """*raw_R* less the round trip's cost in R."""
        cost = self.estimate_cost(
            entry_price, take_profit or entry_price, size, symbol, atr, stop_loss, holding_hours=holding_hours
        )
        return raw_R - cost.cost_in_R

    def breakeven_price(
        self, entry_price: float, stop_loss: float, size: float = 1.0, atr: float | None = None, action: str = "LONG",
        symbol: str = "", holding_hours: float = 24.0,
    ) -> float:
        """The price at which a round trip has paid its cost; *action* is LONG or SHORT, BUY or SELL."""
        sign = {"LONG": 1.0, "BUY": 1.0, "SHORT": -1.0, "SELL": -1.0}.get(action)
        if sign is None:
            raise InputError(f"action = {action!r}: must be LONG or SHORT")
        cost = self.estimate_cost(entry_price, entry_price, size, symbol, atr, stop_loss, holding_hours=holding_hours)
        return entry_price + sign * cost.total_cost / size

    def _slippage_bps(self, symbol: str, ratio: float, is_maker: bool) -> float:
        base = self.config.base_slippage_bps
        base = liquidity_of(symbol).slippage_bps if base is None else base
        return MAKER_SHARE_OF_BASE * base if is_maker else taker_slippage_bps(base, ratio)


def estimate_trade_cost(
    entry_price: float, exit_price: float, size: float, atr: float | None = None, is_maker: bool = False,
    symbol: str = "", stop_loss: float | None = None,
) -> CostEstimate:
    """The estimate of a :class:`CostModel` with the default rates."""
    return CostModel().estimate_cost(entry_price, exit_price, size, symbol, atr, stop_loss, is_maker)


class SymbolStats(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one symbol; win rate and average R cover its last 50 trades."""

    symbol: str
    trade_count: int
    win_rate: float  # 0..1
    avg_R: float  # noqa: N815 - the published name
    total_pnl: float
    consecutive_losses: int
    is_enabled: bool

    @property
    def wins(self) -> int:
        """Winning trades among those that the win rate covers."""
        return round(self.win_rate * min(self.trade_count, perf.WINDOW))


class SymbolPerformanceManager:
    """Results of each symbol's own trades, and the risk that they leave it.

    Ten losses in a row disable a symbol until three shadow trades in a row have won (:meth:`update_shadow`): the
    original counts real wins, which a disabled symbol cannot have. With *persistence_file* the state is loaded at the
    start and saved at each change, whole or not at all.
    """

    def __init__(self, persistence_file: Path | str | None = None) -> None:
        self._rows: dict[str, list[float]] = {}
        self._file = None if persistence_file is None else Path(persistence_file)
        if self._file is not None and self._file.exists():
            try:
                self.load_state(msgspec.json.decode(self._file.read_bytes()))
            except (OSError, msgspec.DecodeError) as error:
                raise StateError(f"{self._file}: cannot be read ({error}); move it away to start anew") from None

    def update_stats(self, symbol: str, pnl: float, R_multiple: float, was_winner: bool | None = None) -> None:  # noqa: N803
        """Count a closed trade of *pnl* (net) and *R_multiple*; the sign of R says whether it won, not *was_winner*."""
        require_finite("pnl", pnl)
        require_finite("R_multiple", R_multiple)
        perf.record_trade(self._row(symbol), float(R_multiple), float(pnl), 1.0, 0)
        self._save()

    def update_shadow(self, symbol: str, R_multiple: float) -> bool:  # noqa: N803
        """Count the result of a signal that was not traded; True when it enables the symbol again."""
        require_finite("R_multiple", R_multiple)
        readmitted = bool(perf.record_shadow(self._row(symbol), float(R_multiple)))
        self._save()
        return readmitted

    def should_trade_symbol(self, symbol: str) -> bool:
        """Whether *symbol* is enabled; one without trades is."""
        row = self._rows.get(symbol)
        return row is None or row[perf.TAG] != TAG_BAD

    def get_risk_modifier(self, symbol: str) -> float:
        """The factor on the symbol's risk: 0.0 disabled, 0.5 poor, else 1.0."""
        if not self.should_trade_symbol(symbol):
            return 0.0
        return self._rows[symbol][perf.RISK_FACTOR] if symbol in self._rows else 1.0

    def get_stats(self, symbol: str) -> SymbolStats:
        """The figures of *symbol*; zeros where it has no trades."""
        row = self._rows.get(symbol) or _empty_row()
        return SymbolStats(
            symbol=symbol, trade_count=int(row[perf.TRADES]), win_rate=row[perf.WINRATE], avg_R=row[perf.AVG_R],
            total_pnl=row[perf.PNL], consecutive_losses=int(row[perf.LOSSES]), is_enabled=row[perf.TAG] != TAG_BAD,
        )

    def performance(self) -> list[SymbolPerformanceData]:
        """The figures of every symbol as ``update_policy`` takes them."""
        return [
            SymbolPerformanceData(
                symbol=symbol, winrate=row[perf.WINRATE], avg_r=row[perf.AVG_R], cumulative_pnl=row[perf.PNL],
                performance_tag=TAG_CODES[int(row[perf.TAG])], trades=int(row[perf.TRADES]),
                consecutive_losses=int(row[perf.LOSSES]),
            )
            for symbol, row in sorted(self._rows.items())
        ]

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as JSON values."""
        return {"version": _VERSION, "rows": {symbol: list(row) for symbol, row in sorted(self._rows.items())}}

    def load_state(self, state: object) -> None:
        """Continue from :meth:`state`; StateError when it is damaged."""
        rows = state.get("rows") if isinstance(state, Mapping) and state.get("version") == _VERSION else None
        if not isinstance(rows, Mapping):
            raise StateError("symbol performance: is not what SymbolPerformanceManager.state() gave; start a new one")
        loaded = {str(symbol): _loaded({"version": _VERSION, "row": row}, "row") for symbol, row in rows.items()}
        for symbol, row in loaded.items():
            if len(row) == perf.JUDGED:  # of before models' trades were judged apart: all trades are judged
                row.append(row[perf.TRADES])
            if len(row) != perf.SIZE or not all(map(math.isfinite, row)) or int(row[perf.TAG]) >= len(TAG_CODES):
                raise StateError(f"symbol performance of {symbol!r}: is damaged; start a new one")
        self._rows = loaded

    def _row(self, symbol: str) -> list[float]:
        require(isinstance(symbol, str) and bool(symbol.strip()), "symbol", symbol, "must be a symbol like 'BTCUSDT'")
        return self._rows.setdefault(symbol, _empty_row())

    def _save(self) -> None:
        if self._file is None:
            return
        partial = self._file.with_name(f".{self._file.name}.partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self.state()))
            os.replace(partial, self._file)
        except OSError as error:
            raise StateError(f"{self._file}: cannot be written ({error.strerror}); it goes on in memory") from None


def _empty_row() -> list[float]:
    row = [0.0] * perf.SIZE
    perf.reset_row(row)
    return row


def _figure(indicators: Any, key: str) -> float:
    """One indicator as a number; NaN where it is missing or none."""
    value = indicators.get(key) if isinstance(indicators, Mapping) else getattr(indicators, key, None)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _plain(row: Sequence[float]) -> list[float | None]:
    """*row* as JSON values: None where it holds NaN."""
    return [None if math.isnan(value) else float(value) for value in row]


def _loaded(state: object, key: str) -> list[float]:
    """The row *key* of a saved state; StateError when it is not a row of numbers."""
    row = state.get(key) if isinstance(state, Mapping) and state.get("version") == _VERSION else None
    sound = isinstance(row, list) and all(
        one is None or (isinstance(one, (int, float)) and not isinstance(one, bool)) for one in row
    )
    if not sound or row is None:
        raise StateError(f"saved state: {key!r} is not a row of numbers; start a new one")
    return [math.nan if one is None else float(one) for one in row]
