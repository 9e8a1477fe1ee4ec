"""Recorded books drive the venue: chaining rules, fills by walking levels, resting orders last in the queue."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.venues.local.world import COIN, connected, frame, run, served, ticket

from quantum_trader.domain.errors import DataError
from quantum_trader.venues.local.book import Book, load_books
from quantum_trader.venues.local.build import book_exchange
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.orders import DepthDiff, MarketTick

RECORDED = Path(__file__).resolve().parents[4] / "shared" / "data" / "binance_um" / "l2"
START_MS = 1_700_000_041_000
RICH = ExchangeSettings(wallet=1e7, assumed_funding_rate=0.0)


def diff(first: int, last: int, previous: int, **levels: tuple[tuple[float, float], ...]) -> DepthDiff:
    """An update of a book."""
    return DepthDiff(0, 0, first, last, previous, levels.get("bids", ()), levels.get("asks", ()))


def write(folder: Path) -> Path:
    """A small record: a snapshot of three levels a side, two updates, three trades."""
    stamp = {"recv_ns": 0, "event_ms": START_MS, "tx_ms": START_MS, "symbol": "AAAUSDT"}
    levels = [("bid", 99.99, 1.0), ("bid", 99.98, 2.0), ("bid", 99.97, 3.0),
              ("ask", 100.01, 1.0), ("ask", 100.02, 2.0), ("ask", 100.03, 3.0)]
    rows = [stamp | {"last_update_id": 10, "side": side, "price": price, "qty": qty} for side, price, qty in levels]
    pl.DataFrame(rows).write_parquet(folder / "AAAUSDT_2024-01-01_snapshot.parquet")
    changes = [
        (0, 5, 8, 4, "bid", 99.99, 9.0), (100, 9, 12, 8, "ask", 100.01, 1.5), (200, 13, 14, 12, "bid", 99.99, 0.0),
    ]
    pl.DataFrame([
        stamp | {"tx_ms": START_MS + at, "U": first, "u": last, "pu": before, "side": side, "price": price, "qty": qty}
        for at, first, last, before, side, price, qty in changes
    ]).write_parquet(folder / "AAAUSDT_2024-01-01_depth.parquet")
    trades = [(-10, 100.0, 1.0), (150, 100.01, 0.5), (300, 99.96, 0.4)]
    pl.DataFrame([
        stamp | {"tx_ms": START_MS + at, "trade_id": number, "price": price, "qty": qty, "buyer_is_maker": False}
        for number, (at, price, qty) in enumerate(trades)
    ]).write_parquet(folder / "AAAUSDT_2024-01-01_trades.parquet")
    return folder


def market_of(folder: Path) -> Exchange:
    """The exchange on the small record."""
    return book_exchange(write(folder), instruments=[COIN], settings=RICH)


def test_updates_must_chain() -> None:
    """Older ones are skipped, the first must span the snapshot's id, each later one follows the one before."""
    book = Book(10, {99.0: 1.0}, {101.0: 1.0})

    assert not book.apply(diff(1, 9, 0))
    assert book.apply(diff(9, 12, 8, bids=((99.5, 2.0),)))
    assert book.apply(diff(13, 14, 12, bids=((99.5, 0.0),)))
    assert (book.last_id, book.best()) == (14, (99.0, 101.0))
    with pytest.raises(DataError, match="does not follow 14"):
        book.apply(diff(16, 17, 15))


def test_a_book_that_misses_its_first_update_is_refused() -> None:
    """A gap between snapshot and stream."""
    with pytest.raises(DataError, match="new snapshot"):
        Book(10, {}, {}).apply(diff(12, 14, 11))


def test_a_market_order_walks_the_levels(tmp_path: Path) -> None:
    """Four coins take the first two asks and a part of the third, a fill each; what was taken is gone."""
    market = market_of(tmp_path)

    order = market.place(ticket("BUY", "MARKET", 4.0))

    assert order.status == "FILLED"
    assert [(trade.price, trade.qty) for trade in market.trades] == [(100.01, 1.0), (100.02, 2.0), (100.03, 1.0)]
    assert market.source.levels(0, 5)[1] == [(100.03, 2.0)]


def test_the_record_restores_what_an_order_took(tmp_path: Path) -> None:
    """The next recorded update of a level sets its quantity."""
    market = market_of(tmp_path)
    market.place(ticket("BUY", "MARKET", 1.0))
    assert market.source.quote(0) == (99.99, 100.02)

    market.advance(market.now_ns + 100_000_000)

    assert market.source.levels(0, 1)[1] == [(100.01, 1.5)]


