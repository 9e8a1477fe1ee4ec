"""An account made by hand beside a live driver: fills come when the test says so."""

from __future__ import annotations

import asyncio
import time

from tests.contracts.hand_feed import HandFeed
from tests.live.live_world import START, World

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.trading import OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder
from quantum_trader.engine.venue_port import StreamState
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.timing import LiveTiming

FAST = LiveTiming(
    tick_s=0.02,
    reconcile_s=0.2,
    look_again_s=0.05,
    backoff_s=0.01,
    backoff_most_s=0.05,
    attention_s=0.1,
    checkpoint_s=10.0,
    request_timeout_s=0.5,
    stop_s=1.0,
    warm_bars=0,
    bar_wait_s=0.1,
    silence_s=0.3,
    lost_s=0.2,
)


class Account(HandFeed):
    """A hand feed with an account: market orders are acknowledged and fill when the test says so."""

    receive_window_s = 0.1

    def __init__(self, instruments):
        super().__init__(instruments)
        self.wallet = 10_000.0
        self.positions = []
        self.history = []
        self.funding = []
        self.transfers = []
        self.orders = {}
        self.sent = []
        self.user = True
        self.delay = 0.0
        self.refuse_klines = set()

    async def stream(self, interval_ns):
        yield StreamState(stream="market", up=True, ts_ns=self.now_ns)
        if self.user:
            yield StreamState(stream="user", up=True, ts_ns=self.now_ns)
        while (event := await self._events.get()) is not None:
            if isinstance(event, VenueError):
                raise event
            yield event

    async def get_klines(self, symbol, interval_ns, start_ns, end_ns):
        if symbol in self.refuse_klines:
            raise VenueError("GET klines: -1121 Invalid symbol.")
        return await super().get_klines(symbol, interval_ns, start_ns, end_ns)

    async def get_cash_balance(self):
        return VenueBalance(wallet=self.wallet, unrealised_pnl=0.0, margin_used=0.0, available=self.wallet)

    async def get_positions(self):
        return list(self.positions)

    async def get_leverages(self):
        return {}

    async def set_leverage(self, symbol, leverage):
        return leverage

    async def open_orders(self, symbol=None):
        return list(self.orders.values())

    async def get_fills(self, symbol, since_ns):
        self.asked.append(f"fills since {since_ns}")
        return [f for f in self.history if f.symbol == symbol and f.ts_ns >= since_ns]

    async def get_funding(self, since_ns):
        self.asked.append(f"funding since {since_ns}")
        return [f for f in self.funding if f.ts_ns >= since_ns]

    async def get_transfers(self, since_ns):
        self.asked.append(f"transfers since {since_ns}")
        return [one for one in self.transfers if one.ts_ns >= since_ns]

    async def get_order(self, symbol, order_id):
        return self.orders.get(order_id)

    async def cancel_order(self, r):
        self.orders.pop(r.client_order_id, None)
        return OrderUpdate(
            client_order_id=r.client_order_id,
            venue_order_id="1",
            symbol=r.symbol,
            status=OrderStatus.CANCELED,
            ts_ns=self.now_ns,
        )

    async def submit_order(self, r):
        self.sent.append(r)
        await asyncio.sleep(self.delay)
        if r.type is not OrderType.MARKET:
            self.orders[r.client_order_id] = VenueOrder(
                client_order_id=r.client_order_id,
                venue_order_id="1",
                symbol=r.symbol,
                side=r.side,
                type=r.type,
                qty=r.qty,
                filled_qty=0.0,
                average_price=0.0,
                price=0.0,
                stop_price=r.stop_price,
                reduce_only=True,
                status=OrderStatus.NEW,
                created_ns=0,
            )
        return OrderUpdate(
            client_order_id=r.client_order_id,
            venue_order_id="1",
            symbol=r.symbol,
            status=OrderStatus.NEW,
            ts_ns=self.now_ns,
        )


def make(world=None, **changes):
    """A driver around *world* (None: a new one) at an account made by hand; *changes* go to the driver."""
    world = world or World()
    venue = Account(world.engine.instruments.all)
    clock0, wall0 = time.monotonic(), (world.engine.now_ns or START) + 5_000_000_000
    venue.now_ns = wall0
    driver = LiveDriver(
        world.session, venue, changes.pop("timing", FAST),
        lambda: wall0 + int((time.monotonic() - clock0) * 1e9), namespace="t-", **changes,
    )
    return world, venue, driver


async def until(check, seconds=3.0):
    """Wait until *check* holds; fails after *seconds*."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)
