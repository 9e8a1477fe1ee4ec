"""What a guard has blocked or would have blocked, for each bot and rule: figures from the journals of its folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from quantum_trader.app.guard.journal import (
    BotBegan,
    BotResumed,
    DecisionMade,
    FileMissed,
    FillTaken,
    GuardEvent,
    LockChanged,
    PartSealed,
    TransferTaken,
    read_events,
)
from quantum_trader.app.guard.modes import BOTS, BotMode, GuardMode, ModeFile
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.ordered_sum import ordered_sum


class RuleCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries one rule refused; an entry that several refuse counts with each."""

    rule: str
    blocked: int  # while ENFORCED
    would_have_blocked: int  # while OBSERVE
    last_why: str


class BotReport(msgspec.Struct, frozen=True, kw_only=True):
    """One bot's figures since *since*. An id that was asked again counts once, with its last answer."""

    bot: str
    mode: str
    mode_by: str
    mode_reason: str
    since: str  # ISO 8601, UTC
    questions: int
    allowed: int  # the policy had nothing against them, in either mode
    blocked: int
    would_have_blocked: int
    rules: tuple[RuleCount, ...]
    entries: int
    exits: int
    losing_exits: int
    profit: float  # of the exits, in the account's currency
    transfers: int  # of money paid in or out
    transferred: float  # their sum, in the account's currency
    locks: int  # of freqtrade's pairs: locks set
    would_lock: int
    damage: str  # what became of a journal that could not be used; empty where nothing did, or a person resumed


def guard_report(folder: Path, bot: str | None = None) -> tuple[BotReport, ...]:
    """The figures of *bot*, or of all bots, in the state folder. ConfigError where there is none."""
    known = sorted(path.name for path in (folder / BOTS).glob("*") if path.is_dir())
    if bot is not None and bot not in known:
        named = ", ".join(known) or "none"
        raise ConfigError(f"--bot {bot!r}: has asked nothing in --state {folder}; known are: {named}")
    modes = ModeFile(folder)
    return tuple(_bot_report(folder, name, modes) for name in known if bot in (None, name))


def _bot_report(folder: Path, name: str, modes: ModeFile) -> BotReport:
    events = list(read_events(folder / BOTS / name))
    try:
        found = modes.of(name) or BotMode()
        mode, by, reason = found.mode.value, found.by, found.reason
    except StateError as error:
        mode, by, reason = "UNKNOWN", "", str(error)
    decisions = list({one.id: one for one in events if isinstance(one, DecisionMade)}.values())
    refused = [one for one in decisions if not one.would_allow]
    exits = [one.profit for one in events if isinstance(one, FillTaken) and one.profit is not None]
    moved = [one.amount for one in events if isinstance(one, TransferTaken) and one.amount]
    locks = Counter(one.action for one in events if isinstance(one, LockChanged))
    blocked = sum(1 for one in refused if not one.allow)
    return BotReport(
        bot=name, mode=mode, mode_by=by, mode_reason=reason, since=iso(events[0].ns) if events else "",
        questions=len(decisions), allowed=len(decisions) - len(refused), blocked=blocked,
        would_have_blocked=len(refused) - blocked, rules=_rule_counts(events, refused),
        entries=sum(1 for one in events if isinstance(one, FillTaken) and one.profit is None), exits=len(exits),
        losing_exits=sum(1 for one in exits if one < 0.0), profit=ordered_sum(exits), transfers=len(moved),
        transferred=ordered_sum(moved), locks=locks["LOCKED"],
        would_lock=locks["WOULD_LOCK"], damage=_damage(events),
    )


def _rule_counts(events: list[GuardEvent], refused: list[DecisionMade]) -> tuple[RuleCount, ...]:
    blocked: Counter[str] = Counter()
    would: Counter[str] = Counter()
    whys: dict[str, str] = {}
    asked = [(one.refusals, one.mode) for one in refused]
    locked = [
        (one.refusals, one.mode) for one in events
        if isinstance(one, LockChanged) and one.action in ("LOCKED", "WOULD_LOCK")
    ]
    for refusals, mode in (*asked, *locked):
        counted = blocked if mode == GuardMode.ENFORCED.value else would
        for code, why in {one.code: one.why for one in refusals}.items():
            counted[code] += 1
            whys[code] = why
    return tuple(
        RuleCount(rule=code, blocked=blocked[code], would_have_blocked=would[code], last_why=whys[code])
        for code in sorted(whys, key=lambda one: (-blocked[one] - would[one], one))
    )


def _damage(events: list[GuardEvent]) -> str:
    for event in reversed(events):
        if isinstance(event, BotResumed):
            return ""
        if isinstance(event, (BotBegan, FileMissed, PartSealed)):
            return event.damage
    return ""
