"""Watching a real live process at the local venue through a terminal: it trades, hangs, goes on, and dies."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.app.terminal.pseudo_terminal import WatchTerminal, watching

pytest.importorskip("fastapi", reason="the live process is asked over its API: needs the extra `serve`")
from tests.app.api.live_world import LiveWorld

PAGES = {"1": "Why nothing happens", "3": "The newest signals", "4": "Models of this run", "5": "Shadow trades",
         "6": "ids of signals", "7": "Requests that wait", "2": "Open positions"}


def value(lines: list[str], name: str) -> str:
    """What stands after *name* on a screen."""
    return next(line for line in lines if line.startswith(name)).removeprefix(name).strip()


def written(terminal: WatchTerminal) -> str:
    """The time of the status that is shown, once another one is shown than now."""
    before = next(line for line in terminal.frame("figures of") if "figures of" in line)
    for _ in range(20):
        after = next(line for line in terminal.frame("figures of") if "figures of" in line)
        if after.partition(", read")[0] != before.partition(", read")[0]:
            return after
        terminal.frame("figures of")
    raise AssertionError(f"the figures stay those of {before}")


@pytest.mark.long
def test_a_live_process_is_watched_while_it_trades_hangs_and_dies(tmp_path: Path) -> None:
    """Figures move by themselves; a hang and a death are told on every page, and how to close everything."""
    with LiveWorld(tmp_path) as world, watching(world.state, tmp_path, size=(30, 100)) as terminal:
        terminal.frame("running", "trading", f"close everything: quantum-trader flatten --state {world.state}"[:60])
        for key, title in PAGES.items():
            terminal.press(key)
            terminal.frame(title)
        terminal.frame("Open positions: 0")
        world.open("BTCUSDT", 0.01)
        terminal.frame("Open positions: 1", "BTCUSDT", "LONG", "stop-loss")
        written(terminal)
        terminal.press("\x1b[B\r")
        shown = terminal.frame("Esc: back", "to the stop")
        (known,) = world.get("positions")["positions"]
        assert value(shown, "stop ") == f"{known['stop']:,.2f}"

        world.process.send_signal(signal.SIGSTOP)
        terminal.frame("1 problem: page health", patience_s=30.0)
        terminal.frame("stalled", "no status for", patience_s=60.0)
        terminal.press("7")
        terminal.frame("it hangs or cannot write")
        world.process.send_signal(signal.SIGCONT)
        terminal.frame("running", "Problems  none")

        world.process.kill()
        terminal.frame("dead", "the process ended without a final status", "--now --reason WHY")
        terminal.press("2")
        terminal.frame("dead", "Open positions: 1")
        terminal.press("q")
        assert (terminal.ended(), terminal.told, terminal.is_as_before) == (0, "", True)
