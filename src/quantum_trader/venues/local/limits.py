"""Rate limits: request weight a minute, orders a minute and in ten seconds, and the bans that follow."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.venues.local.api_errors import VenueApiError

_MINUTE_MS: Final = 60_000
_TEN_SECONDS_MS: Final = 10_000
_BAN_MS: Final = 120_000
_OFFENCES: Final = 10  # requests sent after a 429 that make it a 418


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Binance USD-M's usual limits."""

    weight_1m: int = 2_400
    orders_1m: int = 1_200
    orders_10s: int = 300


class Limits:
    """Counts of the current windows. Times are the wall's, in ms."""

    def __init__(self, settings: LimitSettings = LimitSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.banned_until_ms = 0
        self._windows: dict[str, tuple[int, int]] = {}
        self._offences = 0

    def _count(self, name: str, length_ms: int, now_ms: int, add: int) -> int:
        window = now_ms // length_ms
        known, used = self._windows.get(name, (window, 0))
        used = used + add if known == window else add
        self._windows[name] = (window, used)
        return used

    def spend(self, weight: int, now_ms: int) -> None:
        """Count a request; VenueApiError 429 or 418 when it is one too many."""
        if now_ms < self.banned_until_ms:
            raise VenueApiError(-1003, self.settings.weight_1m, status=418)
        if self._count("weight", _MINUTE_MS, now_ms, weight) <= self.settings.weight_1m:
            self._offences = 0
            return
        self._offences += 1
        if self._offences > _OFFENCES:
            self.banned_until_ms = now_ms + _BAN_MS
            raise VenueApiError(-1003, self.settings.weight_1m, status=418)
        raise VenueApiError(-1003, self.settings.weight_1m)

    def spend_order(self, now_ms: int) -> None:
        """Count an order; -1015 when it is one too many."""
        if self._count("orders_10s", _TEN_SECONDS_MS, now_ms, 1) > self.settings.orders_10s:
            raise VenueApiError(-1015, self.settings.orders_10s, "10 SECOND")
        if self._count("orders_1m", _MINUTE_MS, now_ms, 1) > self.settings.orders_1m:
            raise VenueApiError(-1015, self.settings.orders_1m, "1 MINUTE")

    def retry_after_s(self, now_ms: int) -> int:
        """Return how long to wait before the next request (s)."""
        if now_ms < self.banned_until_ms:
            return -(-(self.banned_until_ms - now_ms) // 1000)
        return -(-(_MINUTE_MS - now_ms % _MINUTE_MS) // 1000)

    def headers(self, now_ms: int, ordered: bool) -> dict[str, str]:
        """Return the headers with the used limits."""
        found = {"X-MBX-USED-WEIGHT-1M": str(self._count("weight", _MINUTE_MS, now_ms, 0))}
        if ordered:
            found["X-MBX-ORDER-COUNT-10S"] = str(self._count("orders_10s", _TEN_SECONDS_MS, now_ms, 0))
            found["X-MBX-ORDER-COUNT-1M"] = str(self._count("orders_1m", _MINUTE_MS, now_ms, 0))
        return found

    def described(self) -> list[dict[str, Any]]:
        """Return the limits as exchangeInfo lists them."""
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
             "limit": self.settings.weight_1m},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": self.settings.orders_1m},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.settings.orders_10s},
        ]

    def used(self, now_ms: int) -> list[dict[str, Any]]:
        """Return the limits with their counts, as the WebSocket API reports them."""
        counts = (
            self._count("weight", _MINUTE_MS, now_ms, 0), self._count("orders_1m", _MINUTE_MS, now_ms, 0),
            self._count("orders_10s", _TEN_SECONDS_MS, now_ms, 0),
        )
        return [row | {"count": count} for row, count in zip(self.described(), counts, strict=True)]
