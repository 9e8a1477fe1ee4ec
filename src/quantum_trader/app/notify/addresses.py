"""Which network addresses a notification may be sent to: public ones, and those that the operator names one by one.

A notification's address is text from a settings file, and what stands behind a name is decided by somebody's DNS. So
the numbers are judged, at each connection, redirects included: local, private, link-local and metadata addresses are
refused unless the target names that very address.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError, brief

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # 64:ff9b:1::/48 is for local use, and public in no case
_ASSIGNED: Final = ipaddress.IPv6Network("2000::/3")  # all other IPv6 addresses are reserved, local or translated
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})  # before the IPv4 address that a tunnel of a site leads to
_PUBLIC_METADATA: Final = frozenset({"168.63.129.16"})  # a cloud's own services at an address that looks public
_SPECIAL: Final = tuple(map(ipaddress.ip_network, (  # IANA's special-purpose networks that older Pythons call global
    "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
)))
_MOST_PORT: Final = 65_535


class AllowedAddress(msgspec.Struct, frozen=True):
    """One address that a target may reach though it is not public; *port* 0 is any port."""

    ip: str
    port: int = 0


def allowed_address(text: str, key: str = "allow") -> AllowedAddress:
    """*text*, such as ``10.0.0.5``, ``127.0.0.1:8080`` or ``[::1]:8080``. Raises ConfigError for anything else."""
    host, _, port = text.strip().rpartition(":")
    if not host or (":" in host and not host.endswith("]")):  # an address without a port, of either kind
        host, port = text.strip(), ""
    try:
        ip = str(plain_address(host.strip("[]")))
        number = int(port) if port else 0
    except ValueError:
        ip, number = "", -1
    if not ip or not 0 <= number <= _MOST_PORT or (port and number == 0):
        raise ConfigError(
            f"{key} = {brief(text)}: must be one address in figures, such as '127.0.0.1:8080' or '10.0.0.5'; names and "
            "ranges are not taken"
        )
    return AllowedAddress(ip, number)


def plain_address(text: str) -> IpAddress:
    """The address *text* in figures; an IPv4 address inside an IPv6 one is taken out. Raises ValueError."""
    found = ipaddress.ip_address(text.partition("%")[0])
    inner = _inside(found)
    return inner if inner is not None else found


def _inside(found: IpAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, compatible, 6to4, Teredo, NAT64, ISATAP."""
    if isinstance(found, ipaddress.IPv4Address):
        return None
    if found.ipv4_mapped is not None:
        return found.ipv4_mapped
    if found.sixtofour is not None:
        return found.sixtofour
    if found.teredo is not None:
        return found.teredo[1]
    value = int(found)
    if found in _NAT64 or (value >> 32 == 0 and value > 1) or (value >> 32) & 0xFFFF_FFFF in _ISATAP:
        return ipaddress.IPv4Address(value & 0xFFFF_FFFF)
    return None


def is_public(address: IpAddress) -> bool:
    """Whether *address* is one that anybody on the internet could reach."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _ASSIGNED:
        return False
    if address.is_multicast or str(address) in _PUBLIC_METADATA or any(address in network for network in _SPECIAL):
        return False
    return address.is_global


def why_not_reached(host: str, port: int, allowed: tuple[AllowedAddress, ...]) -> str:
    """Why a connection to *host*, in figures, and *port* is refused; empty where it may be made."""
    try:
        address = plain_address(host)
    except ValueError:
        return "a connection to a name that was not resolved first"
    if is_public(address) or any(one.ip == str(address) and one.port in (0, port) for one in allowed):
        return ""
    return f"{address} port {port} is in a local, private or reserved network, and is not in `allow` of the settings"
