"""The market as a whole, as one symbol sees it: the return of Bitcoin, and how closely the symbol follows it.

A symbol is never its own market: for Bitcoin itself, and where Bitcoin is not among the symbols, the market is the mean
return of the other symbols. With a single symbol there is no market, and both features are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantum_trader.domain.indicators import NAN, Cells, rolling_size, rolling_step
from quantum_trader.domain.scalar import scalar
from quantum_trader.pilot import feature_columns as col

BITCOIN: Final = ("BTCUSDT", "BTCUSDC")  # the first of them that is traded is the market
NO_BITCOIN: Final = -1
CORRELATION_PERIOD: Final = 60

_OWN: Final = 0
_MARKET: Final = _OWN + rolling_size(CORRELATION_PERIOD)
_PRODUCT: Final = _MARKET + rolling_size(CORRELATION_PERIOD)
FACTOR_SIZE: Final = _PRODUCT + rolling_size(CORRELATION_PERIOD)


def bitcoin_index(symbols: Sequence[str]) -> int:
    """The place of Bitcoin's contract in *symbols*, NO_BITCOIN where there is none."""
    found = [symbols.index(name) for name in BITCOIN if name in symbols]
    return found[0] if found else NO_BITCOIN


@scalar
def return_of_market(symbol: int, bitcoin: int, returns: Cells, total: float, known: int) -> float:
    """The market's return as *symbol* sees it; *total* and *known*: sum and count of the returns that are numbers."""
    if bitcoin >= 0 and symbol != bitcoin:
        return returns[bitcoin]
    own = returns[symbol]
    if own == own:
        total -= own
        known -= 1
    return total / known if known > 0 else NAN


@scalar
def step_factor(row: Cells, at: int, own: float, market: float, out: Cells) -> None:
    """Take one bar's returns of a symbol and of the market, and write MARKET_RETURN and MARKET_CORRELATION.

    The correlation is over the last 60 bars at which both are known.
    """
    out[col.MARKET_RETURN] = market
    out[col.MARKET_CORRELATION] = NAN
    if not (own == own and market == market):
        return
    own_mean, own_deviation = rolling_step(row, at + _OWN, own, CORRELATION_PERIOD)
    market_mean, market_deviation = rolling_step(row, at + _MARKET, market, CORRELATION_PERIOD)
    product, _ = rolling_step(row, at + _PRODUCT, own * market, CORRELATION_PERIOD)
    both = own_deviation * market_deviation
    value = 0.0 if both == 0.0 else (product - own_mean * market_mean) / both
    out[col.MARKET_CORRELATION] = min(1.0, max(-1.0, value)) if value == value else NAN
