"""Authentication: API keys, HMAC-SHA256 signatures and the receive window, checked as Binance checks them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.params import number, whole

_SIGNATURE: Final = re.compile(r"(?:^|&)signature=([^&]*)")
_DEFAULT_WINDOW_MS: Final = 5_000
_LARGEST_WINDOW_MS: Final = 60_000
_AHEAD_MS: Final = 1_000  # how far a client's clock may run ahead


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair and its permissions."""

    key: str
    secret: str
    trading: bool = True
    withdrawals: bool = False

    def __repr__(self) -> str:
        return f"ApiKey({self.key[:4]}...)"


def parsed(query: str, body: str) -> dict[str, str]:
    """Parameters of the query string and a form body together."""
    return dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))


class Signing:
    """The venue's API keys, and the checks of signed requests."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self.keys = {key.key: key for key in keys}

    def key_of(self, header: str) -> ApiKey:
        """The key named in X-MBX-APIKEY: -2014 when it is no key, -2015 when it is not known."""
        if not header or not re.fullmatch(r"[A-Za-z0-9]{16,128}", header):
            raise VenueApiError(-2014)
        found = self.keys.get(header)
        if found is None:
            raise VenueApiError(-2015)
        return found

    def check(self, key: ApiKey, query: str, body: str, params: Mapping[str, str], server_ms: int) -> None:
        """Check the signature over the exact query string and body (-1022), then the time (-1021)."""
        given = params.get("signature", "")
        if not given:
            raise VenueApiError(-1102, "signature")
        payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
        if not _same(_sign(key.secret, payload.lstrip("&")), given.lower()):
            raise VenueApiError(-1022)
        check_time(params, server_ms)

    def check_frame(self, key: ApiKey, params: Mapping[str, object], server_ms: int) -> None:
        """The same for a WebSocket request, whose payload is its sorted parameters."""
        given = str(params.get("signature", ""))
        if not given:
            raise VenueApiError(-1102, "signature")
        payload = "&".join(f"{name}={_text(params[name])}" for name in sorted(params) if name != "signature")
        if not _same(_sign(key.secret, payload), given.lower()):
            raise VenueApiError(-1022)
        check_time({name: _text(value) for name, value in params.items()}, server_ms)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(ours: str, given: str) -> bool:
    return hmac.compare_digest(ours.encode(), given.encode(errors="replace"))


def _sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def check_time(params: Mapping[str, str], server_ms: int) -> None:
    """-1102 without a usable timestamp, -1021 when it lies outside the receive window."""
    sent = whole(params, "timestamp", high=10**20)
    window = int(number(params, "recvWindow", _DEFAULT_WINDOW_MS))
    if not 0 < window <= _LARGEST_WINDOW_MS:
        raise VenueApiError(-1131, message="recvWindow must be less than 60000.")
    if sent >= server_ms + _AHEAD_MS:
        raise VenueApiError(-1021, message="Timestamp for this request was 1000ms ahead of the server's time.")
    if server_ms - sent > window:
        raise VenueApiError(-1021)
