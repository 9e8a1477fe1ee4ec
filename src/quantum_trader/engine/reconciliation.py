"""Reconciliation: differences between the venue's account and the books.

Pure: a driver takes the snapshot, the engine acts. A difference counts when two consecutive snapshots show it,
because a fill may be in transit during the first; the driver queries the named orders in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from quantum_trader.domain.instrument import Instrument
from quantum_trader.engine.books import Position
from quantum_trader.engine.gateway import Ticket
from quantum_trader.engine.ids import OWN_PREFIX
from quantum_trader.engine.ports import VenueOrder, VenuePosition

_SAME: Final = 1e-9  # relative
WALLET_CENT: Final = 0.005  # USDT, tolerance for rounding


class VenueSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's account at one moment. Symbols in *busy* have pending orders or fills and are not compared.

    *moves_known*: whether transfers were queried since the wallet differed; without that query a wallet difference
    is not attributed to trading yet.
    """

    ts_ns: int
    wallet: float
    positions: tuple[VenuePosition, ...]
    orders: tuple[VenueOrder, ...]
    busy: tuple[str, ...] = ()
    moves_known: bool = True
    mode: str = ""  # why the account cannot be traded in its position or asset mode; empty: it can
    filters: tuple[Instrument, ...] = ()  # of the symbols held that are not traded here, where the venue lists them


class DifferenceKind(str, Enum):
    """The kind of a difference."""

    POSITION = "POSITION"  # quantity or side differs from the books
    LEVERAGE = "LEVERAGE"  # of an open position
    STRAY_ORDER = "STRAY_ORDER"  # own id, but the gateway has no ticket of it
    OTHER_TRADER = "OTHER_TRADER"  # an order with our prefix that no process of this session made
    FOREIGN_ORDER = "FOREIGN_ORDER"  # an order without our prefix
    MISSING_ORDER = "MISSING_ORDER"  # open in the gateway, not at the venue
    WALLET = "WALLET"


