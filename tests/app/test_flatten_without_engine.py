"""Closing everything without an engine: what may open goes first, stops go last, and doubt is asked about."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.fake_account import FakeAccount, order, protected_account

from quantum_trader.app.runs.flatten import DirectAction, FlattenResult, flatten_account
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.ids import closing_order_id


def flatten(account: FakeAccount, deadline_s: float = 120.0) -> tuple[FlattenResult, list[DirectAction]]:
    """Flatten *account* on its virtual clock."""
    steps: list[DirectAction] = []
    result = asyncio.run(
        flatten_account(account, account.now_ns, steps.append, deadline_s=deadline_s, pause=account.pause)
    )
    return result, steps


def at(account: FakeAccount, what: str, which: str) -> int:
    """Where in the account's log *what* happened to *which*."""
    return next(i for i, (kind, name, _) in enumerate(account.log) if (kind, name) == (what, which))


def test_everything_is_closed_openings_first_and_stops_last() -> None:
    """Flat at the end; no stop or target went before its position was closed; manual orders go as well."""
    account = protected_account()
    result, steps = flatten(account)
    assert result.flat
    assert not any(account.held.values())
    assert account.resting == {}
    assert set(result.closed) == {"AAAUSDT", "BBBUSDT"}
    assert result.cancelled == 5
    assert at(account, "cancel", "qt-stop-a") > at(account, "close", "AAAUSDT")
    assert at(account, "cancel", "qt-stop-b") > at(account, "close", "BBBUSDT")
    assert at(account, "cancel", "qt-open") < at(account, "cancel", "qt-stop-a")
    assert steps[0].step == "begin"
    assert steps[-1].step == "flat"


def test_a_closing_order_is_on_record_before_it_is_sent() -> None:
    """Each send has its client id, signed quantity and comes before its answer."""
    account = FakeAccount(held={"AAAUSDT": 2.0, "BBBUSDT": -0.5})
    _, steps = flatten(account)
    sent = {step.symbol: step for step in steps if step.step == "send"}
    assert sent["AAAUSDT"].qty == -2.0
    assert sent["BBBUSDT"].qty == 0.5
    for symbol, step in sent.items():
        assert step.client_order_id.startswith("qt-")
        answers = [i for i, one in enumerate(steps) if one.step == "answer" and one.symbol == symbol]
        assert steps.index(step) < answers[0]


def test_a_lost_order_is_asked_for_and_sent_again_only_after_the_receive_window() -> None:
    """It is unknown whether the first order arrived: the second one is sent after five seconds of "not found"."""
    account = FakeAccount(held={"AAAUSDT": 2.0}, faults={"submit_order": ["lost"]})
    result, steps = flatten(account)
    sent = [step for step in steps if step.step == "send"]
    assert result.flat
    assert len(sent) == 2
    assert sent[0].client_order_id != sent[1].client_order_id
    assert sent[1].ts_ns - sent[0].ts_ns > 5_000_000_000
    assert account.calls["get_order"] >= 1


def test_an_order_whose_answer_was_lost_is_not_sent_twice() -> None:
    """It had filled: one close, learned by asking."""
    account = FakeAccount(held={"AAAUSDT": 2.0}, faults={"submit_order": ["late"]})
    result, steps = flatten(account)
    assert result.flat
    assert [step.step for step in steps].count("send") == 1
    assert account.log == [("close", "AAAUSDT", 2.0)]


def test_a_venue_that_is_busy_is_left_alone_as_long_as_it_wants() -> None:
    """Retry-After is waited out, and nothing counts as sent."""
    account = FakeAccount(
        held={"AAAUSDT": 1.0},
        faults={"open_orders": [VenueUnavailable("429", 7.0)], "submit_order": [VenueUnavailable("429", 3.0)]},
    )
    result, _ = flatten(account)
    assert result.flat
    assert account.waited >= 10.0
    assert account.calls["submit_order"] == 2


def test_a_position_too_large_for_one_order_is_closed_in_parts() -> None:
    """The venue's largest market order is found by halving."""
    account = FakeAccount(held={"AAAUSDT": 10.0}, largest=3.0)
    result, _ = flatten(account)
    assert result.flat
    assert sum(size for kind, _, size in account.log if kind == "close") == pytest.approx(10.0)


def test_a_position_that_cannot_be_closed_keeps_its_stop() -> None:
    """A halted symbol: not flat in time, exit told, and the stop still rests; the other symbol is done."""
    account = protected_account()
    account.faults["submit_order"] = ["-4108 symbol is in settlement"] * 500
    account.held["BBBUSDT"] = 0.0
    result, _ = flatten(account, deadline_s=60.0)
    assert not result.flat
    assert [held.symbol for held in result.positions] == ["AAAUSDT"]
    assert {"qt-stop-a", "qt-target-a"} <= set(account.resting)
    assert not {"qt-open", "manual"} & set(account.resting)
    assert account.calls["submit_order"] < 60


def test_a_venue_that_never_answers_ends_at_the_deadline() -> None:
    """The result states the last error and does not claim that the account is flat."""
    account = FakeAccount(held={"AAAUSDT": 1.0}, faults={"open_orders": [VenueError("no route")] * 500})
    result, steps = flatten(account, deadline_s=30.0)
    assert not result.flat
    assert "no route" in result.text
    assert steps[-1].step == "left"


