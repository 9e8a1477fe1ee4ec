"""Books move by fills and funding alone."""

from __future__ import annotations

import pytest

from quantum_trader.domain.enums import EXIT_CODES, ExitMode, ExitReason, OrderSide
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import Fill, FundingPayment
from quantum_trader.engine.books import Books, Plan


def plan(sign: int = 1) -> Plan:
    """A plan whose numbers are easy to follow."""
    return Plan(
        intent_id="i1", trace_id="tr1", sign=sign, leverage=10.0, atr=2.0, stop_atr=1.5, target_atr=3.0,
        breakeven_r=0.5, trail_atr=2.0, max_hours=36.0, exit_mode=0, confidence=0.55, policy_hash="", model="m",
        regime="RANGING NORMAL",
    )


def fill(side: OrderSide, qty: float, price: float, fee: float = 0.0, number: int = 1) -> Fill:
    """A taker's fill."""
    return Fill(
        fill_id=f"f{number}", client_order_id="c", symbol="BTCUSDT", side=side, qty=qty, price=price, fee=fee,
        liquidity="taker", ts_ns=number,
    )


def test_a_round_trip_changes_cash_by_pnl_less_fees_plus_funding() -> None:
    """Long 2 from 100 to 110, fees 1 and 1, funding -3: cash is up 15, and the trade says the same."""
    books = Books(1_000.0, 2)
    position = books.open_position("BTCUSDT", 0, plan(), fill(OrderSide.BUY, 2.0, 100.0, 1.0))
    position.first_stop = position.stop = 97.0
    books.pay_funding(FundingPayment(symbol="BTCUSDT", ts_ns=2, rate=0.01, mark_price=150.0, qty=2.0, amount=-3.0))
    position.exit_reason = ExitReason.TAKE_PROFIT
    last = fill(OrderSide.SELL, 2.0, 110.0, 1.0, 3)
    closed, flat = books.reduce(last)
    trade = books.close_trade(closed, last, "RANGING NORMAL", 0.0)
    assert flat
    assert books.cash == pytest.approx(1_015.0)
    assert trade.pnl == pytest.approx(15.0)
    assert trade.r_multiple == pytest.approx(15.0 / 6.0)
    assert not books.positions


@pytest.mark.parametrize(("mode", "by_score", "expected"), [
    (ExitMode.TREND_FOLLOW, False, "TREND_FOLLOW"), (ExitMode.FAST_TP, False, "FAST_TP"),
    (ExitMode.TREND_FOLLOW, True, "SCORE"), (ExitMode.FAST_TP, True, "SCORE_FAST_TP"),
    (ExitMode.DEFENSIVE_TRAIL, True, "SCORE_DEFENSIVE_TRAIL"),
])
def test_a_trade_says_how_its_exit_was_managed(mode: ExitMode, by_score: bool, expected: str) -> None:
    """A position that a model's score holds has no trailing stop, so that TREND_FOLLOW alone would be wrong of it."""
    books = Books(1_000.0, 2)
    planned = plan()
    planned.exit_mode, planned.by_score = EXIT_CODES.index(mode), by_score
    books.open_position("BTCUSDT", 0, planned, fill(OrderSide.BUY, 2.0, 100.0))
    last = fill(OrderSide.SELL, 2.0, 110.0, number=2)
    position, _ = books.reduce(last)

    assert books.close_trade(position, last, "", 0.0).exit_mode == expected


@pytest.mark.parametrize(("sign", "mark", "expected"), [(1, 105.0, 1_010.0), (-1, 105.0, 990.0), (-1, 90.0, 1_020.0)])
def test_equity_counts_what_is_not_realised(sign: int, mark: float, expected: float) -> None:
    """Equity is cash plus the open gain, mirrored for shorts."""
    books = Books(1_000.0, 2)
    side = OrderSide.BUY if sign > 0 else OrderSide.SELL
    books.open_position("BTCUSDT", 0, plan(sign), fill(side, 2.0, 100.0))
    assert books.equity([mark]) == pytest.approx(expected)


def test_partial_fills_average_the_entry_and_close_in_parts() -> None:
    """1 at 100 and 3 at 104 is 4 at 103; closing 1 leaves 3, the trade closes with the last part."""
    books = Books(1_000.0, 2)
    books.open_position("BTCUSDT", 0, plan(), fill(OrderSide.BUY, 1.0, 100.0))
    position = books.add(fill(OrderSide.BUY, 3.0, 104.0, number=2))
    assert (position.qty, position.entry_price) == (4.0, 103.0)
    position.first_stop = 100.0
    _, flat = books.reduce(fill(OrderSide.SELL, 1.0, 105.0, number=3))
    assert not flat
    last = fill(OrderSide.SELL, 3.0, 101.0, number=4)
    position, flat = books.reduce(last)
    assert flat
    assert books.close_trade(position, last, "", 0.0).exit_price == pytest.approx(102.0)
    assert books.cash == pytest.approx(1_000.0 + 2.0 - 6.0)


def test_a_fill_nobody_can_explain_halts_the_books() -> None:
    """A reduction without a position, or larger than it, is an error, never a new position."""
    books = Books(1_000.0, 2)
    with pytest.raises(StateError, match="do not have"):
        books.reduce(fill(OrderSide.SELL, 1.0, 100.0))
    books.open_position("BTCUSDT", 0, plan(), fill(OrderSide.BUY, 1.0, 100.0))
    with pytest.raises(StateError, match="exceeds the position"):
        books.reduce(fill(OrderSide.SELL, 2.0, 100.0))


def test_streaks_follow_closed_trades() -> None:
    """Three losses make a streak of 3; a win breaks it and is remembered until enough wins have followed."""
    books = Books(1_000.0, 2)
    for number, exit_price in enumerate((99.0, 99.0, 99.0, 101.0)):
        position = books.open_position("BTCUSDT", 0, plan(), fill(OrderSide.BUY, 1.0, 100.0, number=number))
        position.first_stop = 97.0
        last = fill(OrderSide.SELL, 1.0, exit_price, number=number)
        closed, _ = books.reduce(last)
        books.close_trade(closed, last, "", 0.0)
        if number == 2:
            assert (books.losing_streak, books.broken_streak) == (3, 0)
    assert (books.losing_streak, books.broken_streak, books.wins_since) == (0, 3, 1)


def test_saved_books_continue_with_the_same_positions() -> None:
    """What is put back equals what was taken out, positions and plans included."""
    books = Books(1_000.0, 2)
    books.open_position("BTCUSDT", 0, plan(-1), fill(OrderSide.SELL, 2.0, 100.0, 0.4))
    again = Books(1.0, 2)
    again.load_state(books.state())
    assert again.state() == books.state()
    assert again.equity([90.0]) == books.equity([90.0])


def test_a_trade_of_an_unknown_entry_price_closes() -> None:
    """Nothing is divided by an entry of 0.0, nor by the risk and the range that follow from it."""
    books = Books(1_000.0, 2)
    position = books.adopt("BTCUSDT", 0, plan(), 2.0, 0.0, 1)
    position.plan.atr = 0.0
    last = fill(OrderSide.SELL, 2.0, 110.0, number=3)
    closed, _ = books.reduce(last)
    trade = books.close_trade(closed, last, "RANGING NORMAL", 0.0)
    assert (trade.r_multiple, trade.stop_distance_pct, trade.stop_distance_atr) == (0.0, 0.0, 0.0)
