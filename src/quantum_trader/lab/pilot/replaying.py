"""One book of virtual positions over a recording: a seed's network, or a table of shares, without the training library.

The books are those of a running system in SHADOW, so that what is measured here is what a shadow day would have said.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError, is_finite_number
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.pilot_confidence import PilotConfidence
from quantum_trader.lab.comparison import Figures, Traded, figures_of
from quantum_trader.lab.pilot.replay_bars import ReplayBars
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot import replay_kernel as kernels
from quantum_trader.pilot import shadow_book as books
from quantum_trader.pilot.actions import ACTION_COUNT, ACTIONS
from quantum_trader.pilot.network import Network, Weights
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.replay_kernel import AccountRules, Chooser, SeenBars, Trail
from quantum_trader.pilot.scaling import Scalers, Scaling, Singles
from quantum_trader.pilot.shadow_book import EXIT_WORDS, PositionSettings, ShadowPositions

_LAYERS: Final = 6  # arrays of a network
_SIGNS: Final = np.array([row.sign * row.share for row in ACTIONS])


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account that a pilot is measured with; the defaults are those of a run without a policy."""

    start_equity: float = 10_000.0  # USDT, shared by all symbols
    positions: PositionSettings = PositionSettings()
    min_confidence: float = 0.45  # in force, as an observation has it, and what a signal needs to open
    gate: float = 1.0

    def __post_init__(self) -> None:
        for key, low, high in (("start_equity", 1.0, 1e12), ("min_confidence", 0.0, 1.0), ("gate", 0.0, 1.0)):
            value = getattr(self, key)
            if not (is_finite_number(value) and low <= value <= high):
                raise ConfigError(f"{key} = {value!r}: must be between {low:g} and {high:g}")


class PlayedTrade(NamedTuple):
    """One position that ended."""

    symbol: str
    side: int
    entry_ns: int
    exit_ns: int
    r: float
    result_share: float
    exit: str
    share: float  # signed
    bars_held: int


class Played(NamedTuple):
    """What one book has done: T moments, G decisions, S symbols, D UTC days. USDT."""

    start: float
    equity: Floats  # (T,)
    exposure: Floats  # (T,) notional over equity
    held_share: float  # of the symbols' time
    wanted: Floats  # (G, S) signed share after each decision, NaN where none was made
    before: Floats  # (G, S)
    actions: Any  # (G, S) int8, -1: none
    values: Floats  # (G, S) made by each symbol since the start
    own: Singles  # (G, S, 11)
    trade_ns: Ints  # (N, 2)
    trade_numbers: Floats  # (N, 4)
    trade_places: Ints  # (N,)
    orders: int  # decisions that wanted something else than was held
    traded: float  # notional bought and sold
    fees: float
    slippage: float  # spread and slippage
    funding: float  # positive is received
    days: Ints  # (D,) number of each UTC day since the epoch
    daily: Floats  # (D,) equity at the last close of each day's bars
    gross: Floats  # (D,) notional held then

    @property
    def trades(self) -> int:
        """Positions that ended."""
        return len(self.trade_places)

    @property
    def holding_hours(self) -> float | None:
        """Mean time that a position was held; None where none has ended."""
        if not self.trades:
            return None
        return float((self.trade_ns[:, 1] - self.trade_ns[:, 0]).mean()) / NS_PER_HOUR


def scaled_features(replay: ReplayBars, scalers: Scalers) -> Singles:
    """The market's features (G, S, 64) as a model with *scalers* sees them; those of the account are 0 here."""
    features = Scaling(scalers).of(replay.raw)[0]
    features[:, :, col.FIRST_OWN :] = 0.0
    return features


