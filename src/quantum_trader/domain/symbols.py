"""What a symbol looks like where a person types it, and the spellings of other programs that mean the same contract.

A symbol that a venue reports is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from quantum_trader.domain.errors import ConfigError, InputError

MAX_LENGTH: Final = 30
_DATED: Final = re.compile(r"^(?P<pair>.+?)[_-](?P<expiry>\d{6})$")  # BTCUSDT_240628, a contract with an expiry
_SHOWN: Final = 60


def parse_symbol(text: str) -> str:
    """The venue's spelling of *text*: BTCUSDT, for a USD-M perpetual also where another program wrote it.

    Read are ``btcusdt``, ``BTC/USDT`` and ``BTC/USDT:USDT`` (ccxt, freqtrade), ``BTC_USDT_USDT`` (freqtrade's files),
    ``BTC-USDT``, ``BINANCE:BTCUSDT.P`` (TradingView) and contracts with an expiry (``BTCUSDT_240628``). Letters of
    every script are allowed. InputError for anything else, such as a coin-margined contract (``BTCUSD_PERP``), a path.
    """
    name = text.strip().upper()
    if re.match(r"^[A-Z0-9]+:[^:/]+$", name):  # EXCHANGE:SYMBOL
        name = name.partition(":")[2]
    name = name.removesuffix(".P")
    expiry = ""
    if dated := _DATED.match(name):
        name, expiry = dated["pair"], f"_{dated['expiry']}"
    pair, _, settled = name.partition(":")
    parts = re.split(r"[/_-]", pair)
    if not settled and len(parts) == 3:
        settled = parts.pop()
    plain = "".join(parts)
    paired = all(parts) and len(parts) <= 2 and "PERP" not in parts
    whole = paired and plain.isalnum() and len(plain + expiry) <= MAX_LENGTH
    if not whole or (settled and settled != parts[-1]):
        shown = repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"
        raise InputError(f"symbol = {shown}: is not a symbol of a USD-M contract; write it like 'BTCUSDT'")
    return plain + expiry


def check_symbols(key: str, symbols: Sequence[str]) -> None:
    """Raise ConfigError naming *key* for a text that is not a symbol as the venue writes it, or for one named twice."""
    for symbol in symbols:
        try:
            plain = parse_symbol(symbol)
        except InputError:
            raise ConfigError(f"{key}: {symbol!r} is not a symbol; write it like 'BTCUSDT'") from None
        if plain != symbol:
            raise ConfigError(f"{key}: {symbol!r} is not how the exchange writes it; write {plain!r}")
    if len(set(symbols)) != len(symbols):
        raise ConfigError(f"{key} = {list(symbols)}: names a symbol twice")


def listed_symbols(text: str) -> list[str]:
    """The symbols of a list with commas as a person types it, as the venue writes them. InputError as above."""
    return [parse_symbol(name) for name in text.split(",") if name.strip()]
