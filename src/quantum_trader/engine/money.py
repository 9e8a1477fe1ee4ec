"""Money that moves without a trade: transfers as the account's stream and the venue's answers report them.

Both report the same transfer, without a name in common, and one may come late: after the wallet was already taken
over as profit or loss. Then what was remembered before is corrected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.trading import Fill
from quantum_trader.engine.account import Account, Remembered
from quantum_trader.engine.facts import CashAdjusted
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.market import Market
from quantum_trader.engine.reconciliation import WALLET_CENT, RecentIds, Reconciler
from quantum_trader.engine.records import Records

_ASKING_ON_NS: Final = 3600 * NS_PER_SECOND  # transfers are asked for this long after a wallet was taken over
_SAME_MOVE_NS: Final = 60 * NS_PER_SECOND  # stream and answer stamp one transfer no farther apart
_SAME_MONEY: Final = 1e-6  # USDT
_MOVES_KEPT: Final = 100


class MoneyMove(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as one of two sources reported it: the account's stream, or an answer to a question (*asked*)."""

    ts_ns: int
    amount: float
    asked: bool

    def matches(self, other: MoneyMove) -> bool:
        """Whether both are the same transfer, reported by each source once."""
        return (
            self.asked is not other.asked and abs(self.amount - other.amount) < _SAME_MONEY
            and abs(self.ts_ns - other.ts_ns) <= _SAME_MOVE_NS
        )


