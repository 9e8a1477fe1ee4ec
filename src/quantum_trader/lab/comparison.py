"""What is compared on the same bars: buying and holding, and the models traded under different rules.

All figures rest on the equity at the end of each UTC day, drawdowns on that at every bar. Shares and rates are 0..1,
``_pct`` percent, money in USDT, ``_ns`` nanoseconds since the epoch.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.lab.sharpe import (
    DAYS_PER_YEAR,
    Moments,
    effective_count,
    moments,
    period_returns,
    sharpe_interval,
)
from quantum_trader.lab.sweep.columns import bar, counter, money, position, stamp, trade, trade_whole
from quantum_trader.lab.sweep.layout import STATE_HELD, Desk, Outcome, Targets
from quantum_trader.lab.sweep.market import SweepMarket
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import BPS, fill_cost_bps
from quantum_trader.market.recording import Recording
from quantum_trader.models.forecast import VOL_BARS, VOL_SPAN
from quantum_trader.risk import governor

FAVOURABLE: Final = 0.5  # a trade of less confidence is made against the expectation: its mean is below its cost
HOLD_BAND: Final = 0.1  # of the wanted size; a holding inside it is left as it is
LEAST_DAYS_FOR_YEARLY: Final = 90


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """When and why the governor stopped an account until a person resumes it."""

    at_ns: int
    cause: str


class Traded(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What one way of trading left behind; D days, N closed trades."""

    equity: Floats  # (D,) at the end of each day
    start_equity: float
    max_drawdown_pct: float  # at every bar, 0 or negative
    gross: Floats  # (D,) notional held at the end of each day, USDT
    held_share: float  # of the symbols' time: a position was open
    trades: int
    turnover: float  # notional bought and sold
    fees: float
    slippage: float  # spread and slippage, inside the prices
    funding: float  # positive is received
    against_expectation: int | None = None  # trades of less confidence than FAVOURABLE; None: not known
    stop: Stop | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one row of the comparison; None: not known."""

    return_pct: float
    annual_return_pct: float | None
    volatility_pct: float
    sharpe: float | None
    sharpe_low: float | None  # bounds of the true ratio, 95 %
    sharpe_high: float | None
    max_drawdown_pct: float
    under_water_share: float  # of the days: below the highest equity so far
    longest_under_water_days: int
    trades: int
    turnover_a_year: float  # times the mean equity
    exposure_pct: float  # mean notional held, of the equity
    held_share: float
    fees_pct_a_year: float  # of the mean equity
    slippage_pct_a_year: float
    funding_pct_a_year: float  # positive is received
    cost_share: float | None  # fees and slippage over the profit before costs and funding; None where that is no profit
    funding_share: float | None  # funding paid over the same
    against_expectation: int | None


def daily_returns_of(one: Traded) -> Floats:
    """The return (D,) of each day, a fraction."""
    return period_returns(one.equity, one.start_equity)


def grown_from(start: float, daily: Floats) -> Floats:
    """The equity (D,) at the end of each day of the returns *daily* (D,)."""
    return np.asarray(start * np.cumprod(1.0 + daily), dtype=np.float64)


def figures_of(one: Traded) -> Figures:
    """Measure *one*."""
    daily = daily_returns_of(one)
    grown = grown_from(one.start_equity, daily)
    years, mean = len(daily) / DAYS_PER_YEAR, float(grown.mean())
    found = moments(daily)
    bounds = sharpe_interval(found, effective_count(daily))
    yearly, scale = math.sqrt(DAYS_PER_YEAR), 100.0 / (mean * years) if mean > 0.0 else 0.0
    growth = float(grown[-1]) / one.start_equity
    before = float(grown[-1]) - one.start_equity + one.fees + one.slippage - one.funding
    below, longest = under_water(grown, one.start_equity)
    return Figures(
        return_pct=(growth - 1.0) * 100.0,
        annual_return_pct=_a_year(growth, years) if len(daily) >= LEAST_DAYS_FOR_YEARLY else None,
        volatility_pct=found.deviation * yearly * 100.0, sharpe=_known_sharpe(found),
        sharpe_low=bounds[0] * yearly if bounds else None, sharpe_high=bounds[1] * yearly if bounds else None,
        max_drawdown_pct=one.max_drawdown_pct, under_water_share=below, longest_under_water_days=longest,
        trades=one.trades, turnover_a_year=one.turnover * scale / 100.0,
        exposure_pct=float((one.gross / grown).mean()) * 100.0 if bool((grown > 0.0).all()) else math.nan,
        held_share=one.held_share, fees_pct_a_year=one.fees * scale, slippage_pct_a_year=one.slippage * scale,
        funding_pct_a_year=one.funding * scale,
        cost_share=(one.fees + one.slippage) / before if before > 0.0 else None,
        funding_share=-one.funding / before if before > 0.0 else None,
        against_expectation=one.against_expectation,
    )


def _known_sharpe(found: Moments) -> float | None:
    return found.annual_sharpe if found.deviation > 0.0 else None


def _a_year(growth: float, years: float) -> float | None:
    return (growth ** (1.0 / years) - 1.0) * 100.0 if growth > 0.0 else None


def under_water(equity: Floats, start: float) -> tuple[float, int]:
    """Share of the days on which *equity* (D,) ends below its highest value so far, and the most of them in a row."""
    peak = np.maximum(np.maximum.accumulate(equity), start)
    below = equity < peak
    days = np.arange(len(equity))
    since = np.maximum.accumulate(np.where(below, -1, days))  # the last day that was not below
    return float(below.mean()), int((days - since)[below].max(initial=0))


# ---- the models, as a sweep's setting has traded them --------------------------------------------------------------
def traded_of(market: SweepMarket, desk: Desk, outcome: Outcome, targets: Targets | None) -> Traded:
    """What a setting of *market* left behind; *targets* are those of its models."""
    count = int(desk.counts[counter.TRADES])
    whole, figures = outcome.trade_whole[:count], outcome.trade[:count]
    held = _positions(market, desk, whole, figures)
    return Traded(
        equity=outcome.equity, start_equity=market.settings.engine.start_equity,
        max_drawdown_pct=float(desk.money[money.DRAWDOWN]) * 100.0, gross=np.nan_to_num(outcome.gross),
        held_share=_held_share(market, held), trades=count, turnover=float(held.traded.sum()),
        fees=float(desk.money[money.FEES]),
        slippage=_slippage(market, held), funding=float(desk.money[money.FUNDING]),
        against_expectation=_against(market, held, targets), stop=stop_of(desk),
    )


def stop_of(desk: Desk) -> Stop | None:
    """The EMERGENCY in which a setting ended; None where it ended in another level."""
    row = desk.governor
    if int(desk.counts[counter.LEVEL]) != GOV_EMERGENCY:
        return None
    return Stop(
        at_ns=int(row[governor.GOV_ROW_SINCE_S]) * NS_PER_SECOND,
        cause=governor.CAUSES[int(row[governor.GOV_ROW_CAUSE])],
    )


class _Positions(msgspec.Struct, frozen=True):
    """Closed trades and positions still open, one row each."""

    symbol: Ints
    entry_ns: Ints
    exit_ns: Ints  # after the last bar for a position still open
    traded: Floats  # notional bought and sold so far


def _positions(market: SweepMarket, desk: Desk, whole: Any, figures: Any) -> _Positions:
    open_ = np.flatnonzero(desk.symbols[:, position.STATE] == STATE_HELD)
    after = int(market.tape.ts_ns[-1]) + market.rules.interval_ns + 1
    symbol = np.concatenate([whole[:, trade_whole.SYMBOL], open_])
    fees = np.concatenate([figures[:, trade.FEES], desk.symbols[open_, position.FEES]])
    return _Positions(
        symbol=symbol,
        entry_ns=np.concatenate([whole[:, trade_whole.ENTRY_NS], desk.stamps[open_, stamp.ENTRY_NS]]),
        exit_ns=np.concatenate([whole[:, trade_whole.EXIT_NS], np.full(len(open_), after)]),
        traded=fees / market.fee_bps[symbol] * BPS,
    )


def day_ends(market: SweepMarket, days: int, first_day: int) -> Ints:
    """The last moment (D,) of each of *days* days from *first_day* on; that of the day before where it has none."""
    close = market.tape.ts_ns + market.rules.interval_ns
    ends = (first_day + 1 + np.arange(days)) * NS_PER_DAY
    return np.asarray(np.maximum(np.searchsorted(close, ends, side="right") - 1, 0))


def _held_share(market: SweepMarket, held: _Positions) -> float:
    end = int(market.tape.ts_ns[-1]) + market.rules.interval_ns
    span = end - int(market.tape.ts_ns[0])
    time = float((np.minimum(held.exit_ns, end) - held.entry_ns).sum())
    return float(time / (span * len(market.symbols)))


def _slippage(market: SweepMarket, held: _Positions) -> float:
    """Spread and slippage of all that was bought and sold, by the cost of a fill in the bars of entry and exit."""
    total = 0.0
    for row, symbol in enumerate(held.symbol.tolist()):
        entry, exit_ = (_fill_cost(market, symbol, int(moment[row])) for moment in (held.entry_ns, held.exit_ns))
        closed = int(held.exit_ns[row]) <= int(market.tape.ts_ns[-1]) + market.rules.interval_ns
        total += float(held.traded[row]) * (0.5 * (entry + exit_) if closed else entry) / BPS
    return total


def _fill_cost(market: SweepMarket, symbol: int, ts_ns: int) -> float:
    """Cost of a taker's fill in the bar of *ts_ns*, basis points a side."""
    tape, rules = market.tape, market.rules
    row = max(int(np.searchsorted(tape.ts_ns, ts_ns, side="right")) - 1, 0)
    calm = float(tape.cost_bps[row, symbol])
    open_, high, low = (float(tape.ohlc[row, symbol, place]) for place in (bar.OPEN, bar.HIGH, bar.LOW))
    calm = calm if math.isfinite(calm) else rules.default_cost_bps
    return float(fill_cost_bps(calm, rules.range_bps, open_, high, low, rules.interval_ns))


