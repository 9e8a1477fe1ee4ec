"""The account after each single event: the paper venue returns lists of events, clients need every step."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.domain.enums import OrderSide
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import Fill
from quantum_trader.venues.local.orders import AccountEvent, Income
from quantum_trader.venues.paper.account import Holding, PaperAccount


class AccountMirror:
    """Wallet, positions and income, moved by the same fills and payments as the paper venue's own account."""

    def __init__(self, wallet: float, instruments: Sequence[Instrument]) -> None:
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
        self, index: int, fill: Fill, leverage: float, trade_id: int, now_ns: int
    ) -> tuple[float, AccountEvent]:
        """Book *fill*; return its realised profit before fees, and the event of the account stream."""
        sign = 1 if fill.side is OrderSide.BUY else -1
        realised = self._account.apply(index, sign, fill.qty, fill.price, fill.fee, leverage)
        self.realised[index] += realised
        symbol = self._symbols[index]
        if realised:
            self._earned("REALIZED_PNL", symbol, realised, now_ns, str(trade_id))
        self._earned("COMMISSION", symbol, -fill.fee, now_ns, str(trade_id))
        return realised, self._event("ORDER", index, fill.price, 0.0, now_ns)

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
        self.wallet_updated_ns = now_ns
        self._earned("TRANSFER", "", amount, now_ns)
        return AccountEvent(
            reason="DEPOSIT" if amount > 0.0 else "WITHDRAW", wallet=self.wallet, change=amount,
            free_wallet=self.wallet - self.margins, ts_ns=now_ns,
        )

    def _earned(self, kind: str, symbol: str, amount: float, now_ns: int, trade_id: str = "") -> None:
        self.income.append(Income(
            kind=kind, symbol=symbol, amount=amount, ts_ns=now_ns, tran_id=len(self.income) + 1, trade_id=trade_id,
            info=trade_id or kind,
        ))

    def _event(self, reason: str, index: int, price: float, change: float, now_ns: int) -> AccountEvent:
        held = self._account.holdings[index]
        self.updated_ns[index] = self.wallet_updated_ns = now_ns
        return AccountEvent(
            reason=reason, wallet=self.wallet, change=change, free_wallet=self.wallet - self.margins, ts_ns=now_ns,
            symbol=self._symbols[index], qty=held.qty, entry=held.entry, margin=held.margin,
            unrealised=held.qty * (price - held.entry), realised_total=self.realised[index],
        )
