"""Intents that reach a running process from outside: over its bus, or through a private file in its state folder.

Both ways lead through one :class:`TradeIntentSubscriber`, so that every intent is checked alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.request_file import RequestLines, append_request
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.core import Engine
from quantum_trader.live.bus import TRADE_EXECUTED, TRADE_FAILED, TRADE_INTENT, Bus
from quantum_trader.live.inputs import IntentReceived
from quantum_trader.live.intents import TradeIntentSubscriber, checked_intent

FILE_NAME: Final = "intents.jsonl"
BUS_TOPICS: Final = frozenset((TRADE_EXECUTED, TRADE_FAILED))  # records that a process publishes
_PER_CENT: Final = 100.0
_log: Final = logging.getLogger("quantum_trader.intents")


class SizedIn(str, Enum):
    """What the size of a request is stated in. The process makes a quantity of it; the risk limits may reduce that."""

    BASE = "base"  # base units
    QUOTE = "quote"  # notional in quote units
    EQUITY_PCT = "equity_pct"  # notional as a percentage of the equity
    MARGIN_PCT = "margin_pct"  # initial margin as a percentage of the equity
    RISK = "risk"  # no size: the risk that a signal would get, at most the equity times the leverage


class IntentRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An intent as a person or another program states it; its reference price is the newest close."""

    intent_id: str
    symbol: str
    side: Side
    qty: float
    stop_price: float  # 0.0: the stop of the symbol's regime
    leverage: float
    closes: bool  # it closes the symbol's position
    source: str
    confidence: float
    ttl_s: float  # how long it may be acted on
    actor: str
    ts_ns: int
    sized_in: SizedIn = SizedIn.BASE  # what *qty* is stated in
    stop_pct: float = 0.0  # distance of the stop from the price, per cent; 0.0: *stop_price* says it
    side_only: bool = False  # it closes a position of its own side alone
    reverses: bool = False  # a position of the other side is closed first, and it opens once that is gone

    def intent(self, price: float, equity: float = 1.0) -> Intent:
        """This request as an intent at *price*, for an account of *equity* (quote units)."""
        stop = self.stop_price
        if stop == 0.0 and self.stop_pct > 0.0:
            stop = price * (1.0 - self.side.sign * self.stop_pct / _PER_CENT)
        return Intent(
            intent_id=self.intent_id, trace_id=self.intent_id, symbol=self.symbol, side=self.side,
            qty=self._quantity(price, equity), reduce_only=self.closes, reference_price=price, stop_price=stop,
            leverage=self.leverage,
            created_ns=self.ts_ns, expires_ns=self.ts_ns + int(self.ttl_s * NS_PER_SECOND), source=self.source,
            reason=f"requested by {self.actor}", confidence=self.confidence,
        )

    def closing(self) -> IntentRequest:
        """What closes the position of the other side before this request opens one."""
        return IntentRequest(
            intent_id=f"{self.intent_id}-close", symbol=self.symbol, side=self.side, qty=0.0, stop_price=0.0,
            leverage=self.leverage, closes=True, source=self.source, confidence=self.confidence, ttl_s=self.ttl_s,
            actor=self.actor, ts_ns=self.ts_ns,
        )

    def has_expired(self, now_ns: int) -> bool:
        """Whether it may not be acted on any more."""
        return now_ns > self.ts_ns + int(self.ttl_s * NS_PER_SECOND)

    def _quantity(self, price: float, equity: float) -> float:
        """The size in base units."""
        if self.sized_in is SizedIn.BASE:
            return self.qty
        notional = {
            SizedIn.QUOTE: self.qty, SizedIn.EQUITY_PCT: equity * self.qty / _PER_CENT,
            SizedIn.MARGIN_PCT: equity * self.qty / _PER_CENT * self.leverage, SizedIn.RISK: equity * self.leverage,
        }[self.sized_in]
        return notional / price


def request_intent(state_dir: Path, request: IntentRequest) -> None:
    """Hand *request* to the process that runs on *state_dir*. Raises InputError or StateError with the remedy."""
    checked_intent(request.intent(1.0))
    append_request(state_dir, FILE_NAME, request)


