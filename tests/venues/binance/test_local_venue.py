"""The adapter on a venue that speaks the protocol over loopback: the normal flow and its failures."""

from __future__ import annotations

import asyncio
import logging
import time
from random import Random
from typing import Any

import pytest
from tests.venues.binance.bench import COIN, QUICK, SYMBOL, Bench, adapter_for, bench, keys_of, order, stop, venue_of

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError, InputError, OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.trading import CancelRequest, Fill, OrderUpdate
from quantum_trader.engine.venue_port import Kline, LeverageChanged, MarkPrice, Quote, StreamState, Unreadable
from quantum_trader.venues.binance import history
from quantum_trader.venues.binance.adapter import BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.streams import StreamTiming
from quantum_trader.venues.local.faults import InjectedFault
from quantum_trader.venues.local.signing import ApiKey


def run(story: Any) -> Any:
    """Run the coroutine function *story*."""
    return asyncio.run(story)


def cancel(request: Any) -> CancelRequest:
    """A request to cancel *request*."""
    return CancelRequest(client_order_id=request.client_order_id, symbol=request.symbol, created_ns=0)


def test_connecting_loads_filters_isolates_margin_and_notes_warnings() -> None:
    """The instrument is the venue's; a fresh account's cross margin becomes isolated."""

    async def story() -> None:
        async with bench() as b:
            assert b.adapter.instrument(SYMBOL).tiers == COIN.tiers
            assert b.adapter.instrument(SYMBOL).step_size == COIN.step_size
            assert abs(b.adapter.clock_offset_ms()) < 1000.0
            assert any("every address" in note for note in b.adapter.notes)
            with pytest.raises(InputError, match="BBBUSDT"):
                b.adapter.instrument("BBBUSDT")
            await b.adapter.submit_order(order(1))
            (position,) = await b.adapter.get_positions()
            assert position.margin == pytest.approx(position.entry_price / position.leverage, rel=1e-6)

    run(story())


def test_a_known_funding_rate_is_not_queried_again() -> None:
    """Each funding rate is queried once; repeated payments have the same rates and quantities."""

    async def story() -> None:
        async with venue_of(assumed_funding_rate=0.001) as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            asked: list[str] = []
            answer = venue.answer

            def counted(method: str, path: str, query: str, body: str, key: str) -> Any:
                asked.append(path)
                return answer(method, path, query, body, key)

            venue.answer = counted  # type: ignore[method-assign]
            await adapter.submit_order(order(1))
            reads = []
            for _ in range(3):
                venue.advance(8 * 60 * NS_PER_MINUTE)
                reads.append(await adapter.get_funding(0))
            again = await adapter.get_funding(0)
            await adapter.close()
            assert [len(payments) for payments in reads] == [1, 2, 3]
            assert again == reads[-1]
            assert [payment.rate for payment in again] == [0.001] * 3
            assert [payment.qty for payment in again] == pytest.approx([1.0] * 3)
            assert asked.count("/fapi/v1/income") == 4
            assert asked.count("/fapi/v1/fundingRate") == 3

    run(story())


def test_open_protect_trigger() -> None:
    """Leverage is read back; executions come before statuses; a stop's executions have its id; queries agree."""

    async def story() -> None:
        async with bench() as b:
            assert await b.adapter.set_leverage(SYMBOL, 5.0) == 5.0
            acknowledged = await b.adapter.submit_order(order(1))
            assert acknowledged.status is OrderStatus.NEW
            assert (await b.adapter.submit_order(stop(2, 95.0))).status is OrderStatus.NEW
            (resting,) = await b.adapter.open_orders()
            assert (resting.client_order_id, resting.stop_price, resting.reduce_only) == (
                stop(2, 95.0).client_order_id, 95.0, True
            )
            b.venue.show({SYMBOL: 90.0})
            await b.until(lambda: len(b.of(Fill)) == 2, "both are filled")
            await b.until(lambda: [u.status for u in b.of(OrderUpdate)].count(OrderStatus.FILLED) == 2, "and reported")
            reads = [(type(e).__name__, e.client_order_id) for e in b.events if isinstance(e, (Fill, OrderUpdate))]
            first, second = order(1).client_order_id, stop(2, 95.0).client_order_id
            assert reads == [
                ("OrderUpdate", first), ("Fill", first), ("OrderUpdate", first),
                ("OrderUpdate", second), ("Fill", second), ("OrderUpdate", second),
            ]
            assert await b.adapter.get_fills(SYMBOL, 0) == b.of(Fill)
            whole = await b.adapter.get_order(SYMBOL, second)
            assert whole is not None
            assert (whole.status, whole.filled_qty) == (OrderStatus.FILLED, 1.0)
            assert await b.adapter.get_positions() == []
            assert b.of(LeverageChanged)[0].leverage == 5.0

    run(story())


