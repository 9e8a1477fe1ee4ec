"""Priorities near a request limit: queries stop first, reducing requests last."""

from __future__ import annotations

import pytest

from quantum_trader.domain.errors import VenueUnavailable
from quantum_trader.venues.binance.limits import Priority, RequestBudget, retry_after


class Watch:
    """A clock that moves by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def spent(budget: RequestBudget, weight: int) -> None:
    """The venue says that *weight* is used."""
    budget.admit(Priority.REDUCING, 1)
    budget.complete(1, {"X-MBX-USED-WEIGHT-1M": str(weight)})


@pytest.mark.parametrize(
    ("used", "may"),
    [
        (1600, {Priority.QUERY, Priority.OPENING, Priority.REDUCING}),
        (1700, {Priority.OPENING, Priority.REDUCING}),
        (2100, {Priority.REDUCING}),
        (5000, {Priority.REDUCING}),
    ],
)
def test_queries_stop_first_then_openings_and_reducing_never(used: int, may: set[Priority]) -> None:
    """70 % of the weights are for queries, 85 % for openings, all and more for reducing."""
    budget = RequestBudget(Watch())
    spent(budget, used)

    assert {priority for priority in Priority if budget.wait_s(priority, 5) == 0.0} == may


def test_a_new_minute_is_a_new_budget() -> None:
    """A request is admitted after the stated wait."""
    watch = Watch()
    budget = RequestBudget(watch)
    spent(budget, 2400)
    with pytest.raises(VenueUnavailable, match="limit") as caught:
        budget.admit(Priority.QUERY, 1)

    watch.s += caught.value.retry_after_s
    budget.admit(Priority.QUERY, 1)

    assert budget.used_weight == 0


def test_requests_under_way_count() -> None:
    """Twenty concurrent requests do not each use the same free weight."""
    budget = RequestBudget(Watch(), weight_limit=100)
    for _ in range(7):
        budget.admit(Priority.QUERY, 10)

    assert budget.wait_s(Priority.QUERY, 10) > 0.0


def test_orders_are_counted_apart() -> None:
    """Ten seconds' orders near their limit hold openings back, for what is left of the ten seconds."""
    watch = Watch()
    budget = RequestBudget(watch)
    budget.admit(Priority.OPENING, 0)
    budget.complete(0, {"X-MBX-ORDER-COUNT-10S": "280", "X-MBX-ORDER-COUNT-1M": "300"})
    watch.s += 4.0

    assert budget.wait_s(Priority.OPENING, 0) == pytest.approx(6.0)
    assert budget.wait_s(Priority.REDUCING, 0) == 0.0
    assert budget.wait_s(Priority.QUERY, 1) == 0.0


def test_after_a_429_reducing_goes_on_at_a_pace() -> None:
    """One a second, so that the warning does not become a ban; other requests wait for the venue's pause."""
    watch = Watch()
    budget = RequestBudget(watch)
    budget.back_off(429, 30.0)

    assert budget.wait_s(Priority.OPENING, 0) == pytest.approx(30.0)
    assert budget.wait_s(Priority.REDUCING, 0) == pytest.approx(1.0)
    watch.s += 1.0
    budget.admit(Priority.REDUCING, 0)
    assert budget.wait_s(Priority.REDUCING, 0) == pytest.approx(1.0)
    watch.s += 29.0
    assert budget.wait_s(Priority.QUERY, 1) == 0.0


def test_a_418_stops_everything_until_it_ends() -> None:
    """Reducing too: every further request makes the ban longer."""
    watch = Watch()
    budget = RequestBudget(watch)
    budget.back_off(418, 90.0)

    with pytest.raises(VenueUnavailable, match="bans this address") as caught:
        budget.admit(Priority.REDUCING, 0)
    watch.s += 90.0

    assert caught.value.retry_after_s == pytest.approx(90.0)
    assert budget.wait_s(Priority.QUERY, 1) == 0.0


def test_how_long_is_read_from_the_header_or_from_the_text() -> None:
    """Retry-After in seconds, or the moment at which a ban ends."""
    ban = b'{"code":-1003,"msg":"Way too many requests; IP banned until 1795246492971."}'

    assert retry_after({"Retry-After": "17"}, b"", 0) == 17.0
    assert retry_after({}, ban, 1795246492971 - 5000) == 5.0
    assert retry_after({}, b"Too many requests", 0) == 0.0
    assert RequestBudget(Watch()).back_off(418, 0.0) == 120.0
