"""Shadow trades: entry at the next open with costs, stop before target, gaps at the open, a day at most."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.signals.shadow import (
    MAX_OPEN,
    SHADOW_HOLE,
    SHADOW_STOP,
    SHADOW_TARGET,
    SHADOW_TIMEOUT,
    ShadowBook,
    shadow_exit,
    shadow_fill,
    shadow_net,
)

FREE = np.zeros(1)


def bar(hour: float, open_: float, high: float, low: float, close: float, present: bool = True) -> MarketBatch:
    """One symbol's hourly bar."""
    return MarketBatch(
        int(hour * NS_PER_HOUR), NS_PER_HOUR, np.array([[open_, high, low, close, 1.0]]), np.array([present])
    )


def book_with(sign: int, fee_bps: float = 0.0, range_bps: float = 0.0) -> ShadowBook:
    """A book with one waiting shadow: risk 2.0, target 4.0 away; without costs unless they are given."""
    book = ShadowBook(1, NS_PER_HOUR, fee_bps, range_slippage_bps=range_bps)
    assert book.open(0, 7, sign, 2.0, 1.0, 2.0)
    return book


@pytest.mark.parametrize(
    ("sign", "bars", "r", "code"),
    [
        (1, [(100.0, 101.0, 97.5, 98.0)], -1.0, SHADOW_STOP),  # in its first bar
        (1, [(100.0, 105.0, 97.5, 104.0)], -1.0, SHADOW_STOP),  # both touched: the stop came first
        (1, [(100.0, 104.0, 99.0, 104.0)], 2.0, SHADOW_TARGET),
        (1, [(100.0, 101.0, 99.0, 100.0), (96.0, 105.0, 95.0, 104.0)], -2.0, SHADOW_STOP),  # gap through the stop
        (1, [(100.0, 101.0, 99.0, 100.0), (106.0, 107.0, 105.0, 106.0)], 3.0, SHADOW_TARGET),  # gap beyond the target
        (-1, [(100.0, 102.5, 99.0, 102.0)], -1.0, SHADOW_STOP),
        (-1, [(100.0, 101.0, 95.5, 96.0)], 2.0, SHADOW_TARGET),
        (-1, [(100.0, 101.0, 99.0, 100.0), (104.0, 104.0, 103.0, 104.0)], -2.0, SHADOW_STOP),
    ],
)
def test_exits(sign: int, bars: list[tuple[float, float, float, float]], r: float, code: int) -> None:
    """Without costs the result is the move over the risk."""
    book = book_with(sign)
    made = [book.on_bar(bar(i, *prices), FREE) for i, prices in enumerate(bars)]
    assert made == [0] * (len(bars) - 1) + [1]
    np.testing.assert_allclose(book.resolved[0, :5], [0.0, 7.0, r, code, len(bars)])
    assert book.open_count(0) == 0


def test_both_sides_pay_cost_and_fee() -> None:
    """Entry 100.1, target 104.1 filled at 103.9959, fees 5 bps of both, over a risk of 2."""
    book = book_with(1, fee_bps=5.0)
    assert book.on_bar(bar(0, 100.0, 105.0, 99.0, 104.0), np.array([10.0])) == 1
    fill = 104.1 * 0.999
    expected = (fill - 100.1 - (100.1 + fill) * 0.0005) / 2.0
    assert book.resolved[0, 2] == pytest.approx(expected, rel=1e-12)


def test_a_shadow_pays_for_the_range_of_the_bars_it_fills_in() -> None:
    """In hourly bars 1 % of range costs 1 bp: 4 at the entry, 6 at the exit."""
    book = book_with(1, range_bps=50.0)
    assert book.on_bar(bar(0, 100.0, 103.0, 99.0, 101.0), FREE) == 0  # 4 bps: entry 100.04
    assert book.on_bar(bar(1, 100.0, 105.0, 99.0, 104.0), FREE) == 1  # 6 bps off the target at 104.04
    assert book.resolved[0, 2] == pytest.approx((104.04 * (1.0 - 6e-4) - 100.04) / 2.0, rel=1e-12)


def test_a_shadow_closes_after_24_hours() -> None:
    """After 24 hourly bars it closes at the close."""
    book = book_with(1)
    made = [book.on_bar(bar(i, 100.0, 101.0, 99.0, 100.5), FREE) for i in range(24)]
    assert made == [0] * 23 + [1]
    np.testing.assert_allclose(book.resolved[0, :5], [0.0, 7.0, 0.25, SHADOW_TIMEOUT, 24.0])


