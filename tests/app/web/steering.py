"""A live process at the local venue, steered from the dashboard as a person does."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from playwright import sync_api as playwright
from tests.app.api.live_world import LiveWorld, until
from tests.app.web.conftest import Visit

HELD: Final = {"BTCUSDT": 0.5, "ETHUSDT": 2.0}
TURNS: Final = tuple({symbol: qty} for symbol, qty in HELD.items())  # ten trades that end at a loss bar a symbol
ENDS_MS: Final = 90_000
TRIES: Final = 12
STOPS: Final = {"BTCUSDT": 5_000.0, "ETHUSDT": 500.0}  # far below the market
WHAT_HAPPENS: Final = {  # what the question says, by the state of the process
    "alive": "The process is asked to close every position",
    "hung": "it is killed and everything is closed at the venue",
    "dead": "No process runs. This server closes every position at the venue",
}


def make_trading(world: LiveWorld, wanted: Mapping[str, float] = HELD) -> None:
    """Have a process that trades, and holds *wanted*."""
    if world.process.poll() is not None:
        world.start()
    for symbol, qty in wanted.items():
        _open(world, symbol, qty)
    if world.get("halts")["entries_halted"]:
        _resume(world)
    until("the positions and their stops", lambda: _holds_all(world, wanted))


def _resume(world: LiveWorld) -> None:
    assert world.post("resume", reason="the next test")[0] == 200
    until("resumed", lambda: not world.get("halts")["entries_halted"])


def _open(world: LiveWorld, symbol: str, qty: float) -> None:
    """Open a position; again where the process refused it, as it does after a start until the first bar has come."""
    for _ in range(TRIES):
        if symbol in world.held():
            return
        if world.get("halts")["entries_halted"]:
            _resume(world)
        with suppress(AssertionError):
            world.open(symbol, qty, 15.0)


def _holds_all(world: LiveWorld, wanted: Mapping[str, float]) -> bool:
    return set(world.held()) == set(wanted) and world.resting() >= len(wanted)


def make(world: LiveWorld, process: str, wanted: Mapping[str, float] = HELD) -> None:
    """Have a process that is alive, hung or dead, and *wanted* with stops at the venue.

    Of a process that is dead already, they are placed at the venue by hand: to STOP it is the same.
    """
    if process == "dead" and world.process.poll() is not None:
        for symbol, qty in wanted.items():
            world.place_outside(symbol, qty, STOPS[symbol])
    else:
        make_trading(world, wanted)
    if process == "hung":
        world.process.send_signal(signal.SIGSTOP)
    elif process == "dead" and world.process.poll() is None:
        world.process.kill()
        world.process.wait()
    assert _holds_all(world, wanted)


def stop(visit: Visit, world: LiveWorld, process: str) -> float:
    """STOP with one click and one confirmation; seconds from that click until the venue held nothing."""
    page = visit.page
    dialog = page.get_by_role("dialog")
    began = time.monotonic()
    page.get_by_role("button", name="STOP", exact=True).click()
    playwright.expect(dialog).to_contain_text(WHAT_HAPPENS[process])
    dialog.get_by_role("button", name="Stop everything now").click()
    until("flat at the venue", lambda: not world.held())
    took = time.monotonic() - began
    playwright.expect(dialog.locator(".progress .badge")).to_have_text("done", timeout=ENDS_MS)
    until("nothing rests at the venue", lambda: not world.resting())
    steps = dialog.locator(".steps").inner_text()
    assert ("killing the process" in steps) == (process == "hung"), steps
    if process == "hung":
        world.process.wait()
    if process == "alive":
        until("the halt", lambda: world.get("halts")["entries_halted"])
    dialog.get_by_role("button", name="Close").click()
    playwright.expect(dialog).to_have_count(0)
    return took


def unexpected(visit: Visit) -> list[str]:
    """What the console said but of a decision that this run does not have (400, 404), and of a stream left too soon."""
    known = ("status of 400", "status of 404", "WebSocket is closed before the connection is established")
    return [one for one in visit.complaints if not any(text in one for text in known)]
