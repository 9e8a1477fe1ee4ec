"""Settings of notifications: a TOML file that holds no address. ``docs/how-to-notifications.md`` explains each key."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from datetime import time as day_time
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from quantum_trader.app.notify.addresses import AllowedAddress, allowed_address
from quantum_trader.app.notify.notices import MEANINGS, NoticeKind
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.domain.private_files import MOST_SETTINGS, read_plain

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=7 * 86_400.0)]
PING: Final = "ping"  # the name of the ping's address beside those of the targets
_QUIET: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
TARGET_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SETTABLE: Final = tuple(kind.value for kind in MEANINGS)
_TIMES: Final = {  # kind -> window, cool-down, in seconds
    NoticeKind.HALT: (5.0, 60.0), NoticeKind.STOPPED: (0.0, 3_600.0), NoticeKind.FILL: (60.0, 0.0),
    NoticeKind.TRADE: (60.0, 0.0), NoticeKind.DRAWDOWN: (0.0, 3_600.0), NoticeKind.PROMOTION: (30.0, 0.0),
    NoticeKind.INSIGHT: (0.0, 0.0), NoticeKind.ALERT: (30.0, 0.0), NoticeKind.TEST: (0.0, 0.0),
}


class KindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of notice is told; None: its default."""

    enabled: bool = True
    window_s: Seconds | None = None  # what comes within it becomes one message
    cooldown_s: Seconds | None = None  # between two messages about the same key


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told. Its address stands elsewhere, under the target's name."""

    kinds: tuple[NoticeKind, ...] = ()  # empty: all
    allow: tuple[str, ...] = ()  # addresses in local networks that it may reach


class PingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dead-man's ping: asked while the run makes progress, so that somebody else notices when it does not."""

    every_s: Annotated[float, msgspec.Meta(ge=5.0, le=86_400.0)] = 60.0
    allow: tuple[str, ...] = ()


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. Raises ConfigError for a value that is not usable."""

    label: str = ""  # stands in each title; empty: the name of the state folder
    quiet_hours: str = ""  # such as "22:00-07:00"; empty: none
    timezone: str = "UTC"  # of the quiet hours
    poll_s: Annotated[float, msgspec.Meta(ge=0.1, le=60.0)] = 2.0
    stopped_after_s: Seconds = 30.0  # a stop or a hang with open positions is told after so long
    drawdown_steps_pct: tuple[Annotated[float, msgspec.Meta(gt=0.0, le=100.0)], ...] = (5.0, 10.0, 15.0, 20.0, 25.0)
    kinds: dict[str, KindSettings] = {}
    targets: dict[str, TargetSettings] = {}
    ping: PingSettings | None = None

    def __post_init__(self) -> None:
        if self.quiet_hours and not _QUIET.fullmatch(self.quiet_hours):
            raise ConfigError(f"quiet_hours = {brief(self.quiet_hours)}: write it like '22:00-07:00'")
        zone_of(self.timezone)
        for name in self.kinds:
            if name not in _SETTABLE:
                raise ConfigError(f"kinds.{name}: is no kind of notice; use {', '.join(_SETTABLE)}")
        for name in self.targets:
            if not TARGET_NAME.fullmatch(name) or name == PING:
                raise ConfigError(f"targets.{name}: a name has small letters, digits and _, at most 32, and is not "
                                  f"{PING!r}")
        for key, one in ((f"targets.{name}.allow", one) for name, one in self.targets.items()):
            allowed_of(one, key)
        if self.ping is not None:
            allowed_of(self.ping, "ping.allow")
        if list(self.drawdown_steps_pct) != sorted(set(self.drawdown_steps_pct)):
            raise ConfigError(f"drawdown_steps_pct = {list(self.drawdown_steps_pct)}: must rise, such as [5, 10, 20]")

    def is_enabled(self, kind: NoticeKind) -> bool:
        """Whether *kind* is told at all."""
        found = self.kinds.get(kind.value)
        return found is None or found.enabled

    def window_s(self, kind: NoticeKind) -> float:
        """What comes within so many seconds becomes one message."""
        found = self.kinds.get(kind.value)
        return _TIMES[kind][0] if found is None or found.window_s is None else found.window_s

    def cooldown_s(self, kind: NoticeKind) -> float:
        """Seconds between two messages of *kind* about one key."""
        found = self.kinds.get(kind.value)
        return _TIMES[kind][1] if found is None or found.cooldown_s is None else found.cooldown_s

    def hears(self, target: str, kind: NoticeKind) -> bool:
        """Whether *target* is told of *kind*."""
        wanted = self.targets[target].kinds
        return not wanted or kind in wanted or kind is NoticeKind.TEST

    @property
    def quiet_span(self) -> tuple[day_time, day_time] | None:
        """Start and end of the quiet hours; None without."""
        found = _QUIET.fullmatch(self.quiet_hours)
        if found is None:
            return None
        start_hour, start_minute, end_hour, end_minute = map(int, found.groups())
        return day_time(start_hour, start_minute), day_time(end_hour, end_minute)


def zone_of(name: str) -> ZoneInfo:
    """The time zone *name*; ConfigError where it is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"timezone = {brief(name)}: is no time zone; write it like 'Europe/Berlin'") from None


def allowed_of(settings: TargetSettings | PingSettings, key: str) -> tuple[AllowedAddress, ...]:
    """The addresses in local networks that a target or the ping may reach; ConfigError that names *key*."""
    return tuple(allowed_address(one, key) for one in settings.allow)


def load_notify_settings(file: Path) -> NotifySettings:
    """The settings in *file*, which nobody else may write. Raises ConfigError naming file, key and what is right."""
    try:
        found = os.stat(file)
        content = read_plain(file, MOST_SETTINGS)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if found.st_mode & _OTHERS_MAY_WRITE or found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{file}: others may write it (mode {stat.S_IMODE(found.st_mode):04o}) or own it, and so send messages in "
            "your name; run chmod 600 on it"
        )
    try:
        raw: dict[str, Any] = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: is not TOML: {type(error).__name__}") from None  # its text may hold an address
    _refuse_addresses(file, raw)
    try:
        return msgspec.convert(raw, NotifySettings)
    except msgspec.ValidationError as error:
        why = str(error.__cause__) if isinstance(error.__cause__, ConfigError) else str(error)
        raise ConfigError(f"{file}: {why}") from None


def _refuse_addresses(file: Path, raw: Any, key: str = "") -> None:
    """ConfigError where a value looks like an address: it is a secret, and it is not repeated."""
    if isinstance(raw, dict):
        for name, value in raw.items():
            _refuse_addresses(file, value, f"{key}.{name}" if key else str(name))
    elif isinstance(raw, str) and "://" in raw:
        raise ConfigError(
            f"{file}: {key}: addresses do not stand in this file, because they hold tokens; give it as the "
            "environment variable QT_NOTIFY_<NAME>, in the file that QT_NOTIFY_FILE names, or with "
            "`quantum-trader notify set NAME`"
        )
