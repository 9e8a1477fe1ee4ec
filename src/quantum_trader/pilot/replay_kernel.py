"""Many moments of one book of virtual positions in one compiled call: a network decides, or a table of shares does.

The steps of a moment are those of a running system in SHADOW: the bars, the positions that ended, then the decision on
what the book itself says of its positions and its account.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.market.jit import compiled, kernel
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot import own_columns as own_col
from quantum_trader.pilot import shadow_book as books
from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.kernel import own_features
from quantum_trader.pilot.network import evaluate_rows
from quantum_trader.pilot.scaling import scaled
from quantum_trader.pilot.shadow_book import own_of_positions, take_bars, value_of_book, want_shares

NO_ACTION: Final = -1
PEAK, LOST_R = range(2)  # cells of an account's memory
TRADES, ORDERS = range(2)  # cells of the counts
TRADE_R, TRADE_RESULT, TRADE_EXIT, TRADE_SHARE = range(4)  # columns of the numbers of a trade
LEAST_EQUITY: Final = 0.01  # of the start: a ruined book is sized as if so much were left
_HOLD: Final = [row.action for row in ACTIONS].index(PilotAction.HOLD)
_OWN: Final = col.FIRST_OWN
_scaled = compiled(scaled)


class PlayedBars(NamedTuple):
    """The bars of T moments, S symbols."""

    ts_ns: Any  # (T,) opens
    ohlcv: Any  # (T, S, 5)
    present: Any  # (T, S)
    cost_bps: Any  # (T, S) of a taker, a side, as known before the bar
    funding: Any  # (T, S) rates due at the open
    decision: Any  # (T,) number of the decision that the bar's close makes due, -1: none


class SeenBars(NamedTuple):
    """What is observed at G decisions."""

    features: Any  # (G, S, 64) float32, scaled; those of the account are written by the replay
    ready: Any  # (G, S)
    atr: Any  # (G, S) price units


class Chooser(NamedTuple):
    """Who decides: the network, or the table where *by_table*."""

    by_table: bool
    table: Any  # (G, S) signed shares; NaN keeps
    layers: Any  # arrays of a network
    scratch: Any  # (2, widest layer) float32
    own_given: bool  # the features of the account are those of *own*, where it has numbers, and not the book's
    own: Any  # (G, S, 11) float32, scaled; NaN: as the book says
    centers: Any  # (64,)
    scales: Any  # (64,)
    seen: Any  # (64,) bool: False is masked


class AccountRules(NamedTuple):
    """The account of a book."""

    start: float  # USDT
    risk_pct: float
    in_force: Any  # (3,) least confidence, largest risk, gate: as they stand in the features
    base_ns: int
    observed_ns: int
    memory: Any  # (2,) PEAK, LOST_R


class Trail(NamedTuple):
    """What a replay leaves."""

    equity: Any  # (T,) at the close of each moment, USDT
    exposure: Any  # (T,) notional held over equity
    held: Any  # (T,) symbols with a position
    wanted: Any  # (G, S) signed share after the decision; NaN: no decision
    before: Any  # (G, S) signed share before it
    actions: Any  # (G, S) int8, NO_ACTION where none was chosen
    values: Any  # (G, S) USDT that each symbol has made since the start
    own: Any  # (G, S, 11) float32, the scaled features of the account
    trade_ns: Any  # (N, 2) entry and exit
    trade_numbers: Any  # (N, 4) R, result as a share of the equity, exit code, signed share
    trade_places: Any  # (N,) symbol
    counts: Any  # (2,) TRADES, ORDERS


@kernel
def note_trade(trail, row, entry_ns, base_ns, equity, rules):  # type: ignore[no-untyped-def]
    """Take down a position that ended and what it adds to the losses in a row; *row* (8,) as the book wrote it."""
    n, place = trail.counts[TRADES], int(row[0])
    trail.trade_places[n] = place
    trail.trade_ns[n, 0] = entry_ns[place]
    trail.trade_ns[n, 1] = entry_ns[place] + round((row[3] - row[2]) / base_ns) * base_ns
    trail.trade_numbers[n, TRADE_R], trail.trade_numbers[n, TRADE_RESULT] = row[4], row[books.RESULT_SHARE]
    trail.trade_numbers[n, TRADE_EXIT], trail.trade_numbers[n, TRADE_SHARE] = row[6], row[7]
    trail.counts[TRADES] += 1
    net, permitted = row[books.RESULT_SHARE] * equity, equity * rules.risk_pct / 100.0
    if net >= 0.0:
        rules.memory[LOST_R] = 0.0
    else:
        rules.memory[LOST_R] += max(0.0, -net / permitted) if permitted > 0.0 else 1.0


@kernel
def _equity_of(book, rules):  # type: ignore[no-untyped-def]
    return max(rules.start + value_of_book(book.prices, book.account), LEAST_EQUITY * rules.start)


@kernel
def _exposure_of(book, equity):  # type: ignore[no-untyped-def]
    """Notional held over *equity*, and how many symbols hold any."""
    positions, _, _, closes = book.prices
    total, count = 0.0, 0
    for i in range(positions.shape[0]):
        if positions[i, 0] != 0.0:
            total += abs(positions[i, 0] * closes[i])
            count += 1
    return total / equity, count


@kernel
def _write_own(own, now_ns, equity, book, rules):  # type: ignore[no-untyped-def]
    """Write what the book says of its positions and its account into *own* (S, 11)."""
    rules.memory[PEAK] = max(rules.memory[PEAK], equity)
    own_of_positions(book.prices, book.entry_ns, now_ns, rules.observed_ns, equity, own)
    exposure, _ = _exposure_of(book, equity)
    for i in range(own.shape[0]):
        own[i, own_col.ACCOUNT_DRAWDOWN] = max(0.0, 1.0 - equity / rules.memory[PEAK])
        own[i, own_col.ACCOUNT_EXPOSURE] = exposure
        own[i, own_col.LOSSES_IN_A_ROW] = float(int(rules.memory[LOST_R]))
        for place in range(3):
            own[i, own_col.CONFIDENCE_IN_FORCE + place] = rules.in_force[place]


@kernel
def _observe(g, i, own, raw, row, seen, chooser, trail):  # type: ignore[no-untyped-def]
    """Write the observation of symbol *i* at decision *g* into *row* (1, 64)."""
    row[0, :] = seen.features[g, i]
    own_features(own[i], raw)
    for place in range(own_col.OWN_SIZE):
        at = _OWN + place
        value = np.float32(_scaled(raw[at], chooser.centers[at], chooser.scales[at])) if chooser.seen[at] else (
            np.float32(0.0)
        )
        if chooser.own_given and chooser.own[g, i, place] == chooser.own[g, i, place]:
            value = chooser.own[g, i, place]
        row[0, at] = value
        trail.own[g, i, place] = value


@kernel
def _choose(g, shares, signs, book, own, raw, row, logits, seen, chooser, trail):  # type: ignore[no-untyped-def]
    """Write the wanted shares (S,) of decision *g*; *signs* (6,) is the share of each action."""
    positions = book.prices[0]
    for i in range(shares.shape[0]):
        held = positions[i, 8] if positions[i, 0] != 0.0 else 0.0
        trail.before[g, i] = held
        shares[i] = np.nan
        if chooser.by_table:
            shares[i] = chooser.table[g, i]
        elif seen.ready[g, i]:
            _observe(g, i, own, raw, row, seen, chooser, trail)
            evaluate_rows(
                row, chooser.layers[0], chooser.layers[1], chooser.layers[2], chooser.layers[3], chooser.layers[4],
                chooser.layers[5], chooser.scratch, logits,
            )
            action = logits[0].argmax()
            trail.actions[g, i] = action
            shares[i] = held if action == _HOLD else signs[action]
        if shares[i] == shares[i] and shares[i] != held:
            trail.counts[ORDERS] += 1
        trail.wanted[g, i] = shares[i]


@kernel
def play_rows(first, last, bars, seen, chooser, book, rules, signs, trail):  # type: ignore[no-untyped-def]
    """Take the book through the moments *first* to *last*, which is excluded."""
    symbols = bars.ohlcv.shape[1]
    shares, own = np.empty(symbols), np.zeros((symbols, own_col.OWN_SIZE))
    raw, row = np.full(col.FEATURE_COUNT, np.nan), np.zeros((1, col.FEATURE_COUNT), dtype=np.float32)
    logits = np.zeros((1, signs.shape[0]), dtype=np.float32)
    positions, _, _, closes = book.prices
    for t in range(first, last):
        ended = take_bars(
            bars.ts_ns[t], rules.base_ns, book.default_bps,
            (bars.ohlcv[t], bars.present[t], bars.cost_bps[t], bars.funding[t]), book.prices, book.entry_ns,
            book.account, book.terms, book.tiers, book.trades, book.tally,
        )
        equity = _equity_of(book, rules)
        for number in range(ended):
            note_trade(trail, book.trades[number], book.entry_ns, rules.base_ns, equity, rules)
        g = bars.decision[t]
        if g >= 0:
            _write_own(own, bars.ts_ns[t] + rules.base_ns, equity, book, rules)
            _choose(g, shares, signs, book, own, raw, row, logits, seen, chooser, trail)
            want_shares(shares, seen.atr[g], equity, book.prices, book.account, book.terms, book.tiers, book.sizing)
            for i in range(symbols):
                open_ = positions[i, 0] * (closes[i] - positions[i, 1]) if positions[i, 0] != 0.0 else 0.0
                trail.values[g, i] = book.tally[i, books.EARNED] + open_
        trail.equity[t] = rules.start + value_of_book(book.prices, book.account)
        trail.exposure[t], trail.held[t] = _exposure_of(book, equity)
