"""What is known of the worth of the models, in the sentences that every report ends with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from quantum_trader.models.trend import TREND_MODELS

# Six perpetuals, parameters from the literature, daily decisions filled an hour later: docs/concepts-models.md.
TREND_STATEMENT: Final = (
    "None of the built-in models has a proven edge after costs. On six Binance perpetuals (BTC ETH XRP LTC ADA BCH) "
    "the four trend models together had a net Sharpe ratio of 0.72 in 2020 to 2024 and -0.43 in 2025 and 2026, 0.48 in "
    "all (95 %: -0.3 to 1.3), where buying and holding at equal volatility had 0.63 (-0.1 to 1.4): a difference that "
    "cannot be told from luck. One losing year in three is to be expected."
)
INTRADAY_STATEMENT: Final = (
    "None of the built-in models has a proven edge after costs. The six intraday models of intraday-demo trade so "
    "often that costs exceed what they earn: over the bundled two years +9.7 bps a trade before costs of 18.2, and "
    "-64 % on BTC and ETH perpetuals in 2020 to 2024. They demonstrate the system."
)
FEW_TRADES: Final = 20  # fewer tell nothing: at a hit rate of one in four even 20 have 2 to 9 winners by chance alone
FEW_DAYS: Final = 60
OWN_STATEMENT: Final = (
    "What a model earned on past bars proves no edge, least of all where its numbers were chosen on the same bars."
)


def models_statement(names: Collection[str]) -> str:
    """What is known of the models *names*; of the intraday ensemble where there are none."""
    if not names:
        return INTRADAY_STATEMENT
    return TREND_STATEMENT if set(names) <= set(TREND_MODELS) else OWN_STATEMENT


def few_words(trades: int, days: float) -> str:
    """That *trades* in *days* are too few to tell anything; empty where there are enough, or no trade at all."""
    if not trades or (trades >= FEW_TRADES and days >= FEW_DAYS):
        return ""
    return (
        f"{trades} {'trade' if trades == 1 else 'trades'} in {days:.0f} days cannot tell a good model from a bad one: "
        f"with fewer than {FEW_TRADES} trades or {FEW_DAYS} days, no figure here is evidence."
    )


def few_rows_words(traded: Mapping[str, int], days: int) -> str:
    """Which rows of a comparison over *days* have too few trades to tell anything, by their names; empty: none has."""
    short = {name: count for name, count in traded.items() if days < FEW_DAYS or count < FEW_TRADES}
    if not short:
        return ""
    said = ", ".join(f"{name} {count}" for name, count in short.items())
    return (
        f"Too few trades in {days} days to tell anything: {said}. With fewer than {FEW_TRADES} trades or {FEW_DAYS} "
        "days neither a row's figures nor its differences are evidence, however large."
    )
