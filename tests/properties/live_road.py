"""The live road in one place: the real driver, session and engine at the simulation's exchange, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from tests.live.live_account import FAST, Account
from tests.live.live_world import MINUTE, OTHER, SYMBOL, MemoryLog, MemoryStore, World

from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.live_settings import bind_folder, load_live_settings
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import CancelRequest, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.venue_port import StreamEvent
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.loop import VirtualLoop, new_loop, run_virtual
from quantum_trader.lab.simulation.network import SimulatedVenue, WireFaults
from quantum_trader.lab.simulation.schedule import Fault, Kind
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import AccountRead, IntentReceived, OperatorRequestReceived
from quantum_trader.live.timing import LiveTiming
from quantum_trader.market.instruments import instrument_for
from quantum_trader.venues.binance.keys import Redactor

ETH = {"symbol": OTHER, "qty": 0.1, "reference_price": 1_000.0, "stop_price": 980.0}
PRICES = (10_000.0, 1_000.0)


class LoggedVenue(SimulatedVenue):
    """The simulated connection; what is asked of it is noted with its moment."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.calls: list[tuple[float, str, str]] = []  # second, question, client order id or symbol

    def note(self, what: str, of: str) -> None:
        """Note a question."""
        self.calls.append((asyncio.get_running_loop().time(), what, of))

    def times(self, what: str, of: str = "") -> list[float]:
        """When *what* was asked (about *of*)."""
        return [at for at, asked, about in self.calls if asked == what and of in ("", about)]

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Note and send."""
        self.note("submit", request.client_order_id)
        return await super().submit_order(request)

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Note and send."""
        self.note("cancel", request.client_order_id)
        return await super().cancel_order(request)

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """Note and ask."""
        self.note("get_order", client_order_id)
        return await super().get_order(symbol, client_order_id)

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """Note and ask."""
        self.note("set_leverage", symbol)
        return await super().set_leverage(symbol, leverage)

    async def get_positions(self) -> list[VenuePosition]:
        """Note and ask."""
        self.note("positions", "")
        return await super().get_positions()


