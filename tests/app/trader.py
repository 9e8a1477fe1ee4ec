"""A trader for tests that kill it: the production parts of live trading, told what to wish over a socket.

``python -m tests.app.trader`` takes its order (:class:`Order`, JSON) as its one argument and is one trader. Without an
argument it is a nursery: it imports and compiles once, then makes a fresh process (fork) for each order it reads, so
that a start costs no imports. It ends with its standard input, and its children with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from tests.journal.records import CheckedSink

from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live import LiveRun, connect, live_engine_settings, run_async, stop_on_signals
from quantum_trader.app.runs.live_settings import LoadedLive, bind_folder, load_live_settings
from quantum_trader.app.runs.state_dir import StateDir, pack
from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.gateway import Purpose
from quantum_trader.live.inputs import (
    Input,
    IntentReceived,
    OperatorRequestReceived,
    ProcessStarted,
    VenueEventReceived,
    decode_input,
)
from quantum_trader.live.session import Session
from quantum_trader.live.timing import LiveTiming
from quantum_trader.market.instruments import instrument_for
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Redactor, Secret

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
WARM_BARS: Final = 1000
REFUSED: Final = 3  # exit code of a trader that may not start
_PARENT_DIES: Final = 1  # PR_SET_PDEATHSIG
_TIMING: Final = LiveTiming(
    tick_s=0.02, reconcile_s=0.25, look_again_s=0.1, backoff_s=0.05, backoff_most_s=0.4, attention_s=0.5,
    checkpoint_s=1.5, request_timeout_s=2.0, stop_s=3.0, warm_bars=WARM_BARS,
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a trader is started with."""

    state: str
    address: str  # of the venue
    key: str
    secret: str
    port: int  # of the test, on loopback
    life: int  # how many there were, this one included


class Told(msgspec.Struct, kw_only=True):
    """A message to a trader: intents, where to die, or a request to report its books once nothing is in flight."""

    intents: list[Intent] = []
    die: tuple[str, str] | None = None  # "before" or "after" the claim of what
    check: int = 0
    whole: bool = False  # with a check: replay from the first input instead of the last checkpoint


class Books(msgspec.Struct, kw_only=True):
    """What a trader says: where it stands after its recovery ("recovered"), ready, or checked."""

    event: str
    check: int = 0
    taken: int = 0  # inputs taken again
    namespace: str = ""
    lives: list[str] = []  # names of the processes that have carried the session on, in its input log
    positions: dict[str, float] = {}  # signed
    protected: list[str] = []
    cash: float = 0.0
    tickets: list[tuple[str, str, bool, bool]] = []  # client id, purpose, whether it rests, whether it is over
    claimed: dict[str, int] = {}
    failures: int = 0
    unwritten: int = 0
    held: str = ""
    topics: dict[str, int] = {}
    counts: dict[str, int] = {}
    replay: str = ""  # what of a replay differs from the state; empty: nothing
    inputs: int = 0
    quiet: bool = True


def loaded(address: str) -> LoadedLive:
    """Settings under which nearly every wish becomes an order."""
    live = {"mode": "LOCAL", "address": address, "symbols": list(SYMBOLS), "interval": "1m",
            "max_decision_delay_s": 100.0, "on_foreign": "halt"}
    run = {
        "policy.enabled": False, "rollout.fixed_confidence": 0.95, "rollout.fixed_max_positions": 8,
        "rollout.mode": "LIVE", "rollout.use_for_signal_filter": True,  # a symbol that only loses stays in
        "risk.max_cost_r": 10.0, "risk.max_orders_per_hour": 100_000, "risk.max_exposure_pct": 100.0,
        "risk.daily_loss_pct": 50.0, "models": ({"model": "intraday-demo"},),
    }
    flags = [{key: (value, "test") for key, value in part.items()} for part in (live, run)]
    return load_live_settings(None, *flags)


