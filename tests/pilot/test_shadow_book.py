"""Virtual positions make and lose what an account at the paper venue does with the same decisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.pilot.sequences import INTERVAL_NS, START, Sequence, sequence
from tests.pilot.venue_account import VenueAccount

from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.market.instruments import known_instruments
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.shadow_book import ACTION_SHARES, PositionSettings, ShadowPositions

TOLERANCE = 1e-9  # of the equity


def venue_of(one: Sequence) -> VenueAccount:
    return VenueAccount(one.instrument, one.settings, INTERVAL_NS, one.equity, one.funding)


def played(one: Sequence) -> tuple[VenueAccount, int]:
    """Play *one* at the venue and in the book, side by side; returns the venue's account and the trades closed."""
    venue = venue_of(one)
    book = ShadowPositions([one.instrument], one.settings, INTERVAL_NS, INTERVAL_NS)
    present, trades = np.ones(1, dtype=np.bool_), 0
    for bar in range(len(one.ts)):
        venue.take(int(one.ts[bar]), one.ohlc[bar], one.cost_bps[bar])
        book.take(
            int(one.ts[bar]), np.array([[*one.ohlc[bar], 1.0]]), present, one.cost_bps[bar : bar + 1],
            one.funding_rate[bar : bar + 1],
        )
        trades += len(book.closed())
        same_state(venue, book, one, bar)
        if venue.equity < 0.3 * one.equity or bar == len(one.ts) - 1:
            break
        share = ACTION_SHARES[one.actions[bar]]
        venue.want(share, float(one.atr[bar]))
        book.want(np.array([share]), one.atr[bar : bar + 1], venue.equity)
    return venue, trades


def same_state(venue: VenueAccount, book: ShadowPositions, one: Sequence, bar: int) -> None:
    """Position, stop and money are the same."""
    where = f"bar {bar}"
    row = book.position_rows[0]
    assert row[0] == pytest.approx(venue.sign * venue.qty, rel=1e-12, abs=1e-15), where
    assert row[1] == pytest.approx(venue.entry if venue.sign else 0.0, rel=1e-12), where
    assert row[5] == pytest.approx(venue.stop, rel=1e-12), where
    assert row[8] == venue.share, where
    assert one.equity + book.value() == pytest.approx(venue.equity, abs=TOLERANCE * one.equity), where


@pytest.mark.parametrize("seeds", [
    pytest.param(range(50), id="50"), pytest.param(range(50, 1000), id="950", marks=pytest.mark.long),
])
def test_sequences_equal_the_paper_venue(seeds: range) -> None:
    """Positions, stops and equity after every bar of random sequences, gaps and liquidations among them."""
    accounts = [played(sequence(seed)) for seed in seeds]
    assert sum(venue.liquidations for venue, _ in accounts) >= len(seeds) / 10
    assert sum(venue.stops for venue, _ in accounts) > 5 * len(seeds)
    assert sum(venue.gap_parts for venue, _ in accounts) >= len(seeds) / 50
    assert sum(closed for _, closed in accounts) > 20 * len(seeds)


def _book(count: int = 1, observed: int = 1) -> ShadowPositions:
    names = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "LTCUSDT")[:count]
    return ShadowPositions(
        [known_instruments()[name] for name in names], PositionSettings(risk_pct=0.5), INTERVAL_NS,
        observed * INTERVAL_NS,
    )


def _flat_bar(book: ShadowPositions, bar: int, price: float, *, rates: float = 0.0, present: bool = True) -> None:
    count = len(book.symbols)
    book.take(
        START + bar * INTERVAL_NS, np.full((count, 5), price), np.full(count, present), np.zeros(count),
        np.full(count, rates),
    )


