"""A veto for a freqtrade that stays as it is: its REST API tells the account and takes locks on pairs.

Each cycle asks the policy about every pair of the whitelist. A pair that it refuses is locked for a short time, with
the reason, and the lock is renewed; once the policy permits the pair, the lock is removed. Locks that others have set
are never touched. In OBSERVE no lock is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from quantum_trader.app.guard.bots import BotGuard
from quantum_trader.app.guard.freqtrade_rest import FreqtradeRest, PairLock, PastTrade, RunningTrade
from quantum_trader.app.guard.journal import ToldAccount, ToldPosition
from quantum_trader.app.guard.markets import WARM_UP_NS, ClosedBar
from quantum_trader.app.guard.modes import GuardMode
from quantum_trader.app.guard.questions import FillReport
from quantum_trader.app.guard.service import GuardService
from quantum_trader.domain.clock import NS_PER_MS, NS_PER_SECOND, iso
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import DataError, InputError, VenueError
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.policy.entries import EntryQuestion, EntryRefusal

LOCK_S: Final = 300.0
NEWEST_TRADES: Final = 50  # asked for in each cycle; more at the start, or where none of them is known
MANY_TRADES: Final = 500
_LONGEST_REASON: Final = 250  # characters; freqtrade's database has room for 255
_SAME_CAPITAL: Final = 1e-3  # two readings of the starting capital that differ by less agree
_FIRST_READINGS: Final = 10  # of it at the start, a second apart, until two agree
_PROBE: Final = 1e-9  # of the equity: a lock knows no stake, so the question is for one that breaks no limit of size


class PairVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one pair in one cycle. *action* is empty where nothing changed."""

    pair: str
    refusals: tuple[EntryRefusal, ...]
    is_locked: bool  # by this guard, after the cycle
    action: str = ""  # LOCKED, UNLOCKED, WOULD_LOCK or WOULD_UNLOCK
    problem: str = ""  # why the pair's locks could not be brought to the verdict; empty where they were

    @property
    def reason(self) -> str:
        """The refusals as one line; empty where the pair is permitted."""
        return "; ".join(f"{one.code} {one.why}" for one in self.refusals)


class VetoCycle(msgspec.Struct, frozen=True, kw_only=True):
    """One cycle: the mode, and every pair of the whitelist."""

    time: str
    mode: GuardMode
    equity: float | None
    open_trades: int
    pairs: tuple[PairVerdict, ...]


