"""Every answer of the venue means exactly one of: refused, certainly without effect, unknown, or no answer."""

from __future__ import annotations

import json
import re

import pytest
from tests.venues.binance.documented_errors import DOCUMENTED, SEEN

from quantum_trader.domain.errors import OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.venues.binance import errors
from quantum_trader.venues.local.api_errors import MESSAGES

REFUSED = [
    (400, -1102, "Mandatory parameter 'price' was not sent."), (400, -1111, "Precision is over the maximum."),
    (400, -1121, "Invalid symbol."), (400, -2011, "Unknown order sent."), (400, -2013, "Order does not exist."),
    (401, -2015, "Invalid API-key, IP, or permissions for action."), (400, -2019, "Margin is insufficient."),
    (400, -2021, "Order would immediately trigger."), (400, -2022, "ReduceOnly Order is rejected."),
    (400, -2027, "Exceeded the maximum allowable position at current leverage."), (400, -4003, "Quantity <= 0."),
    (400, -4014, "Price not increased by tick size."), (400, -4023, "Qty not increased by step size."),
    (400, -4116, "ClientOrderId is duplicated."), (400, -4120, "Order type not supported for this endpoint."),
    (400, -4130, "An open stop or take profit order with GTE and closePosition is existing."),
    (400, -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    (400, -4164, "Order's notional must be no smaller than 5."), (400, -1022, "Signature is not valid."),
]
NOT_EXECUTED = [
    (400, -1021, "Timestamp for this request is outside of the recvWindow."), (429, -1003, "Too many requests."),
    (418, -1003, "Way too many requests; IP banned until 1795246492971."), (429, -1015, "Too many new orders."),
    (503, -1008, "Request throttled by system-level protection."), (503, 0, "Service Unavailable."),
    (503, -1001, "Internal error; unable to process your request. Please try again."), (403, 0, "<html>WAF</html>"),
    (503, -1016, "This service is no longer available."),
    (503, 0, "Internal error; unable to process your request. Please try again."),
]
UNKNOWN = [
    (503, -1000, "Unknown error, please check your request or try again later."),
    (408, -1007, "Timeout waiting for response from backend server."), (500, -1006, "An unexpected response."),
    (503, 0, "Unknown error, please check your request or try again later."), (502, 0, "<html>Bad Gateway</html>"),
    (504, 0, ""), (500, 0, "Request occur unknown error."), (408, 0, ""),
]


def plain(text: str) -> str:
    """A message without what differs from one to the next: values, capitals, the last full stop."""
    return re.sub(r"%s|\{\}", "...", text).rstrip(".").lower()


@pytest.mark.parametrize("code", MESSAGES)
def test_the_local_venues_errors_are_the_documentations(code: int) -> None:
    """Each code means what the page says it does, in its words or in those the real venue was seen to use."""
    known = [DOCUMENTED[code][1]] if code in DOCUMENTED else []
    known += [SEEN[code]] if code in SEEN else []

    assert plain(MESSAGES[code]) in map(plain, known)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (errors.TIMESTAMP, "INVALID_TIMESTAMP"), (errors.UNKNOWN_CANCEL, "CANCEL_REJECTED"),
        (errors.NO_SUCH_ORDER, "NO_SUCH_ORDER"), (errors.NO_LISTEN_KEY, "INVALID_LISTEN_KEY"),
        (errors.MARGIN_TYPE_AS_IS, "NO_NEED_TO_CHANGE_MARGIN_TYPE"),
    ],
)
def test_codes_with_a_name_have_the_documented_one(code: int, name: str) -> None:
    """Error-code: what the adapter calls a code is what the page calls it."""
    assert DOCUMENTED[code][0] == name


def test_unknown_are_the_codes_whose_text_says_so() -> None:
    """The page calls an outcome unknown in so many words; no such code may be sent again as if nothing happened."""
    says_so = {code for code, (_, text) in DOCUMENTED.items() if "status unknown" in text}

    assert says_so <= errors.OUTCOME_UNKNOWN_CODES
    assert not errors.NOT_EXECUTED & errors.OUTCOME_UNKNOWN_CODES


def body(code: int, text: str) -> bytes:
    """An answer's body: JSON where there is a code, else the text alone."""
    return json.dumps({"code": code, "msg": text}).encode() if code else text.encode()


@pytest.mark.parametrize(("status", "code", "text"), REFUSED)
def test_a_refusal_is_a_value_that_begins_with_its_code(status: int, code: int, text: str) -> None:
    """Nothing happened at the venue; the caller decides."""
    refusal = errors.interpret(status, body(code, text), what="order qt-1", writes=True)

    assert refusal.code == code
    assert refusal.reason == f"{code} {text}"


@pytest.mark.parametrize(("status", "code", "text"), NOT_EXECUTED)
def test_answers_that_are_certainly_without_effect(status: int, code: int, text: str) -> None:
    """Documented failures may be sent again; the error carries the pause that the venue requests."""
    with pytest.raises(VenueUnavailable, match="order qt-1") as caught:
        errors.interpret(status, body(code, text), what="order qt-1", writes=True, retry_after_s=7.0)

    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(("status", "code", "text"), UNKNOWN)
def test_such_an_answer_leaves_an_order_unknown_and_a_query_repeatable(
    status: int, code: int, text: str
) -> None:
    """A writing request must be queried afterwards; a reading one changed nothing."""
    with pytest.raises(OutcomeUnknown, match="order qt-1"):
        errors.interpret(status, body(code, text), what="order qt-1", writes=True)
    with pytest.raises(VenueUnavailable):
        errors.interpret(status, body(code, text), what="GET order", writes=False)


def test_a_page_that_is_no_answer_is_an_error() -> None:
    """A 404 of something that is not this venue is neither refusal nor outage."""
    with pytest.raises(VenueError, match="not an answer of this venue's protocol") as caught:
        errors.interpret(404, b"<html>nothing here</html>", what="GET time", writes=False)

    assert type(caught.value) is VenueError


@pytest.mark.parametrize(
    ("name", "sent", "writes", "kind"),
    [
        ("RequestTimeout", True, True, OutcomeUnknown), ("RequestTimeout", True, False, VenueUnavailable),
        ("ExchangeNotAvailable", False, True, VenueUnavailable), ("ExchangeNotAvailable", True, True, OutcomeUnknown),
        ("DDoSProtection", True, True, VenueUnavailable), ("RateLimitExceeded", True, True, VenueUnavailable),
        ("OnMaintenance", True, True, VenueUnavailable), ("InvalidNonce", True, True, VenueUnavailable),
        ("AuthenticationError", False, True, VenueError), ("ExchangeError", True, True, VenueError),
        ("BadSymbol", True, True, VenueError), ("NotSupported", False, False, VenueError),
    ],
)
def test_exceptions_of_ccxt_lose_their_text_and_keep_their_meaning(
    name: str, sent: bool, writes: bool, kind: type[VenueError]
) -> None:
    """Their text may hold the signed request."""
    import ccxt

    error = getattr(ccxt, name)("POST order?signature=abcdef0123456789")

    found = errors.from_ccxt(error, what="order qt-1", writes=writes, sent=sent)

    assert type(found) is kind
    assert str(found) == f"order qt-1: {name}"
