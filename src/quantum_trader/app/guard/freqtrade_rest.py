"""What the guard asks of a freqtrade over its REST API, and the locks that it writes there. HTTP Basic throughout.

A redirect is never followed and no proxy is used: user and password go to the address that was given, and nowhere else.
"""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from quantum_trader.domain.errors import ConfigError, VenueError, VenueUnavailable
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import MOST_SETTINGS, open_to_read

USER_VARIABLE: Final = "FREQTRADE__API_SERVER__USERNAME"  # the names that freqtrade itself reads
PASSWORD_VARIABLE: Final = "FREQTRADE__API_SERVER__PASSWORD"
_PREFIX: Final = "/api/v1"
_TIMEOUT_S: Final = 15.0
_MOST_BYTES: Final = 64 << 20
_T = TypeVar("_T")


class Credentials(msgspec.Struct, frozen=True):
    """User and password of freqtrade's API. The password is in no text of this object."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ***)"


class BotConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``show_config``."""

    bot_name: str
    stake_currency: str
    state: str
    runmode: str
    timeframe: str
    timeframe_ms: int
    position_adjustment_enable: bool = False
    force_entry_enable: bool = False


class RunningTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``status``; *profit_abs* is None where freqtrade has no price."""

    trade_id: int
    pair: str
    is_short: bool
    stake_amount: float
    profit_abs: float | None = None


class PastTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``trades``."""

    trade_id: int
    pair: str
    is_short: bool
    stake_amount: float
    close_timestamp: int | None = None
    close_profit_abs: float | None = None
    close_rate: float | None = None


