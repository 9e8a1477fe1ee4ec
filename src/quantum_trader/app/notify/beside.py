"""Runs notifications: in this process until it is told to stop, or beside a run as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from quantum_trader.app.notify.notify_run import NotifyLock, NotifyRun, RunEnd, Say
from quantum_trader.app.notify.secret_addresses import TargetAddress, forget_addresses, require_addresses
from quantum_trader.app.notify.sending import deliver
from quantum_trader.app.notify.settings import PING, NotifySettings, load_notify_settings
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.venues.binance.keys import Keyring, os_keyring

_THREADS: Final = 4
_NICE: Final = 5


def check_installed() -> None:
    """Raise ConfigError where the package apprise is missing."""
    if find_spec("apprise") is None:
        raise ConfigError("notifications need the package apprise; install quantum-trader[notify]")


def ready_addresses(
    settings: NotifySettings, environ: Mapping[str, str], keyring: Keyring | None
) -> dict[str, TargetAddress]:
    """The addresses of all targets and of the ping. ConfigError for none at all, and for one that is missing."""
    names = [*settings.targets, *([PING] if settings.ping is not None else [])]
    if not names:
        raise ConfigError("the settings name nobody to tell: add a table [targets.NAME], or [ping]")
    if settings.targets:
        check_installed()
    return require_addresses(names, environ, keyring)


class NotifyEnds(msgspec.Struct, frozen=True, kw_only=True):
    """What ends notifications besides a signal, and what they do where another process notifies of the run."""

    with_run: bool = False  # after the run has ended
    with_parent: bool = False  # when the process that started this one has ended
    waits: bool = False  # for its turn, where another process notifies; False: it is refused


class _Turn:
    """When to stop: asked by a signal, or left by the parent."""

    def __init__(self, ends: NotifyEnds) -> None:
        self._asked = threading.Event()
        self._parent = os.getppid() if ends.with_parent else 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()

    @property
    def is_over(self) -> bool:
        """Whether to stop now."""
        return self._asked.is_set() or self._parent not in (0, os.getppid())

    def rest(self, seconds: float) -> None:
        """Return after *seconds*, or as soon as a signal asks to stop."""
        self._asked.wait(seconds)


def notify_until_stopped(
    state: Path, settings: NotifySettings, addresses: Mapping[str, TargetAddress], say: Say, ends: NotifyEnds
) -> None:
    """Tell what happens in *state* until SIGINT, SIGTERM or SIGHUP, or until what *ends* says.

    One process notifies of a run; another one waits for its turn or is refused. Raises StateError for that, and where
    there is no such folder, unless a run is to make it.
    """
    if not ends.with_run and not state.is_dir():
        raise StateError(f"--state {state}: there is no such folder; give that of `run --state` or `live --state`")
    turn = _Turn(ends)
    with suppress(OSError):
        os.nice(_NICE)  # the run comes first
    lock = _turn_taken(state, settings, turn, ends)
    if lock is None:
        return
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            run = NotifyRun(state, settings, addresses, pool, deliver, say)
            while not turn.is_over:
                run.step()
                if ends.with_run and run.is_over():
                    break
                turn.rest(settings.poll_s)
            run.finish()
    finally:
        lock.close()


def _turn_taken(state: Path, settings: NotifySettings, turn: _Turn, ends: NotifyEnds) -> NotifyLock | None:
    """The lock, once no other process notifies of the run; None where it ended meanwhile."""
    if not ends.waits:
        return NotifyLock(state)
    end = RunEnd(state, settings)
    while not turn.is_over and not (ends.with_run and end.over_s(time.time_ns()) is not None):
        try:
            return NotifyLock(state)
        except StateError:
            turn.rest(settings.poll_s)
    return None


def start_beside(state: Path, file: Path, *, of_server: bool = False) -> subprocess.Popen[bytes]:
    """Start notifications of the run in *state* by the settings in *file*, as a process of its own.

    It ends after the run does; *of_server*: with this process, whatever runs in *state*. Nobody waits for it, and it
    shares nothing but the state folder. The addresses are taken out of this process's environment. Where another
    process notifies of the run it waits, and takes over when that one ends. Raises ConfigError where the settings or an
    address are not usable.
    """
    ready_addresses(load_notify_settings(file), os.environ, os_keyring())
    command = [
        sys.executable, "-m", "quantum_trader", "notify", "run", "--state", str(state), "--settings",
        str(file.absolute()), "--wait", "--with-parent" if of_server else "--until-end",
    ]
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    forget_addresses(os.environ)
    return started
