"""What a pilot is compared with on the same bars: nothing, holding, the signals, and chance with the same turnover."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.pilot.replay_bars import NO_REGIME, REGIMES, ReplayBars
from quantum_trader.lab.pilot.replaying import Played, Replayer
from quantum_trader.lab.sharpe import moments, period_returns
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import BPS, fill_cost_bps

_CALIBRATIONS: Final = 4  # rounds in which the random agent's rate is fitted to a turnover
_FITTING_DRAWS: Final = 4  # draws of each round
_CLOSE_ENOUGH: Final = 0.02  # of the turnover


class Track(NamedTuple):
    """One account over D UTC days, as shares of its start; what all figures are made of."""

    days: Ints  # (D,) number of each day since the epoch
    returns: Floats  # (D,)
    growth: Floats  # (T,) equity at every bar, of the start
    gross: Floats  # (D,) notional held at the end of each day
    held_share: float  # of the symbols' time
    trades: int
    traded: float
    fees: float
    slippage: float
    funding: float  # positive is received
    regime_days: Floats  # (R, D) made in each regime on each day
    regime_share: Floats  # (R,) of the symbols' time

    @property
    def turnover(self) -> float:
        """Notional traded over the mean equity."""
        return self.traded / max(float(self.growth.mean()), 1e-9)

    @property
    def sharpe(self) -> float:
        """The annual ratio of the daily returns; 0.0 where they do not vary."""
        return moments(self.returns).annual_sharpe


def track_of(replay: ReplayBars, played: Played) -> Track:
    """What *played* gave."""
    regime_days, share = by_regime(replay, played.values / played.start, played.days)
    return Track(
        played.days, period_returns(played.daily, played.start), played.equity / played.start,
        played.gross / played.start, played.held_share, played.trades, played.traded / played.start,
        played.fees / played.start, played.slippage / played.start, played.funding / played.start, regime_days, share,
    )


def joined_tracks(parts: list[Track]) -> Track:
    """One account after the other, each with what the one before it left; days in order."""
    grown, before = [], 1.0
    for part in parts:
        grown.append(part.growth * before)
        before = float(grown[-1][-1])
    sizes = np.array([len(part.growth) for part in parts], dtype=np.float64)

    shares = np.array([[part.held_share, *part.regime_share] for part in parts])
    mean_shares = np.average(shares, axis=0, weights=sizes)
    sums = np.array([[part.traded, part.fees, part.slippage, part.funding] for part in parts]).sum(axis=0).tolist()
    return Track(
        np.concatenate([part.days for part in parts]), np.concatenate([part.returns for part in parts]),
        np.concatenate(grown), np.concatenate([part.gross for part in parts]), float(mean_shares[0]),
        int(np.sum([part.trades for part in parts])), sums[0], sums[1], sums[2], sums[3],
        np.concatenate([part.regime_days for part in parts], axis=1), mean_shares[1:],
    )


def by_regime(replay: ReplayBars, values: Floats, days: Ints) -> tuple[Floats, Floats]:
    """What was made in each regime on each of *days* (R, D), and the share of the symbols' time in each (R,).

    *values* (G, S) is what each symbol has made until each decision. What is made from one decision to the next counts
    to the symbol's regime at the first of them.
    """
    made = np.diff(values, axis=0)
    label = replay.regimes[:-1]
    day = (replay.closes_ns[1:] - 1) // NS_PER_DAY - int(days[0])
    found = np.zeros((len(REGIMES), len(days)))
    for number in range(len(REGIMES)):
        np.add.at(found[number], day, np.where(label == number, made, 0.0).sum(axis=1))
    known = label[label != NO_REGIME]
    share = np.bincount(known, minlength=len(REGIMES)) / max(len(known), 1)
    return found, share


# ---- nothing, and holding ------------------------------------------------------------------------------------------
def flat_track(replay: ReplayBars, days: Ints) -> Track:
    """An account that never trades."""
    zero = np.zeros(len(days))
    regime_days, share = by_regime(replay, np.zeros(replay.ready.shape), days)
    return Track(
        days, zero, np.ones(len(replay.chunk.ts_ns)), zero, 0.0, 0, 0.0, 0.0, 0.0, 0.0, regime_days, share
    )


def hold_track(replay: ReplayBars, days: Ints) -> Track:
    """Equal parts of the money in every symbol, bought at its first open and kept, with its costs and its funding.

    The part of a symbol without bars yet waits as money. After a symbol's last bar its part keeps its last value.
    """
    ts_ns, ohlcv, present = replay.chunk.ts_ns, replay.chunk.ohlcv, replay.chunk.present
    count = len(replay.symbols)
    worth, values = np.zeros(len(ts_ns)), np.zeros((len(ts_ns), count))
    gross, bought, fees, slippage, funding, time = np.zeros(len(ts_ns)), 0.0, 0.0, 0.0, 0.0, 0.0
    for place, instrument in enumerate(replay.instruments):
        first = int(np.argmax(present[:, place]))
        open_, high, low = ohlcv[first, place, :3].tolist()
        calm = float(np.nan_to_num(replay.bars.cost_bps[first, place], nan=5.0))
        cost = float(fill_cost_bps(calm, 50.0, open_, high, low, replay.base_ns)) / BPS
        fee = instrument.taker_fee_bps / BPS
        qty = 1.0 / count / (open_ * (1.0 + cost) * (1.0 + fee))
        closes = _known(ohlcv[:, place, 3], present[:, place])
        after = np.arange(len(ts_ns)) >= first
        paid = np.where(np.arange(len(ts_ns)) > first, qty * closes * replay.bars.funding[:, place], 0.0)
        spent = qty * open_ * (1.0 + cost)
        made = np.where(after, qty * closes - spent - spent * fee - np.cumsum(paid), 0.0)
        worth, values[:, place] = worth + made, made
        gross += np.where(after, qty * closes, 0.0)
        bought, fees, slippage = bought + spent, fees + spent * fee, slippage + qty * open_ * cost
        funding, time = funding - float(paid.sum()), time + float(after.mean()) / count
    growth = 1.0 + worth
    ends = day_ends_of(ts_ns, days)
    regime_days, share = by_regime(replay, values[replay.rows], days)
    return Track(
        days, period_returns(growth[ends], 1.0), growth, gross[ends], time, 0, bought, fees, slippage, funding,
        regime_days, share,
    )


def _known(closes: Floats, present: Bools) -> Floats:
    """The last known close (T,) at each moment; the first one before it."""
    places = np.maximum.accumulate(np.where(present, np.arange(len(closes)), -1))
    return np.asarray(closes[np.where(places < 0, int(np.argmax(present)), places)])


def day_ends_of(ts_ns: Ints, days: Ints) -> Ints:
    """The last moment (D,) that opens on each of *days*; that of the day before where it has none."""
    place = np.searchsorted(ts_ns, (days + 1) * NS_PER_DAY, side="left") - 1
    return np.asarray(np.maximum(place, 0))


def scaled_hold(replay: ReplayBars, hold: Track, volatility: float) -> Track:
    """The same holding at the daily *volatility* (a fraction): a fixed share of it, restored at the end of each day.

    The share is found afterwards, so that the volatilities are equal; restoring it costs what a taker pays.
    """
    own = moments(hold.returns).deviation
    share = volatility / own if own > 0.0 else 0.0
    fee = float(np.mean([one.taker_fee_bps for one in replay.instruments]))
    side = (fee + float(np.nanmean(replay.bars.cost_bps))) / BPS
    grown = 1.0 + share * hold.returns
    moved = np.abs(share * (1.0 + hold.returns) - share * grown)  # of the equity of the morning
    returns = grown - 1.0 - moved * side
    ends = day_ends_of(replay.chunk.ts_ns, hold.days)
    begun = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    day = np.searchsorted(ends, np.arange(len(hold.growth)), side="left")
    base = np.concatenate(([1.0], hold.growth[ends]))
    growth = begun[day] * (1.0 + share * (hold.growth / base[day] - 1.0))
    growth[ends] = begun[1:]
    restored = float((moved * begun[:-1]).sum())
    return hold._replace(
        returns=returns, growth=growth, gross=share * begun[1:], traded=share * hold.traded + restored,
        fees=share * hold.fees + restored * fee / BPS,
        slippage=share * hold.slippage + restored * (side - fee / BPS), funding=share * hold.funding,
        regime_days=share * hold.regime_days,
    )


# ---- chance --------------------------------------------------------------------------------------------------------
class RandomAgent(NamedTuple):
    """Wants, at a fixed rate of decisions, what the pilot wanted at some other time."""

    rate: float  # share of a symbol's decisions at which it wants something anew
    targets: Floats  # (N,) signed shares to draw from


def random_agent(replayer: Replayer, pilot: Played, rng: np.random.Generator) -> RandomAgent:
    """Fit the rate of an agent that chooses by chance, so that it trades as much as *pilot*."""
    changed = np.isfinite(pilot.wanted) & (pilot.wanted != pilot.before)
    targets = pilot.wanted[changed]
    decisions = int(replayer.replay.ready.sum())
    agent = RandomAgent(float(changed.sum()) / max(decisions, 1), targets)
    for _ in range(_CALIBRATIONS if len(targets) and pilot.traded > 0.0 else 0):
        found = float(np.mean([_turnover(random_play(replayer, agent, rng)) for _ in range(_FITTING_DRAWS)]))
        if found <= 0.0 or abs(found / _turnover(pilot) - 1.0) < _CLOSE_ENOUGH:
            break
        agent = agent._replace(rate=min(agent.rate * _turnover(pilot) / found, 1.0))
    return agent


def _turnover(played: Played) -> float:
    """Notional traded over the mean equity: a loser trades less money at the same turnover."""
    return played.traded / max(float(played.equity.mean()), 1e-9)


def random_play(replayer: Replayer, agent: RandomAgent, rng: np.random.Generator) -> Played:
    """One draw of *agent*."""
    ready = replayer.replay.ready
    table = np.full(ready.shape, np.nan)
    drawn = ready & (rng.random(ready.shape) < agent.rate)
    if len(agent.targets):
        table[drawn] = rng.choice(agent.targets, size=int(drawn.sum()))
    return replayer.table(table)
