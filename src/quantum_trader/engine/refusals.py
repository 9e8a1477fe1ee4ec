"""Refusal codes that need more than a retry (Binance USD-M, "Error Codes")."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from quantum_trader.engine.ports import Rejection

# The symbol's filters have changed: read them again and resend with the new ones.
FILTERS: Final = frozenset({
    "-1013",  # a filter failed
    "-1111",  # more digits than the symbol takes
    "-4003",  # quantity of zero or less, once its digits are cut
    Rejection.MIN_QTY.value, Rejection.TICK.value, Rejection.STEP.value,
})
TOO_LARGE: Final = frozenset({"-4005"})  # quantity above the limit of one order: close in parts
OTHERS_REDUCE: Final = frozenset({"-4118"})  # reduce-only orders of others take up the position
# The account may only reduce for now, in all symbols; repeated requests extend some of these restrictions.
ONLY_REDUCE: Final = frozenset({
    "-4087",  # REDUCE_ONLY_ORDER_PERMISSION
    "-4088",  # NO_PLACE_ORDER_PERMISSION
    "-4192",  # COOLING_OFF_PERIOD
    "-4400",  # TRADING_QUANTITATIVE_RULE: ten symbols in a day lock the account
    "-4401",  # LARGE_POSITION_SYM_RULE
})
OTHER_MODE: Final = frozenset({"-4061"})  # the account is in hedge mode: another client has switched it


def is_of(reason: str, codes: Collection[str]) -> bool:
    """Whether a refusal's *reason* begins with one of *codes*."""
    return reason.split(" ", 1)[0].rstrip(":") in codes