class FreqtradeBars:
    """The candles that a freqtrade has of the pairs of its whitelist."""

    is_local = False

    def __init__(self, rest: FreqtradeRest, timeframe: str, timeframe_ms: int) -> None:
        self._rest, self._timeframe, self._bar_s = rest, timeframe, timeframe_ms // 1000
        self.pairs: dict[str, str] = {}  # symbol -> freqtrade's name of it

    @property
    def bar_s(self) -> int:
        """The length of a candle in seconds."""
        return self._bar_s

    def bars(self, symbol: str, after_s: int, now_ns: int) -> Sequence[ClosedBar]:
        """The completed candles after *after_s*; as many as freqtrade has, at most those of the warm-up."""
        pair = self.pairs.get(symbol)
        if pair is None:
            raise DataError(f"{symbol}: is not on the whitelist, so freqtrade has no candles of it")
        now_s = now_ns // NS_PER_SECOND
        most = WARM_UP_NS // NS_PER_SECOND // self._bar_s
        missing = most if after_s < 0 else min(most, (now_s - after_s) // self._bar_s + 1)
        try:
            found = self._rest.candles(pair, self._timeframe, max(2, missing))
        except VenueError as error:
            raise DataError(str(error)) from None
        return [ClosedBar(*row) for row in found if row[0] > after_s and row[0] + self._bar_s <= now_s]


class FreqtradeVeto:
    """Holds one freqtrade to the policy by locks on its pairs."""

    def __init__(
        self, service: GuardService, bot: str, rest: FreqtradeRest, now_ns: Callable[[], int], *,
        confidence: float | None = None, lock_s: float = LOCK_S, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service, self._rest, self._now_ns, self._sleep = service, rest, now_ns, sleep
        self._capital = self._capital_read = math.nan  # the one that counts, and the last reading
        self.bot: BotGuard = service.bot(bot)
        self._paid_in = math.nan if self.bot.paid_in is None else self.bot.paid_in
        self._confidence, self._lock_s = confidence, lock_s
        self._mark = f"quantum-trader guard {bot}: "
        self._is_first = True

    def cycle(self) -> VetoCycle:
        """Ask about every pair, and bring the locks to the verdicts. VenueError where freqtrade does not answer."""
        pairs = self._rest.whitelist()
        source = self._service.markets.source
        symbols = _symbols(pairs)
        known = [symbol for symbol in symbols.values() if symbol]
        if isinstance(source, FreqtradeBars):
            source.pairs.update({symbol: pair for pair, symbol in symbols.items() if symbol})
        self._service.markets.watch(known, self._now_ns())
        self._service.beat()
        account, trouble = self._account()
        own = self._own_locks(self._rest.locks())
        with self._service.guarded():
            now_ns = self._now_ns()  # after the requests: each of them may take seconds
            mode, mode_trouble = self.bot.mode_or_trouble(now_ns)
            if account is not None:
                trouble = self.bot.observe(account, known, now_ns)
            trouble = "; ".join(filter(None, (trouble, mode_trouble)))
            refused = {pair: self._refusals(symbol, account, trouble, now_ns) for pair, symbol in symbols.items()}
        bring = self._enforce if mode is GuardMode.ENFORCED else self._observe
        verdicts = [self._brought(bring, pair, refused[pair], own.get(pair, ()), now_ns) for pair in pairs]
        return VetoCycle(
            time=iso(now_ns // NS_PER_SECOND * NS_PER_SECOND), mode=mode, equity=account.equity if account else None,
            open_trades=len(account.positions) if account else 0, pairs=tuple(verdicts),
        )

    # ---- the account ------------------------------------------------------------------------------------------------
    def _account(self) -> tuple[ToldAccount | None, str]:
        """The account as freqtrade tells it, and why it could not."""
        try:
            self._count_trades()
            trades, capital = self._rest.open_trades(), self._settled_capital()
            equity = capital + self._rest.profit()
        except VenueError as error:
            return None, str(error)
        if unknown := [one.pair for one in trades if one.profit_abs is None]:
            return None, f"{self._rest.name}: has no price for the open trade of {unknown[0]}"
        return ToldAccount(equity=equity, positions=tuple(map(_position, trades)), paid_in=self._paid_in), ""

    def _settled_capital(self) -> float:
        """The starting capital once two readings in a row agree; until then the one before.

        A reading that is off by a stake would be a peak of the day that never was, and the next one its loss.
        A capital that has settled elsewhere is money that was paid in or out: no trade changes it. VenueError where
        none agree at the start.
        """
        readings = 1 if math.isfinite(self._capital) else _FIRST_READINGS
        for reading in range(readings):
            if reading:
                self._sleep(1.0)
            before, self._capital_read = self._capital_read, self._rest.starting_capital()
            if _agree(before, self._capital_read):
                self._note_capital(self._capital_read)
                break
        if not math.isfinite(self._capital):
            raise VenueError(f"{self._rest.name}: starting_capital changes all the time; the account is not known yet")
        return self._capital

    def _note_capital(self, capital: float) -> None:
        """Take the settled *capital*; a jump from the one before, or from that of the last session, is a transfer."""
        if not math.isfinite(self._capital):
            self._paid_in = self._paid_in if _agree(self._paid_in, capital) else capital
        elif not _agree(self._capital, capital):
            self._paid_in += capital - self._capital
        self._capital = capital

    def _count_trades(self) -> None:
        """Report the trades closed since the last cycle to the guard, oldest first; each counts once."""
        limit = MANY_TRADES if self._is_first else NEWEST_TRADES
        trades = self._rest.closed_trades(limit)
        if not self._is_first and len(trades) == limit and not any(map(self._is_counted, trades)):
            trades = self._rest.closed_trades(MANY_TRADES)
        now_ns = self._now_ns()
        with self._service.guarded():
            for trade in trades:
                if trade.close_profit_abs is not None and not self._is_counted(trade):
                    self.bot.fill(_report(self.bot.name, trade, trade.close_profit_abs), now_ns)
        self._is_first = False

    def _is_counted(self, trade: PastTrade) -> bool:
        return self.bot.has_fill(_fill_id(trade))

    def _refusals(
        self, symbol: str, account: ToldAccount | None, trouble: str, now_ns: int
    ) -> tuple[EntryRefusal, ...]:
        """Why the pair may not be entered; empty where it may."""
        if not symbol:
            return (EntryRefusal(code="SYMBOL", why="is no pair of a USD-M market: it cannot be measured"),)
        if account is None:
            return (EntryRefusal(code="STATE", why=trouble),)
        size = max(abs(account.equity), 1.0) * _PROBE
        question = EntryQuestion(
            symbol=symbol, stake=size, stop_pct=100.0, equity=account.equity, open_count=len(account.positions),
            open_stake=account.open_stake, confidence=self._confidence,
        )
        return self.bot.judge(question, now_ns, trouble).refusals

    # ---- the locks --------------------------------------------------------------------------------------------------
    def _own_locks(self, locks: Sequence[PairLock]) -> Mapping[str, list[PairLock]]:
        """This guard's own locks by pair, told by the mark at the start of their reasons; the longest one first."""
        found: dict[str, list[PairLock]] = {}
        for one in locks:
            if one.active and (one.reason or "").startswith(self._mark):
                found.setdefault(one.pair, []).append(one)
        for several in found.values():
            several.sort(key=lambda one: (-one.lock_end_timestamp, -one.id))
        return found

    def _brought(
        self, bring: Callable[[str, tuple[EntryRefusal, ...], Sequence[PairLock], int], PairVerdict], pair: str,
        refusals: tuple[EntryRefusal, ...], own: Sequence[PairLock], now_ns: int,
    ) -> PairVerdict:
        """What *bring* made of one pair; one that freqtrade does not take keeps no other pair from its lock."""
        try:
            return bring(pair, refusals, own, now_ns)
        except VenueError as error:
            return PairVerdict(pair=pair, refusals=refusals, is_locked=bool(own), problem=str(error))

    def _enforce(
        self, pair: str, refusals: tuple[EntryRefusal, ...], own: Sequence[PairLock], now_ns: int
    ) -> PairVerdict:
        """Lock a refused pair, renew its lock, or remove the locks of a permitted one."""
        if not refusals:
            self._remove(own)
            changed = "UNLOCKED" if own else ""
            self._tell(pair, changed, refusals, now_ns)
            return PairVerdict(pair=pair, refusals=(), is_locked=False, action=changed)
        reason = self._reason(refusals)
        is_new = not own or _codes(own[0].reason or "") != _codes(reason)
        left_ns = (own[0].lock_end_timestamp * NS_PER_MS if own else 0) - now_ns
        if is_new or left_ns < self._lock_s * NS_PER_SECOND / 2:
            until = self._now_ns() + int(self._lock_s * NS_PER_SECOND)
            after = self._own_locks(self._rest.lock(pair, iso(until // NS_PER_SECOND * NS_PER_SECOND), reason))
            mine = [one for one in after.get(pair, ()) if one.reason == reason]
            self._remove([one for one in after.get(pair, ()) if mine and one.id != mine[0].id])
        self._tell(pair, "LOCKED" if is_new else "", refusals, now_ns)
        return PairVerdict(pair=pair, refusals=refusals, is_locked=True, action="LOCKED" if is_new else "")

    def _observe(
        self, pair: str, refusals: tuple[EntryRefusal, ...], own: Sequence[PairLock], now_ns: int
    ) -> PairVerdict:
        """Write no lock, remove those from before, and say what would be locked."""
        self._remove(own)
        if own:
            self._tell(pair, "UNLOCKED", (), now_ns)
        before = self.bot.would_lock.get(pair, frozenset())
        now = frozenset(one.code for one in refusals)
        changed = "" if now == before else "WOULD_LOCK" if now else "WOULD_UNLOCK"
        self._tell(pair, changed, refusals, now_ns)
        return PairVerdict(pair=pair, refusals=refusals, is_locked=False, action=changed or ("UNLOCKED" if own else ""))

    def _remove(self, locks: Sequence[PairLock]) -> None:
        for one in locks:
            self._rest.unlock(one.id)

    def _tell(self, pair: str, action: str, refusals: Sequence[EntryRefusal], now_ns: int) -> None:
        if action:
            with self._service.guarded():
                self.bot.record_lock(pair, action, refusals, now_ns)

    def _reason(self, refusals: Sequence[EntryRefusal]) -> str:
        """The mark, the codes, and as much of the words as freqtrade's database has room for."""
        codes = "+".join(sorted({one.code for one in refusals}))
        words = "; ".join(dict.fromkeys(one.why for one in refusals))
        return f"{self._mark}{codes}: {words}"[:_LONGEST_REASON]


def _agree(before: float, after: float) -> bool:
    """Whether two readings of the starting capital are the same but for fees and rounding; never for NaN."""
    return abs(after - before) <= _SAME_CAPITAL * abs(before)


def _codes(reason: str) -> str:
    """The part of a lock's reason that says which rules refuse, without the figures in the words after it."""
    return ": ".join(reason.split(": ")[:2])


def _symbols(pairs: Sequence[str]) -> dict[str, str]:
    """The symbol of each pair; "" for one that is no USD-M market."""
    found = {}
    for pair in pairs:
        try:
            found[pair] = parse_symbol(pair)
        except InputError:
            found[pair] = ""
    return found


def _position(trade: RunningTrade) -> ToldPosition:
    return ToldPosition(
        symbol=trade.pair, stake=trade.stake_amount, side=Side.SHORT if trade.is_short else Side.LONG
    )


def _fill_id(trade: PastTrade) -> str:
    return f"trade-{trade.trade_id}"


def _report(bot: str, trade: PastTrade, profit: float) -> FillReport:
    return FillReport(
        bot=bot, id=_fill_id(trade), fill="EXIT", symbol=trade.pair,
        side=Side.SHORT if trade.is_short else Side.LONG, stake=trade.stake_amount if trade.stake_amount > 0 else None,
        price=trade.close_rate or None, profit=profit,
    )
