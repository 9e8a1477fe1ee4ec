"""The register of halts: what keeps new positions from being opened, since when and how it ends.

There is one answer to "may anything open, and if not, why": :meth:`Halts.closed`. Reducing, closing and cancelling
never ask.
"""

from __future__ import annotations

import re
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_SECOND, iso
from quantum_trader.domain.enums import GOV_EMERGENCY, GOVERNOR_CODES
from quantum_trader.domain.errors import InputError
from quantum_trader.engine.account import Account
from quantum_trader.engine.facts import HaltNotice, HealthNotice
from quantum_trader.engine.recorder import RUN
from quantum_trader.engine.records import Records
from quantum_trader.engine.tally import HaltEntry
from quantum_trader.risk.governor import (
    CAUSE_HEALTH,
    CAUSES,
    GOV_ROW_CAUSE,
    GOV_ROW_SINCE_S,
    governor_resume,
    governor_step,
    operator_resumes,
)

OPERATOR: Final = "operator"
RECONCILIATION: Final = "reconciliation"
DAILY_LOSS: Final = "daily_loss"
GOVERNOR: Final = "governor"
STREAK: Final = "streak"
BAD_BARS: Final = "bad_bars"  # followed by the symbol
LOCK: Final = "lock"  # followed by the symbol: a person keeps entries out of it until a time
_ALSO: Final = "; also: "  # between the reasons of one halt
_MOST_REASONS: Final = 8


