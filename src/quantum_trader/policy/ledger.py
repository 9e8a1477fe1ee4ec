"""Per signal, what enforcing each switch would have changed, and the result of its shadow trade once it is known.

Decisions are kept in the order they were made, and evidence is read from the longest beginning of that order in
which every outcome is known. Stops end sooner than targets, so the trades closed so far hold too many losers;
a complete beginning doesn't.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import StateError, require_finite
from quantum_trader.domain.private_files import read_private
from quantum_trader.policy.enforcement import SWITCH_EXIT_MODE, SWITCHES, switch_index
from quantum_trader.policy.storage import set_aside, write_atomically

LEDGER_FILE: Final = "rollout_ledger.json"
SCHEMA: Final = 1
# A shadow lives 24 hours, and with outages up to 72: a day until its entry, a day open, a day until its last bar.
MAX_OPEN_NS: Final = 96 * NS_PER_HOUR  # then its result never comes
CAPACITY: Final = 100_000  # decisions kept per switch: years of them; later ones are counted as overflow

OPEN, KNOWN, VOID = 0, 1, 2


class _Decisions:
    """The decisions one switch would have changed, in order.

    Columns: time (ns), share removed, result removed (R), life of the shadow (ns), status.
    """

    __slots__ = ("_complete", "life", "removed", "result", "status", "ts")

    def __init__(self) -> None:
        self.ts = array("q")
        self.removed = array("d")
        self.result = array("d")
        self.life = array("q")
        self.status = array("b")
        self._complete = 0

    def add(self, ts_ns: int, removed: float) -> int:
        """Append an open decision; return its position."""
        self.ts.append(ts_ns)
        self.removed.append(removed)
        self.result.append(0.0)
        self.life.append(0)
        self.status.append(OPEN)
        return len(self.ts) - 1

    def settle(self, position: int, status: int, result: float, end_ns: int) -> None:
        """Note how and when the decision at *position* ended."""
        self.life[position] = max(0, end_ns - self.ts[position])
        self.status[position] = status
        self.result[position] = result

    def complete(self) -> int:
        """How many decisions from the beginning have all ended."""
        while self._complete < len(self.status) and self.status[self._complete] != OPEN:
            self._complete += 1
        return self._complete

    def state(self) -> dict[str, Any]:
        return {
            "ts": self.ts.tolist(), "removed": self.removed.tolist(), "result": self.result.tolist(),
            "life": self.life.tolist(), "status": self.status.tolist(),
        }

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> _Decisions:
        decisions = cls()
        decisions.ts = array("q", state["ts"])
        decisions.removed = array("d", state["removed"])
        decisions.result = array("d", state["result"])
        decisions.life = array("q", state["life"])
        decisions.status = array("b", state["status"])
        columns = (decisions.ts, decisions.removed, decisions.result, decisions.life, decisions.status)
        sizes = {len(column) for column in columns}
        finite = all(map(math.isfinite, decisions.removed)) and all(map(math.isfinite, decisions.result))
        if len(sizes) != 1 or not finite or not set(decisions.status) <= {OPEN, KNOWN, VOID}:
            raise StateError("rollout ledger: the columns of a switch do not belong together")
        return decisions


class SwitchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of one switch up to the first open decision (void ones left out), and the counts of all."""

    changed: int  # decisions enforcing would have changed
    open: int  # of those, with an outcome still to come
    void: int  # of those, that will never have one
    ts_ns: Sequence[int]
    result_r: Sequence[float]  # R of what enforcing takes away: below zero means enforcing helps
    life_ns: Sequence[int]  # how long each shadow lived


