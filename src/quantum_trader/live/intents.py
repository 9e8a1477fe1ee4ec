"""Takes trade intents from the bus (``trade.intent``); the engine answers with ``trade.executed`` or ``trade.failed``.

Inside the engine an intent passes the same checks as a signal (gates, guard, governor, the one gateway). Its trace id
is on every record from here to the fill. This module sends no order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.ids import is_own_intent_id
from quantum_trader.engine.opening import ENSEMBLE
from quantum_trader.live.bus import TRADE_FAILED, TRADE_INTENT, Bus
from quantum_trader.live.inputs import IntentReceived


class TradeIntentSubscriber:
    """Subscribes to ``trade.intent`` (an :class:`Intent`, or its fields) and hands intents to *tell*, a driver's."""

    def __init__(self, bus: Bus, tell: Callable[[IntentReceived], None], now_ns: Callable[[], int]) -> None:
        self._bus, self._tell, self._now_ns = bus, tell, now_ns
        self.taken = 0
        self.refused = 0
        self._end = bus.subscribe(TRADE_INTENT, self._receive)

    def close(self) -> None:
        """End the subscription."""
        self._end()

    def _receive(self, _topic: str, event: Any) -> None:
        """Check one event; hand it on as an input, or publish why it is refused."""
        now_ns = self._now_ns()
        try:
            intent = checked_intent(event)
        except InputError as error:
            self.refused += 1
            fields = event if isinstance(event, dict) else {}
            self._bus.publish(TRADE_FAILED, {
                "intent_id": str(fields.get("intent_id", "")), "trace_id": str(fields.get("trace_id", "")),
                "symbol": str(fields.get("symbol", "")), "reason": f"INVALID: {error}", "ts_ns": now_ns,
            })
            return
        self.taken += 1
        self._tell(IntentReceived(ts_ns=now_ns, intent=intent))


def checked_intent(event: Any) -> Intent:
    """*event* as an intent of an outside source with positive numbers. Raises InputError that names the wrong field."""
    try:
        intent = event if isinstance(event, Intent) else msgspec.convert(event, Intent)
    except msgspec.ValidationError as error:
        raise InputError(f"intent: {error}") from None
    for key in ("intent_id", "trace_id", "symbol", "source"):
        if not getattr(intent, key):
            raise InputError(f"intent.{key} = '': is needed, so that every record can name it")
    if intent.source.upper() == ENSEMBLE:
        raise InputError(f"intent.source = {intent.source!r}: is the name of the system's own signals; choose another")
    if is_own_intent_id(intent.intent_id):
        raise InputError(f"intent.intent_id = {intent.intent_id!r}: has the form of the system's own ids; use another")
    for key in ("qty", "reference_price", "leverage"):
        value = getattr(intent, key)
        if not intent.reduce_only and not (math.isfinite(value) and value > 0.0):
            raise InputError(f"intent.{key} = {value!r}: must be a positive number")
    return intent