class Halts:
    """Every halt of one account, and the states of the system that close openings without being recorded as halts."""

    def __init__(self, records: Records, account: Account) -> None:
        self._records, self._account = records, account
        self.in_force: dict[str, str] = {}  # kind of halt -> its reason
        self.locks: dict[str, int] = {}  # symbol -> when its lock ends
        self.flattening = False  # a flatten is in force: what opens or is adopted meanwhile is closed at once
        self.connected = True  # the venue can be reached
        self.inputs_written = True  # inputs can be written down before they are acted on
        self.started = True  # the books know the money they began with
        self.health = 0  # the governor's level that system health calls for, a GOV_* code
        self._health_reason = ""

    # ------------------------------------------------------------------ the register

    def closed(self, symbol: str = "") -> str:
        """Why nothing may open at the moment, in *symbol* where one is named; empty: openings are not halted.

        Limits of a single order (size, exposure, cost, rate) are the guard's, its permission the policy's.
        """
        if self.operator_halt or self.flattening:
            return "halted by command"
        if held := self.in_force.get(RECONCILIATION):
            return held
        if self._account.in_emergency:
            return "the governor is in EMERGENCY"
        if self._account.loss_latched:
            return "daily loss limit reached"
        if symbol and (bad_bars := self.in_force.get(f"{BAD_BARS} {symbol}")):
            return bad_bars
        if symbol and (locked := self.in_force.get(f"{LOCK} {symbol}")):
            return locked
        if not self.inputs_written:
            return "inputs cannot be written"
        if not self.started:
            return "the account has not been read"
        return "" if self.connected else "the venue is not there"

    @property
    def kill_switch(self) -> bool:
        """Whether the guard refuses every opening for a halt that neither governor nor connection stand for."""
        halted = self.operator_halt or self.flattening or RECONCILIATION in self.in_force
        return halted or not (self.inputs_written and self.started)

    @property
    def operator_halt(self) -> bool:
        """Whether a person, or a failure of the engine, has halted openings until :meth:`resume`."""
        return OPERATOR in self.in_force

    @property
    def held(self) -> str:
        """What differs from the exchange and waits for a person; empty: nothing does."""
        return self.in_force.get(RECONCILIATION, "")

    def begin(self, kind: str, reason: str, exit_path: str, now_ns: int, level: str = "") -> None:
        """Put a halt into force and on record."""
        self.in_force[kind] = reason
        tally = self._records.tally
        tally.halts.append(HaltEntry(ts_ns=now_ns, kind=kind, reason=reason, exit_path=exit_path))
        self._records.record("halt.raised", "", now_ns, HaltNotice(
            kind=kind, reason=reason, owner="risk", exit_path=exit_path, level=level
        ))
        tally.event(now_ns, "halt", reason)

    def end(self, kind: str, reason: str, now_ns: int, level: str = "") -> None:
        """Take a halt out of force and record why."""
        self.in_force.pop(kind, None)
        tally = self._records.tally
        for entry in tally.halts:
            if entry.kind == kind and entry.cleared_ns == 0:
                entry.cleared_ns = now_ns
        self._records.record("halt.cleared", "", now_ns, HaltNotice(
            kind=kind, reason=reason, owner="risk", exit_path="", level=level
        ))
        tally.event(now_ns, "halt", reason)

    # ------------------------------------------------------------------ people

    def halt(self, reason: str, now_ns: int) -> None:
        """Stop all openings by command until :meth:`resume`."""
        if not reason.strip():
            raise InputError("reason = '': a halt needs a reason for the record")
        if not self.operator_halt:
            self.begin(OPERATOR, f"halted: {reason}", "resume --reason", now_ns)

    def hold(self, reason: str, now_ns: int) -> None:
        """Stop all openings because the account is not what the books say, until a person has looked.

        Every reason is kept and recorded once; one that differs in its figures alone is the same reason.
        """
        before = self.held.split(_ALSO) if self.held else []
        if len(before) >= _MOST_REASONS or _without_figures(reason) in map(_without_figures, before):
            return
        self.begin(RECONCILIATION, reason, "resume --reason", now_ns)
        self.in_force[RECONCILIATION] = _ALSO.join([*before, reason])

    def resume(self, reason: str, now_ns: int) -> None:
        """End what waits for a person: a halt by command, a difference from the exchange, a flatten, an EMERGENCY.

        After an EMERGENCY the equity peak starts again from today's equity and the loss count from zero.
        """
        if not reason.strip():
            raise InputError("reason = '': a resume needs a reason for the record")
        self.flattening = False
        for kind in (RECONCILIATION, OPERATOR):
            if kind in self.in_force:
                self.end(kind, f"resumed: {reason}", now_ns)
        books = self._account.books
        streak = books.losing_streak
        books.break_streak()
        if governor_resume(self._account.governor, self._account.equity, now_ns // NS_PER_SECOND):
            level = GOVERNOR_CODES[self._account.governor_level].value
            self.end(GOVERNOR, f"resumed: {reason}", now_ns, level)
        elif streak:
            self.end(STREAK, f"losing streak of {streak} ended: {reason}", now_ns)

    def lock(self, symbol: str, until_ns: int, reason: str, now_ns: int) -> None:
        """Keep entries out of *symbol* until the first bars at *until_ns* or later; a lock before it ends."""
        self.unlock(symbol, "another lock takes its place", now_ns)
        self.locks[symbol] = until_ns
        self.begin(f"{LOCK} {symbol}", f"locked: {reason}", f"at {iso(until_ns)}", now_ns)

    def unlock(self, symbol: str, reason: str, now_ns: int) -> None:
        """End the lock of *symbol*; nothing where there is none."""
        if self.locks.pop(symbol, None) is not None:
            self.end(f"{LOCK} {symbol}", reason, now_ns)

    def end_locks(self, now_ns: int) -> None:
        """End every lock whose time is over."""
        for symbol in [symbol for symbol, until_ns in self.locks.items() if until_ns <= now_ns]:
            self.unlock(symbol, "its time is over", now_ns)

    # ------------------------------------------------------------------ limits and health

    def governor_moved(self, before: int, now_ns: int) -> None:
        """Record a change of the governor's level from *before*."""
        level = self._account.governor_level
        if level == before:
            return
        name = GOVERNOR_CODES[level].value
        if level > before:
            path = "resume --reason" if level == GOV_EMERGENCY else "recovers by itself"
            self.begin(GOVERNOR, f"governor {name}", path, now_ns, name)
        else:
            self.end(GOVERNOR, f"governor {name}", now_ns, name)
            if level:
                self.in_force[GOVERNOR] = f"governor {name}"  # a lower level is in force still

    def daily_loss_watched(self, now_ns: int) -> None:
        """Record when the daily loss limit latches and when it lets go."""
        latched = self._account.loss_latched
        if latched and DAILY_LOSS not in self.in_force:
            path = "next UTC midnight, losses inside the limit"
            self.begin(DAILY_LOSS, "daily loss limit reached", path, now_ns)
        elif not latched and DAILY_LOSS in self.in_force:
            self.end(DAILY_LOSS, "losses inside the limit", now_ns)

    def operator_is_due(self, now_ns: int, after_hours: float) -> bool:
        """Whether the simulated operator of a replay resumes an EMERGENCY now, *after_hours* hours into it."""
        return self._account.in_emergency and bool(operator_resumes(
            float(self._account.governor[GOV_ROW_SINCE_S]), now_ns // NS_PER_SECOND, after_hours
        ))

    def health_changed(self, level: int, connected: bool, reason: str, now_ns: int) -> None:
        """Take the level that system health calls for (a GOV_* code) into force, and whether the venue is reached."""
        self._health_reason = reason
        notice = HealthNotice(level=level, connected=connected, reason=reason)
        self._records.record("health.changed", "", now_ns, notice, RUN)
        self.health, self.connected = level, connected
        before = self._account.governor_level
        governor_step(self._account.governor, self._account.equity, now_ns // NS_PER_SECOND, level)
        self.governor_moved(before, now_ns)

    @property
    def governor_cause(self) -> str:
        """What raised the governor's level, in words."""
        cause = int(self._account.governor[GOV_ROW_CAUSE])
        return f"{CAUSES[cause]} ({self._health_reason})" if cause == CAUSE_HEALTH else CAUSES[cause]

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "in_force": dict(self.in_force), "locks": dict(self.locks), "flattening": self.flattening,
            "connected": self.connected, "health": self.health, "health_reason": self._health_reason,
            "started": self.started,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.in_force = dict(state["in_force"])
        self.locks = dict(state.get("locks", {}))  # a state of before there were any has none
        self.flattening, self.connected, self.started = state["flattening"], state["connected"], state["started"]
        self.health, self._health_reason = state["health"], state["health_reason"]


def _without_figures(reason: str) -> str:
    """*reason* with its numbers left out."""
    return re.sub(r"[-+]?\d[\d.,e+-]*", "", reason)
