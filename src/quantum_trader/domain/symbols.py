"""What a symbol may look like where a person types it. A symbol that a venue reports is taken as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantum_trader.domain.errors import ConfigError

_SEPARATORS: Final = frozenset(",;/\\&=?#%'\"`<>|*")  # of lists, paths, addresses and quotations


def check_symbols(key: str, symbols: Sequence[str]) -> None:
    """Raise ConfigError naming *key* for a text that no venue lists as a symbol, or for one that is there twice.

    Letters of every script are allowed (Binance lists 币安人生USDT). Lower case, spaces and separators are typing
    errors.
    """
    for symbol in symbols:
        if not symbol or symbol != symbol.upper() or not symbol.isprintable() or any(
            letter.isspace() or letter in _SEPARATORS for letter in symbol
        ):
            raise ConfigError(f"{key}: {symbol!r} is not a symbol; write it like 'BTCUSDT'")
    if len(set(symbols)) != len(symbols):
        raise ConfigError(f"{key} = {list(symbols)}: names a symbol twice")
