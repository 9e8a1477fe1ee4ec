"""The account's events: an execution before its status, and a stop's executions under the stop's own id."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.venues.binance import examples

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.trading import Fill, OrderUpdate
from quantum_trader.engine.venue_port import StreamEvent
from quantum_trader.venues.binance import parse
from quantum_trader.venues.binance.orders import OrderDirectory, OrderService
from quantum_trader.venues.binance.user_events import UserEvents


class Account:
    """Frames in, events out."""

    def __init__(self, parents: dict[int, str] | None = None) -> None:
        self.directory = OrderDirectory()
        self.asked: list[int] = []
        self._parents = parents or {}
        self._events = UserEvents(
            self.directory, find_parent=self._find_parent, fee=self._fee, mark_price=lambda symbol: 100.0
        )

    async def _find_parent(self, symbol: str, order_id: int) -> str | None:
        self.asked.append(order_id)
        return self._parents.get(order_id)

    async def _fee(self, symbol: str, asset: str, amount: float, notional: float) -> float:
        return amount if asset == "USDT" else amount * 600.0

    def events_of(self, *frames: dict[str, Any] | str) -> list[StreamEvent]:
        """The events of *frames*, in order."""

        async def read() -> list[StreamEvent]:
            found: list[StreamEvent] = []
            for frame in frames:
                decoded = parse.user_frame(frame if isinstance(frame, str) else msgspec.json.encode(frame))
                assert decoded is not None
                found += await self._events.events(decoded)
            return found

        return asyncio.run(read())


def order(client_id: str, what: str, status: str, *, order_id: int = 77, **more: Any) -> dict[str, Any]:
    """An ORDER_TRADE_UPDATE."""
    frame: dict[str, Any] = msgspec.json.decode(examples.ORDER_TRADE_UPDATE)
    frame["o"] |= {"c": client_id, "x": what, "X": status, "i": order_id, "er": "0"} | more
    return frame


def execution(client_id: str, **more: Any) -> dict[str, Any]:
    """An ORDER_TRADE_UPDATE that fills the whole order."""
    return order(client_id, "TRADE", "FILLED", **({"l": "1", "z": "1", "L": "95", "n": "0.1", "t": 9} | more))


def algo(client_id: str, status: str, **more: Any) -> dict[str, Any]:
    """An ALGO_UPDATE."""
    frame: dict[str, Any] = msgspec.json.decode(examples.ALGO_UPDATE)
    frame["o"] |= {"caid": client_id, "X": status, "s": "BTCUSDT", "rm": ""} | more
    return frame


def kinds_and_ids(events: list[StreamEvent]) -> list[tuple[str, str]]:
    """Kind and client id of each event."""
    return [
        ("fill" if isinstance(event, Fill) else event.status.value, event.client_order_id)
        for event in events
        if isinstance(event, (Fill, OrderUpdate))
    ]


def test_an_execution_comes_before_the_status() -> None:
    """Acknowledged, filled in two parts."""
    account = Account()

    events = account.events_of(
        order("qt-1", "NEW", "NEW"), order("qt-1", "TRADE", "PARTIALLY_FILLED", l="0.4", z="0.4", L="95", t=1),
        order("qt-1", "TRADE", "FILLED", l="0.6", z="1", L="96", t=2),
    )

    assert kinds_and_ids(events) == [
        ("NEW", "qt-1"), ("fill", "qt-1"), ("PARTIALLY_FILLED", "qt-1"), ("fill", "qt-1"), ("FILLED", "qt-1")
    ]


@pytest.mark.parametrize("child", ["qt-stop", "venue-made"])
@pytest.mark.parametrize("trigger_reported", ["before", "after"])
def test_a_triggered_stop_is_reported_under_its_own_id(child: str, trigger_reported: str) -> None:
    """The venue repeats the id or makes one; it reports the trigger before the execution or after it."""
    account = Account({77: "qt-stop"})
    account.directory.sent("qt-stop", OrderService.ALGO, "BTCUSDT")
    trigger = algo("qt-stop", "TRIGGERED", ai="77", aq="0")
    executions = [order(child, "NEW", "NEW"), execution(child)]
    frames = [trigger, *executions] if trigger_reported == "before" else [*executions, trigger]

    events = account.events_of(algo("qt-stop", "NEW"), *frames, algo("qt-stop", "FINISHED", ai="77", aq="1"))

    assert kinds_and_ids(events) == [("NEW", "qt-stop"), ("fill", "qt-stop"), ("FILLED", "qt-stop")]
    assert account.asked == ([77] if child != "qt-stop" and trigger_reported == "after" else [])


def test_an_order_of_another_client_keeps_its_id() -> None:
    """It is queried while a stop is pending, and keeps its own id."""
    account = Account()
    account.directory.sent("qt-stop", OrderService.ALGO, "BTCUSDT")

    events = account.events_of(execution("manual", order_id=5))

    assert kinds_and_ids(events) == [("fill", "manual"), ("FILLED", "manual")]
    assert account.asked == [5]


def test_a_stop_that_ends_without_an_execution() -> None:
    """Cancelled, expired or refused after its trigger: reported once, with the reason."""
    account = Account()

    cancelled = account.events_of(algo("qt-1", "NEW"), algo("qt-1", "CANCELED"))
    expired = account.events_of(algo("qt-2", "EXPIRED"))
    refused = account.events_of(algo("qt-3", "TRIGGERING"), algo("qt-3", "REJECTED", rm="ReduceOnly reject"))

    assert kinds_and_ids(cancelled) == [("NEW", "qt-1"), ("CANCELED", "qt-1")]
    assert [(event.status, event.reason) for event in expired + refused if isinstance(event, OrderUpdate)] == [
        (OrderStatus.CANCELED, "EXPIRED"), (OrderStatus.REJECTED, "REJECTED ReduceOnly reject")
    ]


def test_fees_are_in_usdt() -> None:
    """One paid in BNB is worth what BNB is."""
    events = Account().events_of(execution("qt-1", n="0.01", N="BNB"))

    assert isinstance(events[0], Fill)
    assert events[0].fee == pytest.approx(6.0)
    assert events[0].fee_asset == "BNB"
    in_usdt = Account().events_of(execution("qt-1", n="0.01", N="USDT"))[0]
    assert isinstance(in_usdt, Fill)
    assert in_usdt.fee_asset is msgspec.UNSET


def test_trade_lite_frames_are_ignored() -> None:
    """It has no fee, and the full event follows with the same trade id."""
    assert Account().events_of(examples.TRADE_LITE) == []


def test_wallet_and_leverage_changes_are_events() -> None:
    """Wallet and leverage changes of the account."""
    events = Account().events_of(examples.ACCOUNT_UPDATE, examples.ACCOUNT_CONFIG_UPDATE, examples.MULTI_ASSETS_UPDATE)

    assert [type(event).__name__ for event in events] == ["WalletChanged", "LeverageChanged"]


@pytest.mark.parametrize("ms", [10**18, 10**14, -1])
def test_an_event_at_an_absurd_time_is_read_again_from_the_account(ms: int) -> None:
    """It could be neither written nor placed in time: the connection ends, and the account is read."""
    account = Account()
    filled = execution("qt-1")
    filled["o"]["T"] = ms
    acknowledged = order("qt-1", "NEW", "NEW", T=ms)
    ended = algo("qt-2", "EXPIRED") | {"T": ms}
    wallet = msgspec.json.decode(examples.ACCOUNT_UPDATE) | {"T": ms}
    leverage = msgspec.json.decode(examples.ACCOUNT_CONFIG_UPDATE) | {"T": ms}
    for frame in (filled, acknowledged, ended, wallet, leverage):
        with pytest.raises(VenueError, match="cannot be read"):
            account.events_of(frame)
