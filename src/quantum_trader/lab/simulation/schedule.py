"""Fault schedules: explicit lists, made from a seed, that can be printed, replayed and made smaller.

A fault is armed at a moment of the day and strikes the next order, message or write that it concerns, so it keeps its
meaning when other faults are removed from the schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, require


class Kind(str, Enum):
    """Kinds of faults, and what people do."""

    # a request over the wire
    REQUEST_LOST = "request_lost"  # it never arrives, and the caller runs into its timeout
    ANSWER_LOST = "answer_lost"  # it takes effect, and the caller runs into its timeout
    REQUEST_LATE = "request_late"  # it takes effect after the caller has given up
    SLOW = "slow"  # the answer comes late, but it comes
    UNREACHABLE = "unreachable"  # no connection: certainly no effect
    SERVER_ERROR = "server_error"  # HTTP 503: unknown outcome; value 1: it took effect
    BACKEND_TIMEOUT = "backend_timeout"  # -1007 after a wait: unknown outcome; value 1: it takes effect later
    CLOCK_REFUSED = "clock_refused"  # -1021: outside the receive window, certainly no effect
    RATE_LIMIT = "rate_limit"  # 429 with Retry-After for some seconds
    BANNED = "banned"  # 418 with Retry-After: nothing is even looked at for minutes
    # messages of a stream
    MESSAGE_LOST = "message_lost"
    MESSAGE_DUPLICATED = "message_duplicated"
    MESSAGE_LATE = "message_late"
    MESSAGE_REORDERED = "message_reordered"
    DISCONNECT = "disconnect"  # both sides know
    SILENCE = "silence"  # the stream stops without a message
    # the exchange
    PARTIAL_FILLS = "partial_fills"
    SYMBOL_HALTED = "symbol_halted"
    DELISTED = "delisted"
    LIQUIDATION = "liquidation"  # the price gaps through the liquidation price and comes back
    ADL = "adl"  # auto-deleveraging takes a share of a position
    LEVERAGE_KEPT = "leverage_kept"  # a person lowers a leverage, and setting it once has no effect
    ORDER_REFUSED = "order_refused"  # the venue refuses the next opening order
    STOP_REFUSED = "stop_refused"  # the venue refuses the next stop
    CLOSE_REFUSED = "close_refused"  # the venue refuses the next closing order
    FILTERS_CHANGED = "filters_changed"  # other tick and step sizes from now on
    KLINES_REFUSED = "klines_refused"  # questions for bars of a symbol are refused
    BAR_FROM_FUTURE = "bar_from_future"  # a stream delivers a bar that cannot be complete
    PRICE_GAP = "price_gap"  # the price jumps and stays
    # people at the venue
    MANUAL_CLOSE = "manual_close"
    MANUAL_OPEN = "manual_open"
    STOP_CANCELLED = "stop_cancelled"
    FOREIGN_ORDER = "foreign_order"
    LEVERAGE_RAISED = "leverage_raised"  # of an open position: its liquidation comes nearer
    TRANSFER = "transfer"  # money is paid in or taken out
    TRANSFER_UNHEARD = "transfer_unheard"  # the same between a graceful stop and the next start
    # other clients of the account
    FOREIGN_SYMBOL = "foreign_symbol"  # a position in a symbol that is not traded here, for some seconds
    HEDGE_MODE = "hedge_mode"  # the account is switched to hedge mode for some seconds, once nothing is open
    FEE_COIN = "fee_coin"  # BNB pays the fees for some seconds
    CLIENT_TRADES = "client_trades"  # another client trades in and out of one of our symbols
    CLIENT_CANCELS = "client_cancels"  # ... cancels every order, our stops included
    CLIENT_LEVERAGE = "client_leverage"  # ... sets the leverage of every symbol
    LATE_START = "late_start"  # the first start is so many seconds into the day; value: bars take so long then
    # the trader's own machine
    CRASH = "crash"  # at any await; restarted from disk
    CRASH_IN_ORDER = "crash_in_order"  # some steps after the next order is handed over
    STOP_START = "stop_start"  # a graceful stop, then a start
    CLOCK_JUMP = "clock_jump"
    DISK_FULL = "disk_full"
    RECORDS_FULL = "records_full"  # records cannot be written; inputs can
    TORN_WRITE = "torn_write"  # the next crash tears the last record
    CHECKPOINT_LOST = "checkpoint_lost"  # the next crash loses the newest checkpoint
    # people at the trader
    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    INTENT = "intent"  # an intent from outside the signals, delivered once or more often


REQUEST_FAULTS: Final = (
    Kind.REQUEST_LOST, Kind.ANSWER_LOST, Kind.REQUEST_LATE, Kind.SLOW, Kind.UNREACHABLE, Kind.SERVER_ERROR,
    Kind.BACKEND_TIMEOUT, Kind.CLOCK_REFUSED,
)
MESSAGE_FAULTS: Final = (
    Kind.MESSAGE_LOST, Kind.MESSAGE_DUPLICATED, Kind.MESSAGE_LATE, Kind.MESSAGE_REORDERED,
)
FOREIGN_SYMBOLS: Final = ("DOGEUSDT", "币安人生USDT")  # names as the exchange lists them
CLIENT: Final = "x-client-"  # prefix of another client's order ids
OUTSIDE_INTENT: Final = "wish-"  # prefix of the ids of intents from outside, which come between bars
REQUESTS: Final = ("submit", "cancel", "leverage", "query")
STREAMS: Final = ("user", "market")


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault: armed *at_s* seconds into the day. What the other fields mean depends on the kind."""

    at_s: float
    kind: Kind
    on: str = ""  # a request, a stream or a symbol
    count: int = 1  # how many requests or messages are struck
    seconds: float = 0.0  # how long a state lasts or a delay is
    value: float = 0.0  # a share, a size, a number of steps
    stop_pct: float = 2.0  # of an intent: distance of its own stop from the price, in percent


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of one trading day and everything else that decides it."""

    seed: int  # of latencies, of the day and of the prices inside bars
    faults: tuple[Fault, ...]
    hours: float = 24.0

    def with_faults(self, faults: tuple[Fault, ...]) -> Schedule:
        """The same day with these *faults* instead."""
        return msgspec.structs.replace(self, faults=faults)


def encode(schedule: Schedule) -> str:
    """*schedule* as JSON that :func:`decode` takes, for people to read."""
    return msgspec.json.format(msgspec.json.encode(schedule), indent=1).decode()


def decode(text: str | bytes) -> Schedule:
    """The schedule that *text* (JSON) holds. Raises InputError with the field that is wrong."""
    try:
        schedule = msgspec.json.decode(text, type=Schedule)
    except msgspec.DecodeError as error:
        raise InputError(f"the schedule cannot be read: {error}; give one that `simulate` printed") from error
    require(0.0 < schedule.hours <= 168.0, "hours", schedule.hours, "must be above 0, at most 168")
    return schedule


def load(path: Path) -> Schedule:
    """The schedule in the file *path*. Raises InputError."""
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"--schedule {path}: cannot be read ({error.strerror})") from error


_DELAYS: Final = {Kind.REQUEST_LATE: (0.0, 4.5), Kind.SLOW: (0.5, 8.0), Kind.BACKEND_TIMEOUT: (0.5, 4.5)}
_HELD_BEFORE: Final = 0.05  # of the days begin with a position
_Maker = Callable[[Random, float, tuple[str, ...]], Fault]


def _request(kind: Kind) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        on = rng.choice(("submit", "submit", "submit", "cancel", "leverage", "query", "query"))
        low, high = _DELAYS.get(kind, (0.0, 0.0))
        seconds = rng.uniform(low, high)
        value = float(rng.random() < 0.5) if kind in (Kind.SERVER_ERROR, Kind.BACKEND_TIMEOUT) else 0.0
        return Fault(
            at_s=at_s, kind=kind, on=on, count=rng.choice((1, 1, 2, 3, 5)), seconds=round(seconds, 3), value=value
        )

    return make


def _message(kind: Kind) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        seconds = round(rng.uniform(0.2, 20.0), 3) if kind in (Kind.MESSAGE_LATE, Kind.MESSAGE_REORDERED) else 0.0
        return Fault(
            at_s=at_s, kind=kind, on=rng.choice(("user", "user", "market")), count=rng.choice((1, 2, 3, 8)),
            seconds=seconds,
        )

    return make


def _lasting(kind: Kind, low: float, high: float, on: tuple[str, ...] = ()) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        return Fault(at_s=at_s, kind=kind, on=rng.choice(on or symbols), seconds=round(rng.uniform(low, high), 3))

    return make


def _sized(kind: Kind, low: float, high: float) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        return Fault(at_s=at_s, kind=kind, on=rng.choice(symbols), value=round(rng.uniform(low, high), 4))

    return make


def _plain(kind: Kind) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        return Fault(at_s=at_s, kind=kind)

    return make


def _crash(kind: Kind) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        return Fault(
            at_s=at_s, kind=kind, seconds=round(rng.choice((0.5, 3.0, 20.0, 300.0, 1800.0)) * rng.uniform(0.5, 1.5), 3),
            value=float(rng.randrange(0, 40)),
        )

    return make


def _signed(kind: Kind, low: float, high: float) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        size = round(rng.uniform(low, high) * rng.choice((-1.0, 1.0)), 4)
        return Fault(at_s=at_s, kind=kind, on=rng.choice(symbols), value=size)

    return make


def _counted(kind: Kind) -> _Maker:
    def make(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
        return Fault(at_s=at_s, kind=kind, count=rng.choice((1, 1, 2, 6)))

    return make


def _intent(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
    return Fault(
        at_s=at_s, kind=Kind.INTENT, on=rng.choice(symbols), count=rng.choice((1, 2, 3)),
        value=rng.choice((1.0, -1.0, 1.0, -1.0, 0.0)),
    )


def _transfer(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
    return Fault(
        at_s=at_s, kind=Kind.TRANSFER_UNHEARD, seconds=round(rng.uniform(5.0, 1800.0), 3),
        value=round(rng.uniform(100.0, 2000.0) * rng.choice((-1.0, 1.0)), 2),
    )


def _foreign_symbol(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
    return Fault(
        at_s=at_s, kind=Kind.FOREIGN_SYMBOL, on=rng.choice(FOREIGN_SYMBOLS),
        seconds=round(rng.uniform(60.0, 14_400.0), 3), value=round(rng.uniform(0.02, 0.3) * rng.choice((-1.0, 1.0)), 4),
    )


def _client_trades(rng: Random, at_s: float, symbols: tuple[str, ...]) -> Fault:
    return Fault(
        at_s=at_s, kind=Kind.CLIENT_TRADES, on=rng.choice(symbols), count=rng.choice((1, 2, 2, 5)),
        value=round(rng.uniform(0.02, 0.2) * rng.choice((-1.0, 1.0)), 4),
    )


# kind -> (weight, how one is made)
MAKERS: Final[dict[Kind, tuple[float, _Maker]]] = {
    **{kind: (2.0, _request(kind)) for kind in REQUEST_FAULTS},
    Kind.BANNED: (0.3, _lasting(Kind.BANNED, 60.0, 400.0, ("requests",))),
    Kind.RATE_LIMIT: (1.0, _lasting(Kind.RATE_LIMIT, 1.0, 90.0, ("requests",))),
    **{kind: (1.5, _message(kind)) for kind in MESSAGE_FAULTS},
    Kind.DISCONNECT: (2.0, _lasting(Kind.DISCONNECT, 0.5, 900.0, STREAMS)),
    Kind.SILENCE: (1.0, _lasting(Kind.SILENCE, 30.0, 1800.0, STREAMS)),
    Kind.PARTIAL_FILLS: (1.5, _lasting(Kind.PARTIAL_FILLS, 1800.0, 14400.0)),
    Kind.SYMBOL_HALTED: (0.7, _lasting(Kind.SYMBOL_HALTED, 60.0, 5400.0)),
    Kind.DELISTED: (0.1, _sized(Kind.DELISTED, 0.0, 0.0)),
    Kind.LIQUIDATION: (0.5, _sized(Kind.LIQUIDATION, 0.0, 0.0)),
    Kind.ADL: (0.7, _sized(Kind.ADL, 0.2, 1.0)),
    Kind.LEVERAGE_KEPT: (1.2, _sized(Kind.LEVERAGE_KEPT, 1.0, 3.0)),
    Kind.ORDER_REFUSED: (0.6, _counted(Kind.ORDER_REFUSED)),
    Kind.STOP_REFUSED: (1.0, _counted(Kind.STOP_REFUSED)),
    Kind.CLOSE_REFUSED: (1.0, _counted(Kind.CLOSE_REFUSED)),
    Kind.FILTERS_CHANGED: (0.4, _sized(Kind.FILTERS_CHANGED, 0.0, 10.0)),
    Kind.KLINES_REFUSED: (0.5, _lasting(Kind.KLINES_REFUSED, 60.0, 7200.0)),
    Kind.BAR_FROM_FUTURE: (0.4, _sized(Kind.BAR_FROM_FUTURE, 2.0, 50.0)),
    Kind.PRICE_GAP: (1.0, _signed(Kind.PRICE_GAP, 0.005, 0.06)),
    Kind.MANUAL_CLOSE: (0.6, _sized(Kind.MANUAL_CLOSE, 0.3, 1.0)),
    Kind.MANUAL_OPEN: (0.5, _signed(Kind.MANUAL_OPEN, 0.02, 0.2)),
    Kind.STOP_CANCELLED: (0.7, _sized(Kind.STOP_CANCELLED, 0.0, 0.0)),
    Kind.FOREIGN_ORDER: (0.5, _signed(Kind.FOREIGN_ORDER, 0.02, 0.2)),
    Kind.LEVERAGE_RAISED: (0.6, _sized(Kind.LEVERAGE_RAISED, 20.0, 60.0)),
    Kind.TRANSFER: (0.4, _signed(Kind.TRANSFER, 100.0, 2000.0)),
    Kind.TRANSFER_UNHEARD: (0.4, _transfer),
    Kind.CRASH: (2.0, _crash(Kind.CRASH)),
    Kind.CRASH_IN_ORDER: (2.5, _crash(Kind.CRASH_IN_ORDER)),
    Kind.STOP_START: (0.7, _crash(Kind.STOP_START)),
    Kind.CLOCK_JUMP: (0.8, _signed(Kind.CLOCK_JUMP, 0.05, 30.0)),
    Kind.DISK_FULL: (0.7, _counted(Kind.DISK_FULL)),
    Kind.RECORDS_FULL: (0.5, _counted(Kind.RECORDS_FULL)),
    Kind.TORN_WRITE: (0.8, _plain(Kind.TORN_WRITE)),
    Kind.CHECKPOINT_LOST: (0.6, _plain(Kind.CHECKPOINT_LOST)),
    Kind.HALT: (0.5, _plain(Kind.HALT)),
    Kind.RESUME: (1.5, _plain(Kind.RESUME)),
    Kind.FLATTEN: (0.6, _plain(Kind.FLATTEN)),
    Kind.INTENT: (1.5, _intent),
}

# The same for other clients, who come to a day on request only: :func:`with_other_clients`.
CLIENT_MAKERS: Final[dict[Kind, tuple[float, _Maker]]] = {
    Kind.FOREIGN_SYMBOL: (2.0, _foreign_symbol),
    Kind.HEDGE_MODE: (1.0, _lasting(Kind.HEDGE_MODE, 60.0, 5400.0, ("account",))),
    Kind.FEE_COIN: (2.0, _lasting(Kind.FEE_COIN, 3600.0, 36_000.0, ("account",))),
    Kind.CLIENT_TRADES: (2.0, _client_trades),
    Kind.CLIENT_CANCELS: (1.5, _plain(Kind.CLIENT_CANCELS)),
    Kind.CLIENT_LEVERAGE: (1.5, _sized(Kind.CLIENT_LEVERAGE, 2.0, 40.0)),
}
_LATE: Final = 0.3  # of the days with other clients the trader starts hours into the day


def generate(
    seed: int, symbols: tuple[str, ...], *, hours: float = 24.0, most: int = 24, bar_s: float = 1800.0
) -> Schedule:
    """The schedule of *seed*: up to *most* faults over the day, about one day in sixteen without any.

    Most days draw from a few kinds only, so that the same kinds meet often. About half of the faults come in the
    seconds around a completed bar, when orders are sent; some follow the one before within seconds. Some days begin
    with a position that a person opened before the trader's first start.
    """
    rng = Random(f"schedule/{seed}")
    count = 0 if rng.random() < 0.06 else rng.randint(2, most)
    kinds = list(MAKERS)
    if rng.random() < 0.7:
        kinds = rng.sample(kinds, rng.randint(3, 12))
    weights = [MAKERS[kind][0] for kind in kinds]
    last = (hours - 1.0) * 3600.0
    times: list[float] = []
    for _ in range(count):
        dice = rng.random()
        if dice < 0.25 and times:
            at_s = times[-1] + rng.uniform(0.0, 20.0)
        elif dice < 0.7:
            at_s = rng.randrange(1, max(2, int(last / bar_s))) * bar_s + rng.uniform(-5.0, 15.0)
        else:
            at_s = rng.uniform(60.0, last)
        times.append(round(min(max(at_s, 1.0), last), 3))
    faults = [
        MAKERS[kind][1](rng, at_s, symbols)
        for at_s, kind in zip(sorted(times), rng.choices(kinds, weights, k=count), strict=True)
    ]
    if rng.random() < _HELD_BEFORE:
        faults.insert(0, MAKERS[Kind.MANUAL_OPEN][1](rng, 0.0, symbols))
    return Schedule(seed=seed, faults=tuple(faults), hours=hours)


def with_outside_intents(schedule: Schedule, symbols: tuple[str, ...], *, bar_s: float = 1800.0) -> Schedule:
    """*schedule* with intents from outside added to its faults, each with a stop of its own.

    They are drawn from a random stream of their own, so that every other fault stays what it is.
    """
    rng = Random(f"intents/{schedule.seed}")
    last = max(60.0, (schedule.hours - 1.0) * 3600.0)
    intents = [
        Fault(
            at_s=round(min(rng.uniform(60.0, last) // bar_s * bar_s + rng.uniform(5.0, bar_s), last), 3),
            kind=Kind.INTENT, on=rng.choice(symbols), count=rng.choice((1, 1, 2)),
            value=rng.choice((1.0, -1.0, 1.0, -1.0, 0.0)), stop_pct=round(rng.uniform(0.5, 4.0), 2),
        )
        for _ in range(rng.randint(6, 16))
    ]
    return schedule.with_faults(tuple(sorted((*schedule.faults, *intents), key=lambda fault: fault.at_s)))


def with_other_clients(schedule: Schedule, symbols: tuple[str, ...], *, bar_s: float = 1800.0) -> Schedule:
    """*schedule* with what other clients of the account do added to its faults.

    It is drawn from a random stream of its own, so that every other fault stays what it is. On some of the days the
    trader's first start comes late: what was opened until then is in the account before the missed bars are taken.
    """
    rng = Random(f"clients/{schedule.seed}")
    last = max(60.0, (schedule.hours - 1.0) * 3600.0)
    added = []
    if rng.random() < _LATE:
        late_s, bars_s = round(rng.uniform(0.1, 0.5) * last, 3), rng.choice((0.0, 8.0))
        added.append(Fault(at_s=0.0, kind=Kind.LATE_START, seconds=late_s, value=bars_s))
        added.append(MAKERS[Kind.MANUAL_OPEN][1](rng, round(rng.uniform(0.0, added[0].seconds), 3), symbols))
    kinds, weights = list(CLIENT_MAKERS), [weight for weight, _ in CLIENT_MAKERS.values()]
    for kind in rng.choices(kinds, weights, k=rng.randint(4, 14)):
        at_s = rng.uniform(1.0, last)
        if rng.random() < 0.5:  # around a completed bar, when orders are sent
            at_s = rng.randrange(1, max(2, int(last / bar_s))) * bar_s + rng.uniform(-5.0, 15.0)
        added.append(CLIENT_MAKERS[kind][1](rng, round(max(at_s, 1.0), 3), symbols))
    return schedule.with_faults(tuple(sorted((*schedule.faults, *added), key=lambda fault: fault.at_s)))


def pairs(seed: int, symbols: tuple[str, ...], *, hours: float = 12.0, bar_s: float = 1800.0) -> list[Schedule]:
    """One schedule for every pair of kinds (and each kind with itself): both at every bar, with a resume each hour.

    Most bugs need two faults at once; random days seldom bring the right two into the same second.
    """
    kinds = [kind for kind in MAKERS if kind is not Kind.DELISTED]  # nothing is left to trade after it
    return [
        _pair(first, second, seed, symbols, hours, bar_s)
        for index, first in enumerate(kinds) for second in kinds[index:]
    ]


def _pair(
    first: Kind, second: Kind, seed: int, symbols: tuple[str, ...], hours: float, bar_s: float
) -> Schedule:
    rng = Random(f"pair/{first.value}/{second.value}/{seed}")
    faults = [Fault(at_s=hour * 3600.0 - 600.0, kind=Kind.RESUME) for hour in range(1, int(hours))]
    for bar in range(1, int((hours - 0.5) * 3600.0 / bar_s)):
        for kind, at_s in (
            (first, bar * bar_s + rng.uniform(-1.0, 0.5)), (second, bar * bar_s + rng.uniform(-0.5, 4.0))
        ):
            if kind not in (Kind.HALT, Kind.FLATTEN) or bar % 3 == 0:
                faults.append(MAKERS[kind][1](rng, round(at_s, 3), symbols))
    faults.sort(key=lambda fault: fault.at_s)
    return Schedule(seed=seed, faults=tuple(faults), hours=hours)


def tally(schedule: Schedule) -> dict[str, Any]:
    """How many faults of each kind *schedule* holds."""
    counts: dict[str, int] = {}
    for fault in schedule.faults:
        counts[fault.kind.value] = counts.get(fault.kind.value, 0) + 1
    return counts