@pytest.mark.parametrize("link_by_order_id", [False, True])
def test_a_restarted_adapter_assigns_executions_to_their_orders(link_by_order_id: bool) -> None:
    """It queries which order a conditional one became, for every client id that the venue gives that."""

    async def story() -> None:
        async with bench(link_by_order_id=link_by_order_id) as b:
            await b.adapter.set_leverage(SYMBOL, 5.0)
            await b.adapter.submit_order(order(1))
            await b.adapter.submit_order(stop(2, 95.0))
            b.venue.show({SYMBOL: 90.0})
            await b.until(lambda: len(b.of(Fill)) == 2, "both are filled")
            again = adapter_for(b.venue)
            await again.connect()
            assert await again.get_fills(SYMBOL, 0) == b.of(Fill)
            assert [fill.client_order_id for fill in b.of(Fill)] == [
                order(1).client_order_id, stop(2, 95.0).client_order_id
            ]
            await again.close()

    run(story())


def test_cancelling_finds_the_order_service_of_an_order() -> None:
    """Its own, an unknown one of another client, a finished one, a nonexistent one."""

    async def story() -> None:
        async with bench() as b:
            limit = order(3, OrderType.LIMIT, price=90.0)
            await b.adapter.submit_order(order(1))
            for request in (limit, stop(2, 95.0)):
                await b.adapter.submit_order(request)
            other = adapter_for(b.venue)
            await other.connect()
            assert (await other.cancel_order(cancel(limit))).status is OrderStatus.CANCELED
            assert (await other.cancel_order(cancel(stop(2, 95.0)))).status is OrderStatus.CANCELED
            finished = await b.adapter.cancel_order(cancel(order(1)))
            assert (finished.status, finished.reason[:5]) == (OrderStatus.FILLED, "-2011")
            never = await b.adapter.cancel_order(cancel(order(9)))
            assert (never.status, never.reason[:5]) == (OrderStatus.REJECTED, "-2011")
            assert await b.adapter.get_order(SYMBOL, order(9).client_order_id) is None
            assert await b.adapter.open_orders(SYMBOL) == []
            await b.until(
                lambda: [u.status for u in b.of(OrderUpdate)].count(OrderStatus.CANCELED) == 2, "both are reported"
            )
            await other.close()

    run(story())


def test_refusals_are_values() -> None:
    """Twice the same order, an unknown symbol, a stop on the wrong side, an amount off the grid."""

    async def story() -> None:
        async with bench() as b:
            await b.adapter.submit_order(order(1))
            await b.adapter.submit_order(stop(2, 95.0))
            refused = [
                await b.adapter.submit_order(request)
                for request in (
                    stop(2, 95.0), order(3, symbol="BBBUSDT"), stop(4, 105.0), order(5, qty=0.0015), order(6, qty=0.001)
                )
            ]
            assert {update.status for update in refused} == {OrderStatus.REJECTED}
            assert [update.reason.split()[0] for update in refused] == ["-4116", "-1121", "-2021", "-1111", "-4164"]

    run(story())