NOT_OURS: Final = (DifferenceKind.FOREIGN_ORDER, DifferenceKind.OTHER_TRADER)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between venue and books."""

    kind: DifferenceKind
    symbol: str
    venue: float
    books: float
    order_id: str = ""

    @property
    def key(self) -> str:
        """Identity of the difference, without its figures."""
        return f"{self.kind.value}/{self.symbol}/{self.order_id}"


def is_same_qty(one: float, other: float) -> bool:
    """Whether two signed quantities are equal but for rounding."""
    return abs(one - other) <= _SAME * max(abs(one), abs(other))


def compare(
    snapshot: VenueSnapshot, positions: Mapping[str, Position], tickets: Iterable[Ticket], cash: float,
    symbols: Iterable[str], is_own: Callable[[str], bool],
) -> list[Difference]:
    """Every difference between *snapshot* and the books, in a fixed order; only *symbols* are compared.

    *is_own* returns whether a process of this session made a client order id.
    """
    busy = set(snapshot.busy)
    watched = [symbol for symbol in symbols if symbol not in busy]
    found = _positions(snapshot, positions, watched)
    found += _orders(snapshot, list(tickets), set(watched), is_own)
    if not busy and not abs(snapshot.wallet - cash) <= WALLET_CENT:  # NaN counts as a difference
        found.append(Difference(kind=DifferenceKind.WALLET, symbol="", venue=snapshot.wallet, books=cash))
    return found


def _positions(
    snapshot: VenueSnapshot, positions: Mapping[str, Position], watched: list[str]
) -> list[Difference]:
    found = []
    held: dict[str, VenuePosition] = {}
    for position in snapshot.positions:  # in hedge mode a symbol has one of each side: the first one counts
        held.setdefault(position.symbol, position)
    for symbol in watched:
        theirs, ours = held.get(symbol), positions.get(symbol)
        venue_qty = theirs.qty if theirs is not None else 0.0
        own_qty = ours.sign * ours.qty if ours is not None else 0.0
        if not is_same_qty(venue_qty, own_qty):
            found.append(Difference(kind=DifferenceKind.POSITION, symbol=symbol, venue=venue_qty, books=own_qty))
        elif ours is not None and theirs is not None and theirs.leverage != ours.plan.leverage:
            found.append(
                Difference(
                    kind=DifferenceKind.LEVERAGE, symbol=symbol, venue=theirs.leverage, books=ours.plan.leverage
                )
            )
    return found


def _orders(
    snapshot: VenueSnapshot, tickets: list[Ticket], watched: set[str], is_own: Callable[[str], bool]
) -> list[Difference]:
    found = []
    known = {ticket.client_order_id for ticket in tickets}
    resting = {order.client_order_id for order in snapshot.orders}
    for order in snapshot.orders:
        if order.symbol in watched and order.client_order_id not in known:
            found.append(
                Difference(
                    kind=_order_kind(order.client_order_id, is_own), symbol=order.symbol, venue=order.qty, books=0.0,
                    order_id=order.client_order_id,
                )
            )
    for ticket in tickets:
        if ticket.symbol in watched and ticket.client_order_id not in resting:
            found.append(
                Difference(
                    kind=DifferenceKind.MISSING_ORDER, symbol=ticket.symbol, venue=0.0, books=ticket.qty,
                    order_id=ticket.client_order_id,
                )
            )
    return found


def _order_kind(order_id: str, is_own: Callable[[str], bool]) -> DifferenceKind:
    if not order_id.startswith(OWN_PREFIX):
        return DifferenceKind.FOREIGN_ORDER
    return DifferenceKind.STRAY_ORDER if is_own(order_id) else DifferenceKind.OTHER_TRADER


def _is_same(before: float, now: float) -> bool:
    """Whether two looks read the same figure; one that cannot be read (NaN) is the same as another such."""
    return before == now or (math.isnan(before) and math.isnan(now))


class Reconciler:
    """Keeps the differences of the last comparison and since when there are any."""

    def __init__(self) -> None:
        self.open: list[Difference] = []  # at the last comparison
        self.since_ns = 0  # since when there are differences, ns; 0: none
        self.checked_ns = 0
        self.agreed_ns = 0  # last comparison without pending orders and without differences, ns
        self.agreed: dict[str, int] = {}  # the same by symbol
        self._before: dict[str, float] = {}

    def look(self, found: list[Difference], snapshot: VenueSnapshot, symbols: Iterable[str]) -> list[Difference]:
        """Store the differences *found* in one snapshot; return those that the previous snapshot showed as well."""
        ts_ns = snapshot.ts_ns
        before = self._before
        confirmed = [one for one in found if one.key in before and _is_same(before[one.key], one.venue)]
        gone = {one.key for one in confirmed}
        self._before = {one.key: one.venue for one in found if one.key not in gone}
        self.open = found
        self.checked_ns = ts_ns
        serious = any(one.kind not in NOT_OURS for one in found)
        unseen = bool(snapshot.busy) and self.since_ns > 0  # what differed may not be compared now
        self.since_ns = (self.since_ns or ts_ns) if serious or unseen else 0
        if not serious and not snapshot.busy:
            self.agreed_ns = ts_ns
        doubtful = {one.symbol for one in found} | set(snapshot.busy)
        self.agreed.update({symbol: ts_ns for symbol in symbols if symbol not in doubtful})
        return confirmed

    @property
    def misses_money(self) -> bool:
        """Whether the wallet differed at the last comparison: money may have been transferred."""
        return any(one.kind is DifferenceKind.WALLET for one in self.open)

    def missing_orders(self) -> list[tuple[str, str]]:
        """(symbol, client order id) of every order that the last comparison did not find."""
        return [(one.symbol, one.order_id) for one in self.open if one.kind is DifferenceKind.MISSING_ORDER]

    def foreign_orders(self, symbol: str) -> list[str]:
        """Ids of the orders of *symbol* found in the last comparison that are not ours."""
        return [
            one.order_id for one in self.open if one.kind is DifferenceKind.FOREIGN_ORDER and one.symbol == symbol
        ]

    def state(self) -> dict[str, Any]:
        """The state to save for a restart, as plain values."""
        return {
            "open": [msgspec.to_builtins(one) for one in self.open], "since_ns": self.since_ns,
            "checked_ns": self.checked_ns, "agreed_ns": self.agreed_ns, "agreed": dict(self.agreed),
            "before": dict(self._before),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.open = [msgspec.convert(one, Difference) for one in state["open"]]
        self.since_ns, self.checked_ns = state["since_ns"], state["checked_ns"]
        self.agreed_ns, self.agreed = state["agreed_ns"], dict(state["agreed"])
        self._before = dict(state["before"])


class RecentIds:
    """The last *size* ids, so that a repeated event counts once."""

    def __init__(self, size: int = 8192) -> None:
        self._size = size
        self._ids: dict[str, None] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def add(self, name: str) -> bool:
        """Add *name*; False when it is already there."""
        if name in self._ids:
            return False
        self._ids[name] = None
        if len(self._ids) > self._size:
            del self._ids[next(iter(self._ids))]
        return True

    def state(self) -> list[str]:
        """The ids, oldest first."""
        return list(self._ids)

    def load_state(self, state: Iterable[str]) -> None:
        """Continue from :meth:`state`."""
        self._ids = dict.fromkeys(state)
