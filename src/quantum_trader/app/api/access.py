"""Who may ask the API for what: addresses, host names, origins, tokens and how often a wrong token may be tried.

On a loopback address reading needs no token and changing does. On any other address everything needs a token, and the
connection TLS, unless the operator says that something in front of the server brings it. A request whose ``Host`` is
not one of the server's names is refused (DNS rebinding), and so is a change from a page of another origin (cross-site
request forgery). No answer allows another origin to read it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.tokens import Role, Token, TokenStore
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
UI_ROADS: Final = "/freqtrade/"  # what a page of another origin may be allowed to use
NOBODY: Final = "nobody"  # the name of a reader without a token
_FEW: Final = 10  # wrong tokens of one address in the time below
_LIMIT_NS: Final = 60 * NS_PER_SECOND
_ADDRESSES: Final = 10_000  # remembered at a time


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens and what it is called."""

    host: str = "127.0.0.1"
    port: int = 8000
    has_tls: bool = False
    names: tuple[str, ...] = ()  # further host names under which it is reached
    is_read_public: bool = False  # reading needs no token on any address
    is_read_private: bool = False  # reading needs a token on loopback too
    ui_origin: str = ""  # the one other origin whose pages may use freqtrade's roads; empty: none

    @property
    def is_loopback(self) -> bool:
        """Whether nothing but this machine reaches it."""
        return is_loopback(self.host)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. *token_id* is empty without a token."""

    name: str
    role: Role
    token_id: str
    address: str


def is_loopback(host: str) -> bool:
    """Whether *host* is a loopback address or its name."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: AccessSettings, tokens: TokenStore, *, without_tls: bool) -> None:
    """Raise ConfigError for an address that others reach without TLS and tokens."""
    if settings.is_loopback:
        return
    if not settings.has_tls and not without_tls:
        raise ConfigError(
            f"--host {settings.host}: others reach it, and tokens would travel unencrypted; give --tls-cert and "
            "--tls-key, or --without-tls where a reverse proxy on this machine or a VPN encrypts"
        )
    if not any(one.is_valid for one in tokens.all()):
        raise ConfigError(
            f"--host {settings.host}: others reach it, and there is no token yet; make one with "
            "`quantum-trader token new --role owner`"
        )


class Access:
    """Decides who asks and whether they may."""

    def __init__(self, settings: AccessSettings, tokens: TokenStore, now_ns: Callable[[], int]) -> None:
        self.settings = settings
        self.tokens = tokens
        self._now_ns = now_ns
        self._wrong: OrderedDict[str, list[int]] = OrderedDict()  # address -> times of wrong tokens
        self._names = frozenset(name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.names))

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise ApiError for a request under a name that is not the server's.

        An address in figures is no name that somebody could have pointed here.
        """
        given = headers.get("host", "")
        name = host_name(given)
        if name not in self._names and (self.settings.is_loopback or not _is_address(name)):
            raise ApiError(
                421, f"Host = {given[:100]!r}: is no name of this server, which has {', '.join(sorted(self._names))}; "
                "start it with --name to add one"
            )

    def check_origin(self, headers: Mapping[str, str], *, is_change: bool) -> None:
        """Raise ApiError for a change, or a socket, that a page of another origin asks for."""
        if not is_change:
            return
        origin = headers.get("origin", "")
        if origin and not self._is_own(origin, headers.get("host", "")):
            raise ApiError(403, f"Origin = {origin[:100]!r}: pages of other origins change nothing here")
        if not origin and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ApiError(403, "Sec-Fetch-Site: pages of other origins change nothing here")

    def is_ui(self, headers: Mapping[str, str], path: str) -> bool:
        """Whether a page of the origin that the operator has named asks for one of freqtrade's roads."""
        origin = headers.get("origin", "").lower()
        return bool(origin) and origin == self.settings.ui_origin.lower() and path.startswith(UI_ROADS)

    def caller(self, headers: Mapping[str, str], address: str, *, text: str | None = None) -> Caller:
        """Who asks: by the header ``Authorization: Bearer TOKEN``, or by the token *text*. Raises ApiError.

        A right token is let in whatever wrong ones came from its address: somebody's guesses never keep the owner from
        stopping the run, and 256 random bits cannot be guessed.
        """
        given = text if text is not None else _bearer(headers.get("authorization", ""))
        if given is None:
            return Caller(name=NOBODY, role=Role.VIEWER, token_id="", address=address)
        token = self.tokens.find(given)
        if token is None:
            self.check_attempts(address)
            self.note_wrong(address)
            raise ApiError(401, "Authorization: the token is not known, or was revoked")
        return caller_of(token, address)

    def check_role(self, caller: Caller, needed: Role) -> None:
        """Raise ApiError unless *caller* may do what *needed* may."""
        is_public = self.settings.is_read_public or (self.settings.is_loopback and not self.settings.is_read_private)
        is_open = needed is Role.VIEWER and is_public
        if not caller.token_id and not is_open:
            raise ApiError(401, "Authorization: a token is needed, as `Authorization: Bearer TOKEN`; make one with "
                                f"`quantum-trader token new --role {needed.value}`")
        if not caller.role.may(needed):
            raise ApiError(403, f"token {caller.name!r} is of a {caller.role.value}, and this needs a {needed.value}")

    def is_still_valid(self, caller: Caller) -> bool:
        """Whether the caller's token was not revoked since."""
        return not caller.token_id or self.tokens.is_valid(caller.token_id)

    # ---- wrong tokens ------------------------------------------------------------------------------------------------
    def check_attempts(self, address: str) -> None:
        """Raise ApiError where *address* has tried too many wrong tokens in the last minute."""
        times = self._recent(address)
        if len(times) >= _FEW:
            left_s = (times[0] + _LIMIT_NS - self._now_ns()) / NS_PER_SECOND
            raise ApiError(429, f"{len(times)} wrong tokens came from {address}; wait", max(1.0, left_s))

    def note_wrong(self, address: str) -> None:
        """Count a wrong token or password of *address*."""
        self._wrong[address] = [*self._recent(address), self._now_ns()]
        self._wrong.move_to_end(address)
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> list[int]:
        now_ns = self._now_ns()
        return [one for one in self._wrong.get(address, ()) if 0 <= now_ns - one < _LIMIT_NS]

    def _is_own(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def caller_of(token: Token, address: str) -> Caller:
    """The caller who has shown *token*."""
    return Caller(name=token.name, role=token.role, token_id=token.id, address=address)


def host_name(header: str) -> str:
    """The name in a ``Host`` header, in lower case and without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _bearer(header: str) -> str | None:
    """The token of an ``Authorization`` header; None without one. ApiError for another scheme."""
    if not header:
        return None
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "bearer" or not rest.strip():
        raise ApiError(401, "Authorization: must be `Bearer TOKEN`")
    return rest.strip()