def decision_rows(market: SweepMarket, targets: Targets, entry_ns: Ints) -> Ints:
    """The decision (N,) that was the newest one before the open at which each position of *entry_ns* was entered."""
    before = np.maximum(np.searchsorted(market.tape.ts_ns, entry_ns, side="left") - 1, 0)
    return np.asarray(targets.row[before])


def _against(market: SweepMarket, held: _Positions, targets: Targets | None) -> int | None:
    if targets is None:
        return None
    rows = decision_rows(market, targets, held.entry_ns)
    return int((targets.confidence[rows, held.symbol] < FAVOURABLE).sum())


# ---- buying and holding --------------------------------------------------------------------------------------------
class HeldCoins(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Coins of all symbols bought in equal parts at their first price and kept; T moments, D days."""

    worth: Floats  # (T,) of one USDT at the start
    ends: Ints  # (D,) the last moment of each day
    day_s: tuple[int, ...]  # (D,) the end of each day, seconds since the epoch
    cost: float  # of the purchase, of the money spent
    before: Floats  # (B,) daily returns of equal parts before the range, oldest first
    funding_a_year: float  # what longs of perpetuals would have received, of the notional; mean of the symbols


def holding_of(recording: Recording, market: SweepMarket) -> HeldCoins:
    """Buy the symbols of *recording*, from which *market* was made, at the first price of each."""
    tape, size = market.tape, len(market.symbols)
    first = np.argmax(np.isfinite(tape.mark), axis=0)
    worth, cost = np.zeros(len(tape.ts_ns)), 0.0
    for symbol in range(size):
        row = int(first[symbol])
        side = (_fill_cost(market, symbol, int(tape.ts_ns[row])) + float(market.fee_bps[symbol])) / BPS
        price = float(tape.ohlc[row, symbol, bar.OPEN]) if tape.present[row, symbol] else float(tape.mark[row, symbol])
        worth += np.where(np.arange(len(worth)) < row, 1.0, tape.mark[:, symbol] / price / (1.0 + side)) / size
        cost += side / (1.0 + side) / size
    first_day, days = _days(market)
    return HeldCoins(
        worth=worth, ends=day_ends(market, days, first_day), cost=cost,
        day_s=tuple(((first_day + 1 + np.arange(days)) * (NS_PER_DAY // NS_PER_SECOND)).tolist()),
        before=_returns_before(recording),
        funding_a_year=-float(np.nanmean(tape.funding_8h)) * 3.0 * DAYS_PER_YEAR,
    )


def _days(market: SweepMarket) -> tuple[int, int]:
    """The first UTC day of *market* and how many there are, as :func:`lab.sweep.sweep.new_outcome` counts them."""
    interval = market.rules.interval_ns
    first = (int(market.tape.ts_ns[0]) + interval - 1) // NS_PER_DAY
    return first, (int(market.tape.ts_ns[-1]) + interval - 1) // NS_PER_DAY - first + 1


def _returns_before(recording: Recording) -> Floats:
    """Daily returns (B,) of equal parts of the symbols over the bars from before the range."""
    closes: dict[int, Floats] = {}
    for ts_ns, ohlcv, present, _ in recording.chunks_before():
        for moment, prices, here in zip(ts_ns.tolist(), ohlcv[:, :, bar.CLOSE], present, strict=True):
            day = (moment + recording.interval_ns - 1) // NS_PER_DAY
            known: Bools = np.asarray(here, dtype=bool)
            closes[day] = np.where(known, prices, closes.get(day, np.full(len(known), np.nan)))
    if len(closes) < 2:
        return np.empty(0)
    levels = np.array([closes[day] for day in sorted(closes)])
    changes = levels[1:] / levels[:-1] - 1.0
    told = np.isfinite(changes)
    sums = np.where(told, changes, 0.0).sum(axis=1)
    return np.asarray(sums / np.maximum(told.sum(axis=1), 1))


def held_whole(holding: HeldCoins, start: float) -> Traded:
    """All of the money bought at the start and kept: nothing is sold, nothing stops it."""
    worth = holding.worth * start
    equity = worth[holding.ends]
    return Traded(
        equity=equity, start_equity=start, max_drawdown_pct=_deepest(np.concatenate(([start], worth))) * 100.0,
        gross=equity, held_share=1.0, trades=0, turnover=start * (1.0 - holding.cost), fees=holding.cost * start,
        slippage=0.0, funding=0.0,
    )


def held_at_volatility(holding: HeldCoins, start: float, volatility_pct: float, cost_bps: float) -> Traded:
    """The same coins, of which so many are held that the volatility is *volatility_pct* a year, the rest in money.

    The size of each day is that target over the volatility of the returns up to the day before (exponentially weighted,
    as forecasts measure it), all of the money at most. A size inside HOLD_BAND of the wanted one is left; each change
    costs *cost_bps* of what is bought or sold.
    """
    wanted_day = volatility_pct / 100.0 / math.sqrt(DAYS_PER_YEAR)
    worth, ends = holding.worth, holding.ends
    deviation = _Deviation(holding.before)
    levels, equity, gross = np.empty(len(ends)), start, np.empty(len(ends))
    share, peak, depth, turnover, previous, first = 0.0, start, 0.0, 0.0, 1.0, 0
    cost = 0.0
    for day, last in enumerate(ends.tolist()):
        known = deviation.value
        wanted = min(wanted_day / known, 1.0) if known > 0.0 else 0.0
        if abs(share - wanted) > HOLD_BAND * wanted:
            moved = abs(wanted - share) * equity
            turnover += moved
            cost += moved * cost_bps / BPS
            equity -= moved * cost_bps / BPS
            share = wanted
        path = equity * (1.0 + share * (worth[first : last + 1] / previous - 1.0))
        if len(path):
            tops = np.maximum(np.maximum.accumulate(path), peak)
            depth = min(depth, float((path / tops - 1.0).min()))
            peak = float(tops[-1])
            change = float(worth[last]) / previous - 1.0
            grown = 1.0 + share * change
            share, equity = share * (1.0 + change) / grown, float(path[-1])
            deviation.add(change)
            previous, first = float(worth[last]), last + 1
        levels[day], gross[day] = equity, share * equity
    return Traded(
        equity=levels, start_equity=start, max_drawdown_pct=depth * 100.0, gross=gross,
        held_share=float((gross > 0.0).mean()), trades=0, turnover=turnover, fees=cost, slippage=0.0, funding=0.0,
    )


class _Deviation:
    """The exponentially weighted deviation of daily returns; 0 before VOL_BARS of them."""

    def __init__(self, returns: Floats) -> None:
        self._square, self._count = 0.0, 0
        for value in returns.tolist():
            self.add(value)

    def add(self, value: float) -> None:
        """Take the return of one more day."""
        self._count += 1
        weight = max(2.0 / (VOL_SPAN + 1.0), 1.0 / self._count)
        self._square += weight * (value * value - self._square)

    @property
    def value(self) -> float:
        """The deviation a day, a fraction."""
        return math.sqrt(self._square) if self._count >= VOL_BARS else 0.0


def _deepest(levels: Floats) -> float:
    """The deepest fall of *levels* from their highest value so far, a fraction, 0 or negative."""
    return float((levels / np.maximum.accumulate(levels) - 1.0).min())
