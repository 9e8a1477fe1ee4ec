"""A book of virtual positions: what decisions would have earned, at the prices of the paper venue, without an order.

The account that trades is not touched. Positions follow ``position_steps``, as the training environment's do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError, StateError, is_finite_number, require
from quantum_trader.domain.instrument import Instrument, tier_rows
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.market.costs import RANGE_SLIPPAGE_BPS
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.pilot import position_steps as steps
from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.own_columns import HELD_BARS, OPEN_R, SIDE, SIZE_SHARE, STOP_SHARE
from quantum_trader.pilot.position_steps import PendingOrder, Sizing, StepBar, Terms, VirtualPosition

EXIT_WORDS: Final = ("", "STOP", "LIQUIDATION", "FLAT", "FLIP", "HOLE", "REPLACED")
"""How a position ended, by the EXIT code of ``position_steps``. STOP is also what could have no stop."""

KEEP: Final = math.nan
ACTION_SHARES: Final = tuple(
    KEEP if row.action is PilotAction.HOLD else row.sign * row.share for row in ACTIONS
)
"""The signed share of the equity that each action wants, in the order of the network's outputs; NaN keeps."""

_RATIO_HOURS: Final = 4.0  # the range of a bar counts as that of a bar of so many hours
_CASH, _MARKED, _EQUITY = range(3)  # columns of the account: wallet since the start, value when last asked, equity
_INDEX, _TRADE_SIGN, _ENTRY_NS, _EXIT_NS, _R, RESULT_SHARE, _EXIT, _SHARE = range(8)  # columns of a closed trade
TRADE_SIZE: Final = 8
EARNED, TRADED, FEES, SLIPPAGE, FUNDING = range(5)  # columns of a tally: USDT since the start, of one symbol
TALLY_SIZE: Final = 5


class PositionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a virtual position may be, where its stop lies, and what its fills cost."""

    stop_atr: float = 3.0  # distance of the stop, in ATRs of the observed bars
    risk_pct: float = 1.0  # of the equity, lost between entry and stop at most
    leverage: float = 10.0  # of the account, a whole number; a stop that is far away lowers it
    buffer_pct: float = 1.0  # between stop and liquidation, percent of the price
    range_bps: float = RANGE_SLIPPAGE_BPS  # of a taker on top, times range/price of a 4-hour bar
    liquidation_fee_bps: float = 125.0  # on top of the taker's fee
    default_cost_bps: float = 5.0  # of a taker, a side, where none is known

    def __post_init__(self) -> None:
        for key, low, high in (
            ("stop_atr", 0.1, 20.0), ("risk_pct", 0.001, 10.0), ("leverage", 1.0, 125.0), ("buffer_pct", 0.0, 50.0),
            ("range_bps", 0.0, 10_000.0), ("liquidation_fee_bps", 0.0, 10_000.0), ("default_cost_bps", 0.0, 10_000.0),
        ):
            value = getattr(self, key)
            if not (is_finite_number(value) and low <= value <= high):
                raise ConfigError(f"pilot.positions.{key} = {value!r}: must be between {low:g} and {high:g}")

    @property
    def sizing(self) -> Sizing:
        """The numbers that decisions take."""
        return Sizing(float(self.stop_atr), float(self.risk_pct), float(self.leverage), float(self.buffer_pct))


def symbol_terms(
    instruments: Sequence[Instrument], settings: PositionSettings, interval_ns: int, most_notional: float = math.inf
) -> Terms:
    """What the venue asks of S symbols on bars of *interval_ns*: arrays (S,), tiers (K, 4, S).

    Tiers that no position of up to *most_notional* USDT reaches are left out.
    """
    count = len(instruments)
    tables = [
        [row for place, row in enumerate(rows) if place == 0 or rows[place - 1][0] < most_notional]
        for rows in (tier_rows(one) for one in instruments)
    ]
    tiers = np.zeros((max(len(rows) for rows in tables), 4, count))
    for place, rows in enumerate(tables):
        tiers[: len(rows), :, place] = rows
    return Terms(
        tick=np.array([one.tick_size for one in instruments]), step=np.array([one.step_size for one in instruments]),
        min_qty=np.array([one.min_qty for one in instruments]),
        min_notional=np.array([one.min_notional for one in instruments]),
        fee_bps=np.array([one.taker_fee_bps for one in instruments]),
        liquidation_fee_bps=np.full(count, settings.liquidation_fee_bps),
        range_bps=np.full(count, settings.range_bps),
        range_root=np.full(count, math.sqrt(_RATIO_HOURS * NS_PER_HOUR / interval_ns)), tiers=tiers,
    )


def known_cost_bps(cost_bps: Floats, default_bps: float) -> Floats:
    """The costs (...) of a taker, or the default where what was measured is no cost."""
    return np.where((cost_bps >= 0.0) & (cost_bps < 1e4), cost_bps, default_bps)


class ShadowClose(NamedTuple):
    """One virtual position that has ended."""

    place: int  # of the symbol
    side: int  # 1 long, -1 short
    entry_ns: int
    exit_ns: int  # open of the bar that filled a decision, close of the bar whose range reached a stop
    r: float  # net result over the risk between entry and first stop
    result_share: float  # net result as a share of the equity of the newest decision before its end
    exit: str  # STOP, LIQUIDATION, FLAT, FLIP, HOLE or REPLACED
    share: float  # signed share of the equity that was wanted last
    bars_held: int  # whole observed bars


class BookMemory(NamedTuple):
    """The arrays that the kernels of this module take."""

    prices: Any  # positions (S, 11), orders (S, 7), rates owed (S,), closes (S,)
    entry_ns: Any  # (S,)
    account: Any  # (3,)
    terms: Any  # (S, 8)
    tiers: Any  # (S, K, 4)
    trades: Any  # (S, 8) the positions that the last moment ended
    tally: Any  # (S, 5)
    costs: Any  # (S,) as known before the last moment; what closing before a hole costs
    sizing: Sizing
    default_bps: float


_order_for = compiled(steps.order_for)
_through_bar = compiled(steps.through_bar)
_fill = compiled(steps.fill)
_cost_in_bar = compiled(steps.cost_in_bar)
_market_price = compiled(steps.market_price)
_open_risks = compiled(steps.open_risks)
_stop_share = compiled(steps.stop_share)
_risk_of = compiled(steps.risk_of)


@kernel
def _position_at(rows, i):  # type: ignore[no-untyped-def]
    return VirtualPosition(
        rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4], rows[i, 5], rows[i, 6], rows[i, 7], rows[i, 8],
        rows[i, 9], rows[i, 10], rows[i, 11],
    )


@kernel
def _order_at(rows, i):  # type: ignore[no-untyped-def]
    return PendingOrder(rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4], rows[i, 5], rows[i, 6])


@kernel
def _terms_at(rows, tiers, i):  # type: ignore[no-untyped-def]
    return Terms(
        rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4], rows[i, 5], rows[i, 6], rows[i, 7], tiers[i]
    )


@kernel
def _write_trade(trades, count, i, side, entry_ns, exit_ns, net, risk, code, share, equity):  # type: ignore[no-untyped-def]
    trades[count, _INDEX], trades[count, _TRADE_SIGN] = i, side
    trades[count, _ENTRY_NS], trades[count, _EXIT_NS] = entry_ns, exit_ns
    trades[count, _R] = net / risk if risk > 0.0 else 0.0
    trades[count, RESULT_SHARE] = net / equity if equity > 0.0 else 0.0
    trades[count, _EXIT], trades[count, _SHARE] = code, share


@kernel
def _count_costs(tally, position, order, bar, term, code, cash, traded):  # type: ignore[no-untyped-def]
    """Add what a bar earned, traded and cost to one symbol's *tally*; *position* and *order* are those before it."""
    liquidated = 0.0
    if code == steps.EXIT_LIQUIDATION:
        liquidated = traded
        if order.qty != 0.0 or order.closes != 0.0:
            _, _, _, filled, _ = _fill(position, order, bar, term)
            liquidated = traded - filled
    tally[EARNED] += cash
    tally[TRADED] += traded
    tally[FEES] += (traded * term.fee_bps + liquidated * term.liquidation_fee_bps) * 1e-4
    tally[SLIPPAGE] += (traded - liquidated) * _cost_in_bar(bar, term) * 1e-4
    tally[FUNDING] -= position.qty * bar.open * bar.funding_rate