class Replayer:
    """Plays books over the same bars.

    *features* (G, S, 64): from :func:`scaled_features`, with the same *scalers*.
    """

    def __init__(
        self, replay: ReplayBars, settings: ReplaySettings, scalers: Scalers, features: Singles | None = None
    ) -> None:
        self.replay, self.settings = replay, settings
        self.features = scaled_features(replay, scalers) if features is None else features
        self._scaling = Scaling(scalers)
        self._no_table = np.zeros((0, 0))
        self._no_own = np.zeros((0, 0, OWN_SIZE), dtype=np.float32)

    def pilot(self, weights: Weights, features: Singles | None = None, own: Singles | None = None) -> Played:
        """What the most probable actions of *weights* give.

        For shuffled copies: *features* (G, S, 64) are observed instead, and the numbers of *own* (G, S, 11) instead of
        what the book says of its positions and account.
        """
        network = Network(weights)
        chooser = self._chooser(False, self._no_table, network.arrays, network.scratch, own)
        return self._play(chooser, self.features if features is None else features)

    def table(self, shares: Floats) -> Played:
        """What being in the signed *shares* (G, S) of the equity gives; NaN keeps, 0.0 leaves."""
        layers = tuple(np.zeros((1, 1) if place % 2 == 0 else 1, dtype=np.float32) for place in range(_LAYERS))
        chooser = self._chooser(True, shares, layers, np.zeros((2, 1), dtype=np.float32), None)
        return self._play(chooser, self.features)

    def _chooser(self, by_table: bool, table: Floats, layers: Any, scratch: Singles, own: Singles | None) -> Chooser:
        scale = self._scaling
        return Chooser(
            by_table, table, layers, scratch, own is not None, self._no_own if own is None else own, scale.centers,
            scale.scales, scale.seen,
        )

    def _play(self, chooser: Chooser, features: Singles) -> Played:
        replay, settings = self.replay, self.settings
        book = ShadowPositions(replay.instruments, settings.positions, replay.base_ns, replay.observed_ns)
        rules = AccountRules(
            float(settings.start_equity), float(settings.positions.risk_pct),
            np.array([settings.min_confidence, settings.positions.risk_pct, settings.gate]), replay.base_ns,
            replay.observed_ns, np.array([settings.start_equity, 0.0]),
        )
        seen = SeenBars(features, replay.ready, replay.atr)
        trail = _empty_trail(replay)
        holes = np.flatnonzero(replay.chunk.hole_after.any(axis=1))
        first = 0
        for last in [*(holes + 1).tolist(), len(replay.chunk.ts_ns)]:
            kernels.play_rows(first, last, replay.bars, seen, chooser, book.memory, rules, _SIGNS, trail)
            if last > first:
                _end_before_holes(replay, book, rules, trail, last - 1)
            first = last
        return _played(replay, book, rules, trail)


def _empty_trail(replay: ReplayBars) -> Trail:
    moments, (decisions, symbols) = len(replay.chunk.ts_ns), replay.ready.shape
    most = decisions * symbols + symbols  # a position ends once, and is opened by a decision
    return Trail(
        np.zeros(moments), np.zeros(moments), np.zeros(moments, dtype=np.int64),
        np.full((decisions, symbols), np.nan), np.zeros((decisions, symbols)),
        np.full((decisions, symbols), kernels.NO_ACTION, dtype=np.int8), np.zeros((decisions, symbols)),
        np.zeros((decisions, symbols, OWN_SIZE), dtype=np.float32), np.zeros((most, 2), dtype=np.int64),
        np.zeros((most, 4)), np.zeros(most, dtype=np.int64), np.zeros(2, dtype=np.int64),
    )


def _end_before_holes(
    replay: ReplayBars, book: ShadowPositions, rules: AccountRules, trail: Trail, row: int
) -> None:
    """End the positions of the symbols whose data has a hole after moment *row*."""
    book.memory.costs[:] = replay.bars.cost_bps[row]
    for place in np.flatnonzero(replay.chunk.hole_after[row]).tolist():
        book.before_hole(place, int(replay.chunk.ts_ns[row]))
        for one in book.closed():
            equity = max(rules.start + book.value(), kernels.LEAST_EQUITY * rules.start)
            numbers = np.array([
                place, one.side, one.entry_ns, one.exit_ns, one.r, one.result_share, EXIT_WORDS.index(one.exit),
                one.share,
            ], dtype=np.float64)
            kernels.note_trade(trail, numbers, book.memory.entry_ns, rules.base_ns, equity, rules)
    trail.equity[row] = rules.start + book.value()


