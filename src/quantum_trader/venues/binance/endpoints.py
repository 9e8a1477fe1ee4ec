"""Named endpoints and their addresses.

The addresses of the real venue are constants that no setting can replace, so that a key of the venue is never sent
to another address. Only the endpoint "local" takes an address, and it must be one of this machine.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.keys import ENDPOINT_NAMES, LIVE, LOCAL, TESTNET

MARKET_PATH: Final = "/market"  # bars, mark prices; a stream requested on another path sends nothing
PUBLIC_PATH: Final = "/public"  # best bid and ask, depth
PRIVATE_PATH: Final = "/private"  # the account


class BinanceEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one named venue; made by :func:`endpoint`."""

    name: str
    rest: str  # before /fapi/v1
    streams: str  # before a stream path
    account_api: str = ""  # before /sapi/v1; empty where the venue has none
    recorded: bool = False  # it may play recorded time, at its own speed, and pause

    def __post_init__(self) -> None:
        known = _FIXED.get(self.name)
        mine = (self.rest, self.streams, self.account_api)
        if known is None and self.name != LOCAL:
            raise ConfigError(f"endpoint = {self.name!r}: use one of {', '.join(ENDPOINT_NAMES)}")
        if known is not None and mine != known:
            raise ConfigError(f"endpoint {self.name}: its address is fixed; use {LOCAL!r} for a venue on this machine")
        if known is None and any(_loopback(address) != address for address in (self.rest, self.account_api)):
            raise ConfigError(f"endpoint {self.name}: {self.rest!r} is not a loopback address")


_FIXED: Final = {
    LIVE: ("https://fapi.binance.com", "wss://fstream.binance.com", "https://api.binance.com"),
    TESTNET: ("https://demo-fapi.binance.com", "wss://demo-fstream.binance.com", ""),
}


def endpoint(name: str, address: str = "") -> BinanceEndpoint:
    """Return the endpoint called *name*; *address* (``http://127.0.0.1:8080``) is for "local" only.

    Raises ConfigError for an unknown name, an address given to the real venue, or one outside this machine.
    """
    if name == LOCAL:
        rest = _loopback(address)
        return BinanceEndpoint(
            name=LOCAL, rest=rest, streams=rest.replace("http://", "ws://", 1), account_api=rest, recorded=True
        )
    if name not in _FIXED:
        raise ConfigError(f"endpoint = {name!r}: use one of {', '.join(ENDPOINT_NAMES)}")
    if address:
        raise ConfigError(f"address = {address!r}: {name} has its own; use {LOCAL!r} for a venue on this machine")
    rest, streams, account_api = _FIXED[name]
    return BinanceEndpoint(name=name, rest=rest, streams=streams, account_api=account_api)


def _loopback(address: str) -> str:
    """*address* as ``http://HOST:PORT``; ConfigError unless it is one of this machine."""
    hint = "give the local venue's address on this machine, such as http://127.0.0.1:8080"
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise ConfigError(f"address = {address!r}: {hint}") from None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme != "http" or port is None or not plain:
        raise ConfigError(f"address = {address!r}: {hint}")
    host = "127.0.0.1" if host == "localhost" else host  # a host name could resolve to another machine
    try:
        inside = ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ConfigError(f"address = {address!r} is not on this machine: {hint}")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