def test_an_order_larger_than_the_book_expires(tmp_path: Path) -> None:
    """Six coins are there; the rest of a market order expires."""
    market = market_of(tmp_path)

    order = market.place(ticket("BUY", "MARKET", 10.0))

    assert (order.status, order.filled) == ("EXPIRED", 6.0)


def test_a_limit_order_takes_up_to_its_price_and_rests(tmp_path: Path) -> None:
    """At 100.02 it takes three coins and the rest waits."""
    market = market_of(tmp_path)

    order = market.place(ticket("BUY", "LIMIT", 4.0, price=100.02))

    assert (order.status, order.filled) == ("PARTIALLY_FILLED", 3.0)


def test_a_limit_order_inside_the_spread_rests(tmp_path: Path) -> None:
    """At the last price, but below the ask, it takes nothing."""
    market = market_of(tmp_path)

    order = market.place(ticket("BUY", "LIMIT", 1.0, price=100.0))

    assert (order.status, order.filled) == ("NEW", 0.0)
    assert market.last[0] == 100.0, "asking does not move the price"


def test_a_resting_order_fills_by_what_trades_through_it(tmp_path: Path) -> None:
    """0.4 trade below 99.97: 0.4 of one coin is filled, at its own price, as a maker."""
    market = market_of(tmp_path)
    order = market.place(ticket("BUY", "LIMIT", 1.0, price=99.97))

    market.advance(market.now_ns + 1_000_000_000)

    assert (order.status, order.filled, order.average, order.maker) == ("PARTIALLY_FILLED", 0.4, 99.97, True)


def test_a_stop_walks_the_book_when_a_trade_reaches_it(tmp_path: Path) -> None:
    """Triggered by the trade at 99.96, it takes the bids that are left."""
    market = market_of(tmp_path)
    market.place(ticket("BUY", "MARKET", 1.0))
    algo = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=99.97, reduce_only=True))

    market.advance(market.now_ns + 1_000_000_000)

    assert (market.orders[algo.actual_id].status, market.trades[-1].price) == ("FILLED", 99.98)


def test_bars_hold_the_trades_so_far(tmp_path: Path) -> None:
    """The running minute does not contain later trades."""
    market = market_of(tmp_path)
    market.advance(market.now_ns + 200_000_000)

    bar = market.tape.bars(0, market.tape.interval_ns, 0, 2**62, market.now_ns, 1)[0]

    assert bar[1:5].tolist() == [100.0, 100.01, 100.0, 100.01]


def test_the_stream_is_the_record(tmp_path: Path) -> None:
    """Depth frames carry the recorded ids, and trades come one by one."""

    async def scenario() -> list[object]:
        async with served(market_of(tmp_path)) as (venue, client):
            ws = await client.http.ws_connect(f"{venue.ws_url}/public/stream?streams=aaausdt@depth/aaausdt@trade")
            await connected(venue, 1)
            snapshot = (await client.ask("GET", "/fapi/v1/depth", symbol="AAAUSDT", limit=5))[1]
            venue.advance(1_000_000_000)
            sent = [(await frame(ws))["data"] for _ in range(4)]
            return [snapshot["lastUpdateId"], *sent]

    number, first, second, *trades = run(scenario)

    assert number == 10
    assert (first["U"], first["u"], first["pu"], second["pu"]) == (9, 12, 8, 12)
    assert [trade["p"] for trade in trades] == ["100.010", "99.960"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """An empty folder, an unknown symbol."""
    with pytest.raises(DataError, match="no recorded books"):
        load_books(tmp_path)
    with pytest.raises(DataError, match="BTCUSDT"):
        load_books(write(tmp_path), ["BTCUSDT"])


@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded books on this machine")
@pytest.mark.parametrize("day", ["2023-04-04", "2024-07-18"])
def test_the_real_record_chains_and_trades(day: str) -> None:
    """Minutes of real depth: no gap, the book never crosses, a large order pays more than the best price."""
    market = book_exchange(RECORDED, day=day, symbols=["BTCUSDT"], settings=RICH)
    bid, ask = market.source.quote(0)
    assert bid < ask
    order = market.place(ticket("BUY", "MARKET", 60.0, symbol="BTCUSDT"))
    assert order.average >= ask
    assert len(market.trades) > 1

    for _ in range(60):
        market.advance(market.now_ns + 1_000_000_000)
        bid, ask = market.source.quote(0)
        assert bid < ask

    ticks = [event for event in market.take_events() if isinstance(event, MarketTick)]
    assert sum(len(tick.diffs) for tick in ticks) > 500
