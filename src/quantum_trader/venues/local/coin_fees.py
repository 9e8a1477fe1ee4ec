"""The account's BNB, which pays trading fees while there is some and feeBurn is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

COIN: Final = "BNB"
_DISCOUNT: Final = 0.1  # of a fee that is paid in BNB
_DECIMALS: Final = 8


class CoinFees:
    """A balance of BNB and whether it pays fees (*burn*); *price* returns what one BNB is worth in USDT."""

    def __init__(self, balance: float, price: Callable[[], float]) -> None:
        self.balance = balance
        self.burn = balance > 0.0
        self.is_held = balance > 0.0  # whether the account lists the coin: once it was there, always
        self.updated_ns = 0
        self._price = price

    def pay(self, fee: float, now_ns: int) -> float:
        """Pay *fee* (USDT) and return what that took in BNB; 0.0 where USDT must pay it."""
        price = self._price()
        if not self.burn or fee <= 0.0 or price <= 0.0:
            return 0.0
        paid = round(fee * (1.0 - _DISCOUNT) / price, _DECIMALS)
        if paid > self.balance or paid <= 0.0:
            return 0.0
        self.move(-paid, now_ns)
        return paid

    def move(self, amount: float, now_ns: int) -> None:
        """Add *amount* of BNB (negative: take it)."""
        self.balance = round(self.balance + amount, _DECIMALS)
        self.is_held, self.updated_ns = True, now_ns
