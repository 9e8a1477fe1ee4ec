"""The account after each single event: the paper venue returns lists of events, clients need every step."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quantum_trader.domain.enums import OrderSide
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import Fill
from quantum_trader.venues.local.coin_fees import COIN, CoinFees
from quantum_trader.venues.local.orders import AccountEvent, Income
from quantum_trader.venues.paper.account import Holding, PaperAccount


class AccountMirror:
    """Wallet, positions and income, moved by the same fills and payments as the paper venue's own account.

    *coin* is the account's BNB.
    """

    def __init__(self, wallet: float, instruments: Sequence[Instrument], coin: CoinFees) -> None:
        self.coin = coin
        self._account = PaperAccount(wallet, instruments)
        self._symbols = tuple(instrument.symbol for instrument in instruments)
        self.updated_ns = [0] * len(instruments)
        self.wallet_updated_ns = 0
        self.realised = [0.0] * len(instruments)
        self.income: list[Income] = []

    @property
    def wallet(self) -> float:
        """Wallet balance in USDT, isolated margins included."""
        return self._account.cash

    @property
    def margins(self) -> float:
        """Isolated margins of all positions."""
        return self._account.margin_used()

    def holding(self, index: int) -> Holding:
        """One symbol's position."""
        return self._account.holdings[index]

    def filled(
        self, index: int, fill: Fill, leverage: float, trade_id: int, now_ns: int, coin_fee: float = 0.0
    ) -> tuple[float, AccountEvent]:
        """Book *fill*; return its realised profit before fees, and the event of the account stream.

        *coin_fee* is the BNB that paid its fee; USDT paid it where that is 0.0.
        """
        sign = 1 if fill.side is OrderSide.BUY else -1
        fee = 0.0 if coin_fee else fill.fee
        realised = self._account.apply(index, sign, fill.qty, fill.price, fee, leverage)
        self.realised[index] += realised
        symbol = self._symbols[index]
        if realised:
            self._earned("REALIZED_PNL", symbol, realised, now_ns, str(trade_id))
        asset = COIN if coin_fee else "USDT"
        self._earned("COMMISSION", symbol, -(coin_fee or fill.fee), now_ns, str(trade_id), asset)
        event = self._event("ORDER", index, fill.price, 0.0, now_ns)
        if coin_fee:
            event = msgspec.structs.replace(event, coin_wallet=self.coin.balance)
        return realised, event

    def funded(self, index: int, amount: float, price: float, now_ns: int) -> AccountEvent:
        """Book a funding payment."""
        self._account.cash += amount
        self._earned("FUNDING_FEE", self._symbols[index], amount, now_ns)
        return self._event("FUNDING_FEE", index, price, amount, now_ns)

    def add_margin(self, index: int, amount: float) -> None:
        """Book margin that a change of leverage adds to a position, which is no event of its own."""
        if amount:
            self._account.move_margin(index, amount)

    def moved_margin(self, index: int, amount: float, price: float, now_ns: int) -> AccountEvent:
        """Book margin added to (negative: taken from) a position."""
        self._account.move_margin(index, amount)
        return self._event("MARGIN_TRANSFER", index, price, 0.0, now_ns)

    def paid(self, amount: float, now_ns: int) -> AccountEvent:
        """Book money paid in or (negative) taken out."""
        self._account.cash += amount
        return self._transferred(amount, now_ns, "USDT")

    def paid_coin(self, amount: float, now_ns: int) -> AccountEvent:
        """Book BNB paid in or (negative) taken out."""
        self.coin.move(amount, now_ns)
        event = self._transferred(amount, now_ns, COIN)
        return msgspec.structs.replace(event, change=0.0, coin_wallet=self.coin.balance, coin_change=amount)

    def _transferred(self, amount: float, now_ns: int, asset: str) -> AccountEvent:
        self.wallet_updated_ns = now_ns
        self._earned("TRANSFER", "", amount, now_ns, asset=asset)
        return AccountEvent(
            reason="DEPOSIT" if amount > 0.0 else "WITHDRAW", wallet=self.wallet, change=amount,
            free_wallet=self.wallet - self.margins, ts_ns=now_ns,
        )

    def _earned(
        self, kind: str, symbol: str, amount: float, now_ns: int, trade_id: str = "", asset: str = "USDT"
    ) -> None:
        self.income.append(Income(
            kind=kind, symbol=symbol, amount=amount, ts_ns=now_ns, tran_id=len(self.income) + 1, trade_id=trade_id,
            info=trade_id or kind, asset=asset,
        ))

    def _event(self, reason: str, index: int, price: float, change: float, now_ns: int) -> AccountEvent:
        held = self._account.holdings[index]
        self.updated_ns[index] = self.wallet_updated_ns = now_ns
        return AccountEvent(
            reason=reason, wallet=self.wallet, change=change, free_wallet=self.wallet - self.margins, ts_ns=now_ns,
            symbol=self._symbols[index], qty=held.qty, entry=held.entry, margin=held.margin,
            unrealised=held.qty * (price - held.entry), realised_total=self.realised[index],
        )