def test_a_leverage_that_is_refused_answers_the_one_in_force() -> None:
    """Above the table, below one, or lower while a position is open: the caller compares and does not trade."""

    async def story() -> None:
        async with bench() as b:
            assert await b.adapter.set_leverage(SYMBOL, 7.0) == 7.0
            assert await b.adapter.set_leverage(SYMBOL, 500.0) == 7.0
            assert await b.adapter.set_leverage(SYMBOL, 0.0) == 7.0
            await b.adapter.submit_order(order(1))
            assert await b.adapter.set_leverage(SYMBOL, 3.0) == 7.0

    run(story())


def test_bars_come_in_pages_and_only_completed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests it takes; the stream sends each when it is completed."""
    monkeypatch.setattr(history, "BARS_PER_PAGE", 3)

    async def story() -> None:
        async with bench() as b:
            for price in range(101, 108):
                b.venue.show({SYMBOL: float(price)})
            await b.until(lambda: len(b.of(Kline)) == 7, "seven bars are completed")
            streamed = b.of(Kline)
            first, last = streamed[0].ts_ns, streamed[-1].ts_ns
            bars = await b.adapter.get_klines(SYMBOL, NS_PER_MINUTE, first, last + NS_PER_MINUTE)
            assert bars == streamed
            assert await b.adapter.get_klines(SYMBOL, NS_PER_MINUTE, first, first) == []
            assert await b.adapter.get_klines(SYMBOL, NS_PER_MINUTE, first + 1, last) == streamed[1:-1]
            await b.until(lambda: b.of(Quote) and b.of(MarkPrice), "quotes and marks come too")
            assert b.of(Quote)[-1].bid < 107.0 < b.of(Quote)[-1].ask
            assert await b.adapter.get_ticker_price(SYMBOL) == 107.0

    run(story())


@pytest.mark.parametrize("road", ["market", "private", "public"])
def test_a_dropped_socket_is_reported_and_reconnected(road: str) -> None:
    """Down, then up; missed events can be queried, later ones are streamed."""

    async def story() -> None:
        async with bench() as b:
            stream = "user" if road == "private" else "market"
            before = len(b.of(StreamState))
            b.venue.hub.drop(road)
            await b.adapter.submit_order(order(1))
            await b.until(lambda: b.states()[before:][:2] == [(stream, False), (stream, True)], "down and up")
            assert len(await b.adapter.get_fills(SYMBOL, 0)) == 1
            await b.adapter.submit_order(order(2))
            await b.until(lambda: any(f.client_order_id == order(2).client_order_id for f in b.of(Fill)), "reported")

    run(story())


def test_a_silent_market_socket_is_down() -> None:
    """It answers pings and sends no data: a wrong path, or a stuck venue."""

    async def story() -> None:
        timing = StreamTiming(probe_s=0.02, silent_s=2.0, no_data_s=0.2, first_pause_s=0.02, longest_pause_s=0.1)
        async with bench(timing=timing) as b:
            await b.until(lambda: ("market", False) in b.states(), "it goes down")
            reason = next(event.reason for event in b.of(StreamState) if not event.up)
            assert reason.startswith("market-1: silent for")

    run(story())


def test_a_listen_key_that_ends_is_replaced() -> None:
    """The stream goes down and comes up with another."""

    async def story() -> None:
        async with bench() as b:
            before = len(b.of(StreamState))
            for key in tuple(b.venue.api.listen_keys):
                b.venue.api.end_listen_key(key)
            b.venue.flush()
            await b.until(lambda: b.states()[before:] == [("user", False), ("user", True)], "down and up")
            await b.adapter.submit_order(order(1))
            await b.until(lambda: b.of(Fill), "the new stream delivers")

    run(story())


@pytest.mark.parametrize("change", [{"X": "PARTLY"}, {"S": "LEFT", "x": "TRADE", "l": "1"}, {"i": None}])
def test_an_invalid_account_event_takes_the_stream_down(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is lost, reported as lost and must be queried; the stream reconnects."""

    async def story() -> None:
        async with bench() as b:
            genuine = b.venue.faults.user_frames

            def spoilt(frame: dict[str, Any]) -> list[dict[str, Any]]:
                monkeypatch.setattr(b.venue.faults, "user_frames", genuine)
                return genuine(frame | ({"o": frame["o"] | change} if frame["e"] == "ORDER_TRADE_UPDATE" else {}))

            before = len(b.of(StreamState))
            monkeypatch.setattr(b.venue.faults, "user_frames", spoilt)
            await b.adapter.submit_order(order(1))
            await b.until(lambda: b.states()[before:][:2] == [("user", False), ("user", True)], "down and up")
            assert b.of(Unreadable) == [Unreadable(stream="user")]
            assert len(await b.adapter.get_fills(SYMBOL, 0)) == 1

    run(story())