class Road:
    """One trader at one exchange whose prices stand at 10,000 and 1,000; nothing waits for real time."""

    def __init__(self, world: World, bars: int = 60, **changes: Any) -> None:
        """*changes* go to the driver: ``operator``, ``inputs``, ``queue``, ``timing``..."""
        self.world, self.engine = world, world.engine
        self.loop: VirtualLoop = new_loop()
        rows = [[price, price * 1.0005, price * 0.9995, price, 100.0] for price in PRICES]
        self.exchange = SimulatedExchange(
            self.loop, world.engine.instruments.all, np.tile(np.array(rows), (bars, 1, 1)), world.now_ns, MINUTE,
            10_000.0, Random(1),
        )
        self.wire = WireFaults(Random(2))
        self.exchange.struck = self.wire.strike
        self.offset_ns = 0  # of our wall clock
        self.venue = LoggedVenue(self.loop, self.exchange, self.wire, self.local_ns)
        self.exchange.publish = self.deliver
        self.carries: Callable[[str, tuple[StreamEvent, ...]], bool] = lambda stream, message: True
        self.driver = LiveDriver(
            world.session, self.venue, changes.pop("timing", LiveTiming(warm_bars=0)), self.local_ns,
            namespace="life-", **changes,
        )

    def local_ns(self) -> int:
        """The trader's wall clock."""
        return self.exchange.now_ns() + self.offset_ns

    def deliver(self, stream: str, message: tuple[StreamEvent, ...]) -> None:
        """Carry a message, unless the test keeps it back."""
        if self.carries(stream, message):
            self.venue.deliver(stream, message)

    def run(self, script: Callable[[], Awaitable[Any]], *, ready: bool = True) -> Any:
        """Run *script* beside the trader, once that is *ready*; then stop it in order."""

        async def main() -> Any:
            task = self.loop.create_task(self.driver.run())
            try:
                if ready:
                    await self.until(lambda: self.driver.ready)
                result = await script()
                self.driver.stop()
                await task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return result

        return run_virtual(main(), self.loop)

    async def until(self, check: Callable[[], Any], seconds: float = 300.0) -> float:
        """Let virtual time pass until *check* holds; returns the second."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not check():
            assert loop.time() < end, f"not within {seconds:g} s"
            await asyncio.sleep(0.05)
        return loop.time()

    def wish(self, name: str = "x1", **changes: Any) -> None:
        """Tell the trader a wish from outside."""
        now_ns = self.driver.clock.now_ns()
        fields = {"created_ns": now_ns, "expires_ns": now_ns + 30 * NS_PER_SECOND} | changes
        self.driver.tell(IntentReceived(ts_ns=now_ns, intent=self.world.intent(name, **fields)))

    async def opened(self, name: str = "x1", **changes: Any) -> None:
        """Open a position and wait until its stop rests."""
        symbol = changes.get("symbol", SYMBOL)
        self.wish(name, **changes)
        await self.until(lambda: symbol in self.engine.account.books.positions)
        await self.until(lambda: self.engine.gateway.is_protected(self.engine.account.books.positions[symbol]))

    def ask(self, action: str) -> None:
        """Tell the trader what a person asks."""
        now_ns = self.driver.clock.now_ns()
        self.driver.tell(OperatorRequestReceived(ts_ns=now_ns, action=action, reason="test", actor="me"))

    def strike(self, kind: Kind, **fields: Any) -> None:
        """Let something go wrong at the exchange or, where that does not know it, on the wire."""
        fault = Fault(at_s=self.loop.time(), kind=kind, **fields)
        if kind.value in {"request_lost", "answer_lost", "request_late", "slow", "unreachable", "server_error"}:
            self.wire.arm(fault)
        else:
            self.exchange.apply(fault)

    def accepted(self, kind: OrderType = OrderType.MARKET, *, reduce_only: bool | None = None) -> list[OrderRequest]:
        """What the exchange took of the trader."""
        return [
            one.request for one in self.exchange.accepted
            if one.by_trader and one.request.type is kind and reduce_only in (None, one.request.reduce_only)
        ]

    def held(self) -> dict[str, float]:
        """Signed quantities at the exchange."""
        return {position.symbol: position.qty for position in self.exchange.paper.positions()}

    def stops(self, symbol: str = SYMBOL) -> list[VenueOrder]:
        """Stops resting at the exchange."""
        return [one for one in self.exchange.paper.open_orders(symbol) if one.type is OrderType.STOP_MARKET]


def restarted(content: bytes | None, since: Sequence[bytes] = (), **settings: Any) -> World:
    """A new process: a world that continues from a checkpoint and the inputs *since*."""
    store, log = MemoryStore(), MemoryLog()
    store.content = content
    saved = store.load()
    log.entries = [b"before the checkpoint"] * (saved["mark"] if saved is not None else 0) + list(since)
    made = World(log, store, **settings)
    made.session.recover()
    del log.entries[:len(log.entries) - len(since)]
    store.content = content
    return made


def held(qty: float = 0.01, **changes: Any) -> VenuePosition:
    """A position as the venue tells it."""
    fields: dict[str, Any] = {
        "symbol": SYMBOL, "qty": qty, "entry_price": 10_000.0, "leverage": 5.0, "margin": 20.0,
        "liquidation_price": 0.0, "mark_price": 10_000.0, "unrealised_pnl": 0.0,
    }
    return VenuePosition(**(fields | changes))


def resting(world: World) -> tuple[VenueOrder, ...]:
    """Every order of the gateway as the venue tells it."""
    return tuple(
        VenueOrder(
            client_order_id=ticket.client_order_id, venue_order_id="1", symbol=ticket.symbol, side=OrderSide.SELL,
            type=OrderType.STOP_MARKET, qty=ticket.qty, filled_qty=0.0, average_price=0.0, price=0.0,
            stop_price=ticket.price, reduce_only=True, status=OrderStatus.NEW, created_ns=0,
        )
        for ticket in world.engine.gateway.tickets()
    )


def look(world: World, *positions: VenuePosition, **changes: Any) -> list[Any]:
    """Compare books and venue once."""
    fields: dict[str, Any] = {
        "ts_ns": world.now_ns, "wallet": world.engine.account.books.cash, "positions": positions,
        "orders": resting(world),
    }
    return world.tell(AccountRead(snapshot=VenueSnapshot(**(fields | changes))))


def refusal(world: World, name: str, **changes: Any) -> str:
    """Why a wish for an opening is refused now; empty: it is not (and its order is taken back again)."""
    failed = len(world.records("trade.failed"))
    commands = world.wish(name, **changes)
    if commands:
        order = next(one for one in commands if isinstance(one, OrderRequest))
        world.update(order, OrderStatus.REJECTED, reason="-2019 test")
        return ""
    records = world.records("trade.failed")[failed:]
    return str(records[0]["data"]["reason"]) if records else "nothing was said"


@contextmanager
def live_run(folder: Path, settings: dict[str, tuple[Any, str]] | None = None, **flags: Any) -> Iterator[LiveRun]:
    """A live process's parts around a folder of its own, at an account made by hand; *settings* are the run's.

    The intraday models give the signals, where *settings* name no others.
    """
    loaded = load_live_settings(None, {
        "mode": ("LOCAL", "t"), "address": ("http://127.0.0.1:1", "t"), "symbols": (["BTCUSDT", "ETHUSDT"], "t"),
        "interval": ("1m", "t"), "status_s": (0.2, "t"), **flags,
    }, {"models": (({"model": "intraday-demo"},), "t"), **(settings or {})})
    state = StateDir(folder)
    bind_folder(folder, loaded.live)
    account = Account([instrument_for("BTCUSDT", 1e4)[0], instrument_for("ETHUSDT", 1e3)[0]])
    made = LiveRun(loaded, account, state, Redactor(()), lambda: 1_700_000_000_000_000_000, timing=FAST)
    try:
        yield made
    finally:
        with suppress(StateError):
            made.close()
        state.close()