@kernel
def take_bars(ts_ns, interval_ns, default_bps, bars, prices, entry_ns, account, terms, tiers, trades, tally):  # type: ignore[no-untyped-def]
    """Take all symbols through one moment; returns how many positions ended."""
    ohlcv, present, costs, rates = bars
    positions, orders, owed, closes = prices
    ended = 0
    for i in range(ohlcv.shape[0]):
        holds = positions[i, 0] != 0.0
        owed[i] = owed[i] + rates[i] if holds else 0.0
        if not present[i]:
            continue
        closes[i] = ohlcv[i, 3]
        if not (holds or orders[i, 0] != 0.0 or orders[i, 1] != 0.0):
            continue
        cost = costs[i] if costs[i] >= 0.0 and costs[i] < 1e4 else default_bps
        bar = StepBar(ohlcv[i, 0], ohlcv[i, 1], ohlcv[i, 2], cost, owed[i])
        owed[i] = 0.0
        term, before, waiting = _terms_at(terms, tiers, i), _position_at(positions, i), _order_at(orders, i)
        position, order, cash, code, net, risk, side, share, traded = _through_bar(before, waiting, bar, term)
        account[_CASH] += cash
        _count_costs(tally[i], before, waiting, bar, term, code, cash, traded)
        if not holds:
            entry_ns[i] = ts_ns
        if code != steps.EXIT_NONE:
            by_order = holds and orders[i, 1] != 0.0
            _write_trade(
                trades, ended, i, side, entry_ns[i], ts_ns if by_order else ts_ns + interval_ns, net, risk, code,
                share, account[_EQUITY],
            )
            ended += 1
        for place in range(len(position)):
            positions[i, place] = position[place]
        for place in range(len(order)):
            orders[i, place] = order[place]
    return ended


@kernel
def want_shares(shares, atr, equity, prices, account, terms, tiers, sizing):  # type: ignore[no-untyped-def]
    """Decide for all symbols whose share is a number."""
    positions, orders, _, closes = prices
    account[_EQUITY] = equity
    for i in range(shares.shape[0]):
        share, held = shares[i], positions[i, 0]
        if share != share or not (closes[i] > 0.0) or (share == 0.0 and held == 0.0):
            continue
        if share == positions[i, 8] and share * held > 0.0:
            continue
        order = _order_for(
            _position_at(positions, i), _order_at(orders, i), share, closes[i], atr[i], equity,
            _terms_at(terms, tiers, i), sizing,
        )
        for place in range(len(order)):
            orders[i, place] = order[place]


@kernel
def value_of_book(prices, account):  # type: ignore[no-untyped-def]
    """Wallet and unrealised profit at the last closes, USDT, since the start."""
    positions, _, _, closes = prices
    total = account[_CASH]
    for i in range(positions.shape[0]):
        if positions[i, 0] != 0.0:
            total += positions[i, 0] * (closes[i] - positions[i, 1])
    return total


@kernel
def _notional(prices):  # type: ignore[no-untyped-def]
    """Notional of all positions at the last closes, USDT."""
    positions, _, _, closes = prices
    total = 0.0
    for i in range(positions.shape[0]):
        if positions[i, 0] != 0.0:
            total += abs(positions[i, 0] * closes[i])
    return total


@kernel
def own_of_positions(prices, entry_ns, now_ns, length_ns, equity, own):  # type: ignore[no-untyped-def]
    """Write the position's features of every symbol into *own* (S, 11)."""
    positions, _, _, closes = prices
    for i in range(positions.shape[0]):
        qty = positions[i, 0]
        for place in range(SIDE, STOP_SHARE + 1):
            own[i, place] = 0.0
        if qty != 0.0:
            position = _position_at(positions, i)
            own[i, SIDE] = 1.0 if qty > 0.0 else -1.0
            own[i, SIZE_SHARE] = abs(qty) * closes[i] / equity
            own[i, OPEN_R] = _open_risks(position, closes[i])
            own[i, HELD_BARS] = max(0.0, (now_ns - entry_ns[i]) / length_ns)
            own[i, STOP_SHARE] = _stop_share(position, closes[i])


