"""A venue, a market, a stream of wishes and a trader that is killed; and what must be so after each restart."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
from tests.app.trader import SYMBOLS, WARM_BARS, Books, Order, Told

from quantum_trader.app.runs.input_log import _whole
from quantum_trader.domain.enums import Side
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.gateway import Gateway, Purpose
from quantum_trader.engine.ids import client_order_id
from quantum_trader.engine.instruments import Instruments
from quantum_trader.journal.lake import Lake
from quantum_trader.live.inputs import IntentReceived, decode_input
from quantum_trader.market.instruments import instrument_for
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.faults import InjectedFault
from quantum_trader.venues.local.limits import Limits, LimitSettings
from quantum_trader.venues.local.server import LocalVenue, ServerSettings
from quantum_trader.venues.local.signing import parsed
from quantum_trader.venues.local.tape import Tape

MINUTE: Final = 60_000_000_000
PATIENCE_S: Final = 60.0
CENT: Final = 0.005
ROAD_S: Final = 0.015  # the longest way of an order to the venue, and of its answer back
ROADS: Final = ("/fapi/v1/order", "/fapi/v1/algoOrder")
PRICES: Final = {"BTCUSDT": 10_000.0, "ETHUSDT": 1_000.0, "LTCUSDT": 100.0}
OUTSIDE: Final = "outside"  # a kill from outside, at what the venue saw
INSIDE: Final = (  # or where the trader writes down what it was told
    ("before", "wish"), ("after", "wish"), ("after", "wish"), ("before", "OPEN update"), ("after", "OPEN update"),
    ("before", "OPEN fill"), ("after", "OPEN fill"), ("before", "STOP update"), ("after", "STOP update"),
    ("before", "CLOSE fill"), ("after", "CLOSE fill"),
)
PHASES: Final = (
    "before the claim", "claimed, not sent", "sent, not answered", "answered, not recorded", "filled, not protected",
    "stop being placed", "closing", "in recovery", "between orders",
)


def market(seed: int, now_ns: int) -> Exchange:
    """An exchange whose minutes wander around :data:`PRICES`, two hours beyond *now_ns*."""
    rng, size = np.random.default_rng(seed), WARM_BARS + 150
    table = [
        msgspec.structs.replace(instrument_for(symbol, PRICES[symbol])[0], taker_fee_bps=1.0) for symbol in SYMBOLS
    ]
    first = now_ns // MINUTE - WARM_BARS - 20
    ts_ns = (first + np.arange(size)) * MINUTE
    steps = rng.normal(0.0, 4e-4, (size, len(SYMBOLS)))
    closes = np.array([PRICES[symbol] for symbol in SYMBOLS]) * np.exp(np.cumsum(steps, axis=0) * 0.5)
    opens = np.vstack([closes[:1], closes[:-1]])
    high, low = np.maximum(opens, closes) * 1.0008, np.minimum(opens, closes) * 0.9992
    ticks = np.array([instrument.tick_size for instrument in table])
    ohlc = [np.round(values / ticks) * ticks for values in (opens, high, low, closes)]
    ohlcv = np.stack([*ohlc, np.full_like(closes, 1_000.0)], axis=2)
    tape = Tape(table, MINUTE, ts_ns.astype(np.int64), ohlcv, np.ones((size, len(SYMBOLS)), dtype=np.bool_))
    return Exchange(tape, now_ns, ExchangeSettings(wallet=100_000.0, taker_cost_bps=0.2))


class KillVenue(LocalVenue):
    """A local venue that tells how far each order got: arrived, done, answered."""

    def __init__(self, exchange: Exchange, chance: random.Random) -> None:
        self.chance = chance
        super().__init__(
            exchange, clock=MarketClock(1.0),
            settings=ServerSettings(
                tick_s=0.1, limits=LimitSettings(weight_1m=10**8, orders_1m=10**7, orders_10s=10**6)
            ),
        )
        self.arrived: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.saw: Callable[[str, str], None] = lambda stage, road: None

    async def _spoilt(self, fault: InjectedFault | None, act: Callable[[], Any]) -> Any:
        method, path, query, body = act.args[:4] if isinstance(act, partial) and len(act.args) > 4 else ("",) * 4
        if method != "POST" or path not in ROADS:
            return await super()._spoilt(fault, act)
        name = order_name(query, body)
        self.arrived[name] += 1
        self.saw("arrived", path)
        await asyncio.sleep(self.chance.uniform(0.0, ROAD_S))
        answer = await super()._spoilt(fault, act)
        await asyncio.sleep(self.chance.uniform(0.0, ROAD_S))
        self.answered[name] += 1
        self.saw("answered", path)
        return answer

    def answer(self, method: str, path: str, query: str, body: str, key: str) -> tuple[int, dict[str, str], Any]:
        """Answer one request."""
        answer = super().answer(method, path, query, body, key)
        if method == "POST" and path in ROADS:
            if answer[0] == 200:
                self.done[order_name(query, body)] += 1
            self.saw("done", path)
        return answer


def order_name(query: str, body: str) -> str:
    """The client id of an order request."""
    params = parsed(query, body)
    return params.get("newClientOrderId") or params.get("clientAlgoId", "")


class Nursery:
    """The process that makes traders."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def open(cls, errors: Path) -> Nursery:
        """Start it and wait until it has imported and compiled everything."""
        with errors.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.app.trader", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )
        nursery = cls(process)
        assert await nursery._line() == "ready"
        return nursery

    async def _line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(300.0):
            return (await self._process.stdout.readline()).decode().strip()

    async def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return int(await self._line())

    async def spawn(self, order: Order) -> int:
        """Make a trader; its process id."""
        return await self._ask(msgspec.json.encode(order).decode())

    async def reap(self, pid: int) -> int:
        """Wait for one to end; its exit code (negative: the signal)."""
        return await self._ask(f"-{pid}")

    async def close(self) -> None:
        """End it, and every trader that is left."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20.0):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


class Figures:
    """The figures of a campaign: kills, their phases, checks and restart times."""

    def __init__(self) -> None:
        self.kills = 0
        self.middle = 0  # kills with something on its way
        self.phases: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.restarts: list[float] = []
        self.checks = 0

    def __str__(self) -> str:
        phases = ", ".join(f"{name} {self.phases[name]}" for name in PHASES)
        return (
            f"{self.kills} kills, {self.middle} with something on its way; phases: {phases}; checks {self.checks}; "
            f"restart median {median(self.restarts):.2f} s, most {max(self.restarts):.2f} s"
        )


class KillWorld:
    """One venue, one account, one state folder, and one trader after the other."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.state = folder, folder / "state"
        self.chance = random.Random(seed)
        self.venue = KillVenue(market(seed, time.time_ns()), self.chance)
        self.figures = Figures()
        self.errors = folder / "errors"
        self.last: Books | None = None
        self._nursery: Nursery | None = None
        self._cold: asyncio.subprocess.Process | None = None
        self._pid = 0
        self._said: asyncio.Queue[Books | None] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._number = self._checks = self._read = self._lives = 0
        self._offered: list[Intent] = []
        self._logged: set[str] = set()
        self._died: tuple[set[str], set[str], list[str]] | None = None  # arrived, answered, offered in that life
        self._born = 0.0
        self._life: list[str] = []

    async def __aenter__(self) -> KillWorld:
        await self.venue.start()
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0, limit=1 << 26)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._cold is not None:
                with suppress(ProcessLookupError):
                    self._cold.kill()
                await self._cold.wait()
            if self._nursery is not None:
                await self._nursery.close()
        finally:
            self._server.close()
            for task in tuple(self._links):
                task.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)
            await self._server.wait_closed()
            await self.venue.stop()

    # ------------------------------------------------------------------ the trader

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        said: asyncio.Queue[Books | None] = asyncio.Queue()
        try:
            with suppress(ConnectionError):
                while line := await reader.readline():
                    if line.strip() == self._life_token():  # not one that is dead already
                        self._writer, said = writer, self._said
                    else:
                        said.put_nowait(msgspec.json.decode(line, type=Books))
        finally:
            said.put_nowait(None)
            writer.close()
            self._links.discard(task)

    def _life_token(self) -> bytes:
        return str(self._lives).encode()

    def order(self) -> Order:
        """What a trader of this world is started with."""
        key = self.venue.keys[0]
        return Order(
            state=str(self.state), address=self.venue.url, key=key.key, secret=key.secret, port=self._port,
            life=self._lives,
        )

    async def spawn(self, *, cold: bool = False) -> None:
        """Start a trader; *cold*: as a program of its own."""
        if not cold and self._nursery is None:
            self._nursery = await Nursery.open(self.errors)
        self._said, self._life, self._born = asyncio.Queue(), [], time.monotonic()
        self._lives += 1
        self.venue.api.limits = Limits(self.venue.api.limits.settings)  # a start every second would meet them
        if cold:
            with self.errors.open("ab") as stderr:
                self._cold = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.app.trader", msgspec.json.encode(self.order()).decode(),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=stderr,
                )
            self._pid = self._cold.pid
        else:
            assert self._nursery is not None
            self._pid = await self._nursery.spawn(self.order())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal now."""
        self._died = self._died or self._traces()
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)

    async def reap(self) -> int:
        """Wait for the trader's end; its exit code."""
        async with asyncio.timeout(PATIENCE_S):
            if self._cold is not None:
                code, self._cold = await self._cold.wait(), None
            else:
                assert self._nursery is not None
                code = await self._nursery.reap(self._pid)
        self._died = self._died or self._traces()
        return code

    def _traces(self) -> tuple[set[str], set[str], list[str]]:
        return set(self.venue.arrived), set(self.venue.answered), list(self._life)

    async def hear(self, event: str) -> Books:
        """The next thing the trader says, which must be *event*."""
        async with asyncio.timeout(PATIENCE_S):
            said = await self._said.get()
        assert said is not None, f"the trader died before it was {event}: {self.errors.read_text()[-3000:]}"
        assert said.event == event, said
        return said

    async def ready(self) -> Books:
        """Wait until the trader has recovered and compared; note where the one before was killed."""
        recovered = await self.hear("recovered")
        if self._died is not None:
            self._classify(recovered)
        said = await self.hear("ready")
        self.figures.restarts.append(time.monotonic() - self._born)
        return said

    async def ended(self, within_s: float) -> bool:
        """Whether the trader's end of the line closes *within_s*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while await self._said.get() is not None:
                    pass
                return True
        return False

    # ------------------------------------------------------------------ where it was killed

    def _classify(self, recovered: Books) -> None:
        """Name every phase that the kill fell into, by what the log and the venue knew."""
        assert self._died is not None
        (arrived, answered, offered), self._died = self._died, None
        phases = set()
        stops = 0
        for name, purpose, resting, over in recovered.tickets:
            if purpose == Purpose.OPEN.value:
                if name not in arrived:
                    phases.add("claimed, not sent")
                elif name not in answered and not (resting or over):
                    phases.add("sent, not answered")
                else:
                    phases.add("answered, not recorded")
            elif purpose == Purpose.CLOSE.value:
                phases.add("closing")
            elif purpose == Purpose.STOP.value:
                stops += resting
                if not resting and not over:
                    phases.add("stop being placed" if name in arrived else "filled, not protected")
        if len(recovered.protected) < len(recovered.positions) and not {"stop being placed", "closing"} & phases:
            phases.add("filled, not protected")
        self._read_log()
        if any(name not in self._logged for name in offered):
            phases.add("before the claim")
        self.figures.phases.update(phases or {"between orders"})
        self.figures.middle += bool(phases)

    def _read_log(self) -> None:
        """Note every wish in the input log."""
        path = self.state / "inputs" / "inputs-00000001.log"
        entries, end = _whole(path.read_bytes()[self._read:])
        self._read += end
        for entry in entries:
            told = decode_input(entry)
            if isinstance(told, IntentReceived):
                self._logged.add(told.intent.intent_id)

    # ------------------------------------------------------------------ wishes and prices

    def tell(self, told: Told) -> None:
        """Tell the trader something; lost when it is dead."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(told) + b"\n")

    def offer(self, intents: list[Intent]) -> None:
        """Offer wishes to the trader."""
        self._offered = [*self._offered, *intents][-40:]
        self._life += [intent.intent_id for intent in intents]
        self.tell(Told(intents=intents))

    def offer_again(self) -> None:
        """Offer the last opening intents again, like a sender that got no answer."""
        self.offer([intent for intent in self._offered[-12:] if not intent.reduce_only])

    def wish(self) -> Intent:
        """A wish to open or to reduce, with an id that never was."""
        self._number += 1
        symbol = self.chance.choice(SYMBOLS)
        held = any(position.symbol == symbol for position in self.venue.exchange.paper.positions())
        reduce = self.chance.random() < (0.5 if held else 0.1)
        side = self.chance.choice((Side.LONG, Side.SHORT))
        price = float(self.venue.exchange.last[self.venue.exchange.index[symbol]])
        now_ns = time.time_ns()
        return Intent(
            intent_id=f"w{self._number:06d}", trace_id=f"tw{self._number:06d}", symbol=symbol, side=side,
            qty=self.chance.uniform(200.0, 900.0) / price, reduce_only=reduce, reference_price=price,
            stop_price=0.0 if reduce else price * (1.0 - 0.02 * side.sign), leverage=5.0, created_ns=now_ns,
            expires_ns=now_ns + 20_000_000_000, source="TEST", confidence=1.0,
        )

    async def traffic(self) -> None:
        """Wishes and moving prices, several a second, until cancelled."""
        exchange, chance = self.venue.exchange, self.chance
        while True:
            self.offer([self.wish() for _ in range(chance.randint(1, 2))])
            symbol = chance.choice(SYMBOLS)
            reach = 0.05 if chance.random() < 0.06 else 0.0008  # now and then far enough for a stop or a target
            price = float(exchange.last[exchange.index[symbol]]) * (1.0 + chance.choice((-reach, reach)))
            exchange.show({symbol: exchange.instruments[exchange.index[symbol]].tick_size * round(
                price / exchange.instruments[exchange.index[symbol]].tick_size
            )})
            self.venue.flush()
            await asyncio.sleep(chance.uniform(0.02, 0.1))

    def spoil(self) -> None:
        """Let some of the next order requests be late, unanswered or lost."""
        kinds = ("latency", "latency", "latency", "unknown", "drop", "late", "internal", "overloaded")
        for road in ROADS:
            for _ in range(self.chance.randint(0, 2)):
                self.venue.faults.add(InjectedFault(
                    kind=self.chance.choice(kinds), match=f"POST {road}", alive=self.chance.random() < 0.6,
                    seconds=self.chance.uniform(0.005, 0.15), skip=self.chance.randint(0, 5),
                ))

    # ------------------------------------------------------------------ kills

    async def live_and_die(self) -> None:
        """Let the trader trade for a moment and kill it in the middle of an order; it is reaped."""
        self.spoil()
        self.offer_again()
        trading = asyncio.create_task(self.traffic())
        try:
            await asyncio.sleep(self.chance.uniform(0.05, 0.35))
            if self.chance.random() < 0.5:
                point = self.chance.choice(INSIDE)
                self.figures.points[" ".join(point)] += 1
                self.tell(Told(die=point))
            else:
                self._aim()
            if not await self.ended(2.0):
                self.kill()
        finally:
            self.venue.saw = lambda stage, road: None
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)
        code = await self.reap()
        assert code == -signal.SIGKILL, (code, self.errors.read_text()[-3000:])
        self.figures.kills += 1
        self.venue.faults.clear()

    def _aim(self) -> None:
        """Kill from outside when the venue has seen something, or a moment later."""
        stage, road = self.chance.choice(("arrived", "done", "answered")), self.chance.choice(ROADS)
        wait_s = self.chance.choice((0.0, self.chance.uniform(0.0, 0.003), self.chance.uniform(0.0, 0.015)))
        left = self.chance.randint(1, 4)
        self.figures.points[f"{OUTSIDE} {stage}"] += 1

        def saw(seen: str, where: str) -> None:
            nonlocal left
            left -= (seen, where) == (stage, road)
            if left == 0:
                self.venue.saw = lambda stage, road: None
                if wait_s > 0.0:
                    asyncio.get_running_loop().call_later(wait_s, self.kill)
                else:
                    self.kill()

        self.venue.saw = saw

    async def die_young(self) -> None:
        """Kill a trader somewhere in its start."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.6))
        died, self._died = self._died, None
        self.kill()
        code = await self.reap()
        assert code == -signal.SIGKILL, (code, self.errors.read_text()[-3000:])
        if died is not None:
            self._died = died  # what the one before left is still to be recovered
        self.figures.kills += 1
        self.figures.middle += 1
        self.figures.phases["in recovery"] += 1

    async def stop(self) -> int:
        """End the trader in order; its exit code."""
        self.kill(signal.SIGTERM)
        code = await self.reap()
        self._died = None
        return code

    # ------------------------------------------------------------------ what must be so

    async def check(self, *, whole: bool = False) -> Books:
        """Everything that must be so at a quiet point; AssertionError with what is not."""
        for left in (2, 1, 0):  # a price may trigger something between the trader's word and our look
            self._checks += 1
            self.tell(Told(check=self._checks, whole=whole))
            said = await self.hear("checked")
            wrong = self.wrong(said)
            if not wrong or not left:
                break
        assert not wrong, f"after {self.figures.kills} kills: " + "; ".join(wrong)
        self.figures.checks += 1
        self.last = said
        return said

    def wrong(self, said: Books) -> list[str]:
        """What of *said* does not agree with the venue, or with what must be."""
        exchange = self.venue.exchange
        found = [] if said.quiet else [f"it never came to rest: {said}"]
        held = {position.symbol: position.qty for position in exchange.paper.positions()}
        if held.keys() != said.positions.keys() or any(abs(held[s] - said.positions[s]) > 1e-9 for s in held):
            found.append(f"venue holds {held}, books {said.positions}")
        for symbol, qty in held.items():
            stops = [
                algo.ticket.qty for algo in exchange.open_algos()
                if algo.ticket.symbol == symbol and algo.ticket.type == "STOP_MARKET" and algo.ticket.sign * qty < 0.0
            ]
            if not any(stop >= abs(qty) * (1.0 - 1e-9) for stop in stops):
                found.append(f"{symbol}: {qty} held, stops {stops}")
        if abs(exchange.account.wallet - said.cash) > CENT:
            found.append(f"wallet {exchange.account.wallet}, books {said.cash}")
        known = {ticket[0] for ticket in said.tickets}
        found += [f"stray order {name}" for name in self._resting() - known]
        if said.failures or said.unwritten or said.held:
            found.append(f"failures {said.failures}, unwritten {said.unwritten}, held {said.held!r}")
        if said.replay:
            found.append(f"a replay of the input log differs in {said.replay}")
        for topic, allowed in (("cash.adjusted", 1), ("position.adopted", 0), ("input.failed", 0)):
            if said.topics.get(topic, 0) > allowed:
                found.append(f"{topic}: {said.topics[topic]} times")
        return found + self._doubled(said)

    def _resting(self) -> set[str]:
        exchange = self.venue.exchange
        orders = {order.ticket.client_id for order in exchange.orders.values() if order.is_open}
        return orders | {algo.ticket.client_id for algo in exchange.open_algos()}

    def journaled(self) -> tuple[int, int, int]:
        """Records in the record file, in the journal, and different ones there; once the trader has stopped."""
        rows = Lake(self.state / "journal").sql("select count(*) as held, count(distinct seq) as kinds from events")
        found = rows.to_pylist()[0]
        return (self.state / "records.jsonl").read_bytes().count(b"\n"), int(found["held"]), int(found["kinds"])

    def _doubled(self, said: Books) -> list[str]:
        """Client ids that the venue took twice, and openings that belong to no intent or not to its first order."""
        exchange = self.venue.exchange
        triggered = {algo.actual_id for algo in exchange.algos.values()}
        sent = [order.ticket for order in exchange.orders.values() if order.order_id not in triggered]
        names = Counter(ticket.client_id for ticket in sent)
        names.update(algo.ticket.client_id for algo in exchange.algos.values())
        twice = [name for name, count in names.items() if count > 1]
        twice += [name for name, count in self.venue.done.items() if count > 1]
        openings = {ticket.client_id for ticket in sent if not ticket.reduce_only}
        mine = _openings(said)
        again = Counter(mine[name] for name in openings if name in mine)
        twice += [intent for intent, count in again.items() if count > 1]
        return [f"used twice: {name}" for name in twice] + [
            f"an opening of no intent, or a second one: {name}" for name in openings - mine.keys()
        ]


def _openings(said: Books) -> dict[str, str]:
    """Every id that an opening of this session may bear, and the intent it belongs to."""
    gateway, made = Gateway(Instruments(())), {}
    gateway.namespace = said.namespace
    for life in said.lives:
        gateway.take_over(life)
        for intent in said.claimed:
            made[client_order_id(f"{said.namespace}{life}{intent}", Purpose.OPEN.value, 0, gateway.mark)] = intent
    return made


async def within(world: KillWorld, act: Callable[[KillWorld], Awaitable[None]]) -> None:
    """Run *act* in *world*, and leave no process behind."""
    async with world:
        await act(world)