def test_a_shadow_enters_at_its_symbols_next_bar() -> None:
    """An outage postpones the entry."""
    book = book_with(1)
    assert book.on_bar(bar(0, 50.0, 50.0, 50.0, 50.0, present=False), FREE) == 0
    assert book.on_bar(bar(1, 100.0, 104.5, 99.0, 104.0), FREE) == 1
    assert book.resolved[0, 2] == 2.0


@pytest.mark.parametrize("by_driver", [True, False])
def test_a_hole_closes_at_the_last_close(by_driver: bool) -> None:
    """Closed by the driver before the hole or by the book after it, the result is the same."""
    book = book_with(1)
    book.on_bar(bar(0, 100.0, 101.0, 99.0, 101.0), FREE)
    late = bar(26, 50.0, 51.0, 49.0, 50.0)
    made = book.close_before_hole(0) if by_driver else book.on_bar(late, FREE)
    assert made == 1
    np.testing.assert_allclose(book.resolved[0, :5], [0.0, 7.0, 0.5, SHADOW_HOLE, 1.0])


def test_a_waiting_shadow_does_not_enter_across_a_hole() -> None:
    """Its signal is outdated; it is dropped and counted."""
    book = ShadowBook(1, NS_PER_HOUR, 5.0)
    book.on_bar(bar(0, 100.0, 101.0, 99.0, 101.0), FREE)
    book.open(0, 1, 1, 2.0, 1.0, 2.0)
    late = bar(26, 50.0, 51.0, 10.0, 50.0)
    assert book.on_bar(late, FREE) == 0
    assert (book.open_count(0), int(book.dropped[0])) == (0, 1)


def test_overflow_is_counted() -> None:
    """The 65th is refused and counted; the 64 resolve in one bar in their order."""
    book = ShadowBook(1, NS_PER_HOUR, 5.0)
    assert [book.open(0, k, 1, 2.0, 1.0, 2.0) for k in range(MAX_OPEN + 1)] == [True] * MAX_OPEN + [False]
    assert int(book.overflow[0]) == 1
    assert book.on_bar(bar(0, 100.0, 100.0, 90.0, 95.0), FREE) == MAX_OPEN
    np.testing.assert_array_equal(book.resolved[:, 1], np.arange(MAX_OPEN))


def test_state_continues() -> None:
    """A restored book resolves as the first would; a foreign state is refused."""
    book = book_with(-1)
    book.on_bar(bar(0, 100.0, 101.0, 99.0, 100.0), FREE)
    copy = ShadowBook(1, NS_PER_HOUR, 0.0, range_slippage_bps=0.0)
    copy.load_state(book.state())
    assert copy.on_bar(bar(1, 100.0, 100.0, 95.0, 95.0), FREE) == 1
    assert copy.resolved[0, 2] == 2.0
    with pytest.raises(StateError, match="shadow state"):
        ShadowBook(2, NS_PER_HOUR, 5.0).load_state(book.state())


@pytest.mark.parametrize(
    ("key", "values"),
    [("sign", (0, 1.0, 1.0, 1.0)), ("atr", (1, float("nan"), 1.0, 1.0)), ("stop_atr", (1, 1.0, 0.0, 1.0))],
)
def test_bad_input_names_its_key(key: str, values: tuple[int, float, float, float]) -> None:
    """A shadow without risk is refused."""
    with pytest.raises(InputError, match=key):
        ShadowBook(1, NS_PER_HOUR, 5.0).open(0, 1, *values)


def test_the_compiled_book_is_the_scalar_core() -> None:
    """Random bars through the book give what the plain functions give one shadow at a time."""
    rng = np.random.Generator(np.random.PCG64(4))
    for case in range(40):
        sign, cost = (1, -1)[case % 2], float(rng.uniform(0.0, 8.0))
        closes = 100.0 + np.cumsum(rng.normal(0.0, 1.0, 30))
        book, entry, found = book_with(sign, fee_bps=4.0), 0.0, None
        for i in range(24):
            open_, close = float(closes[i]), float(closes[i + 1])
            high, low = max(open_, close) + 0.3, min(open_, close) - 0.3
            entry = entry or open_ * (1.0 + sign * cost / 10_000.0)
            level, code = shadow_exit(sign, entry - sign * 2.0, entry + sign * 4.0, open_, high, low, close, i == 23)
            made = book.on_bar(bar(i, open_, high, low, close), np.array([cost]))
            assert made == (code >= 0)
            if made:
                found = (shadow_net(sign, entry, shadow_fill(sign, level, cost), 4.0, 0.0) / 2.0, code)
                break
        assert found == (book.resolved[0, 2], book.resolved[0, 3])