def test_result_and_trade_are_net_of_fees_and_funding() -> None:
    """Long 0.2 of 10,000 USDT at 40,000, funding of 1 %, out at 42,000: worked out by hand."""
    book = _book()
    _flat_bar(book, 0, 40_000.0)
    book.want(np.array([0.2]), np.array([1_000.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0, rates=0.5)  # due before the position: not charged
    qty = 0.016  # risk of 50 USDT over 3,000: 0.01666, rounded down
    assert book.position_rows[0, 0] == qty
    fee = qty * 40_000.0 * 5e-4
    assert book.result_since_asked(10_000.0) == pytest.approx(-fee / 10_000.0)
    _flat_bar(book, 2, 42_000.0, rates=0.01)
    funding = qty * 42_000.0 * 0.01
    book.want(np.array([0.0]), np.array([np.nan]), 10_000.0)
    _flat_bar(book, 3, 42_000.0)
    net = qty * 2_000.0 - fee - qty * 42_000.0 * 5e-4 - funding
    (trade,) = book.closed()
    assert (trade.place, trade.side, trade.exit, trade.share, trade.bars_held) == (0, 1, "FLAT", 0.2, 2)
    assert (trade.entry_ns, trade.exit_ns) == (START + INTERVAL_NS, START + 3 * INTERVAL_NS)
    assert trade.result_share == pytest.approx(net / 10_000.0)
    assert trade.r == pytest.approx(net / (qty * 3_000.0))
    assert book.value() == pytest.approx(net)
    assert book.result_since_asked(10_000.0) == pytest.approx((net + fee) / 10_000.0)
    assert book.closed() == []


def test_the_other_side_closes_first() -> None:
    """A wish for the other side closes as FLIP; the side opens at a later decision."""
    book = _book()
    _flat_bar(book, 0, 40_000.0)
    book.want(np.array([0.1]), np.array([500.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0)
    book.want(np.array([-0.1]), np.array([500.0]), 10_000.0)
    _flat_bar(book, 2, 40_000.0)
    assert (book.sides[0], book.shares[0], bool(book.waits[0])) == (0.0, 0.0, False)
    assert [one.exit for one in book.closed()] == ["FLIP"]
    book.want(np.array([-0.1]), np.array([500.0]), 10_000.0)
    _flat_bar(book, 3, 40_000.0)
    assert (book.sides[0], book.shares[0]) == (-1.0, -0.1)


def test_nan_keeps_and_the_same_share_does_nothing() -> None:
    """HOLD and the share that is held send nothing."""
    book = _book()
    _flat_bar(book, 0, 40_000.0)
    for share in (math.nan, 0.0):
        book.want(np.array([share]), np.array([500.0]), 10_000.0)
        assert not book.waits[0]
    book.want(np.array([0.1]), np.array([500.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0)
    for share in (math.nan, 0.1):
        book.want(np.array([share]), np.array([500.0]), 20_000.0)
        assert not book.waits[0]


def test_funding_of_absent_bars_is_charged_at_the_next_open() -> None:
    """Two rates while a symbol has no bars are charged at the open that follows, as at the paper venue."""
    book = _book()
    _flat_bar(book, 0, 40_000.0)
    book.want(np.array([-0.1]), np.array([500.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0)
    before, qty = book.value(), book.position_rows[0, 0]
    _flat_bar(book, 2, 1.0, rates=0.001, present=False)
    assert book.value() == before
    _flat_bar(book, 3, 40_400.0, rates=0.002)
    assert book.value() - before == pytest.approx(qty * 400.0 - qty * 40_400.0 * 0.003)


def test_a_hole_ends_a_position_at_the_last_close() -> None:
    """The trade ends as HOLE with the close of the last bar as its time; an order that waits is dropped."""
    book = _book(2)
    _flat_bar(book, 0, 40_000.0)
    book.want(np.array([0.1, np.nan]), np.array([500.0, 500.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0)
    book.want(np.array([0.2, 0.1]), np.array([500.0, 500.0]), 10_000.0)
    book.before_hole(0, START + INTERVAL_NS)
    book.before_hole(1, START + INTERVAL_NS)
    (trade,) = book.closed()
    assert (trade.exit, trade.place, trade.exit_ns) == ("HOLE", 0, START + 2 * INTERVAL_NS)
    assert not book.waits.any()
    assert not book.sides.any()


def test_own_features_are_those_of_the_position() -> None:
    """Side, size, open R, bars held and stop distance at the last close; what is the account's is left alone."""
    book = _book(2, observed=2)
    _flat_bar(book, 0, 40_000.0)
    book.want(np.array([-0.1, np.nan]), np.array([500.0, 500.0]), 10_000.0)
    _flat_bar(book, 1, 40_000.0)
    _flat_bar(book, 2, 39_000.0)
    own = np.full((2, OWN_SIZE), 7.0)
    book.own_into(own, START + 3 * INTERVAL_NS, 10_000.0)
    qty = abs(book.position_rows[0, 0])
    assert own[0, :5] == pytest.approx([-1.0, qty * 3.9, 1_000.0 / 1_500.0, 1.0, 2_500.0 / 39_000.0])
    assert own[1, :5].tolist() == [0.0] * 5
    assert (own[:, 5:] == 7.0).all()
    assert book.exposure(10_000.0) == pytest.approx(qty * 3.9)


def test_a_restored_book_goes_on_to_the_bit() -> None:
    """State and restart in the middle give the arrays of an uninterrupted book."""
    one = sequence(5)
    books = [ShadowPositions([one.instrument], one.settings, INTERVAL_NS, INTERVAL_NS) for _ in range(2)]
    for bar in range(80):
        if bar == 40:
            fresh = ShadowPositions([one.instrument], one.settings, INTERVAL_NS, INTERVAL_NS)
            fresh.load_state(books[1].state())
            books[1] = fresh
        for book in books:
            book.take(
                int(one.ts[bar]), np.array([[*one.ohlc[bar], 1.0]]), np.ones(1, dtype=np.bool_),
                one.cost_bps[bar : bar + 1], one.funding_rate[bar : bar + 1],
            )
            book.want(np.array([ACTION_SHARES[one.actions[bar]]]), one.atr[bar : bar + 1], one.equity)
    assert books[0].value() == books[1].value()
    assert books[0].closed() == books[1].closed()
    assert np.array_equal(books[0].position_rows, books[1].position_rows)


def test_a_state_of_other_symbols_is_refused() -> None:
    """The error names both lists."""
    with pytest.raises(StateError, match=r"saved with \['BTCUSDT'\], here are \['BTCUSDT', 'ETHUSDT'\]"):
        _book(2).load_state(_book(1).state())


def test_a_setting_out_of_range_is_refused() -> None:
    """The message names the setting and its value."""
    with pytest.raises(ConfigError, match=r"pilot.positions.stop_atr = 0.0: must be between 0.1 and 20"):
        PositionSettings(stop_atr=0.0)
