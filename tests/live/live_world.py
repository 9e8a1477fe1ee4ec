"""A live engine of one symbol with bars behind it, and a session around it; for tests of what happens live."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from tests.journal.records import CheckedSink

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import CancelRequest, Fill, Intent, OrderRequest, OrderUpdate
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.gateway import Command, Purpose
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.live.inputs import (
    AccountRead,
    BarsReceived,
    Input,
    IntentReceived,
    OperatorRequestReceived,
    SessionStarted,
    VenueEventReceived,
)
from quantum_trader.live.session import Session
from quantum_trader.market.instruments import instrument_for
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.risk.governor import GOV_ROW_PEAK

SYMBOL = "BTCUSDT"
OTHER = "ETHUSDT"
MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
START = 1_700_006_400_000_000_000 // HOUR * HOUR
ADOPTING = LiveAccount()  # trades made by hand are taken over without a halt


class MemoryLog:
    """Inputs in memory; *full* makes it refuse."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.full = False

    def append(self, entry: bytes) -> None:
        """Keep one entry."""
        if self.full:
            raise StateError("disk full")
        self.entries.append(entry)

    def mark(self) -> int:
        """How many there are."""
        return len(self.entries)

    def since(self, mark: Any) -> list[bytes]:
        """The entries behind *mark*."""
        return self.entries[mark or 0:]