class ShadowPositions:
    """Virtual positions of S symbols, in the order of *instruments*.

    Each base bar goes to :meth:`take`; at the close of an observed bar :meth:`want` says what is wanted, and the next
    bar's open fills it. The arrays ``position_rows`` (S, 12) and ``order_rows`` (S, 7) have the columns of
    ``position_steps.VirtualPosition`` and ``PendingOrder``. Money in USDT. InputError where the lengths of the bars do
    not fit.
    """

    def __init__(
        self, instruments: Sequence[Instrument], settings: PositionSettings, base_ns: int, observed_ns: int
    ) -> None:
        require(len(instruments) > 0, "instruments", list(instruments), "at least one symbol is needed")
        require(
            base_ns > 0 and observed_ns % base_ns == 0, "base_ns", base_ns,
            f"must divide the observed bars of {observed_ns} ns",
        )
        self.settings, self._base_ns, self._observed_ns = settings, base_ns, observed_ns
        self.symbols = tuple(one.symbol for one in instruments)
        count = len(instruments)
        self.position_rows: Floats = np.zeros((count, len(VirtualPosition._fields)))
        self.order_rows: Floats = np.zeros((count, len(PendingOrder._fields)))
        self._owed = np.zeros(count)  # funding rates due that no bar has charged yet
        self.closes: Floats = np.full(count, np.nan)  # last close of each symbol, (S,)
        self._prices = (self.position_rows, self.order_rows, self._owed, self.closes)
        self._entry_ns = np.zeros(count, dtype=np.int64)
        self._account = np.zeros(3)
        self.tally: Floats = np.zeros((count, TALLY_SIZE))  # columns EARNED to FUNDING; received funding is positive
        self._costs = np.full(count, np.nan)
        self._rows = np.zeros((count, TRADE_SIZE))
        self._closed: list[ShadowClose] = []
        self._sizing = settings.sizing
        self._none = np.zeros(count)
        self.change_instruments(instruments)

    def change_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Put filters, fees and tiers into force that have changed; the symbols stay the same."""
        symbols = tuple(one.symbol for one in instruments)
        require(symbols == self.symbols, "instruments", symbols, f"must be {self.symbols}")
        terms = symbol_terms(instruments, self.settings, self._base_ns)
        self._terms = np.ascontiguousarray(np.stack(terms[:-1], axis=1))
        self._tiers = np.ascontiguousarray(np.moveaxis(terms.tiers, 2, 0))

    # ------------------------------------------------------------------ bars and decisions

    def take(
        self, ts_ns: int, ohlcv: Floats, present: Bools, cost_bps: Floats, funding_rates: Floats | None = None
    ) -> None:
        """Take the base bars (S, 5) that opened at *ts_ns*; absent ones may hold anything.

        *cost_bps* (S,): of a taker in a calm market, without fee, as known before these bars; NaN takes the default.
        *funding_rates* (S,): the sum of the rates due after the bar before and up to *ts_ns*; None: none is due. The
        rates of an absent bar are charged at the open of the next one.
        """
        rates = self._none if funding_rates is None else funding_rates
        ended = take_bars(
            ts_ns, self._base_ns, float(self.settings.default_cost_bps), (ohlcv, present, cost_bps, rates),
            self._prices, self._entry_ns, self._account, self._terms, self._tiers, self._rows, self.tally,
        )
        self._costs[:] = cost_bps
        for row in range(ended):
            self._note(self._rows[row])

    def want(self, shares: Floats, atr: Floats, equity: float) -> None:
        """Want signed *shares* (S,) of *equity* as positions, at the close of an observed bar.

        0.0 closes, NaN keeps. *atr* (S,): ATR of the observed bars in price units; where it is not above 0 nothing
        opens. A symbol whose order still waits for a bar keeps that order.
        """
        require(is_finite_number(equity) and equity > 0.0, "equity", equity, "must be a finite number above 0")
        want_shares(shares, atr, float(equity), self._prices, self._account, self._terms, self._tiers, self._sizing)

    def before_hole(self, index: int, ts_ns: int, code: float = steps.EXIT_HOLE) -> None:
        """End the position of symbol *index* at its last close, before a hole in its data; its order is dropped.

        *ts_ns*: open of its last bar. *code*: why it ends, another EXIT of ``position_steps``.
        """
        self.order_rows[index] = 0.0
        qty, entry = self.position_rows[index, 0], self.position_rows[index, 1]
        if qty == 0.0:
            return
        position = VirtualPosition(*self.position_rows[index].tolist())
        side = 1.0 if qty > 0.0 else -1.0
        cost = float(known_cost_bps(self._costs[index : index + 1], self.settings.default_cost_bps)[0])
        tick, fee_bps = self._terms[index, 0], self._terms[index, 4]
        price = float(_market_price(-side, float(self.closes[index]), cost, float(tick)))
        sold = abs(qty) * price
        cash = float(qty * (price - entry) - sold * fee_bps * 1e-4)
        self._account[_CASH] += cash
        self.tally[index] += (cash, sold, sold * fee_bps * 1e-4, sold * cost * 1e-4, 0.0)
        net, risk, equity = position.net + cash, float(_risk_of(position)), self._account[_EQUITY]
        self._note(np.array([
            index, side, self._entry_ns[index], ts_ns + self._base_ns, net / risk if risk > 0.0 else 0.0,
            net / equity if equity > 0.0 else 0.0, code, position.share,
        ]))
        self.position_rows[index] = 0.0
        self._owed[index] = 0.0

    def _note(self, row: Floats) -> None:
        index = int(row[_INDEX])
        entry_ns = int(self._entry_ns[index])
        exit_ns = entry_ns + round(float(row[_EXIT_NS] - row[_ENTRY_NS]) / self._base_ns) * self._base_ns
        self._closed.append(ShadowClose(
            index, int(row[_TRADE_SIGN]), entry_ns, exit_ns, float(row[_R]), float(row[RESULT_SHARE]),
            EXIT_WORDS[int(row[_EXIT])], float(row[_SHARE]), (exit_ns - entry_ns) // self._observed_ns,
        ))

    # ------------------------------------------------------------------ many moments at once

    @property
    def memory(self) -> BookMemory:
        """The arrays of this book, for a compiled loop over many moments; what it changes is changed here."""
        return BookMemory(
            self._prices, self._entry_ns, self._account, self._terms, self._tiers, self._rows, self.tally,
            self._costs, self._sizing, float(self.settings.default_cost_bps),
        )

    # ------------------------------------------------------------------ questions

    @property
    def sides(self) -> Floats:
        """1 long, -1 short, 0 none, (S,)."""
        return np.sign(self.position_rows[:, 0])

    @property
    def shares(self) -> Floats:
        """The signed share (S,) that each open position is for; 0 where there is none."""
        return self.position_rows[:, 8].copy()

    @property
    def waits(self) -> Bools:
        """Whether an order of a symbol waits for its next bar, (S,)."""
        waiting: Bools = (self.order_rows[:, 0] != 0.0) | (self.order_rows[:, 1] != 0.0)
        return waiting

    def own_into(self, own: Floats, now_ns: int, equity: float) -> None:
        """Write side, size, open R, bars held and stop distance of every symbol into *own* (S, 11), at the last closes.

        The columns are those of ``own_columns``; those of the account are left as they are.
        """
        own_of_positions(self._prices, self._entry_ns, now_ns, self._observed_ns, float(equity), own)

    def exposure(self, equity: float) -> float:
        """Notional of all positions at the last closes over *equity*."""
        return float(_notional(self._prices)) / equity

    def value(self) -> float:
        """What the book has made since its start, open positions at the last closes, net of all costs; USDT."""
        return float(value_of_book(self._prices, self._account))

    def result_since_asked(self, equity: float) -> float:
        """What the book has made since this was last asked, as a share of *equity*."""
        value = self.value()
        made = value - self._account[_MARKED]
        self._account[_MARKED] = value
        return float(made / equity)

    def closed(self) -> list[ShadowClose]:
        """The positions that have ended since this was last asked, in order."""
        found, self._closed = self._closed, []
        return found

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "symbols": list(self.symbols), "positions": self.position_rows.copy(), "orders": self.order_rows.copy(),
            "owed": self._owed.copy(), "closes": self.closes.copy(), "entry_ns": self._entry_ns.copy(),
            "account": self._account.copy(), "costs": self._costs.copy(), "tally": self.tally.copy(),
            "closed": [list(one) for one in self._closed],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where it was saved with other symbols."""
        if list(state["symbols"]) != list(self.symbols):
            raise StateError(
                f"shadow book: saved with {state['symbols']!r}, here are {list(self.symbols)!r}; start a new --state "
                "folder"
            )
        arrays: tuple[tuple[str, npt.NDArray[Any]], ...] = (
            ("positions", self.position_rows), ("orders", self.order_rows), ("owed", self._owed),
            ("closes", self.closes), ("entry_ns", self._entry_ns), ("account", self._account), ("costs", self._costs),
        )
        for key, array in arrays:
            array[...] = state[key]
        self.tally[...] = state.get("tally", 0.0)
        self._closed = [ShadowClose(*row) for row in state["closed"]]
