"""People at the trader of a simulated day: operators who halt, resume and flatten, and sources of outside intents."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.instrument import floor_to, round_to
from quantum_trader.domain.trading import Intent
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.schedule import OUTSIDE_INTENT, Fault, Kind
from quantum_trader.live.inputs import Input, IntentReceived, OperatorRequestReceived

_NOTIONAL: Final = 2_000.0  # USDT of an intent
_LEVERAGE: Final = 5.0
_LIFETIME_S: Final = 30
_REPEAT_S: Final = 15.0  # between two deliveries of the same intent


class People:
    """Keeps what people have sent until a trader takes it; operators' requests outlive a crash, intents do not."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange
        self.requests: list[OperatorRequestReceived] = []  # of operators, all of the day
        self._intents: list[Input] = []  # not taken yet
        self._intents_made = 0

    def apply(self, fault: Fault) -> None:
        """Send what *fault* says."""
        if fault.kind is Kind.INTENT:
            self._send_intent(fault)
        else:
            self.requests.append(OperatorRequestReceived(
                ts_ns=self._exchange.now_ns(), action=fault.kind.value, reason="simulated", actor="operator"
            ))

    def _send_intent(self, fault: Fault) -> None:
        """Send an intent to open or to reduce a position, *count* times."""
        exchange, now_ns = self._exchange, self._exchange.now_ns()
        self._intents_made += 1
        index = exchange.market.index[fault.on]
        instrument, price = exchange.market.instruments[index], exchange.market.prices[index]
        side = Side.LONG if fault.value >= 0.0 else Side.SHORT
        name = f"{OUTSIDE_INTENT}{self._intents_made}"
        intent = Intent(
            intent_id=name, trace_id=name, symbol=fault.on, side=side,
            qty=floor_to(_NOTIONAL / price, instrument.step_size), reduce_only=fault.value == 0.0,
            reference_price=price,
            stop_price=round_to(price * (1.0 - fault.stop_pct / 100.0 * side.sign), instrument.tick_size),
            leverage=_LEVERAGE, created_ns=now_ns, expires_ns=now_ns + _LIFETIME_S * NS_PER_SECOND, source="SIMULATED",
            risk_pct=0.5, confidence=0.9,
        )
        received = IntentReceived(ts_ns=now_ns, intent=intent)
        self._intents.append(received)
        for repeat in range(1, fault.count):
            exchange.loop.call_later(_REPEAT_S * repeat, self._send_again, received)

    def _send_again(self, received: IntentReceived) -> None:
        self._intents.append(msgspec.structs.replace(received, ts_ns=self._exchange.now_ns()))

    def take_intents(self) -> list[Input]:
        """The intents since the last call."""
        fresh, self._intents = self._intents, []
        return fresh