class RolloutLedger:
    """Collect, per switch, the decisions it would have changed and how their shadow trades ended.

    *subject* names what the evidence is about (profile and its hash). Not thread-safe: one writer, the driver.
    """

    def __init__(self, subject: str = "") -> None:
        self.subject = subject
        self.max_open_ns = MAX_OPEN_NS  # after which an outcome never comes
        self.signals = 0
        self.market_hours = 0  # distinct UTC hours in which the market was seen
        self.first_ns = 0
        self.last_ns = 0
        self.overflow = 0  # decisions not kept because a switch's columns are full
        self._last_hour = -1
        self._decisions = tuple(_Decisions() for _ in SWITCHES)
        self._pending: dict[str, tuple[int, tuple[int, ...]]] = {}  # key -> (ts, position per switch or -1)

    def advance(self, ts_ns: int) -> None:
        """Note that the market was seen at *ts_ns*; forget signals whose shadow never ended."""
        self.last_ns = max(self.last_ns, ts_ns)
        hour = ts_ns // NS_PER_HOUR
        if hour <= self._last_hour:
            return
        if self._last_hour < 0:
            self.first_ns = ts_ns
        self._last_hour = hour
        self.market_hours += 1
        self._forget(ts_ns - self.max_open_ns)

    def record(self, key: str | int, ts_ns: int, removed: Sequence[float], *, again: bool = False) -> bool:
        """Note one signal and what each switch would have taken away of it (see ``removed_by_switch``).

        *again*: more of a signal already counted, under a key of its own.

        Return False, and note nothing, for a key that is already pending. Raises InputError for a share that
        isn't finite.
        """
        self.advance(ts_ns)
        name = str(key)
        if name in self._pending:
            return False
        for index, switch in enumerate(SWITCHES):
            require_finite(f"removed[{switch}]", removed[index])
        self.signals += 0 if again else 1
        positions = tuple(self._add(index, ts_ns, float(removed[index])) for index in range(len(SWITCHES)))
        if any(position >= 0 for position in positions):
            self._pending[name] = (ts_ns, positions)
        return True

    def resolve(self, key: str | int, r: float, exit_r: float | None = None, end_ns: int | None = None) -> None:
        """Note that the shadow of *key* ended with *r* (net, in R), and *exit_r* under the policy's exit mode.

        *end_ns* is when it ended; the latest moment seen when left out. A key that isn't pending is passed over: no
        switch would have changed it. Without *exit_r* the signal is no evidence for exit_mode. Raises InputError for a
        result that isn't finite.
        """
        require_finite("r", r)
        if exit_r is not None:
            require_finite("exit_r", exit_r)
        end = self.last_ns if end_ns is None else end_ns
        _, positions = self._pending.pop(str(key), (0, ()))
        for index, position in enumerate(positions):
            if position < 0:
                continue
            decisions = self._decisions[index]
            share = decisions.removed[position]
            if index != SWITCH_EXIT_MODE:
                decisions.settle(position, KNOWN, share * r, end)
            elif exit_r is None:
                decisions.settle(position, VOID, 0.0, end)
            else:
                decisions.settle(position, KNOWN, share * (r - exit_r), end)

    def abandon(self, key: str | int) -> None:
        """Note that the shadow of *key* will never end: its decisions are void, and counted as such."""
        _, positions = self._pending.pop(str(key), (0, ()))
        for index, position in enumerate(positions):
            if position >= 0:
                self._decisions[index].settle(position, VOID, 0.0, self.last_ns)

    def switch(self, switch: str) -> SwitchRecord:
        """What is known of *switch* (one of SWITCHES)."""
        decisions = self._decisions[switch_index(switch)]
        complete = decisions.complete()
        kept = [index for index in range(complete) if decisions.status[index] == KNOWN]
        return SwitchRecord(
            changed=len(decisions.ts),
            open=decisions.status.count(OPEN),
            void=decisions.status.count(VOID),
            ts_ns=[decisions.ts[index] for index in kept],
            result_r=[decisions.result[index] for index in kept],
            life_ns=[decisions.life[index] for index in kept],
        )

    def state(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        return {
            "schema": SCHEMA, "subject": self.subject, "signals": self.signals, "market_hours": self.market_hours,
            "overflow": self.overflow,
            "first_ns": self.first_ns, "last_ns": self.last_ns, "last_hour": self._last_hour,
            "switches": {name: self._decisions[index].state() for index, name in enumerate(SWITCHES)},
            "pending": {key: [ts_ns, list(positions)] for key, (ts_ns, positions) in self._pending.items()},
        }

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> RolloutLedger:
        """Restore what :meth:`state` gave; StateError when it isn't that."""
        try:
            if state["schema"] != SCHEMA:
                raise StateError(f"rollout ledger: schema {state['schema']!r} is not {SCHEMA}; set the file aside")
            ledger = cls(str(state["subject"]))
            ledger.signals = int(state["signals"])
            ledger.market_hours = int(state["market_hours"])
            ledger.overflow = int(state["overflow"])
            ledger.first_ns, ledger.last_ns = int(state["first_ns"]), int(state["last_ns"])
            ledger._last_hour = int(state["last_hour"])
            ledger._decisions = tuple(_Decisions.load_state(state["switches"][name]) for name in SWITCHES)
            ledger._pending = {
                str(key): (int(entry[0]), tuple(int(position) for position in entry[1]))
                for key, entry in state["pending"].items()
            }
            ledger._check_pending()
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise StateError(f"rollout ledger: not usable ({error}); set the file aside and start afresh") from error
        return ledger

    def save(self, directory: str | Path) -> None:
        """Write the ledger atomically to ``rollout_ledger.json`` in *directory*; OSError when that fails."""
        write_atomically(Path(directory) / LEDGER_FILE, msgspec.json.encode(self.state()) + b"\n")

    def _check_pending(self) -> None:
        """Raise IndexError when a pending signal points at a decision there isn't."""
        for _, positions in self._pending.values():
            for decisions, position in zip(self._decisions, positions, strict=True):
                if not -1 <= position < len(decisions.ts):
                    raise IndexError(f"position {position} of {len(decisions.ts)}")

    def _add(self, index: int, ts_ns: int, removed: float) -> int:
        """Note one decision of a switch; return its position, -1 when nothing changes or the ledger is full."""
        if removed == 0.0:
            return -1
        if len(self._decisions[index].ts) >= CAPACITY:
            self.overflow += 1
            return -1
        return self._decisions[index].add(ts_ns, removed)

    def _forget(self, before_ns: int) -> None:
        """Void the signals decided before *before_ns* (they are pending in order of time)."""
        stale = []
        for key, (ts_ns, _) in self._pending.items():
            if ts_ns >= before_ns:
                break
            stale.append(key)
        for key in stale:
            self.abandon(key)


def read_ledger(directory: str | Path) -> RolloutLedger:
    """Read the ledger in *directory*; an empty one when there is no file; StateError when it is damaged."""
    path = Path(directory) / LEDGER_FILE
    try:
        return RolloutLedger.load_state(msgspec.json.decode(read_private(path)))
    except FileNotFoundError:
        return RolloutLedger()
    except (OSError, msgspec.MsgspecError) as error:
        raise StateError(f"{path}: cannot be read as a rollout ledger ({error})") from error


def open_ledger(directory: str | Path, subject: str = "") -> tuple[RolloutLedger, str]:
    """Return the ledger to go on with, and a notice for a person ("" when there is nothing to say).

    A damaged file, or evidence about another *subject*, is set aside and a fresh ledger started.
    """
    path = Path(directory) / LEDGER_FILE
    try:
        ledger = read_ledger(directory)
    except StateError as error:
        return RolloutLedger(subject), f"{error}; {set_aside(path, 'damaged')}; evidence starts afresh"
    if ledger.subject == subject or not path.exists():
        ledger.subject = subject
        return ledger, ""
    notice = f"the evidence was about {ledger.subject!r}, this run is {subject!r}; {set_aside(path, 'superseded')}"
    return RolloutLedger(subject), notice