class Money:
    """Transfers, and the wallet where nothing explains it."""

    def __init__(
        self, account: Account, market: Market, halts: Halts, records: Records, reconciler: Reconciler, seen: RecentIds,
        wallet_halt_share: float,
    ) -> None:
        """*wallet_halt_share*: an unexplained change of the wallet beyond this share halts openings."""
        self._account, self._market, self._halts = account, market, halts
        self._records, self._reconciler, self._seen = records, reconciler, seen
        self._wallet_halt_share = wallet_halt_share
        self.began_ns = 0  # when the books began; earlier transfers are in the wallet they began with
        self._moved_ns = 0  # the newest transfer: an older look at the wallet does not include it
        self._wallet_ns = 0  # when the wallet was last taken over though nothing explained it
        self._asked_from_ns = 0  # since when a transfer may still explain that; 0: nothing is to be explained
        self._remembered: Remembered | None = None  # the account before that
        self._moves: list[MoneyMove] = []  # transfers that one source alone has reported

    # ------------------------------------------------------------------ the wallet

    def begin(self, wallet: float, start_equity: float, now_ns: int) -> None:
        """Start the books with the money that is there."""
        self.began_ns = now_ns
        self._account.begin(wallet)
        self._records.record("cash.adjusted", "", now_ns, CashAdjusted(
            before=start_equity, wallet=wallet, explained=True, why="the account at the first start"
        ))

    def is_older_than_a_transfer(self, look_ns: int) -> bool:
        """Whether a wallet read at *look_ns* may not include the newest transfer."""
        return look_ns <= self._moved_ns

    def take_wallet(self, wallet: float, now_ns: int, equity: float, moved: float) -> None:
        """Set the books' money to the wallet's: no transfer was reported, so it counts as profit or loss.

        *equity*: the account's before that, and before the venue's entry prices were taken. *moved*: by how much these
        have changed the open profit. Where that is the whole difference, nothing was earned or lost.
        """
        before = self._account.books.cash
        if moved != 0.0 and abs(wallet - before + moved) <= WALLET_CENT:
            self._account.books.cash = wallet
            self._records.record("cash.adjusted", "", now_ns, CashAdjusted(
                before=before, wallet=wallet, explained=True, why="trades were heard in another order than they came",
            ))
            return
        self._account.books.cash = wallet
        agreed_ns = self._reconciler.agreed_ns
        if not self.is_unexplained(now_ns):
            self._remembered = self._account.remembered(equity)
            self._asked_from_ns = max(agreed_ns, 1)
        else:
            self._asked_from_ns = min(self._asked_from_ns, agreed_ns)
        self._wallet_ns = now_ns
        self._records.record("cash.adjusted", "", now_ns, CashAdjusted(
            before=before, wallet=wallet, explained=False, why="the wallet differs and nothing explains it"
        ))
        if not abs(wallet - before) <= self._wallet_halt_share * max(abs(before), 1.0):
            self._halts.hold(f"the wallet holds {wallet:.2f} USDT, the books {before:.2f}", now_ns)

    def equity(self) -> float:
        """The account's equity by its books now; as last known where the newest bars are of the past."""
        account, market = self._account, self._market
        return account.equity if market.is_past else account.books.equity(market.closes)

    # ------------------------------------------------------------------ transfers

    def on_transfer(self, amount: float, ts_ns: int, move_id: str = "") -> None:
        """Book money paid in or taken out at *ts_ns* (USDT, signed), once: no profit, no loss, no drawdown."""
        if ts_ns <= self.began_ns or not self._seen.add(f"money/{move_id or f'{ts_ns}/{amount!r}'}"):
            return
        self._moved_ns = max(self._moved_ns, ts_ns)
        move = MoneyMove(ts_ns=ts_ns, amount=amount, asked=bool(move_id))
        known = next((one for one in self._moves if one.matches(move)), None)
        if known is not None:
            self._moves.remove(known)
            return
        self._moves = [*self._moves[1 - _MOVES_KEPT:], move]
        account, before, late = self._account, self._account.books.cash, ts_ns <= self._wallet_ns
        if not late:
            account.equity = self.equity()
            if self._remembered is not None:
                self._remembered = self._remembered.after(amount, account.equity)
            account.books.cash += amount
            account.move_money(amount)
        elif self._remembered is not None:
            self._remembered = account.money_moved_then(self._remembered, amount, self.equity())
        self._records.record("cash.adjusted", "", ts_ns, CashAdjusted(
            before=before, wallet=account.books.cash, explained=True,
            why="transfer" if not late else f"a transfer of {amount:.2f} USDT that was taken for a result",
        ))

    def on_fee_in_coin(self, fill: Fill) -> None:
        """Take in a fee that another coin pays, before it is booked: the wallet keeps it, and yet it is a cost.

        It is lost as one paid in USDT, and its worth moves from that coin into the account, in proportion as every
        transfer. So the books' money stays the wallet's once the fill has paid, and limits judge the fee as a loss.
        """
        account, before = self._account, self._account.books.cash
        account.equity = self.equity() - fill.fee
        if self._remembered is not None:
            self._remembered = self._remembered.after(fill.fee, account.equity)
        account.books.cash += fill.fee
        account.move_money(fill.fee)
        self._records.record("cash.adjusted", "", fill.ts_ns, CashAdjusted(
            before=before, wallet=account.books.cash, explained=True,
            why=f"{fill.fee_asset} pays a fee of {fill.symbol}",
        ))

    def is_unexplained(self, now_ns: int) -> bool:
        """Whether an unexplained wallet balance was taken over recently; a transfer may still be reported for it."""
        return self._asked_from_ns > 0 and now_ns - self._wallet_ns <= _ASKING_ON_NS

    def transfers_since(self, now_ns: int) -> int:
        """From when on transfers may not be known here, ns."""
        agreed_ns = self._reconciler.agreed_ns
        return max(min(agreed_ns, self._asked_from_ns) if self.is_unexplained(now_ns) else agreed_ns, 0)

    def peak_was_reset(self) -> None:
        """Note that drawdown is measured from here: a transfer reported late no longer moves the older peak."""
        if self._remembered is not None:
            self._remembered = msgspec.structs.replace(self._remembered, peak=-math.inf)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "began_ns": self.began_ns, "moved_ns": self._moved_ns, "wallet_ns": self._wallet_ns,
            "asked_from_ns": self._asked_from_ns, "remembered": msgspec.to_builtins(self._remembered),
            "moves": [msgspec.to_builtins(move) for move in self._moves],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.began_ns, self._moved_ns, self._wallet_ns = state["began_ns"], state["moved_ns"], state["wallet_ns"]
        self._asked_from_ns = state["asked_from_ns"]
        self._remembered = msgspec.convert(state["remembered"], Remembered | None)
        self._moves = [msgspec.convert(move, MoneyMove) for move in state["moves"]]