class Hooked:
    """An input log around the real one, in which the process may be told to die."""

    def __init__(self, beneath: Any, engine: Engine) -> None:
        self._beneath, self._engine = beneath, engine
        self.die: tuple[str, str] | None = None

    def append(self, entry: bytes) -> None:
        """Write one entry, unless the process dies before."""
        if self.die is None:
            self._beneath.append(entry)
            return
        when, what = self.die
        meant = what == self._what(decode_input(entry))
        if meant and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        self._beneath.append(entry)
        if meant:
            os.kill(os.getpid(), signal.SIGKILL)

    def _what(self, told: Input) -> str:
        """"wish", or the purpose of an order and what is said of it, such as "OPEN fill"."""
        if isinstance(told, IntentReceived):
            intent, gateway = told.intent, self._engine.gateway
            taken = intent.symbol in self._engine.account.books.positions or gateway.has(intent.symbol, Purpose.OPEN)
            return "" if intent.reduce_only or taken or gateway.is_claimed(intent.intent_id) else "wish"
        if not isinstance(told, VenueEventReceived) or told.funding is not None:
            return ""
        event = told.fill or told.update
        assert event is not None
        ticket = self._engine.gateway.ticket(event.client_order_id)
        if ticket is None:
            return ""
        return f"{ticket.purpose.value} {'fill' if told.fill is not None else 'update'}"

    def mark(self) -> Any:
        """The place behind the last entry."""
        return self._beneath.mark()

    def since(self, mark: Any) -> list[bytes]:
        """The entries behind *mark*."""
        found: list[bytes] = self._beneath.since(mark)
        return found