@pytest.mark.parametrize(
    ("fault", "alive", "kind"),
    [
        (InjectedFault(kind="unknown"), True, OutcomeUnknown),
        (InjectedFault(kind="unknown", alive=False), False, OutcomeUnknown),
        (InjectedFault(kind="unknown", status=503), True, OutcomeUnknown),
        (InjectedFault(kind="drop"), True, OutcomeUnknown),
        (InjectedFault(kind="drop", alive=False), False, OutcomeUnknown),
        (InjectedFault(kind="internal"), True, OutcomeUnknown),
        (InjectedFault(kind="latency", seconds=1.0), True, OutcomeUnknown),
        (InjectedFault(kind="overloaded"), False, VenueUnavailable),
        (InjectedFault(kind="clock"), False, VenueUnavailable),
        (InjectedFault(kind="rate_limit"), False, VenueUnavailable),
        (InjectedFault(kind="ban"), False, VenueUnavailable),
    ],
    ids=lambda value: f"{value.kind}-{value.alive}-{value.status}" if isinstance(value, InjectedFault) else "",
)
def test_the_outcome_of_an_order_without_an_answer(
    fault: InjectedFault, alive: bool, kind: type[VenueError]
) -> None:
    """Unknown where it may be open; certain where the venue says so. A query by client id resolves it."""
    request = order(1, OrderType.LIMIT, price=90.0)

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue, timeout_s=0.8)
            await adapter.connect()
            venue.faults.add(InjectedFault(**{name: getattr(fault, name) for name in fault.__struct_fields__}
                                   | {"match": "POST /fapi/v1/order"}))
            with pytest.raises(VenueError) as caught:
                await adapter.submit_order(request)
            assert type(caught.value) is kind
            asking = adapter_for(venue)  # another address, so to say: the first one may be banned
            await asking.connect()
            async with asyncio.timeout(5.0):
                while (found := await asking.get_order(SYMBOL, request.client_order_id)) is None and alive:
                    await asyncio.sleep(0.05)
            assert (found is not None) is alive
            await asking.close()
            await adapter.close()

    run(story())


def test_a_wrong_clock_is_measured_again_at_once() -> None:
    """The request had no effect; the next one has the right time."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            venue.faults.add(InjectedFault(kind="clock", match="POST /fapi/v1/order"))
            asked = len(venue.faults.done)
            adapter._clock.offset_ns = 10**12
            with pytest.raises(VenueUnavailable, match="-1021"):
                await adapter.submit_order(order(1))
            assert abs(adapter.clock_offset_ms()) < 1000.0
            assert len(venue.faults.done) == asked + 1
            assert (await adapter.submit_order(order(1))).status is OrderStatus.NEW
            await adapter.close()

    run(story())


def test_a_429_stops_queries_but_not_reducing_requests() -> None:
    """Openings and queries wait for the venue's pause; reducing goes on, one a second."""

    async def story() -> None:
        async with bench() as b:
            await b.adapter.submit_order(order(1))
            b.venue.faults.add(InjectedFault(kind="rate_limit", match="ticker/price", seconds=30.0))
            with pytest.raises(VenueUnavailable) as caught:
                await b.adapter.get_ticker_price(SYMBOL)
            assert caught.value.retry_after_s > 0.0
            for attempt in (b.adapter.submit_order(order(2)), b.adapter.get_cash_balance()):
                with pytest.raises(VenueUnavailable, match="requested a pause"):
                    await attempt
            close = order(3, side=stop(0, 1.0).side, reduce_only=True)
            async with asyncio.timeout(5.0):
                while True:
                    try:
                        answer = await b.adapter.submit_order(close)
                        break
                    except VenueUnavailable as error:
                        await asyncio.sleep(min(1.0, error.retry_after_s))
            assert answer.status is OrderStatus.NEW
            assert b.venue.exchange.paper.positions() == []

    run(story())


