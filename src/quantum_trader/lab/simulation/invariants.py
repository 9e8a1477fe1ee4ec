"""What must always hold (spec/2, section 5), checked against the exchange's truth while a day runs.

``Watch`` reads the engine, never changes it. What can break at a step is looked at when something moved at the
exchange or in the records; what may be wrong for a moment (a fill on its way, a stop being placed) has a deadline that
follows from what struck (:mod:`.standing`); what only time shows is looked at every half minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, OrderStatus, OrderType
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ports import Rejection
from quantum_trader.lab.simulation.calm import NEVER_S, Bounds, Weather
from quantum_trader.lab.simulation.exchange import Exchange
from quantum_trader.lab.simulation.standing import Standing
from quantum_trader.live.session import Session
from quantum_trader.risk.limits import LOSS_LAST, losses_latched, losses_pct, orders_last_hour
from quantum_trader.signals import columns as col

LOOK_EVERY_S: Final = 30.0
WISH: Final = "wish-"  # how the ids of intents from outside begin: they come between bars
_RACE_NS: Final = NS_PER_SECOND  # a person who lowers a leverage while an order is on its way wins
_SAME: Final = 1e-9
_CENT: Final = 0.01  # USDT
_EQUITY_SAME: Final = 0.03  # equity the engine sizes with, beside the exchange's at the same moment


class Broken(QuantumTraderError):  # noqa: N818 - a finding
    """Something that must always hold does not."""

    def __init__(self, invariant: str, detail: str, at_s: float) -> None:
        super().__init__(f"{invariant} at {at_s:.3f} s: {detail}")
        self.invariant, self.detail, self.at_s = invariant, detail, at_s


class Safety(msgspec.Struct, frozen=True, kw_only=True):
    """What must survive a restart, as the engine holds it after so many inputs."""

    kill: bool
    held: str
    streak: int
    governor: tuple[float, ...]
    losses: tuple[float, ...]
    rate: tuple[float, ...]
    claimed: dict[str, int]
    positions: dict[str, float]
    cash: float

    @classmethod
    def of(cls, engine: Engine) -> Safety:
        """Take it from *engine*."""
        return cls(
            kill=engine.halts.operator_halt, held=engine.halts.held, streak=engine.account.books.losing_streak,
            governor=tuple(_exact(engine.account.governor)), losses=tuple(_exact(engine.account.losses)),
            rate=tuple(_exact(engine.account.rate)), claimed=dict(engine.gateway.state()["claimed"]),
            positions={symbol: p.sign * p.qty for symbol, p in engine.account.books.positions.items()},
            cash=engine.account.books.cash,
        )


def _exact(row: Any) -> list[float]:
    """A row without NaN, which equals nothing."""
    return [-1e300 if value != value else value for value in row.tolist()]


class _Overnight(msgspec.Struct, frozen=True, kw_only=True):
    """What must not end because a day does."""

    day: int
    kill: bool
    streak: int
    trades: int
    latched: bool
    cleared: int  # halts that were ended on record
    moved: int  # times the money was set anew


class Watch:
    """Checks one day. *weather* knows what struck when, *bounds* how long it may take to find out."""

    def __init__(self, exchange: Exchange, weather: Weather, bounds: Bounds) -> None:
        self.exchange, self.weather, self.bounds = exchange, weather, bounds
        self.standing = Standing(exchange, weather, bounds, self.fail)
        self.engine: Engine | None = None
        self.replaying = False
        self.broken: Broken | None = None
        self.intents = self.openings = 0
        self.checks = 0
        self._version = -1
        self._records = 0
        self._accepted = 0  # acceptances looked at
        self._known = 0  # fills of the exchange indexed
        self._fills: dict[str, Any] = {}
        self._booked: set[str] = set()
        self._opened: dict[str, str] = {}  # intent -> the opening order that was taken for it
        self._behind_s = NEVER_S  # since when completed bars are not decided on
        self._unsent: dict[str, tuple[OrderRequest, float]] = {}  # reducing orders made, when, and not on their way
        self._maybe_sent: set[str] = set()
        self._lost: set[str] = set()  # orders of which the trader says that they never arrived
        self._sent_ns: dict[str, int] = {}
        self._opening_times: list[int] = []
        self._halted_since_ns = -1
        self._overnight: _Overnight | None = None
        self._cleared = 0
        self._moved_money: list[float] = []

    def fail(self, invariant: str, detail: str) -> None:
        """Note the first thing that broke; the loop's next step raises it."""
        if self.broken is None:
            self.broken = Broken(invariant, detail, self.exchange.loop.time())

    # ------------------------------------------------------------------ after every step

    def after_step(self) -> None:
        """Raise Broken if something broke; look closer when something moved."""
        if self.exchange.version != self._version:
            self._version = self.exchange.version
            self._moved()
        if self.broken is not None:
            raise self.broken

    def _moved(self) -> None:
        """Something happened at the exchange: look at the orders it took, and at what it left wrong."""
        self._index()
        self.standing.moved()

    def _index(self) -> None:
        exchange = self.exchange
        while self._accepted < len(exchange.accepted):
            taken = exchange.accepted[self._accepted]
            self._accepted += 1
            if taken.by_trader:
                self._order_taken(taken)
        while self._known < len(exchange.fills):
            fill = exchange.fills[self._known]
            self._fills[fill.fill_id] = fill
            self._known += 1

    def _order_taken(self, taken: Any) -> None:
        request = taken.request
        if self.exchange.acceptances[request.client_order_id] > 1:
            self.fail("one order per intent", f"{request.client_order_id} was taken twice ({request.type.value})")
        if request.client_order_id in self._lost:
            self.fail("a timeout is no rejection", f"{request.client_order_id} was given up, and then it arrived")
        if request.reduce_only:
            return
        self.openings += 1
        self._opening_times.append(taken.ts_ns)
        before = self._opened.setdefault(request.intent_id, request.client_order_id)
        if before != request.client_order_id:
            self.fail("one order per intent", f"{request.intent_id} opened with {before} and {request.client_order_id}")
        sent_ns = self._sent_ns.get(request.client_order_id, taken.ts_ns)
        lately = self.exchange.lowered_ns.get(request.symbol, 0) > sent_ns - self._leverage_race_ns()
        if taken.leverage != request.leverage and not lately:
            self.fail(
                "leverage is read back",
                f"{request.symbol} opened at leverage {taken.leverage:g}, sized for {request.leverage:g}",
            )
        if 0 <= self._halted_since_ns < request.created_ns:
            self.fail("nothing opens while halted", f"{request.client_order_id} was made after the halt")

    def _leverage_race_ns(self) -> int:
        """How long a leverage that somebody changed may go unnoticed: until it is read back, where nobody was told."""
        sent_s = self.exchange.loop.time()
        untold = self.weather.streams_s["user"] >= sent_s - self.bounds.read_back_s
        return int(self.bounds.read_back_s * NS_PER_SECOND) if untold else _RACE_NS

    # ------------------------------------------------------------------ what the trader sends

    def sent(self, request: OrderRequest, *, arrives: bool) -> None:
        """An order leaves the trader; *arrives* unless the trader will be told that it certainly did not."""
        self._unsent.pop(request.client_order_id, None)
        self.standing.sent(request.client_order_id)
        self._sent_ns[request.client_order_id] = self.exchange.now_ns()
        if request.client_order_id in self._maybe_sent:
            self.fail("no order is sent twice", f"{request.client_order_id} ({request.type.value} {request.symbol})")
        if arrives:
            self._maybe_sent.add(request.client_order_id)

    def never_arrived(self, client_order_id: str) -> None:
        """The trader was told that an order had no effect: it may be sent again."""
        self._maybe_sent.discard(client_order_id)

    # ------------------------------------------------------------------ records

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record of the engine, as its sink."""
        self._records += 1
        look = _RECORDS.get(topic)
        if look is not None and self.engine is not None:
            look(self, msgspec.json.decode(line)["data"], self.engine)

    def _order_made(self, data: dict[str, Any], engine: Engine) -> None:
        order = msgspec.convert(data, OrderRequest)
        if order.type is not OrderType.MARKET:
            self._right_side(order, engine)
        if self.replaying:
            return
        if order.reduce_only:
            if order.type is OrderType.MARKET and order.client_order_id not in self._sent_ns:  # records may come after
                self._unsent[order.client_order_id] = (order, self.exchange.loop.time())
            return
        self.intents += 1
        why = _halted(engine)
        if why:
            self.fail("nothing opens while halted", f"{order.symbol} opens, and {why}")
        age_s = (self.exchange.now_ns() - engine.now_ns) / NS_PER_SECOND
        waits_s = self.exchange.interval_ns / NS_PER_SECOND if order.intent_id.startswith(WISH) else 0.0
        if age_s > waits_s + engine.settings.limits.max_data_age_s:
            self.fail("nothing opens on stale data", f"{order.symbol} opens on bars that are {age_s:.0f} s old")
        self._sized_with(engine, order)

    def _right_side(self, order: OrderRequest, engine: Engine) -> None:
        """A first stop lies behind the entry, a target before it."""
        position = engine.account.books.positions.get(order.symbol)
        if position is None:
            return
        is_stop = order.type is OrderType.STOP_MARKET
        gap = (order.stop_price - position.entry_price) * position.sign * (-1.0 if is_stop else 1.0)
        if (is_stop and position.stop != position.first_stop) or gap > 0.0:
            return
        word = "stop" if is_stop else "target"
        self.fail(
            "brackets lie on the right side",
            f"{position.side.value} {order.symbol} from {position.entry_price:g}, its {word} at {order.stop_price:g}",
        )

    def _sized_with(self, engine: Engine, order: OrderRequest) -> None:
        """The equity an order was sized with is that of the books now, and near the exchange's."""
        fresh = _equity(engine)
        if abs(engine.account.equity - fresh) > 1e-6 * max(abs(fresh), 1.0):
            self.fail("equity is not stale",
                      f"sized with {engine.account.equity:.2f}, the books say {fresh:.2f}")
        calm = self.weather.is_calm(self.exchange.loop.time(), self.bounds.found_s)
        if not calm or not self.standing.books_agree():
            return
        truth = self.exchange.paper.balance().equity
        if abs(engine.account.equity - truth) > _EQUITY_SAME * abs(truth):
            self.fail("equity is not stale",
                      f"sized with {engine.account.equity:.2f}, the account is worth {truth:.2f}")

    def _filled(self, data: dict[str, Any], engine: Engine) -> None:
        """Only fills of the exchange move the books, each once."""
        self._index()
        truth = self._fills.get(data["fill_id"])
        if truth is None or truth.symbol != data["symbol"] or truth.side.value != data["side"]:
            self.fail("only fills move books", f"{data['fill_id']} is no fill of the exchange")
        elif abs(truth.qty - data["qty"]) > _SAME * truth.qty or truth.price != data["price"]:
            self.fail("only fills move books", f"{data['fill_id']} was {truth.qty:g} at {truth.price:g}")
        if data["fill_id"] in self._booked:
            self.fail("a fill counts once", f"{data['fill_id']} was booked twice")
        self._booked.add(data["fill_id"])

    def _updated(self, data: dict[str, Any], engine: Engine) -> None:
        """What the trader takes for lost never reached the exchange, now or later; what it takes for gone is gone."""
        update = msgspec.convert(data, OrderUpdate)
        if not update.reason.startswith(Rejection.LOST.value):
            return
        order_id = update.client_order_id
        known = self.exchange.paper.get_order(order_id)
        if update.status is OrderStatus.REJECTED:
            self._lost.add(order_id)
            if order_id in self.exchange.acceptances:
                self.fail("a timeout is no rejection", f"{order_id} was given up, and the exchange has taken it")
        elif known is not None and known.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED):
            self.fail("a timeout is no rejection", f"{order_id} was taken for gone, and the exchange has it open")

    def _halt_raised(self, data: dict[str, Any], engine: Engine) -> None:
        if not data["exit_path"] or not data["reason"]:
            self.fail("every halt has an exit", f"{data['kind']}: {data['reason']!r} names none")

    def _differs(self, data: dict[str, Any], engine: Engine) -> None:
        if data["kind"] == "POSITION":
            self.exchange.loop.call_soon(self._must_be_held, engine, data)

    def _money_moved(self, data: dict[str, Any], engine: Engine) -> None:
        """A transfer counts once: counted twice, it would move the peak that drawdown is measured from."""
        amount = data["wallet"] - data["before"]
        real = [moved for moved in self.exchange.moves if abs(moved.amount - amount) < _CENT]
        now = self.exchange.loop.time()
        if not data["explained"] and real and now - self.weather.requests_s > self.bounds.found_s:
            self.fail("money moved is no result", f"{amount:+.2f} USDT were moved, and booked as a result of trading")
        if data["why"] != "transfer":
            return
        self._moved_money.append(amount)
        if sum(abs(moved - amount) < _CENT for moved in self._moved_money) > len(real):
            self.fail("money counts once", f"{amount:+.2f} USDT were booked more often than they moved")

    def _halt_cleared(self, data: dict[str, Any], engine: Engine) -> None:
        self._cleared += 1

    def _input_failed(self, data: dict[str, Any], engine: Engine) -> None:
        self.fail("the engine takes every input", f"{data['input']}: {data['error']}")

    def _must_be_held(self, engine: Engine, data: dict[str, Any]) -> None:
        if not engine.halts.held and engine is self.engine and not self.replaying:
            self.fail("unexplained differences halt openings", f"{data['symbol']} differs and nothing halts")

    # ------------------------------------------------------------------ every few seconds

    def look(self) -> None:
        """Look at what only time shows."""
        self.checks += 1
        engine = self.engine
        if engine is None:
            return
        self.standing.look(self._records)
        self._reduces_go_out()
        self._rate(engine)
        self._progress(engine)
        self._midnight(engine)

    def asked(self, action: str) -> None:
        """The trader has taken what somebody asked for: halted, nothing may be opened that is made from now on.

        After a flatten the account has to become flat, and stay so until somebody resumes.
        """
        if action == "resume":
            self._halted_since_ns = -1
            self.standing.flatten(False)
            return
        if self._halted_since_ns < 0:
            self._halted_since_ns = self.exchange.now_ns() + NS_PER_SECOND
        if action == "flatten":
            self.standing.flatten(True)

    def _reduces_go_out(self) -> None:
        """A closing order the engine made leaves for the exchange, whatever is halted."""
        now = self.exchange.loop.time()
        for order_id, (order, made_s) in list(self._unsent.items()):
            if self.exchange.position_qty(order.symbol) == 0.0:
                del self._unsent[order_id]
            elif now > self.weather.deadline(made_s, self.bounds, order.symbol)[0]:
                self.fail(
                    "reducing is never refused",
                    f"the closing order {order_id} of {order.symbol} was made and never sent, for {now - made_s:.0f} s",
                )

    def _progress(self, engine: Engine) -> None:
        """Bars that are complete get decided, told by a stream or not."""
        exchange, weather, now = self.exchange, self.weather, self.exchange.loop.time()
        told = max((rows[-1].ts_ns for rows in exchange.klines.values() if rows), default=0)
        if told == 0 or engine.now_ns >= told + exchange.interval_ns:
            self._behind_s = NEVER_S
            return
        if self._behind_s == NEVER_S:
            self._behind_s = now
        anchor = max(self._behind_s, weather.requests_s, weather.began_s, weather.bars_s)
        if now - anchor > self.bounds.decided_s:
            self.fail("health means progress", f"completed bars are not decided on, for {now - self._behind_s:.0f} s")

    def _rate(self, engine: Engine) -> None:
        """The hourly count is never below the truth."""
        now = self.exchange.now_ns()
        recent = [ts for ts in self._opening_times if now - ts < NS_PER_HOUR - 2 * NS_PER_MINUTE]
        self._opening_times = recent
        counted = orders_last_hour(engine.account.rate, now)
        if len(recent) > counted:
            self.fail("limits survive", f"{len(recent)} orders opened in the last hour, {counted:g} are counted")

    def _midnight(self, engine: Engine) -> None:
        """A new UTC day ends no halt, no streak, and no loss latch while the losses last."""
        now = _Overnight(
            day=engine.now_ns // NS_PER_DAY, kill=engine.halts.operator_halt, streak=engine.account.books.losing_streak,
            trades=engine.account.books.trade_count,
            latched=bool(losses_latched(engine.account.losses)), cleared=self._cleared,
            moved=engine.records.tally.topics["cash.adjusted"],
        )
        before, self._overnight = self._overnight, now
        if before is None or before.day == now.day:
            return
        if before.kill and not now.kill and self._halted_since_ns >= 0:
            self.fail("halts survive midnight", "the operator's halt ended with the day")
        if now.streak < before.streak and (now.trades, now.cleared) == (before.trades, before.cleared):
            self.fail("streaks survive midnight", f"a losing streak of {before.streak} ended with the day")
        rolling, _ = losses_pct(engine.account.losses, float(engine.account.losses[LOSS_LAST]))
        same_money = before.moved == now.moved  # else the same loss is another share of what there is
        if before.latched and not now.latched and same_money and rolling <= -engine.settings.limits.daily_loss_pct:
            self.fail("limits survive midnight", f"the day's loss latch ended with {rolling:.2f} % lost in 24 hours")

    # ------------------------------------------------------------------ restarts

    def begin(self, session: Session, before: Safety | None) -> None:
        """A trader has continued from disk; what it knew must be what it knows."""
        engine = session.engine
        self.engine, self.replaying = engine, False
        self._unsent.clear()
        self._behind_s = NEVER_S
        self._overnight = None
        if before is None:
            self._booked = set(engine.seen.state())
        self.standing.begin(engine)
        if before is None:
            return
        after = Safety.of(engine)
        for name in Safety.__struct_fields__:
            if getattr(before, name) != getattr(after, name):
                self.fail(
                    "state survives a restart", f"{name} was {getattr(before, name)!r}, is {getattr(after, name)!r}"
                )

    def end(self) -> None:
        """The trader is gone."""
        self.engine = None
        self.standing.end()

    def stopped(self) -> None:
        """A trader has ended as it was asked to: it leaves no position behind that has no stop."""
        now = self.exchange.loop.time()
        bare = self.standing.left_bare()
        if bare and self.weather.knows(now, self.bounds):
            self.fail("a graceful stop leaves nothing bare", f"{', '.join(bare)}: no stop for all of it")


def _equity(engine: Engine) -> float:
    """Equity by the books, at the engine's newest closes."""
    return float(engine.account.books.equity(engine.market.kernel.out[:, col.CLOSE]))


def _halted(engine: Engine) -> str:
    """Why *engine* may open nothing; empty when it may."""
    if engine.halts.operator_halt:
        return "an operator halted"
    if not engine.halts.connected:
        return "the venue is out of reach"
    if isinstance(engine, Engine) and engine.halts.held:
        return f"openings are held: {engine.halts.held}"
    if int(engine.account.governor[0]) >= GOV_EMERGENCY:
        return "the governor says EMERGENCY"
    return "the daily loss is latched" if losses_latched(engine.account.losses) else ""


_RECORDS: Final[dict[str, Callable[[Watch, dict[str, Any], Engine], None]]] = {
    "order.submitted": Watch._order_made,
    "order.filled": Watch._filled,
    "order.updated": Watch._updated,
    "halt.raised": Watch._halt_raised,
    "halt.cleared": Watch._halt_cleared,
    "reconciliation.difference": Watch._differs,
    "input.failed": Watch._input_failed,
    "cash.adjusted": Watch._money_moved,
}
