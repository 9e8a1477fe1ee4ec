"""One bot under a guard: its policy with all that it remembers, its losing streak, its journal, and its answers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.guard.journal import (
    BotBegan,
    BotResumed,
    DecisionMade,
    FileMissed,
    FillTaken,
    GuardEvent,
    GuardJournal,
    LockChanged,
    ModeTaken,
    PartSealed,
    ToldAccount,
    TransferTaken,
)
from quantum_trader.app.guard.markets import Markets
from quantum_trader.app.guard.modes import BOTS, BotMode, GuardMode, ModeFile
from quantum_trader.app.guard.questions import DecideQuestion, FillAnswer, FillReport, GuardAnswer
from quantum_trader.domain.clock import NS_PER_SECOND, iso
from quantum_trader.domain.errors import InputError, QuantumTraderError, StateError
from quantum_trader.domain.market import MarketState
from quantum_trader.domain.private_files import make_private_folder
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.policy.core import MAX_MARKET_AGE_BARS, next_streak
from quantum_trader.policy.entries import UNKNOWN_SYMBOL, EntryQuestion, EntryRefusal, EntryVerdict, judge_entry
from quantum_trader.policy.inputs import create_risk_state, vol_level_of
from quantum_trader.policy.orchestrator import OrchestratorPolicy
from quantum_trader.policy.pair_market import overall
from quantum_trader.policy.streaks import Streak

VALID_S: Final = 60  # an answer holds this long: the age at which rule F2 calls an account old
ANSWERS: Final = 10_000  # whose ids are remembered, and as many reports
SYMBOLS: Final = 500  # of a bot are measured: those that it asked about last
POLICY_FILE: Final = "policy.json"
_UNUSABLE: Final = (QuantumTraderError, OSError)  # a state or a disk that does not do; everything else is a fault

_log: Final = logging.getLogger(__name__)


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The profile that every bot of one guard is held to, and the folder of the user's own profiles."""

    profile: str | None = None
    profile_folder: Path | None = None


