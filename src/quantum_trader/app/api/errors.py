"""The one error format of the API: ``{"error": {"code": "not_found", "message": "..."}}``."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import QuantumTraderError, StateError, VenueError
from quantum_trader.policy.policy_store import StaleVersionError

CODES: Final = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "timeout", 409: "conflict", 413: "too_large", 415: "unsupported_media_type", 421: "unknown_host",
    429: "too_many_requests",
    500: "internal_error", 503: "unavailable",
}


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong: *code* for programs, *message* for people, naming the key, the value and what to do."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Every answer that is no success."""

    error: ErrorBody


class ApiError(Exception):
    """A request that is refused with the HTTP *status*; *retry_after_s* is when to try again, 0 for never."""

    def __init__(self, status: int, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


def error_content(status: int, message: str) -> bytes:
    """The body of an answer with the HTTP *status*."""
    return msgspec.json.encode(ErrorAnswer(ErrorBody(CODES.get(status, CODES[400]), message)))


def as_api_error(error: Exception) -> ApiError:
    """*error* with its HTTP status: 400 for a bad value, 409 for one out of date, 503 where nothing can be read."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StaleVersionError):
        return ApiError(409, str(error))
    if isinstance(error, (StateError, VenueError)):
        return ApiError(503, str(error))
    if isinstance(error, QuantumTraderError):
        return ApiError(400, str(error))
    if isinstance(error, OSError):
        return ApiError(503, f"{error.filename or 'the disk'}: {error.strerror or error}")
    return ApiError(500, "the program failed on this request; its log has the traceback")
