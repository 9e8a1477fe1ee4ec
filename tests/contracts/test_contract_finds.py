"""The contract can fail: each broken adapter is caught by the check of what is broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder
from quantum_trader.engine.venue_port import ExecutionVenue, Kline, StreamEvent, StreamState, Transfer
from quantum_trader.venues.paper.live_account import PaperExecutionAdapter

from .benches import DryBench
from .venue_contract import checks, verify_events


class StatusFirst(PaperExecutionAdapter):
    """Publishes FILLED, then the fill."""

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        held: Fill | None = None
        async for event in super().stream(interval_ns):
            if isinstance(event, Fill):
                held = event
                continue
            yield event
            if held is not None:
                yield held
                held = None


class NoStreamStates(PaperExecutionAdapter):
    """Publishes no state of its user stream until something happens there."""

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        late: StreamState | None = None
        async for event in super().stream(interval_ns):
            if isinstance(event, StreamState) and event.stream == "user":
                late = event
                continue
            yield event
            if late is not None and isinstance(event, Kline | OrderUpdate):
                yield late
                late = None


class SilentRequests(PaperExecutionAdapter):
    """Does not publish cancels that were requested."""

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        async for event in super().stream(interval_ns):
            if not (isinstance(event, OrderUpdate) and event.status is OrderStatus.CANCELED):
                yield event


class FillsTwice(PaperExecutionAdapter):
    """Publishes each fill twice."""

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        async for event in super().stream(interval_ns):
            yield event
            if isinstance(event, Fill):
                yield event


class RunningBars(PaperExecutionAdapter):
    """Publishes the bar that is still running."""

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        async for event in super().stream(interval_ns):
            yield event
            if isinstance(event, Kline):
                yield msgspec.structs.replace(event, ts_ns=event.ts_ns + event.interval_ns)


class EndIncluded(PaperExecutionAdapter):
    """Returns the bar that opens at the end as well."""

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        return await super().get_klines(symbol, interval_ns, start_ns, end_ns + 1)


class ForeignIds(PaperExecutionAdapter):
    """Names the orders of its fills otherwise when asked."""

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        fills = await super().get_fills(symbol, since_ns)
        return [msgspec.structs.replace(fill, client_order_id="x-1") for fill in fills]


class ForgetsFunding(PaperExecutionAdapter):
    """Does not know afterwards what it paid."""

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        return []


class TellsTradesAsTransfers(PaperExecutionAdapter):
    """Takes what trading earned for money paid in."""

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        fills = await self.get_fills("AAAUSDT", since_ns)
        return [Transfer(move_id=fill.fill_id, amount=-fill.fee, ts_ns=fill.ts_ns, reason="X") for fill in fills]


class StaleMoney(PaperExecutionAdapter):
    """Publishes the wallet it began with."""

    async def get_cash_balance(self) -> VenueBalance:
        return VenueBalance(wallet=10_000.0, unrealised_pnl=0.0, margin_used=0.0, available=10_000.0)


class HidesStops(PaperExecutionAdapter):
    """Lists no conditional orders."""

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        return [order for order in await super().open_orders(symbol) if order.stop_price == 0.0]


class TwiceIsTwo(PaperExecutionAdapter):
    """Makes a second order of a repeated request."""

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        if await self.get_order(request.symbol, request.client_order_id) is not None:
            request = msgspec.structs.replace(request, client_order_id=f"{request.client_order_id}-2")
        return await super().submit_order(request)


class CancelSucceeds(PaperExecutionAdapter):
    """Calls everything cancelled."""

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        update = await super().cancel_order(request)
        return msgspec.structs.replace(update, status=OrderStatus.CANCELED)


class LeverageEchoed(PaperExecutionAdapter):
    """Returns the leverage that was asked for."""

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        await super().set_leverage(symbol, leverage)
        return leverage


class ClosesOnce(PaperExecutionAdapter):
    """Answers when it is closed."""

    async def get_positions(self) -> list[Any]:
        return []


CAUGHT = {
    StatusFirst: "fill_comes_before_its_status", NoStreamStates: "wire_stream_begins_with_its_states",
    SilentRequests: "wire_orders_are_told", FillsTwice: "only_fills_move_books",
    RunningBars: "wire_bars_are_complete", EndIncluded: "wire_bars_are_complete",
    ForeignIds: "wire_fills_are_the_same_when_asked", ForgetsFunding: "wire_funding_is_told_and_asked",
    TellsTradesAsTransfers: "wire_money_moved_is_told_and_asked", StaleMoney: "wallet_changes_by_profit_and_fees",
    HidesStops: "stop_rests_and_protects",
    TwiceIsTwo: "same_client_id_is_one_stop", CancelSucceeds: "late_cancel_does_not_hide_a_fill",
    LeverageEchoed: "leverage_is_read_back", ClosesOnce: "wire_closes_twice",
}


@pytest.mark.parametrize(("kind", "name"), CAUGHT.items(), ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_adapter_is_caught(kind: type[PaperExecutionAdapter], name: str) -> None:
    """The check fails for the broken one and would pass without the break."""

    class Broken(DryBench):
        patience_s = 0.2

        async def start(self) -> ExecutionVenue:
            sound = await super().start()
            return kind(self.feed, sound.settings, now_ns=lambda: self._now_ns)

    with pytest.raises((AssertionError, TimeoutError, ValueError, pytest.fail.Exception)):
        held_against(Broken, name)
    held_against(DryBench, name)


def held_against(build: type[DryBench], name: str) -> None:
    """Run one check on a fresh bench."""
    (check,) = [each for each in checks(wire=True) if each.__name__ == f"check_{name}"]
    bench = build()
    try:
        check(bench)
        verify_events(bench.published)
    finally:
        bench.close()
