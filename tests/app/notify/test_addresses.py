"""Which addresses a notification may reach: public ones, and those that are named one by one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.app.notify.addresses import AllowedAddress, allowed_address, why_not_reached
from quantum_trader.domain.errors import ConfigError

LOCAL = [
    "127.0.0.1", "127.8.9.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1", "255.255.255.255", "198.18.0.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    "::ffff:0:127.0.0.1", "::ffff:0:10.0.0.1",  # IPv4-translated
    "64:ff9b:1:7f00:0:100::", "64:ff9b:1:7f00:0:100:808:808",  # NAT64 of a site, 127.0.0.1 before the end
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1",  # ISATAP
    "4000::1", "fe00::1", "192.0.2.1", "2001:db8::1", "5f00::1",
]


@pytest.mark.parametrize("host", LOCAL)
def test_local_private_and_metadata_addresses_are_refused(host: str) -> None:
    """In every form in which an address in figures is written, IPv4 inside IPv6 too."""
    assert "local, private or reserved" in why_not_reached(host, 80, ())


@pytest.mark.parametrize(
    "host", ["1.1.1.1", "149.154.167.220", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_public_addresses_are_reached(host: str) -> None:
    """Without being named."""
    assert why_not_reached(host, 443, ()) == ""


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", ""])
def test_a_connection_by_name_is_refused(host: str) -> None:
    """What the system would still have to resolve was not judged."""
    assert "not resolved" in why_not_reached(host, 80, (AllowedAddress("127.0.0.1"),))


def test_an_address_that_is_named_is_reached_on_its_port_alone() -> None:
    """Also in its IPv6 form; its neighbour is not."""
    allowed = (allowed_address("127.0.0.1:8080"), allowed_address("10.0.0.5"), allowed_address("[::1]:9000"))

    assert why_not_reached("127.0.0.1", 8080, allowed) == ""
    assert why_not_reached("::ffff:127.0.0.1", 8080, allowed) == ""
    assert why_not_reached("127.0.0.1", 8081, allowed) != ""
    assert why_not_reached("10.0.0.5", 25, allowed) == ""
    assert why_not_reached("10.0.0.6", 25, allowed) != ""
    assert why_not_reached("::1", 9000, allowed) == ""
    assert why_not_reached("::1", 9001, allowed) != ""


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.0/8", "127.0.0.1:0", "127.0.0.1:70000", "1.2.3", "[::1]:x"])
def test_only_one_address_in_figures_may_be_named(text: str) -> None:
    """No name, no range, no port that does not exist; the error repeats the text."""
    with pytest.raises(ConfigError, match="must be one address in figures"):
        allowed_address(text)


@given(st.ip_addresses())
def test_what_is_reached_without_being_named_is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """No address that Python calls private, link-local, loopback or multicast passes."""
    if why_not_reached(str(address), 443, ()) == "":
        assert address.is_global or getattr(address, "ipv4_mapped", None) is not None
        assert not (address.is_private or address.is_link_local or address.is_loopback or address.is_multicast) or (
            getattr(address, "ipv4_mapped", None) is not None
        )