class PairLock(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``locks``."""

    id: int
    pair: str
    lock_end_timestamp: int
    active: bool = True
    reason: str | None = None


class _Trades(msgspec.Struct, frozen=True):
    trades: list[PastTrade]


class _Whitelist(msgspec.Struct, frozen=True):
    whitelist: list[str]


class _Balance(msgspec.Struct, frozen=True):
    starting_capital: float


class _Profit(msgspec.Struct, frozen=True):
    profit_all_coin: float | None = None


class _Locks(msgspec.Struct, frozen=True):
    locks: list[PairLock]


class _Candles(msgspec.Struct, frozen=True):
    columns: list[str]
    data: list[list[Any]]


class FreqtradeRest:
    """The REST API of one freqtrade at *url*."""

    def __init__(self, url: str, credentials: Credentials, *, without_tls: bool = False) -> None:
        """ConfigError for an address that is none, or that would send the password in the clear."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"URL = {_shown(url)}: must be like http://127.0.0.1:8080")
        if parts.username is not None or parts.password is not None:
            raise ConfigError("URL: has a user or a password in it; give them in the environment, a file or the prompt")
        if parts.scheme == "http" and not _is_local(parts.hostname) and not without_tls:
            raise ConfigError(
                f"URL = {_shown(url)}: the password would travel unencrypted; give https://, or --without-tls where a "
                "VPN or an SSH tunnel encrypts"
            )
        self._is_tls, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base = parts.path.rstrip("/").removesuffix(_PREFIX) + _PREFIX
        pair = f"{credentials.user}:{credentials.password}".encode()
        self._authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
        self.name = f"{parts.scheme}://{parts.netloc}"

    def config(self) -> BotConfig:
        """How the bot is set up."""
        return self._get("show_config", BotConfig)

    def whitelist(self) -> list[str]:
        """The pairs that it may enter now."""
        return self._get("whitelist", _Whitelist).whitelist

    def open_trades(self) -> list[RunningTrade]:
        """Its open trades."""
        return self._get("status", list[RunningTrade])

    def closed_trades(self, limit: int) -> list[PastTrade]:
        """The *limit* trades that it closed last, oldest first."""
        found = self._get("trades", _Trades, limit=limit, order_by_id="false").trades
        return sorted(found, key=lambda one: (one.close_timestamp or 0, one.trade_id))

    def profit(self) -> float:
        """What all its trades have made, open ones included, in the stake currency.

        VenueError where freqtrade has no price for an open trade.
        """
        found = self._get("profit", _Profit).profit_all_coin
        if found is None:
            raise VenueError(f"{self.name}: profit_all_coin is not known; freqtrade has no price for an open trade")
        return found

    def starting_capital(self) -> float:
        """What the account would be worth without the profit of its trades.

        For seconds after an entry or an exit it is off by the trade's stake: freqtrade knows the trade before it has
        read its wallet again.
        """
        return self._get("balance", _Balance).starting_capital

    def locks(self) -> list[PairLock]:
        """The locks in force, whoever set them."""
        return self._get("locks", _Locks).locks

    def lock(self, pair: str, until: str, reason: str) -> list[PairLock]:
        """Lock *pair* for both sides until *until* (ISO 8601, UTC); returns the locks in force then."""
        body = [{"pair": pair, "until": until, "side": "*", "reason": reason}]
        return self._ask("POST", "locks", _Locks, body=body).locks

    def unlock(self, lock_id: int) -> None:
        """End one lock."""
        self._ask("DELETE", f"locks/{lock_id}", _Locks)

    def candles(self, pair: str, timeframe: str, limit: int) -> list[tuple[int, float, float, float]]:
        """The newest *limit* candles of *pair*: open (seconds since the epoch), high, low, close."""
        found = self._get("pair_candles", _Candles, pair=pair, timeframe=timeframe, limit=limit)
        try:
            places = [found.columns.index(name) for name in ("__date_ts", "high", "low", "close")]
            rows = [[row[place] for place in places] for row in found.data]
            return [(int(at) // 1000, float(high), float(low), float(close)) for at, high, low, close in rows]
        except (ValueError, TypeError, IndexError) as error:
            if not found.data:
                return []
            raise VenueError(f"{self.name}: pair_candles of {pair}: is not what freqtrade sends ({error})") from None

    def _get(self, path: str, kind: type[_T], **query: object) -> _T:
        return self._ask("GET", path, kind, query=query)

    def _ask(
        self, method: str, path: str, kind: type[_T], *, query: Mapping[str, object] | None = None,
        body: Sequence[Mapping[str, object]] | None = None,
    ) -> _T:
        """The answer to one request as *kind*.

        VenueUnavailable where nothing answers, ConfigError for a wrong password, VenueError for another answer.
        """
        target = f"{self._base}/{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": self._authorization, "Accept": "application/json", "Connection": "close"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            status, answer = self._exchange(method, target, headers, content)
        except (OSError, http.client.HTTPException) as error:
            raise VenueUnavailable(f"{self.name}: does not answer ({error or type(error).__name__})") from None
        if status == 401:
            raise ConfigError(f"{self.name}: user or password is wrong (401)")
        if status != 200:
            raise VenueError(f"{self.name}: {method} {path}: answered {status}: {_excerpt(answer)}")
        try:
            return decode_json(answer, kind)
        except msgspec.DecodeError as error:
            raise VenueError(f"{self.name}: {method} {path}: is not what freqtrade sends ({error})") from None

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes | None
    ) -> tuple[int, bytes]:
        if self._is_tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target, content, dict(headers))
            answer = connection.getresponse()
            found = answer.read(_MOST_BYTES + 1)
        finally:
            connection.close()
        if len(found) > _MOST_BYTES:
            raise VenueError(f"{self.name}: {method} {target}: answered more than {_MOST_BYTES >> 20} MiB")
        return answer.status, found


def read_credentials(path: Path) -> Credentials:
    """User and password from the two lines of *path*. ConfigError where others may read it or it has no two lines."""
    try:
        with open(open_to_read(path), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_SETTINGS)
    except OSError as error:
        raise ConfigError(f"--credentials {path}: cannot be read ({error.strerror})") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"--credentials {path}: others may read it; run chmod 600 on it")
    lines = content.decode(errors="replace").splitlines()
    if len(lines) != 2 or not all(lines):
        raise ConfigError(f"--credentials {path}: must have two lines, the user and the password")
    return Credentials(lines[0], lines[1])


def _is_local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _shown(url: str) -> str:
    """*url* without what may be a secret in it."""
    return repr(f"{url.partition('://')[0]}://…@{url.rpartition('@')[2]}" if "@" in url else url)


def _excerpt(answer: bytes) -> str:
    return repr(answer[:200].decode(errors="replace"))