def test_a_418_stops_everything() -> None:
    """Nothing is sent while the ban lasts."""

    async def story() -> None:
        async with bench() as b:
            b.venue.faults.add(InjectedFault(kind="ban", match="ticker/price"))
            with pytest.raises(VenueUnavailable):
                await b.adapter.get_ticker_price(SYMBOL)
            with pytest.raises(VenueUnavailable, match="bans this address"):
                await b.adapter.submit_order(order(1))
            assert b.venue.exchange.paper.positions() == []

    run(story())


def test_unsafe_accounts_are_refused_with_a_remedy() -> None:
    """Hedge mode, multi-assets mode, a key that may withdraw, a position on cross margin."""

    async def story() -> None:
        async with venue_of() as venue:

            async def refused(match: str) -> None:
                adapter = adapter_for(venue)
                with pytest.raises(ConfigError, match=match):
                    await adapter.connect()
                await adapter.close()

            venue.api.wire.dual_side = True
            await refused("one-way mode")
            venue.api.wire.dual_side, venue.api.wire.multi_assets = False, True
            await refused("single-asset mode")
            closing = adapter_for(venue, closing=True)
            await closing.connect()
            await closing.close()
            venue.api.wire.multi_assets = False

    run(story())


def test_a_key_that_may_withdraw_is_refused() -> None:
    """A stolen key with that right could withdraw the money."""

    async def story() -> None:
        async with venue_of(keys=[ApiKey(key="k" * 64, secret="s" * 64, withdrawals=True)]) as venue:
            adapter = adapter_for(venue)
            with pytest.raises(ConfigError, match="enableWithdrawals = true"):
                await adapter.connect()
            await adapter.close()

    run(story())


@pytest.mark.parametrize(("key", "secret"), [("x" * 64, "s" * 64), ("k" * 64, "y" * 64)])
def test_a_key_that_the_venue_refuses_is_a_config_error(key: str, secret: str) -> None:
    """Unknown or with another secret: trying again would not help."""

    async def story() -> None:
        async with venue_of(keys=[ApiKey(key="k" * 64, secret="s" * 64)]) as venue:
            wrong = ApiKeys("local", Secret(key), Secret(secret), "environment")
            adapter = BinanceFuturesExecutionAdapter(endpoint("local", venue.url), [SYMBOL], wrong, rng=Random(1))
            with pytest.raises(ConfigError, match="local refuses the key") as caught:
                await adapter.connect()
            assert key not in str(caught.value)
            await adapter.close()

    run(story())


def test_without_keys_only_market_data_is_read() -> None:
    """Filters, bars, quotes and the market stream; an account request raises an error naming the keys."""

    async def story() -> None:
        async with bench(signed=False) as b:
            b.venue.show({SYMBOL: 101.0})
            await b.until(lambda: b.of(Kline) and b.of(Quote), "market events arrive")
            assert {stream for stream, _ in b.states()} == {"market"}
            assert b.adapter.instrument(SYMBOL).tick_size == COIN.tick_size
            with pytest.raises(VenueUnavailable, match="QT_LOCAL_KEY"):
                await b.adapter.get_positions()
            with pytest.raises(VenueUnavailable, match="QT_LOCAL_KEY"):
                await b.adapter.submit_order(order(1))

    run(story())