class MemoryStore:
    """One checkpoint in memory, packed as on disk."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.full = False

    def save(self, state: dict[str, Any]) -> None:
        """Keep *state*."""
        from quantum_trader.app.runs.state_dir import pack

        if self.full:
            raise StateError("disk full")
        self.content = pack(state)

    def load(self) -> dict[str, Any] | None:
        """The state kept."""
        from quantum_trader.app.runs.state_dir import unpack

        return unpack(self.content) if self.content is not None else None


class World:
    """Engine, session, log and store."""

    def __init__(
        self, log: MemoryLog | None = None, store: MemoryStore | None = None, live: LiveAccount = ADOPTING,
        forecasts: Forecasts | None = None, **settings: Any,
    ) -> None:
        self.log, self.store = log or MemoryLog(), store or MemoryStore()
        self.sink = CheckedSink()
        profile = OrchestratorConfig.from_profile("STANDARD")
        self.engine = Engine(
            [instrument_for(SYMBOL, 10_000.0)[0], instrument_for(OTHER, 1_000.0)[0]], MINUTE,
            EngineSettings(profile=profile, operator_resume_hours=0.0, **settings), self.sink,
            live=live, forecasts=forecasts,
        )
        self.session = Session(self.engine, self.log, self.store, MINUTE)
        self.fills = 0

    def begin(self, bars: int = 1500) -> World:
        """Start with 10,000 USDT and *bars* quiet minutes around 10,000 and 1,000."""
        self.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
        rng = np.random.default_rng(5)
        for minute in range(bars):
            wave = 1.0 + 0.002 * np.sin(minute / 40.0) + 0.0005 * rng.standard_normal()
            self.bar(minute, 10_000.0 * wave, 1_000.0 * wave)
        return self

    def bar(self, minute: int, price: float, other: float, late_ns: int = 0) -> list[Command]:
        """One bar of each symbol, closed *minute* + 1 minutes after the start."""
        rows = np.array([[price, price * 1.001, price * 0.999, price, 100.0],
                         [other, other * 1.001, other * 0.999, other, 100.0]])
        ts_ns = START + minute * MINUTE
        return self.tell(BarsReceived(
            ts_ns=ts_ns, received_ns=ts_ns + MINUTE + late_ns, ohlcv=rows.tobytes(),
            present=np.ones(2, dtype=np.bool_).tobytes(),
        ))

    @property
    def now_ns(self) -> int:
        """Close of the newest bar."""
        return self.engine.now_ns

    def tell(self, event: Input) -> list[Command]:
        """Apply one input."""
        return self.session.apply(event)

    def say(self, event: Any) -> list[Command]:
        """Apply an event of the venue."""
        return self.tell(VenueEventReceived.of(event))

    def update(
        self, order: OrderRequest | str, status: OrderStatus, filled: float = 0.0, reason: str = ""
    ) -> list[Command]:
        """An order's status."""
        name = order if isinstance(order, str) else order.client_order_id
        return self.say(OrderUpdate(
            client_order_id=name, venue_order_id="1", symbol=SYMBOL, status=status, ts_ns=self.now_ns,
            filled_qty=filled, reason=reason,
        ))

    def fill(self, order: OrderRequest | str, qty: float, price: float = 10_000.0, **changes: Any) -> list[Command]:
        """A fill of an order (or of a foreign one, by its id, with *side*)."""
        self.fills += 1
        side = changes.pop("side", None) or (order.side if isinstance(order, OrderRequest) else OrderSide.BUY)
        fields: dict[str, Any] = {
            "fill_id": f"{SYMBOL}-{self.fills}", "symbol": SYMBOL, "side": side, "qty": qty, "price": price,
            "client_order_id": order if isinstance(order, str) else order.client_order_id, "fee": 0.0,
            "liquidity": "taker", "ts_ns": self.now_ns,
        }
        return self.say(Fill(**(fields | changes)))

    def intent(self, name: str = "x1", side: Side = Side.LONG, **changes: Any) -> Intent:
        """An intent from outside for 0.01 of the first symbol."""
        fields: dict[str, Any] = {
            "intent_id": name, "trace_id": f"trace-{name}", "symbol": SYMBOL, "side": side, "qty": 0.01,
            "reduce_only": False, "reference_price": 10_000.0, "stop_price": 10_000.0 - 200.0 * side.sign,
            "leverage": 5.0, "created_ns": self.now_ns, "expires_ns": self.now_ns + 30_000_000_000, "source": "TEST",
            "confidence": 0.9,
        }
        return Intent(**(fields | changes))

    def wish(self, name: str = "x1", **changes: Any) -> list[Command]:
        """Apply an intent."""
        return self.tell(IntentReceived(ts_ns=self.now_ns, intent=self.intent(name, **changes)))

    def opened(self, name: str = "x1", qty: float = 0.01) -> tuple[OrderRequest, OrderRequest]:
        """Open a long, its stop resting; returns the opening order and the stop."""
        order = orders(self.wish(name))[0]
        self.update(order, OrderStatus.NEW)
        commands = self.fill(order, qty)
        self.update(order, OrderStatus.FILLED, filled=qty)
        for resting in orders(commands):
            self.update(resting, OrderStatus.NEW)
        stop = next(one for one in orders(commands) if one.type is OrderType.STOP_MARKET)
        return order, stop

    def request(self, action: str, reason: str = "test") -> list[Command]:
        """Apply an operator's request: halt, resume or flatten."""
        return self.tell(OperatorRequestReceived(ts_ns=self.now_ns, action=action, reason=reason, actor="me"))

    def topics(self) -> list[str]:
        """Topics of everything recorded."""
        return [msgspec.json.decode(line)["topic"] for line in self.sink.lines]

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Records of one topic."""
        return [record for line in self.sink.lines if (record := msgspec.json.decode(line))["topic"] == topic]


def orders(commands: list[Command]) -> list[OrderRequest]:
    """The orders among *commands*."""
    return [command for command in commands if isinstance(command, OrderRequest)]


def cancels(commands: list[Command]) -> list[str]:
    """Client ids of the orders that *commands* cancel."""
    return [command.client_order_id for command in commands if isinstance(command, CancelRequest)]


def held(qty: float = 0.01, entry: float = 10_000.0, leverage: float = 5.0, mark: float = 10_000.0) -> VenuePosition:
    """A position of the first symbol as the venue reports it."""
    return VenuePosition(
        symbol=SYMBOL, qty=qty, entry_price=entry, leverage=leverage, margin=20.0, liquidation_price=0.0,
        mark_price=mark, unrealised_pnl=0.0,
    )


def resting(order: OrderRequest | str, **changes: Any) -> VenueOrder:
    """An open order as the venue reports it."""
    fields: dict[str, Any] = {
        "client_order_id": order if isinstance(order, str) else order.client_order_id, "venue_order_id": "1",
        "symbol": SYMBOL, "side": OrderSide.SELL, "type": OrderType.STOP_MARKET, "qty": 0.01, "filled_qty": 0.0,
        "average_price": 0.0, "price": 0.0, "stop_price": 9_800.0, "reduce_only": True, "status": OrderStatus.NEW,
        "created_ns": 0,
    }
    return VenueOrder(**(fields | changes))


def alive(world: World) -> tuple[VenueOrder, ...]:
    """Every order the gateway holds open, as the venue reports it."""
    return tuple(
        resting(ticket.client_order_id, qty=ticket.qty, reduce_only=ticket.purpose is not Purpose.OPEN)
        for ticket in world.engine.gateway.tickets()
    )


def look(world: World, *positions: VenuePosition, orders: tuple[VenueOrder, ...] = (), **changes: Any) -> list[Any]:
    """One comparison of books and venue."""
    fields = {"wallet": world.engine.account.books.cash, "ts_ns": world.now_ns} | changes
    return world.tell(AccountRead(snapshot=VenueSnapshot(positions=positions, orders=orders, **fields)))


def twice(world: World, *positions: VenuePosition, **changes: Any) -> list[Any]:
    """Two comparisons that read the same."""
    return look(world, *positions, **changes) + look(world, *positions, **changes)


def peak(world: World) -> float:
    """The equity that drawdown is measured from."""
    return float(world.engine.account.governor[GOV_ROW_PEAK])


def world_of(content: bytes, log: MemoryLog | None = None) -> World:
    """A world continued from *content*."""
    store = MemoryStore()
    store.content = content
    made = World(log, store)
    made.session.recover()
    return made