def test_an_order_the_dead_process_had_sent_may_still_arrive() -> None:
    """A position that appears after everything looked flat, inside the receive window, is closed too."""
    account = FakeAccount(held={})
    seen = []

    def arrive() -> None:
        seen.append(account.now)
        if len(seen) == 2:
            account.held["BBBUSDT"] = 1.0

    account.on_look = arrive
    result, _ = flatten(account)
    assert result.flat
    assert account.log == [("close", "BBBUSDT", 1.0)]
    assert account.waited >= 4.5


def test_a_stop_of_somebody_else_that_could_open_a_position_goes_once_it_protects_nothing() -> None:
    """Not reduce-only, on the losing side: it stays while there is a position, and goes after."""
    account = FakeAccount(held={"AAAUSDT": 1.0})
    account.resting["manual-stop"] = order(
        "manual-stop", "AAAUSDT", OrderSide.SELL, OrderType.STOP_MARKET, 1.0, reduce_only=False, stop_price=90.0
    )
    result, _ = flatten(account)
    assert result.flat
    assert at(account, "cancel", "manual-stop") > at(account, "close", "AAAUSDT")


def test_a_reduce_only_limit_order_is_in_the_way_and_goes_first() -> None:
    """It is no stop, and takes from what a closing order may close."""
    account = FakeAccount(held={"AAAUSDT": 1.0})
    account.resting["limit"] = order("limit", "AAAUSDT", OrderSide.SELL, OrderType.LIMIT, 1.0)
    account.faults["submit_order"] = ["-2022 ReduceOnly Order is rejected."]
    result, _ = flatten(account)
    assert result.flat
    assert account.log[0] == ("cancel", "limit", 1.0)


def test_ids_are_of_the_venues_form_and_their_own() -> None:
    """At most 36 characters, another for each symbol, attempt and start."""
    ids = {closing_order_id(start, symbol, n) for start in (1, 2) for symbol in ("A", "B") for n in range(3)}
    assert len(ids) == 12
    assert all(len(one) == 23 and one.startswith("qt-") for one in ids)


FAULTS = st.lists(
    st.sampled_from(["", "lost", "late", "-4108 halted", "unavailable", "unknown", "error"]), max_size=6
)


@given(
    st.dictionaries(st.sampled_from(["AAAUSDT", "BBBUSDT"]), st.sampled_from([-3.0, -0.001, 0.5, 7.0])),
    FAULTS, FAULTS, FAULTS, st.sampled_from([0.4, 1e9]),
)
def test_whatever_goes_wrong_it_ends_flat_and_never_opens(
    held: dict[str, float], submits: list[str], cancels: list[str], looks: list[str], largest: float
) -> None:
    """Lost, late, refused and failing requests: flat at the end, closed once in sum, stops never before positions."""
    errors = {"unavailable": VenueUnavailable("x"), "unknown": OutcomeUnknown("x"), "error": VenueError("x")}

    def plan(names: list[str]) -> list[Exception | str]:
        return [errors.get(name, name) for name in names]

    account = protected_account()
    account.held, account.largest = dict(held), largest
    account.faults = {
        "submit_order": plan(submits), "cancel_order": plan([n for n in cancels if not n.startswith("-")]),
        "get_positions": [errors[name] for name in looks if name in errors], "get_order": plan(
            [name for name in looks if name in errors]
        ),
    }
    result, _ = flatten(account, deadline_s=600.0)
    assert result.flat
    assert account.resting == {}
    for symbol, qty in held.items():
        assert account.held[symbol] == 0.0
        assert sum(size for kind, name, size in account.log if (kind, name) == ("close", symbol)) == pytest.approx(
            abs(qty)
        )
        stop = f"qt-stop-{symbol[0].lower()}"
        side = OrderSide.SELL if symbol == "AAAUSDT" else OrderSide.BUY
        if (qty > 0.0) == (side is OrderSide.SELL):
            last = max(i for i, (kind, name, _) in enumerate(account.log) if (kind, name) == ("close", symbol))
            assert at(account, "cancel", stop) > last


class CoarseAccount(FakeAccount):
    """Takes hundredths alone, as a venue that has changed a symbol's step."""

    def instrument(self, symbol: str) -> Instrument:
        """The filters in force."""
        return msgspec.structs.replace(super().instrument(symbol), step_size=0.01, min_qty=0.01)

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Refuse what is no multiple."""
        if abs(request.qty * 100.0 - round(request.qty * 100.0)) > 1e-9:
            return self._update(request, OrderStatus.REJECTED, "-1111 Precision is over the maximum.")
        return await super().submit_order(request)


def test_a_position_that_is_no_multiple_of_the_step_is_closed() -> None:
    """0.015 and 0.004 in hundredths: reduce-only orders of a step more leave nothing and open nothing."""
    account = CoarseAccount(held={"AAAUSDT": 0.015, "BBBUSDT": -0.004})
    result = asyncio.run(flatten_account(account, account.now_ns, lambda step: None, pause=account.pause))
    assert result.flat
    assert sorted(entry for entry in account.log if entry[0] == "close") == [
        ("close", "AAAUSDT", 0.015), ("close", "BBBUSDT", 0.004),
    ]
