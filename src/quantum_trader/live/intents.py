"""Takes trade intents from the bus (``trade.intent``); the engine answers with ``trade.executed`` or ``trade.failed``.

Inside the engine an intent passes the same checks as a signal (gates, guard, governor, the one gateway). Its trace id
is on every record from here to the fill. This module sends no order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import InputError, require, require_finite
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.ids import is_own_intent_id
from quantum_trader.engine.opening_orders import ENSEMBLE, MODEL
from quantum_trader.live.bus import TRADE_FAILED, TRADE_INTENT, Bus
from quantum_trader.live.inputs import IntentReceived

_SIDES: Final = {"LONG": Side.LONG, "BUY": Side.LONG, "SHORT": Side.SHORT, "SELL": Side.SHORT}
_PUBLISHED: Final = (  # the fields of an intent that states size_pct; the last five are not used
    "symbol", "side", "size_pct", "source", "trace_id", "confidence", "leverage", "stop_price", "intent_id", "ttl_s",
    "reason", "rl_action", "rl_confidence", "signal_action", "signal_confidence", "timestamp",
)

class TradeIntentSubscriber:
    """Subscribes to ``trade.intent`` (an :class:`Intent`, or its fields) and hands intents to *tell*, a driver's.

    *account* gives the equity and the newest price of a symbol; with it an intent may state ``size_pct`` instead of a
    quantity (:func:`sized_intent`).
    """

    def __init__(
        self, bus: Bus, tell: Callable[[IntentReceived], None], now_ns: Callable[[], int],
        account: Callable[[str], tuple[float, float]] | None = None,
    ) -> None:
        self._bus, self._tell, self._now_ns, self._account = bus, tell, now_ns, account
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
            intent = checked_intent(self._sized(event, now_ns))
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


    def _sized(self, event: Any, now_ns: int) -> Any:
        """*event*, or the intent that its ``size_pct`` means for the account as it is."""
        if self._account is None or not isinstance(event, dict) or "size_pct" not in event:
            return event
        return sized_intent(event, *self._account(str(event.get("symbol", ""))), now_ns)


def sized_intent(fields: dict[str, Any], equity: float, price: float, now_ns: int) -> Intent:
    """The intent of published *fields*: ``size_pct`` is a share of *equity* (0.10 is 10 %), the notional at *price*.

    ``symbol``, ``side`` (LONG or SHORT, BUY or SELL), ``size_pct``, ``source`` and ``trace_id`` are needed;
    ``confidence``, ``leverage`` (1), ``stop_price`` (the regime's), ``intent_id`` (the trace's) and ``ttl_s`` (30) may
    be given. Limits clip the quantity. Raises InputError that names the wrong field.
    """
    unknown = sorted(set(fields).difference(_PUBLISHED))
    if unknown:
        raise InputError(f"intent.{unknown[0]}: is not known; an intent with size_pct has {', '.join(_PUBLISHED)}")
    size, side = fields["size_pct"], _SIDES.get(str(fields.get("side", "")).upper())
    if side is None:
        raise InputError(f"intent.side = {fields.get('side')!r}: must be LONG or SHORT")
    require_finite("intent.size_pct", size)
    for key in ("leverage", "ttl_s", "stop_price", "confidence"):
        require_finite(f"intent.{key}", fields.get(key, 1.0))
    require(0.0 < size <= 1.0, "intent.size_pct", size, "is a share of equity, above 0 and at most 1 (0.10 is 10 %)")
    require_finite("equity", equity, "is not known; an intent with size_pct needs it")
    trace = str(fields.get("trace_id", ""))
    return Intent(
        intent_id=str(fields.get("intent_id", trace)), trace_id=trace, symbol=str(fields.get("symbol", "")), side=side,
        qty=size * equity / price, reduce_only=False, reference_price=price,
        stop_price=float(fields.get("stop_price", 0.0)), leverage=float(fields.get("leverage", 1.0)),
        created_ns=now_ns, expires_ns=now_ns + int(fields.get("ttl_s", 30.0) * NS_PER_SECOND),
        source=str(fields.get("source", "")), reason=str(fields.get("reason", "")),
        confidence=float(fields.get("confidence", 0.0)),
    )


def checked_intent(event: Any) -> Intent:
    """*event* as an intent of an outside source with positive numbers. Raises InputError that names the wrong field."""
    try:
        intent = event if isinstance(event, Intent) else msgspec.convert(event, Intent)
    except msgspec.ValidationError as error:
        raise InputError(f"intent: {error}") from None
    for key in ("intent_id", "trace_id", "symbol", "source"):
        if not getattr(intent, key):
            raise InputError(f"intent.{key} = '': is needed, so that every record can name it")
    if intent.source.upper() in (ENSEMBLE, MODEL):
        raise InputError(f"intent.source = {intent.source!r}: is the name of the system's own signals; choose another")
    if is_own_intent_id(intent.intent_id):
        raise InputError(f"intent.intent_id = {intent.intent_id!r}: has the form of the system's own ids; use another")
    for key in ("qty", "reference_price", "leverage"):
        value = getattr(intent, key)
        if not intent.reduce_only and not (math.isfinite(value) and value > 0.0):
            raise InputError(f"intent.{key} = {value!r}: must be a positive number")
    return intent