class Saved:
    """A checkpoint store to read from."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self._state = state

    def save(self, state: dict[str, Any]) -> None:
        """Keep nothing."""

    def load(self) -> dict[str, Any] | None:
        """The state given."""
        return self._state


class Trader:
    """One trader at the other end of a socket."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._wishes: list[Intent] = []
        self._asked: list[Told] = []

    async def run(self) -> None:
        """Start, trade until told to stop."""
        order = self.order
        folder = StateDir(Path(order.state))
        try:
            settings = loaded(order.address)
            bind_folder(folder.path, settings.live)
            keys = ApiKeys(endpoint=LOCAL, key=Secret(order.key), secret=Secret(order.secret), source="test")
            venue = BinanceFuturesExecutionAdapter(
                endpoint(LOCAL, order.address), SYMBOLS, keys, rng=Random(os.getpid()),
                settings=AdapterSettings(receive_window_ms=1000, timeout_s=2.0, quotes=False, marks=False),
            )
            reader, self._writer = await asyncio.open_connection("127.0.0.1", order.port)
            self._writer.write(f"{order.life}\n".encode())
            try:
                await connect(venue)
                self._live = LiveRun(
                    settings, venue, folder, Redactor(keys.secrets), timing=_TIMING, inputs=self._take
                )
                await self._trade(reader)
            finally:
                await venue.close()
                self._writer.close()
        finally:
            folder.close()

    async def _trade(self, reader: asyncio.StreamReader) -> None:
        live = self._live
        try:
            compile_kernels(live.engine)
            taken = live.recover()
            self._log = live.session.log = Hooked(live.log, live.engine)
            self._say(self._books("recovered", taken=taken))
            stop_on_signals(live.driver.stop)
            parts = [asyncio.create_task(self._hear(reader)), asyncio.create_task(self._answer())]
            try:
                await live.run()
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
        finally:
            live.close()

    def _take(self) -> list[Input]:
        """What other parts wish: the driver asks."""
        now_ns = self._live.driver.clock.now_ns()
        wishes, self._wishes = self._wishes, []
        told: list[Input] = [IntentReceived(ts_ns=now_ns, intent=intent) for intent in wishes]
        if self._live.engine.account.governor[0] == GOV_EMERGENCY:  # coins fell the same way eight times
            told.append(OperatorRequestReceived(ts_ns=now_ns, action="resume", reason="a test of kills", actor="test"))
        return told

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            told = msgspec.json.decode(line, type=Told)
            self._wishes += told.intents
            if told.die is not None:
                self._log.die = told.die
            if told.check:
                self._asked.append(told)

    async def _answer(self) -> None:
        """Say when the driver is ready, and answer checks one by one."""
        while not self._live.driver.ready:
            await asyncio.sleep(0.005)
        self._say(self._books("ready"))
        while True:
            while not self._asked:
                await asyncio.sleep(0.01)
            told = self._asked.pop(0)
            quiet = await self._quiet()
            said = self._books("checked", check=told.check, quiet=quiet)
            said.replay = self._replayed(whole=told.whole)
            self._say(said)

    async def _quiet(self) -> bool:
        """Wait until nothing is on its way and a look that began after that agrees; False: it never came."""
        loop, engine, driver = asyncio.get_running_loop(), self._live.engine, self._live.driver
        deadline, since_ns = loop.time() + 20.0, 0
        while loop.time() < deadline:
            busy = driver.requests or any(not ticket.resting for ticket in engine.gateway.tickets())
            open_ = [*engine.account.books.positions.values()]
            busy = busy or any(p.exit_reason is not None or not engine.gateway.is_protected(p) for p in open_)
            if busy or engine.reconciler.since_ns:
                since_ns = 0
            elif not since_ns:
                since_ns = driver.clock.now_ns()
            elif engine.reconciler.checked_ns > since_ns + 50_000_000:
                return True
            await asyncio.sleep(0.02)
        return False

    def _books(self, event: str, **more: Any) -> Books:
        engine, gateway = self._live.engine, self._live.engine.gateway
        held = engine.account.books.positions
        return Books(
            event=event, namespace=gateway.namespace, cash=engine.account.books.cash, held=engine.halts.held,
            positions={symbol: position.sign * position.qty for symbol, position in held.items()},
            protected=[symbol for symbol, position in held.items() if gateway.is_protected(position)],
            tickets=[(t.client_order_id, t.purpose.value, t.resting, t.over) for t in gateway.tickets()],
            claimed=gateway.state()["claimed"] if event == "checked" else {},
            lives=self._lives() if event == "checked" else [], topics=dict(engine.records.tally.topics),
            failures=self._live.session.shield.failures, unwritten=self._live.session.unwritten_inputs,
            counts=dict(self._live.driver.counts), inputs=self._live.session.input_count, **more,
        )

    def _lives(self) -> list[str]:
        entries = [decode_input(entry) for entry in self._live.log.since(None)]
        return [entry.life for entry in entries if isinstance(entry, ProcessStarted)]

    def _replayed(self, *, whole: bool) -> str:
        """Replay the input log into a second engine; the names of what differs."""
        live = self._live
        live.session.finish_bars()
        saved = None if whole else live.state_dir.load_checkpoint()
        engine = Engine(
            live.engine.instruments, live.engine.interval_ns, live.engine.settings, CheckedSink(),
            live=LiveAccount(),
        )
        session = Session(engine, live.log, Saved(saved), live.engine.interval_ns)
        session.recover(lambda _more: engine.records.recorder.resume(saved["engine"]["seq"], ()) if saved else None)
        session.finish_bars()
        ours, theirs = live.engine.state(), engine.state()
        return ", ".join(key for key in ours if _digest(ours[key]) != _digest(theirs[key]))

    def _say(self, said: Books) -> None:
        self._writer.write(msgspec.json.encode(said) + b"\n")


def _digest(value: Any) -> str:
    return hashlib.blake2b(pack(value)).hexdigest()


def trade(order: Order) -> int:
    """Be one trader; returns the exit code."""
    try:
        run_async(Trader(order).run())
    except QuantumTraderError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


def _nursery() -> None:
    """Fork a trader for each line of standard input; "-PID" reaps one and says how it ended."""
    address = "http://127.0.0.1:1"
    settings = live_engine_settings(loaded(address))
    compile_kernels(Engine(
        [instrument_for(symbol, 100.0)[0] for symbol in SYMBOLS], 60_000_000_000, settings, CheckedSink(),
        live=LiveAccount(),
    ))
    parent = os.getpid()
    children: set[int] = set()
    _answer("ready")
    for line in sys.stdin:
        if line.startswith("-"):
            child = int(line[1:])
            children.discard(child)
            _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            continue
        child = os.fork()
        if child == 0:
            _end_with(parent)
            os._exit(trade(msgspec.json.decode(line, type=Order)))
        children.add(child)
        _answer(child)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _end_with(parent: int) -> None:
    """Let the kernel end this process with its parent, and leave the nursery's standard input and output to it."""
    ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(trade(msgspec.json.decode(sys.argv[1], type=Order)))
    _nursery()
