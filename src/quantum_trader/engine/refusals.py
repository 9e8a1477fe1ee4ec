"""Which refusals of a venue ask for more than another try, by their codes (Binance USD-M, "Error Codes")."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from quantum_trader.engine.ports import Rejection

# The symbol's filters are others than we know: ask for them, and send what fits.
FILTERS: Final = frozenset({
    "-1013",  # a filter failed
    "-1111",  # more digits than the symbol takes
    "-4003",  # quantity of zero or less, once its digits are cut
    Rejection.MIN_QTY.value, Rejection.TICK.value, Rejection.STEP.value,
})
TOO_LARGE: Final = frozenset({"-4005"})  # quantity above the largest of one order: close in parts
OTHERS_REDUCE: Final = frozenset({"-4118"})  # reduce-only orders of others take up the position
# The account may only reduce for now, whatever the symbol; asking again and again makes some of them last longer.
ONLY_REDUCE: Final = frozenset({
    "-4087",  # REDUCE_ONLY_ORDER_PERMISSION
    "-4088",  # NO_PLACE_ORDER_PERMISSION
    "-4192",  # COOLING_OFF_PERIOD
    "-4400",  # TRADING_QUANTITATIVE_RULE: ten symbols in a day lock the account
    "-4401",  # LARGE_POSITION_SYM_RULE
})


def is_of(reason: str, codes: Collection[str]) -> bool:
    """Whether a refusal's *reason* begins with one of *codes*."""
    return reason.split(" ", 1)[0].rstrip(":") in codes
