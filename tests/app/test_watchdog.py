"""The watchdog: a process without progress ends itself."""

from __future__ import annotations

import subprocess
import sys
import threading

from quantum_trader.app.runs.watchdog import HUNG, Watchdog


def test_late_is_measured_from_the_last_beat() -> None:
    """A beat starts the time anew."""
    now = [0.0]
    dog = Watchdog(10.0, clock=lambda: now[0], end=threading.Event().set)
    now[0] = 10.0
    assert not dog.is_late()
    now[0] = 10.5
    assert dog.is_late()
    dog.beat()
    assert not dog.is_late()
    dog.stop()


def test_the_thread_ends_the_process_once_and_can_be_stopped() -> None:
    """It acts when it is late, and never after stop."""
    ended = threading.Event()
    now = [0.0]
    dog = Watchdog(0.02, clock=lambda: now[0], end=ended.set)
    dog.beat()
    assert not ended.wait(0.1)
    now[0] = 1.0
    assert ended.wait(10.0)
    dog.stop()
    quiet = Watchdog(1000.0, end=ended.set)
    quiet.beat()
    quiet.stop()
    assert not quiet.is_late()


def test_a_hung_process_shows_where_it_stood_and_no_values() -> None:
    """Exit code 70, places in the code on standard error, not what was in them."""
    code = (
        "import threading\nfrom quantum_trader.app.runs.watchdog import Watchdog\n"
        "def hang(secret):\n    threading.Event().wait(60)\n"
        "Watchdog(0.2).beat()\nhang('a-value-in-a-frame')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == HUNG
    assert "no progress" in ended.stderr
    assert "in hang" in ended.stderr
    assert "a-value-in-a-frame" not in ended.stderr