class BotGuard:
    """The guard of one bot. Not for several threads at once: :class:`~quantum_trader.app.guard.service.GuardService`
    lets one in at a time.
    """

    def __init__(
        self, state: Path, name: str, settings: GuardSettings, modes: ModeFile, markets: Markets, now_ns: int
    ) -> None:
        """Take up where the journal of bot *name* in the folder *state* ends, or begin."""
        self.name = name
        folder = state / BOTS / name
        make_private_folder(folder)
        had_policy = os.path.lexists(folder / POLICY_FILE)
        self._modes, self._markets = modes, markets
        self.damage = ""
        self.account: ToldAccount | None = None
        self.symbols: dict[str, None] = {}
        self.streak: Streak = (0, 0, 0)
        self._resumed = self._damaged_ns = 0
        self._mode = GuardMode.OBSERVE
        self._paid_in: float | None = None
        self._fills: OrderedDict[str, str] = OrderedDict()  # id -> digest of the report
        self.would_lock: dict[str, frozenset[str]] = {}  # pairs of a freqtrade that OBSERVE leaves open, with the rules
        self._answers: OrderedDict[str, tuple[DecideQuestion | None, GuardAnswer | None, int]] = OrderedDict()
        self.policy = OrchestratorPolicy(
            profile_name=settings.profile, state_path=folder / POLICY_FILE, profile_directory=settings.profile_folder
        )
        self.journal = GuardJournal(folder, now_ns)
        for event in self.journal.events:
            self._take(event)
        missing = _what_is_missing(self.journal.events, had_policy)
        if missing and not self.damage:
            found = FileMissed(seq=self.journal.next_seq, ns=now_ns, damage=missing)
            self.journal.append(found, durable=True)
            self._take(found)
        self._settle(self.journal.events)
        self.journal.events = []

    # ---- the mode ---------------------------------------------------------------------------------------------------
    def mode(self, now_ns: int) -> GuardMode:
        """The mode in force; changes are taken up and journaled. StateError where the file of modes is damaged
        or gone."""
        found = self._modes.of(self.name)
        if found is None and self._mode is GuardMode.ENFORCED:
            raise StateError(
                f"modes.json: has no mode of bot {self.name!r}, which was ENFORCED; set it again with `quantum-trader "
                "guard mode`"
            )
        found = found or BotMode()
        if found.mode is not self._mode:
            self.journal.append(ModeTaken(
                seq=self.journal.next_seq, ns=now_ns, mode=found.mode.value, by=found.by, reason=found.reason
            ))
            self._mode = found.mode
        if found.resume_revision > self._resumed and found.resume_revision >= self._damaged_ns:
            self._resume(found, now_ns)
        return self._mode

    @property
    def halted(self) -> str:
        """Why nothing is permitted until a person says that it is safe; empty where something may be."""
        return "; ".join(filter(None, (self.damage, self.policy.halt_reason if self.policy.halted else "")))

    def _resume(self, found: BotMode, now_ns: int) -> None:
        event = BotResumed(
            seq=self.journal.next_seq, ns=now_ns, revision=found.resume_revision, by=found.resume_by,
            reason=found.resume_reason,
        )
        if self.policy.halted:
            self.policy.resume(found.resume_reason)
        self.journal.append(event, durable=True)
        self._take(event)

    # ---- questions --------------------------------------------------------------------------------------------------
    def decide(self, question: DecideQuestion, now_ns: int) -> GuardAnswer:
        """The answer to *question*. One that is sent again gets the same answer while that holds.

        InputError for an id that stood for another question.
        """
        known = self._answers.get(question.id)
        mode, trouble = self.mode_or_trouble(now_ns)
        if known is not None:
            before, answer, until_ns = known
            if before is not None and before != question:
                raise InputError(f"id = {question.id!r}: stood for another question; give every entry an id of its own")
            if answer is not None and before is not None and now_ns < until_ns and answer.mode is mode and not trouble:
                return answer
        entry = question.entry()
        failed = self.observe(question.account, [entry.symbol], now_ns)
        verdict = self.judge(entry, now_ns, trouble) if not failed else _refused(failed)
        answer = self._answer(question, verdict, mode, now_ns)
        try:
            self._record(question, answer, now_ns, is_again=known is not None)
        except StateError as error:  # what cannot be recorded is not permitted
            return self._answer(question, _refused(str(error)), mode, now_ns)
        self._remember(question.id, question, answer, now_ns)
        return answer

    def observe(self, account: ToldAccount, symbols: Sequence[str], now_ns: int) -> str:
        """Take the *account* as it is at *now_ns*, watch *symbols* and those of its positions, and evaluate the policy.

        Returns why that could not be done; empty where it was.
        """
        try:
            self._take_transfer(account, now_ns)
        except _UNUSABLE as error:
            return str(error)
        self.account = account
        wanted = [*symbols, *filter(None, map(_symbol, (one.symbol for one in account.positions)))]
        self._note_symbols(wanted)
        try:
            self._markets.watch(wanted, now_ns)
            self.evaluate(now_ns)
        except _UNUSABLE as error:
            return str(error)
        return ""

    def _note_symbols(self, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            self.symbols.pop(symbol, None)
            self.symbols[symbol] = None
        for symbol in list(self.symbols)[:-SYMBOLS]:
            del self.symbols[symbol]

    @property
    def paid_in(self) -> float | None:
        """Everything paid into the account less what was paid out, as it was told last; None: it was never told."""
        return self._paid_in

    def _take_transfer(self, account: ToldAccount, now_ns: int) -> None:
        """Note the money that was paid in or out since *account* was told before, ahead of the equity that shows it.

        It is on disk first. StateError or OSError where it cannot be written.
        """
        paid_in = account.paid_in
        if paid_in is None or paid_in == self._paid_in:
            return
        day, peak = self.policy.day_peak
        event = TransferTaken(
            seq=self.journal.next_seq, ns=now_ns, paid_in=paid_in, day=day, day_peak=peak,
            amount=0.0 if self._paid_in is None else paid_in - self._paid_in,
        )
        self.journal.append(event, durable=True)
        self._take(event)
        if event.amount:
            self.policy.note_transfer(event.amount)

    def _settle(self, events: Sequence[GuardEvent]) -> None:
        """Note the last transfer of *events* where a kill came before the policy's file had it."""
        last = next((one for one in reversed(events) if isinstance(one, TransferTaken)), None)
        if last is not None and last.amount and self.policy.day_peak == (last.day, last.day_peak):
            self.policy.note_transfer(last.amount)

    def judge(self, entry: EntryQuestion, now_ns: int, trouble: str = "") -> EntryVerdict:
        """The verdict on *entry* by the policy as it was evaluated last; what cannot be judged is refused.

        *trouble* is a reason of the caller's to refuse. Nothing is journaled.
        """
        verdict = judge_entry(self.policy.get_policy(), entry)
        against = [EntryRefusal(code="STATE", why=why) for why in (trouble, self.damage) if why]
        against += self._data_refusals(entry.symbol, now_ns)
        if not against:
            return verdict
        others = (one for one in verdict.refusals if one.code != UNKNOWN_SYMBOL)  # said better by NO_BARS
        return msgspec.structs.replace(
            verdict, allow=False, max_stake=0.0, max_risk_pct=0.0, refusals=(*against, *others)
        )

    def evaluate(self, now_ns: int) -> None:
        """Evaluate the policy for every symbol of the bot; nothing before the bot has told its account."""
        if self.account is None:
            return
        config = self.policy.config
        found = {symbol: self._markets.state(symbol, now_ns, config) for symbol in self.symbols}
        markets: dict[str, MarketState] = {symbol: state for symbol, state in found.items() if state is not None}
        trend, direction, ratio = overall(list(markets.values()))
        account = self.account
        exposure = account.open_stake / account.equity * 100.0 if account.equity > 0.0 else 0.0
        losing, broken, wins = self.streak
        self.policy.update_policy(
            trend, vol_level_of(ratio, config),
            create_risk_state(
                daily_pnl_pct=0.0,  # the day's loss is at most the drawdown from its peak, which the policy keeps
                losing_streak=losing, broken_streak=broken, wins_since=wins, equity=account.equity,
                open_trades_count=len(account.positions), total_exposure_pct=exposure,
            ),
            direction=direction, markets=markets,
            market_age_bars=min((one.age_bars for one in markets.values()), default=0.0), now=now_ns,
        )

    def _data_refusals(self, symbol: str, now_ns: int) -> list[EntryRefusal]:
        """NO_BARS and STALE_BARS."""
        state = self._markets.state(symbol, now_ns, self.policy.config)
        problem = self._markets.problem(symbol)
        if state is None:
            return [EntryRefusal(code="NO_BARS", why=problem or f"no bars of {symbol} yet; they are being fetched")]
        if state.age_bars > MAX_MARKET_AGE_BARS:
            ended = iso(self._markets.end_ns(symbol))
            told = f": {problem}" if problem else ""
            return [EntryRefusal(code="STALE_BARS", why=f"the newest bar of {symbol} ended at {ended}{told}")]
        return []

    def mode_or_trouble(self, now_ns: int) -> tuple[GuardMode, str]:
        """The mode and what is wrong with it: a mode that is not known is ENFORCED."""
        try:
            return self.mode(now_ns), ""
        except _UNUSABLE as error:
            return GuardMode.ENFORCED, str(error)

    def _answer(
        self, question: DecideQuestion, verdict: EntryVerdict, mode: GuardMode, now_ns: int
    ) -> GuardAnswer:
        is_free = mode is GuardMode.OBSERVE
        return GuardAnswer(
            bot=self.name, id=question.id, allow=verdict.allow or is_free,
            max_stake=question.stake if is_free else verdict.max_stake, max_risk_pct=verdict.max_risk_pct,
            min_confidence=verdict.min_confidence if verdict.min_confidence <= 1.0 else None,
            rules=verdict.rules, refusals=verdict.refusals, reason=verdict.reason,
            valid_until=iso((now_ns // NS_PER_SECOND + VALID_S) * NS_PER_SECOND), mode=mode,
            would_allow=verdict.allow, would_max_stake=verdict.max_stake,
        )

    def _record(self, question: DecideQuestion, answer: GuardAnswer, now_ns: int, *, is_again: bool) -> None:
        self.journal.append(DecisionMade(
            seq=self.journal.next_seq, ns=now_ns, id=question.id, symbol=parse_symbol(question.symbol),
            side=question.side, stake=question.stake, stop=question.stop, confidence=question.confidence,
            account=question.account, mode=answer.mode.value, allow=answer.allow, would_allow=answer.would_allow,
            max_stake=answer.max_stake, refusals=answer.refusals, is_again=is_again,
        ))

    def _remember(self, key: str, question: DecideQuestion | None, answer: GuardAnswer | None, ns: int) -> None:
        self._answers[key] = (question, answer, ns + VALID_S * NS_PER_SECOND)
        self._answers.move_to_end(key)
        while len(self._answers) > ANSWERS:
            self._answers.popitem(last=False)

    # ---- reports ----------------------------------------------------------------------------------------------------
    def fill(self, report: FillReport, now_ns: int) -> FillAnswer:
        """Count *report*, once; it is on disk when this returns. InputError for an id that stood for another one."""
        known = self._fills.get(report.id)
        if known is not None and known != _digest(report):
            raise InputError(f"id = {report.id!r}: stood for another report; give every fill an id of its own")
        if known is None:
            if report.account is not None:
                self._take_transfer(report.account, now_ns)
            event = FillTaken(
                seq=self.journal.next_seq, ns=now_ns, id=report.id, fill=report.fill, symbol=report.symbol,
                side=report.side, stake=report.stake, price=report.price, profit=report.profit, account=report.account,
            )
            self.journal.append(event, durable=True)
            self._take(event)
        return FillAnswer(
            bot=self.name, id=report.id, is_counted=known is None, losing_streak=self.streak[0]
        )

    def has_fill(self, key: str) -> bool:
        """Whether a report with the id *key* was counted."""
        return key in self._fills

    def record_lock(self, pair: str, action: str, refusals: Sequence[EntryRefusal], now_ns: int) -> None:
        """Journal what was done about *pair* of a freqtrade."""
        event = LockChanged(
            seq=self.journal.next_seq, ns=now_ns, pair=pair, action=action, mode=self._mode.value,
            refusals=tuple(refusals),
        )
        self.journal.append(event)
        self._take(event)

    def _take(self, event: GuardEvent) -> None:
        """Change what is remembered as *event* says."""
        match event:
            case BotBegan() | FileMissed():
                self.damage = event.damage
                self._damaged_ns = event.ns if event.damage else 0
            case BotResumed():
                self.damage, self._resumed = "", event.revision
            case ModeTaken():
                self._mode = GuardMode(event.mode)
            case DecisionMade():
                self.account = event.account
                self._note_symbols([event.symbol])
                self._remember(event.id, None, None, event.ns)
            case LockChanged():
                is_left = event.action == "WOULD_LOCK"
                self.would_lock[event.pair] = frozenset(one.code for one in event.refusals) if is_left else frozenset()
            case TransferTaken():
                self._paid_in = event.paid_in
            case PartSealed():
                self._carry(event)
            case FillTaken():
                self._fills[event.id] = _digest(_report_of(self.name, event))
                while len(self._fills) > ANSWERS:
                    self._fills.popitem(last=False)
                self.account = event.account or self.account
                if event.profit is not None:
                    self.streak = next_streak(
                        *self.streak, event.profit >= 0.0, self.policy.config.recovery_after_streak
                    )

    # ---- the journal's size -----------------------------------------------------------------------------------------
    def seal_journal(self, now_ns: int) -> None:
        """Seal the journal's open file where it is full; one that cannot be sealed goes on and is tried again."""
        if not self.journal.is_full:
            return
        try:
            self.journal.seal(lambda part, digest: self._remembered(part, digest, now_ns))
        except StateError as error:
            _log.warning("%s", error)

    def _remembered(self, part: str, digest: str, now_ns: int) -> PartSealed:
        """Everything that the journal's lines have told of the bot, as the first line after *part*."""
        return PartSealed(
            seq=self.journal.next_seq, ns=now_ns, part=part, digest=digest, damage=self.damage,
            damaged_ns=self._damaged_ns, resumed=self._resumed, mode=self._mode.value, account=self.account,
            paid_in=self._paid_in, streak=self.streak, symbols=tuple(self.symbols),
            would_lock={pair: tuple(sorted(rules)) for pair, rules in self.would_lock.items() if rules},
            fills=dict(self._fills),
            answers={key: until_ns - VALID_S * NS_PER_SECOND for key, (_, _, until_ns) in self._answers.items()},
        )

    def _carry(self, event: PartSealed) -> None:
        """Remember what the lines before *event* had told."""
        self.damage, self._damaged_ns, self._resumed = event.damage, event.damaged_ns, event.resumed
        self._mode, self.account, self._paid_in = GuardMode(event.mode), event.account, event.paid_in
        self.streak, self.symbols = event.streak, dict.fromkeys(event.symbols)
        self.would_lock = {pair: frozenset(rules) for pair, rules in event.would_lock.items()}
        self._fills = OrderedDict(event.fills)
        for key, ns in event.answers.items():
            self._remember(key, None, None, ns)

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


def _what_is_missing(events: Sequence[GuardEvent], had_policy: bool) -> str:
    """Which of the bot's two files is gone; empty where both are there, or neither ever was.

    A policy's file is there from the first question on. One that is gone is damage until a person has said that it is
    safe, after which the next question makes it anew.
    """
    if had_policy and len(events) == 1 and isinstance(events[0], BotBegan):
        return "the bot's journal is gone, and its losing streak with it"
    last = next((one for one in reversed(events) if isinstance(one, (DecisionMade, BotResumed, PartSealed))), None)
    asked = isinstance(last, DecisionMade) or (isinstance(last, PartSealed) and last.account is not None)
    if not had_policy and asked:
        return f"the bot's {POLICY_FILE} is gone, and its latches with it"
    return ""


def _symbol(name: str) -> str:
    """The symbol that *name* means; "" where it is none, such as a pair that is not quoted in a stable coin."""
    try:
        return parse_symbol(name)
    except InputError:
        return ""


def _refused(why: str) -> EntryVerdict:
    """The verdict where the policy could not be evaluated; no confidence suffices."""
    refusals = (EntryRefusal(code="STATE", why=why),)
    return EntryVerdict(
        allow=False, max_stake=0.0, max_risk_pct=0.0, min_confidence=2.0, refusals=refusals, rules=()
    )


def _report_of(bot: str, event: FillTaken) -> FillReport:
    account = event.account
    return FillReport(
        bot=bot, id=event.id, fill=event.fill, symbol=event.symbol, side=event.side, stake=event.stake,
        price=event.price, profit=event.profit, equity=account.equity if account else None,
        positions=account.positions if account else None, paid_in=account.paid_in if account else None,
    )


def _digest(report: FillReport) -> str:
    """What is kept of *report* to tell whether the same one comes again."""
    return hashlib.blake2b(msgspec.json.encode(report), digest_size=16).hexdigest()
