"""The policy store: settings that people and programs change while a system runs, with who changed what and why.

Reading changes nothing on disk. Where the file cannot be used, the pilot's mode is OFF and the reading says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, StateError, brief, is_finite_number
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.policy import clock as default_clock
from quantum_trader.policy.policy_store_file import (
    StoreReading,
    locked_store,
    read_store,
    set_aside_damaged,
    write_store,
)
from quantum_trader.policy.policy_store_state import SettingChange, StoreState, changed_state, stopped_state
from quantum_trader.policy.storage import path_of

CACHED_NS: Final = 10 * NS_PER_SECOND
_log: Final = logging.getLogger(__name__)


class StaleVersionError(StateError):
    """A change was decided on an older version of the store than the one that is there."""

    def __init__(self, name: str, seen: int, found: int) -> None:
        super().__init__(
            f"{name}: the change was decided on version {seen}, and the store is at version {found}; look at the "
            "settings again and repeat. Nothing was changed"
        )
        self.seen, self.found = seen, found


class ActiveRiskProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The profile in use, where that choice came from, and the most leverage that a position may have under it."""

    name: str
    source: str
    max_leverage: float

    def __post_init__(self) -> None:
        if not (is_finite_number(self.max_leverage) and self.max_leverage >= 1.0):
            raise ConfigError(f"max_leverage = {brief(self.max_leverage)}: must be a number, 1 or above")


class StoreChange(msgspec.Struct, frozen=True, kw_only=True):
    """The store after a change, the changes it took (none where the values were there already), and a notice."""

    state: StoreState
    changes: tuple[SettingChange, ...] = ()
    notice: str = ""


class PolicyStore:
    """The settings in the file *path*, read at most every 10 seconds of *clock* (ns since the epoch).

    *risk_profile* is the run's, whose own settings decide it: the store answers it and keeps no copy on disk; None
    where it is not known. *pause* waits between two tries to become the one writer.
    """

    def __init__(
        self, path: Path | str, *, risk_profile: ActiveRiskProfile | None = None,
        clock: Callable[[], int] = default_clock.now_ns, pause: Callable[[float], None] = default_clock.pause,
    ) -> None:
        self.path = path_of("policy store", path)
        self.active_risk_profile = risk_profile
        self._clock = clock
        self._pause = pause
        self._read_ns = 0
        self._reading: StoreReading | None = None

    @property
    def pilot(self) -> PilotSettings:
        """The pilot's settings in force; mode OFF where the store cannot be used."""
        return self.read().pilot

    @property
    def version(self) -> int:
        """The number of changes ever made."""
        return self.read().state.version

    def read(self) -> StoreReading:
        """What the store holds: at most 10 seconds old, and new at once after a change by this object."""
        now = self._clock()
        if self._reading is None or not 0 <= now - self._read_ns < CACHED_NS:  # a clock set back ends it too
            self._take(read_store(self.path), now)
        assert self._reading is not None
        return self._reading

    def change(
        self, values: Mapping[str, Any], *, seen_version: int | None, actor: str, reason: str
    ) -> StoreChange:
        """Change the settings that *values* names, all of them or none.

        *seen_version* is the version that the change was decided on; None where it holds for any. A damaged file is set
        aside, and the last good version continues, in mode OFF unless *values* has another one. Raises
        StaleVersionError for another version, ConfigError and InputError for what is not acceptable, StateError where
        the file cannot be used.
        """
        with locked_store(self.path, self._pause):
            now = self._clock()  # after the wait for the lock, so that the history is in order of time
            found = read_store(self.path)
            if found.trouble and not found.damaged:
                raise StateError(f"{self.path}: {found.trouble}. Nothing was changed")
            before = found.state
            if seen_version is not None and seen_version != before.version:
                self._take(found, now)
                raise StaleVersionError(self.path.name, seen_version, before.version)
            after = self._changed(found, values, now, actor, reason)
            notice = write_store(self.path, after) if after != before else found.notice
        self._take(StoreReading(state=after, notice=notice), now)
        changes = after.changes_after(before.version)
        for one in changes:
            _log.info("%s: version %d by %s (%s): %s", self.path, one.version, one.actor, one.reason, one.after)
        return StoreChange(state=after, changes=changes, notice=notice)

    def _changed(
        self, found: StoreReading, values: Mapping[str, Any], now: int, actor: str, reason: str
    ) -> StoreState:
        """The state after the change; a damaged file is set aside once the change is known to be acceptable."""
        after = changed_state(found.state, values, ts_ns=now, actor=actor, reason=reason)
        if not found.damaged:
            return after
        told = "; ".join(one for one in (found.trouble, set_aside_damaged(self.path)) if one)
        stopped = stopped_state(found.state, told, ts_ns=now)
        return changed_state(stopped, values, ts_ns=now, actor=actor, reason=reason)

    def _take(self, reading: StoreReading, now: int) -> None:
        """Keep *reading*; say in the log what is new about its trouble."""
        told = self._reading.trouble if self._reading is not None else ""
        if reading.trouble and reading.trouble != told:
            _log.error("%s: %s; the pilot's mode is OFF", self.path, reading.trouble)
        self._reading, self._read_ns = reading, now
