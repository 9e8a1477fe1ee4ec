"""What a live process says on standard error: that it is ready, what it opened and closed, halts, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable

import typer

from quantum_trader.domain.enums import GOVERNOR_CODES
from quantum_trader.engine.books import Position
from quantum_trader.engine.core import Engine
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.timing import HealthReport

_STANDARD_ERROR = 2


def say(text: str) -> None:
    """One line on standard error; a terminal that is gone stops nothing, and nothing more is said to it."""
    try:
        typer.echo(text, err=True)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, _STANDARD_ERROR)  # what is still in the stream's buffer goes there too
        os.close(nothing)


class LiveWords:
    """Compares a driver with what was last said of it, and says what is new; what was there at the start is old."""

    def __init__(self, driver: LiveDriver, say: Callable[[str], None] = say) -> None:
        """*driver*'s session has been recovered. *say* takes one line."""
        self._driver, self._engine, self._say = driver, driver.engine, say
        self._open = set(self._engine.account.books.positions)
        self._trades = len(self._engine.records.tally.trades)
        self._halts = {id(halt): halt for halt in self._engine.records.tally.halts if not halt.cleared_ns}
        self._governor = int(self._engine.account.governor[0])
        self._ready = False
        self._up = {"market": True, "account": True}

    def connected(self, taken: int) -> None:
        """Say where, and that *taken* inputs were taken again."""
        again = f"; {taken} inputs since the last checkpoint were taken again" if taken else ""
        self._say(f"{self._driver.venue.name}: connected{again}")

    def look(self, health: HealthReport) -> None:
        """Say what changed since the last look."""
        self._streams(health)
        self._trading()
        self._safety()

    def stopping(self) -> None:
        """Say what a stop does; to be called when it is asked for."""
        self._say(
            f"stopping: no new decisions, {self._driver.requests} requests under way, positions keep their stops at "
            "the venue"
        )

    def stopped(self) -> None:
        """Say what is left open."""
        held = self._engine.account.books.positions.values()
        left = "; ".join(f"{_position(one)}, {_stop(self._engine, one)}" for one in held)
        self._say(f"stopped; left open: {left}" if left else "stopped; no position is open")

    def _streams(self, health: HealthReport) -> None:
        if not self._ready:
            if not health.ready:
                return
            self._ready = True
            self._say(f"ready: books and venue agree, {len(self._open)} positions open")
        for name, up in (("market", health.market_up), ("account", health.user_up)):
            if up != self._up[name]:
                self._up[name] = up
                self._say(f"{name} stream {'is back' if up else 'lost; nothing opens until it is back'}")

    def _trading(self) -> None:
        books, trades = self._engine.account.books, self._engine.records.tally.trades
        for trade in trades[self._trades:]:
            self._say(
                f"closed {trade.side.value} {trade.qty:g} {trade.symbol} at {trade.exit_price:g} "
                f"({trade.exit_reason.value}): {trade.pnl:+.2f} USDT"
            )
            self._open.discard(trade.symbol)
        self._trades = len(trades)
        for symbol, position in books.positions.items():
            if symbol not in self._open:
                self._say(f"opened {_position(position)} at {position.entry_price:g}")
        self._open = set(books.positions)

    def _safety(self) -> None:
        engine = self._engine
        for halt in engine.records.tally.halts:
            if not halt.cleared_ns and id(halt) not in self._halts:
                self._halts[id(halt)] = halt  # kept, so that no other takes its id
                self._say(f"halt ({halt.kind}): {halt.reason}; ends with: {halt.exit_path}")
        for key, halt in list(self._halts.items()):
            if halt.cleared_ns:
                del self._halts[key]
                self._say(f"halt over ({halt.kind}): {halt.reason}")
        level = int(engine.account.governor[0])
        if level != self._governor:
            self._governor = level
            cause = f": {engine.halts.governor_cause}" if level else ""
            self._say(f"governor {GOVERNOR_CODES[level].value}{cause}")


def _position(position: Position) -> str:
    return f"{position.side.value} {position.qty:g} {position.symbol}"


def _stop(engine: Engine, position: Position) -> str:
    stop = engine.gateway.resting_stop(position)
    return f"stop {stop:g} at the venue" if engine.gateway.is_protected(position) and stop else "NO STOP at the venue"
