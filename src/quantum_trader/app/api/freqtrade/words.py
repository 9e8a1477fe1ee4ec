"""Symbols, times and amounts as freqtrade's clients read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.symbols import parse_symbol

PREFIX: Final = "/freqtrade/api/v1"
STAKE: Final = "USDT"  # the money of every sum
NS_PER_MS: Final = 1_000_000
_QUOTES: Final = ("USDT", "USDC", "FDUSD", "BUSD")


def pair_of(symbol: str) -> str:
    """The pair as freqtrade writes a perpetual: ``BTC/USDT:USDT`` for BTCUSDT; a contract with an expiry stays."""
    quote = next((one for one in _QUOTES if symbol.endswith(one) and symbol != one), "")
    return f"{symbol.removesuffix(quote)}/{quote}:{quote}" if quote else symbol


def symbol_of(pair: str) -> str:
    """The symbol of *pair*, however it is written. InputError for what is none."""
    return parse_symbol(pair)


def coin_of(symbol: str) -> str:
    """The coin that is bought and sold: BTC of BTCUSDT."""
    return pair_of(symbol).partition("/")[0]


def date_of(ts_ns: int) -> str | None:
    """*ts_ns* as freqtrade writes times, in UTC; None for 0."""
    if not ts_ns:
        return None
    return datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ms_of(ts_ns: int) -> int | None:
    """*ts_ns* in milliseconds since 1970; None for 0."""
    return ts_ns // NS_PER_MS if ts_ns else None


def dated(name: str, ts_ns: int) -> dict[str, Any]:
    """A time under the two keys that freqtrade gives it: ``NAME_date`` and ``NAME_timestamp``."""
    return {f"{name}_date": date_of(ts_ns), f"{name}_timestamp": ms_of(ts_ns)}


def pct_of(ratio: float | None) -> float | None:
    """A fraction in percent, two digits behind the point."""
    return None if ratio is None else round(ratio * 100.0, 2)
