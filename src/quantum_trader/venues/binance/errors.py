"""The outcome of a request by the venue's answer: refused, without effect, or unknown.

Sources: "General Info" (HTTP return codes) and "Error Codes" of Binance's USD-M futures documentation. A 4xx with a
code means that nothing happened; a 5xx of a request that writes leaves the outcome unknown, except for the texts and
codes that the documentation calls a certain failure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.json_text import UNREADABLE

TIMESTAMP: Final = -1021
TOO_LATE: Final = -5028  # ME_RECVWINDOW_REJECT: it reached the matching engine after its receive window
UNKNOWN_CANCEL: Final = -2011
NO_SUCH_ORDER: Final = -2013
NO_LISTEN_KEY: Final = -1125
KEY_REFUSED: Final = frozenset({-1002, -1022, -2008, -2014, -2015})
MARGIN_TYPE_AS_IS: Final = -4046

# The request certainly had no effect, and may be sent again.
NOT_EXECUTED: Final = frozenset(
    {
        -1001,  # DISCONNECTED: internal error; unable to process your request
        -1003,  # TOO_MANY_REQUESTS
        -1008,  # SERVER_BUSY: throttled by system-level protection
        -1015,  # TOO_MANY_ORDERS
        -1016,  # SERVICE_SHUTTING_DOWN
        TIMESTAMP,  # refused before it is processed
        TOO_LATE,
        -1034,  # too many connections
    }
)
# The outcome is unknown: query the order by client id.
OUTCOME_UNKNOWN_CODES: Final = frozenset({-1000, -1006, -1007})
_FAILED_TEXTS: Final = ("Service Unavailable.", "Internal error; unable to process your request. Please try again.")
_BACK_OFF: Final = frozenset({418, 429})
_FORBIDDEN: Final = 403  # the firewall in front of the venue


class VenueRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal by the venue: its code and text."""

    code: int
    message: str

    @property
    def reason(self) -> str:
        """The code, then the text, as in the reason of an OrderUpdate."""
        return f"{self.code} {self.message}".rstrip()


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str = ""


_decode_error = msgspec.json.Decoder(_ErrorBody, strict=False).decode


def interpret(status: int, body: bytes, *, what: str, writes: bool, retry_after_s: float = 0.0) -> VenueRefusal:
    """Return the refusal in an answer other than 2xx, or raise the error that it means.

    *what* names the request in the error; *writes*: whether the request could have changed something.
    Raises VenueUnavailable (certainly no effect), OutcomeUnknown, or VenueError (the query has no valid answer).
    """
    try:
        error = _decode_error(body)
    except UNREADABLE:
        error = _ErrorBody(code=0, msg="")
    text = f"{what}: HTTP {status}" + (f", {error.code} {error.msg}" if error.code else "")
    if status in _BACK_OFF or error.code in NOT_EXECUTED or status == _FORBIDDEN:
        raise VenueUnavailable(text, retry_after_s)
    if error.code in OUTCOME_UNKNOWN_CODES:
        raise OutcomeUnknown(text) if writes else VenueUnavailable(text, retry_after_s)
    if status >= 500:
        if not writes or error.msg in _FAILED_TEXTS or _plain(body) in _FAILED_TEXTS:
            raise VenueUnavailable(text, retry_after_s)
        raise OutcomeUnknown(text)
    if 400 <= status < 500 and error.code:
        return VenueRefusal(code=error.code, message=error.msg)
    if status == 408:
        raise OutcomeUnknown(text) if writes else VenueUnavailable(text, retry_after_s)
    raise VenueError(f"{text}: not an answer of this venue's protocol")


def _plain(body: bytes) -> str:
    return body[:200].decode(errors="replace").strip()


def from_ccxt(error: Exception, *, what: str, writes: bool, sent: bool) -> VenueError:
    """Return the VenueError for an exception of ccxt; its text is dropped, because it may hold the signed request."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = f"{what}: {type(error).__name__}"
    if not sent and "NetworkError" in kinds:
        return VenueUnavailable(text)
    if kinds & {"DDoSProtection", "RateLimitExceeded", "OnMaintenance", "InvalidNonce"}:
        return VenueUnavailable(text)
    if kinds & {"NetworkError", "OperationFailed"}:
        return OutcomeUnknown(text) if writes else VenueUnavailable(text)
    return VenueError(text)