class OutsideIntents:
    """The bus of a process with its subscriber, and the intents requested through its state folder."""

    def __init__(
        self, bus: Bus, engine: Engine, tell: Callable[[Intent], None] | None, now_ns: Callable[[], int],
        folder: Path | None = None,
    ) -> None:
        """*tell* takes each intent (None: they wait in ``queue``), *now_ns* is the market's time."""
        self.queue = IntentQueue()
        take = tell if tell is not None else self.queue.put
        self.bus, self._engine = bus, engine
        self.requests = RequestLines(folder / FILE_NAME, 0) if folder is not None else None
        self._done: Collection[str] = ()
        self._now_ns = now_ns
        self._waiting: list[IntentRequest] = []  # openings, until the position of the other side is closed
        self._subscriber = TradeIntentSubscriber(
            bus, lambda received: take(received.intent), now_ns,
            lambda symbol: (engine.account.equity, self._price(symbol)),
        )

    @property
    def taken(self) -> int:
        """Requests of the state folder that were taken, in all processes."""
        return self.requests.taken if self.requests is not None else 0

    def resume(self, taken: int, done: Collection[str] = ()) -> None:
        """Continue after *taken* requests; those behind them whose ids are in *done* were taken as well."""
        if self.requests is not None:
            self.requests.taken = taken
        self._done = done

    def poll(self) -> int:
        """Publish the intents requested since the last call; returns how many lines and reversals there were."""
        reversed_now = [one for one in self._waiting if not self._is_against(one) or one.has_expired(self._now_ns())]
        for request in reversed_now:
            self._waiting.remove(request)
            self._publish(request)
        lines = self.requests.poll() if self.requests is not None else []
        for line in lines:
            try:
                request = decode_json(line, IntentRequest)
            except msgspec.DecodeError:
                continue  # a damaged line: the command that wrote it has reported an error
            if request.intent_id in self._done or self._is_of_other_side(request):
                continue
            if request.reverses and not request.closes and self._is_against(request):
                self._publish(request.closing())
                self._waiting.append(request)
            else:
                self._publish(request)
        return len(lines) + len(reversed_now)

    def _publish(self, request: IntentRequest) -> None:
        self.bus.publish(TRADE_INTENT, request.intent(self._price(request.symbol), self._engine.account.equity))

    def _is_against(self, request: IntentRequest) -> bool:
        """Whether the symbol's position is of the other side than the request."""
        held = self._engine.account.books.positions.get(request.symbol)
        return held is not None and held.plan.sign != request.side.sign

    def _is_of_other_side(self, request: IntentRequest) -> bool:
        """Whether a request closes one side alone, and the position is of the other: it is told and not taken."""
        if not (request.closes and request.side_only and self._is_against(request)):
            return False
        _log.warning(
            "intent %s closes a %s of %s, and the position is of the other side: nothing is closed",
            request.intent_id, request.side.value, request.symbol,
        )
        self.bus.publish(TRADE_FAILED, {
            "intent_id": request.intent_id, "trace_id": request.intent_id, "symbol": request.symbol,
            "reason": "NO_POSITION", "ts_ns": request.ts_ns,
        })
        return True

    def _price(self, symbol: str) -> float:
        """The newest close; 1.0 where there is none, because an intent without a bar is refused at any price."""
        index = self._engine.instruments.index.get(symbol)
        price = self._engine.market.close(index) if index is not None else 0.0
        return price if price > 0.0 else 1.0


class IntentQueue:
    """Intents of a live process between their receipt and the driver's next tick.

    A subscriber may publish an intent while the engine works on another input; the engine takes it afterwards.
    """

    def __init__(self) -> None:
        self._waiting: list[Intent] = []

    def put(self, intent: Intent) -> None:
        """Keep *intent* for the next tick."""
        self._waiting.append(intent)

    def take(self, now_ns: int) -> list[IntentReceived]:
        """Everything received since the last call, as inputs of the moment *now_ns*."""
        waiting, self._waiting = self._waiting, []
        return [IntentReceived(ts_ns=now_ns, intent=intent) for intent in waiting]