def test_an_unreachable_venue_is_unavailable() -> None:
    """Certainly nothing was sent; the same after closing."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
        for attempt in (adapter.get_ticker_price(SYMBOL), adapter.submit_order(order(1)), adapter.get_positions()):
            with pytest.raises(VenueUnavailable):
                await attempt
        await adapter.close()
        await adapter.close()
        with pytest.raises(VenueUnavailable, match="closed"):
            await adapter.get_ticker_price(SYMBOL)

    run(story())


def seen_of(b: Bench, *errors: BaseException) -> str:
    """Every text that reaches the operator or a log."""
    texts = [f"{error} {error!r} {error.args} {error.__cause__!r} {error.__context__!r}" for error in errors]
    prepared = b.adapter.prepare_order(order(1))
    return "\n".join([*texts, repr(b.events), repr(b.adapter.notes), repr(prepared), str(prepared), f"{prepared}"])


@pytest.mark.parametrize("kind", ["unknown", "drop", "internal", "overloaded", "clock", "rate_limit", "ban"])
def test_no_secret_is_in_what_is_shown(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor secret, signature or listen key: not in errors and their causes, states, notes or logs."""
    caplog.set_level(logging.DEBUG)

    async def story() -> tuple[str, list[str]]:
        async with bench() as b:
            caught: list[BaseException] = []
            listen_keys = list(b.venue.api.listen_keys)
            for match, attempt in (
                ("POST /fapi/v1/order", lambda: b.adapter.submit_order(order(1))),
                ("DELETE /fapi/v1/order", lambda: b.adapter.cancel_order(cancel(order(1)))),
                ("positionRisk", b.adapter.get_positions),
            ):
                b.venue.faults.add(InjectedFault(kind=kind, match=match, count=3))
                try:
                    await attempt()
                except VenueError as error:
                    caught.append(error)
            b.venue.hub.drop()
            await b.until(lambda: ("user", False) in b.states(), "the stream goes down")
            assert caught
            return seen_of(b, *caught), [b.venue.keys[0].key, b.venue.keys[0].secret, *listen_keys]

    shown, secrets = run(story())

    shown += "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("quantum_trader"))
    assert "signature=" not in shown
    for secret in secrets:
        assert secret not in shown


def test_an_order_is_prepared_quickly_and_signed() -> None:
    """The bytes are ready before anything is awaited: signed, with our client id, within a tenth of a millisecond."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            best = 1.0
            for _ in range(200):
                began = time.perf_counter()
                prepared = adapter.prepare_order(stop(2, 95.0))
                best = min(best, time.perf_counter() - began)
            assert best < 100e-6
            assert prepared.body is not None
            assert b"clientAlgoId=" + stop(2, 95.0).client_order_id.encode() in prepared.body
            assert b"recvWindow=5000" in prepared.body
            assert prepared.headers["X-MBX-APIKEY"] == keys_of(venue).key.reveal()
            await adapter.close()

    run(story())


def test_quick_timing_is_only_for_tests() -> None:
    """The real one waits for a silent market longer than the venue's slowest stream takes to speak."""
    assert StreamTiming().no_data_s > 3.0 > QUICK.silent_s


def test_a_fee_that_bnb_paid_arrives_as_one() -> None:
    """The fill names the coin, live and asked for afterwards, and the USDT wallet is whole."""

    async def scenario() -> Any:
        async with bench() as b:
            b.venue.exchange.pay_coin(1.0)
            b.venue.exchange.account.coin.burn = True
            b.venue.flush()
            await b.adapter.submit_order(order(1))
            await b.until(lambda: b.of(Fill), "the fill arrives")
            return b.of(Fill), await b.adapter.get_fills(SYMBOL, 0), await b.adapter.get_cash_balance()

    live, later, balance = run(scenario())

    assert [fill.fee_asset for fill in (*live, *later)] == ["BNB", "BNB"]
    assert live[0].fee == later[0].fee > 0.0
    assert balance.wallet == 10_000.0