def _played(replay: ReplayBars, book: ShadowPositions, rules: AccountRules, trail: Trail) -> Played:
    count = int(trail.counts[kernels.TRADES])
    days = replay.chunk.ts_ns // NS_PER_DAY
    ends = np.flatnonzero(np.diff(days, append=days[-1] + 1))
    whole = np.arange(int(days[0]), int(days[-1]) + 1)
    place = np.maximum(np.searchsorted(days[ends], whole, side="right") - 1, 0)  # a day without bars: as the one before
    tally = book.tally.sum(axis=0)
    return Played(
        start=rules.start, equity=trail.equity, exposure=trail.exposure,
        held_share=float(trail.held.mean()) / len(replay.symbols), wanted=trail.wanted, before=trail.before,
        actions=trail.actions, values=trail.values, own=trail.own, trade_ns=trail.trade_ns[:count].copy(),
        trade_numbers=trail.trade_numbers[:count].copy(), trade_places=trail.trade_places[:count].copy(),
        orders=int(trail.counts[kernels.ORDERS]), traded=float(tally[books.TRADED]), fees=float(tally[books.FEES]),
        slippage=float(tally[books.SLIPPAGE]), funding=float(tally[books.FUNDING]), days=whole,
        daily=trail.equity[ends][place], gross=(trail.exposure * trail.equity)[ends][place],
    )


def trades_of(replay: ReplayBars, played: Played) -> list[PlayedTrade]:
    """The positions of *played* that ended, in order."""
    rows = zip(played.trade_places.tolist(), played.trade_ns.tolist(), played.trade_numbers.tolist(), strict=True)
    return [
        PlayedTrade(
            replay.symbols[place], 1 if share > 0.0 else -1, entry_ns, exit_ns, r, result, EXIT_WORDS[int(code)], share,
            (exit_ns - entry_ns) // replay.observed_ns,
        )
        for place, (entry_ns, exit_ns), (r, result, code, share) in rows
    ]


def traded_by(played: Played) -> Traded:
    """*played* as the comparison of rows measures it."""
    levels = np.concatenate(([played.start], played.equity))
    tops = np.maximum.accumulate(levels)
    return Traded(
        equity=played.daily, start_equity=played.start, max_drawdown_pct=float((levels / tops - 1.0).min()) * 100.0,
        gross=played.gross,
        held_share=played.held_share, trades=played.trades, turnover=played.traded, fees=played.fees,
        slippage=played.slippage, funding=played.funding,
    )


def figures_of_play(played: Played) -> Figures:
    """The figures of *played*."""
    return figures_of(traded_by(played))


def pilot_outcomes(replay: ReplayBars, played: Played, horizon_ns: int) -> tuple[float, ...]:
    """What the decisions of *played* were worth, as the sums that a pilot's confidence starts from."""
    confidence = PilotConfidence(replay.symbols, replay.base_ns, replay.observed_ns, horizon_ns)
    chunk, bars = replay.chunk, replay.bars
    for row, moment in enumerate(chunk.ts_ns.tolist()):
        confidence.learn(MarketBatch(moment, replay.base_ns, chunk.ohlcv[row], chunk.present[row]))
        g = int(bars.decision[row])
        if g >= 0:
            confidence.of(played.wanted[g], chunk.present[row], replay.round_trip_bps[row], replay.funding_8h[row])
    return confidence.outcomes


def action_counts(played: Played) -> Ints:
    """How often each action was chosen, (6,)."""
    chosen = played.actions[played.actions >= 0]
    return np.bincount(chosen, minlength=ACTION_COUNT)
