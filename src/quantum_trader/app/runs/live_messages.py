"""Messages of a live process on standard error: ready, positions opened and closed, halts, lost streams, the stop."""

from __future__ import annotations

import os
from collections.abc import Callable

import typer

from quantum_trader.app.report.words import words
from quantum_trader.domain.enums import GOVERNOR_CODES
from quantum_trader.engine.books import Position
from quantum_trader.engine.core import Engine
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.timing import HealthReport

_STANDARD_ERROR = 2


def say(text: str) -> None:
    """Print one line on standard error. When the terminal has gone, discard it and all later lines."""
    try:
        typer.echo(text, err=True)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, _STANDARD_ERROR)  # the rest of the stream's buffer is discarded too
        os.close(nothing)


class LiveWords:
    """Prints what has changed in a driver since the last look; the state at the start is not printed."""

    def __init__(
        self, driver: LiveDriver, say: Callable[[str], None] = say, unwritten: Callable[[], str] = str
    ) -> None:
        """*driver*'s session has been recovered. *say* takes one line; *unwritten* says why the disk refuses."""
        self._driver, self._engine, self._say, self._unwritten = driver, driver.engine, say, unwritten
        self._refused = False
        self._open = set(self._engine.account.books.positions)
        self._trades = len(self._engine.records.tally.trades)
        self._others = self._engine.records.tally.others_count
        self._halts = {id(halt): halt for halt in self._engine.records.tally.halts if not halt.cleared_ns}
        self._governor = int(self._engine.account.governor[0])
        self._ready = False
        self._up = {"market": True, "account": True}

    def connected(self, taken: int) -> None:
        """Print the venue, how many inputs were applied again after the last checkpoint (*taken*), and its warnings."""
        again = f"; {taken} inputs since the last checkpoint were applied again" if taken else ""
        venue = self._driver.venue
        self._say(f"{venue.name}: connected{again}")
        for note in getattr(venue, "notes", ()):
            self._say(f"{venue.name}: {note}")

    def look(self, health: HealthReport) -> None:
        """Print what changed since the last look."""
        self._streams(health)
        self._disk()
        self._others_did()
        self._trading()
        self._safety()

    def stopping(self) -> None:
        """Print what a stop does; called when a stop is requested."""
        entries = ", entries at rest are cancelled" if self._engine.settings.maker_entry_bars > 0 else ""
        self._say(
            f"stopping: no new decisions, {self._driver.requests} requests in flight, positions keep their stops at "
            f"the venue{entries}"
        )

    def stopped(self) -> None:
        """Print the positions that stay open, and how to resume."""
        held = self._engine.account.books.positions.values()
        left = "; ".join(f"{_position(one)}, {_stop(self._engine, one)}" for one in held)
        held_text = f"positions that stay open: {left}" if left else "no position is open"
        self._say(f"stopped; {held_text}; restart with the same command to resume")

    def _streams(self, health: HealthReport) -> None:
        if not self._ready:
            if not health.ready:
                return
            self._ready = True
            self._say(f"ready: books match exchange, {len(self._open)} positions open")
        for name, up in (("market", health.market_up), ("account", health.user_up)):
            if up != self._up[name]:
                self._up[name] = up
                self._say(f"{name} stream {'is back' if up else 'lost; new entries stop until it is back'}")

    def _disk(self) -> None:
        """Print once that the disk refuses, and once that it takes everything again."""
        why = self._unwritten()
        if bool(why) != self._refused:
            self._refused = bool(why)
            self._say(
                f"{why}; positions keep their stops at the venue" if why
                else "inputs and records are written again; openings go on"
            )

    def _trading(self) -> None:
        books, trades = self._engine.account.books, self._engine.records.tally.trades
        for trade in trades[self._trades:]:
            self._say(
                f"closed {trade.side.value} {trade.qty:g} {trade.symbol} at {trade.exit_price:g} "
                f"({words(trade.exit_reason.value)}): {trade.pnl:+.2f} USDT"
            )
            self._open.discard(trade.symbol)
        self._trades = len(trades)
        for symbol, position in books.positions.items():
            if symbol not in self._open:
                self._say(f"opened {_position(position)} at {position.entry_price:g}")
        self._open = set(books.positions)

    def _others_did(self) -> None:
        tally = self._engine.records.tally
        if new := tally.others_count - self._others:
            self._others = tally.others_count
            for _, text in tally.others[-new:]:
                self._say(text)

    def _safety(self) -> None:
        engine = self._engine
        for halt in engine.records.tally.halts:
            if not halt.cleared_ns and id(halt) not in self._halts:
                self._halts[id(halt)] = halt  # kept alive, so that no other object gets its id
                self._say(f"halt ({words(halt.kind)}): {halt.reason}; ends with: {halt.exit_path}")
        for key, halt in list(self._halts.items()):
            if halt.cleared_ns:
                del self._halts[key]
                self._say(f"halt over ({words(halt.kind)}): {halt.reason}")
        level = int(engine.account.governor[0])
        if level != self._governor:
            self._governor = level
            cause = f": {engine.halts.governor_cause}" if level else ""
            self._say(f"safety governor {GOVERNOR_CODES[level].value}{cause}")


def _position(position: Position) -> str:
    return f"{position.side.value} {position.qty:g} {position.symbol}"


def _stop(engine: Engine, position: Position) -> str:
    stop = engine.gateway.resting_stop(position)
    return f"stop {stop:g} at the venue" if engine.gateway.is_protected(position) and stop else "NO STOP at the venue"
