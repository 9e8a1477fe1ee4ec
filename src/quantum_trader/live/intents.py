"""``trade.intent`` from the bus to an order, and what became of it back: ``trade.executed`` or ``trade.failed``.

An intent takes the road of every signal (gates, guard, governor, the one gateway) inside the engine; its trace id is on
every record from here to the fill. Nothing here sends an order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.trading import Intent
from quantum_trader.live.bus import TRADE_FAILED, TRADE_INTENT, Bus
from quantum_trader.live.inputs import Wished


class TradeIntentSubscriber:
    """Hears ``trade.intent`` (an :class:`Intent`, or its fields) and tells a session; *tell* is a driver's ``tell``."""

    def __init__(self, bus: Bus, tell: Callable[[Wished], None], now_ns: Callable[[], int]) -> None:
        self._bus, self._tell, self._now_ns = bus, tell, now_ns
        self.taken = 0
        self.refused = 0
        self._end = bus.subscribe(TRADE_INTENT, self._hear)

    def close(self) -> None:
        """Hear no more."""
        self._end()

    def _hear(self, _topic: str, event: Any) -> None:
        now_ns = self._now_ns()
        try:
            intent = _checked(event)
        except InputError as error:
            self.refused += 1
            told = event if isinstance(event, dict) else {}
            self._bus.publish(TRADE_FAILED, {
                "intent_id": str(told.get("intent_id", "")), "trace_id": str(told.get("trace_id", "")),
                "symbol": str(told.get("symbol", "")), "reason": f"INVALID: {error}", "ts_ns": now_ns,
            })
            return
        self.taken += 1
        self._tell(Wished(ts_ns=now_ns, intent=intent))


def _checked(event: Any) -> Intent:
    """*event* as an intent whose numbers can be judged; InputError naming what is wrong."""
    try:
        intent = event if isinstance(event, Intent) else msgspec.convert(event, Intent)
    except msgspec.ValidationError as error:
        raise InputError(f"intent: {error}") from None
    for key in ("intent_id", "trace_id", "symbol", "source"):
        if not getattr(intent, key):
            raise InputError(f"intent.{key} = '': is needed, so that every record can name it")
    for key in ("qty", "reference_price", "leverage"):
        value = getattr(intent, key)
        if not intent.reduce_only and not (math.isfinite(value) and value > 0.0):
            raise InputError(f"intent.{key} = {value!r}: must be a positive number")
    return intent
