"""Runs notifications: in this process until it is told to stop, or beside a run as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

from quantum_trader.app.notify.notify_run import NotifyLock, NotifyRun, Say
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


def notify_until_stopped(
    state: Path, settings: NotifySettings, addresses: Mapping[str, TargetAddress], say: Say, *, until_end: bool
) -> None:
    """Tell what happens in *state* until SIGINT, SIGTERM or SIGHUP; with *until_end* until the run has ended.

    Raises StateError where there is no such folder, unless a run is to make it, and where another process notifies of
    the same run.
    """
    if not until_end and not state.is_dir():
        raise StateError(f"--state {state}: there is no such folder; give that of `run --state` or `live --state`")
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    with suppress(OSError):
        os.nice(_NICE)  # the run comes first
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked)
    lock = NotifyLock(state)
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            run = NotifyRun(state, settings, addresses, pool, deliver, say)
            while not stop.is_set():
                run.step()
                if until_end and run.is_over():
                    break
                stop.wait(settings.poll_s)
            run.finish()
    finally:
        lock.close()


def start_beside(state: Path, file: Path) -> subprocess.Popen[bytes]:
    """Start notifications of the run in *state* by the settings in *file*, as a process that ends after the run does.

    The run neither waits for it nor shares anything with it but the state folder. The addresses are taken out of this
    process's environment. Raises ConfigError where the settings or an address are not usable.
    """
    ready_addresses(load_notify_settings(file), os.environ, os_keyring())
    command = [
        sys.executable, "-m", "quantum_trader", "notify", "run", "--state", str(state), "--settings",
        str(file.absolute()), "--until-end",
    ]
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    forget_addresses(os.environ)
    return started
