"""An endpoint's address cannot be replaced, and the one that can be chosen is on this machine."""

from __future__ import annotations

from random import Random

import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import BinanceEndpoint, endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret


def test_the_real_venue_has_fixed_addresses() -> None:
    """Live and testnet are apart, and neither takes an address."""
    live, testnet = endpoint("binance-live"), endpoint("binance-testnet")

    assert (live.rest, live.streams) == ("https://fapi.binance.com", "wss://fstream.binance.com")
    assert testnet.rest == "https://demo-fapi.binance.com"
    assert testnet.account_api == ""
    with pytest.raises(ConfigError, match="binance-live has its own"):
        endpoint("binance-live", "http://127.0.0.1:8080")
    with pytest.raises(ConfigError, match="its address is fixed"):
        BinanceEndpoint(name="binance-live", rest="http://127.0.0.1:1", streams="ws://127.0.0.1:1")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"])
def test_local_takes_an_address_of_this_machine(address: str) -> None:
    """Its streams are at the same port."""
    local = endpoint("local", address)

    assert local.rest.endswith(":8080")
    assert local.streams == local.rest.replace("http", "ws")


@pytest.mark.parametrize(
    "address",
    [
        "", "http://127.0.0.1", "https://fapi.binance.com", "http://10.0.0.1:80", "http://example.com:80",
        "http://127.0.0.1:80/path", "http://user:word@127.0.0.1:80", "http://127.0.0.1.example.com:80",
        "http://127.0.0.1:99999", "ws://127.0.0.1:80", "http://0.0.0.0:80",
    ],
)
def test_local_refuses_other_addresses(address: str) -> None:
    """Not another machine, not a name, not a path."""
    with pytest.raises(ConfigError, match="this machine"):
        endpoint("local", address)


def test_an_unknown_name_is_refused() -> None:
    """The error lists the valid names."""
    with pytest.raises(ConfigError, match="use one of binance-live, binance-testnet, local"):
        endpoint("binance")
    with pytest.raises(ConfigError, match="use one of binance-live, binance-testnet, local"):
        BinanceEndpoint(name="binance", rest="http://127.0.0.1:1", streams="ws://127.0.0.1:1")


def test_keys_of_one_endpoint_are_not_used_at_another() -> None:
    """The check uses the endpoint's name, not its address."""
    keys = ApiKeys("binance-live", Secret("k" * 64), Secret("s" * 64), "environment")

    with pytest.raises(ConfigError, match="belong to binance-live and are not used at local"):
        BinanceFuturesExecutionAdapter(endpoint("local", "http://127.0.0.1:1"), ["BTCUSDT"], keys, rng=Random(1))


def test_invalid_settings_are_refused() -> None:
    """The error has the setting, its value and the valid values."""
    with pytest.raises(ConfigError, match="trigger_on = 'LAST'"):
        AdapterSettings(trigger_on="LAST")
    with pytest.raises(ConfigError, match="receive_window_ms = 10"):
        AdapterSettings(receive_window_ms=10)
