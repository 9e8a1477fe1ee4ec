"""What can be told to a live engine: one tagged value each, written down before the engine sees it.

The same inputs in the same order give the same state, records and commands; that is how a session continues after its
process was killed, and how a day is proven.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
import numpy as np

from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Fill, FundingPayment, Intent, OrderUpdate
from quantum_trader.engine.reconciliation import VenueSnapshot


class Began(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """A new session: the wallet it starts with and the namespace of its order ids."""

    ts_ns: int
    wallet: float
    namespace: str
    statement: dict[str, Any] = {}


class Lived(msgspec.Struct, frozen=True, kw_only=True, tag="lived"):
    """Another process has taken the session over; *life* is a name of its own."""

    ts_ns: int
    life: str


class BarsCame(msgspec.Struct, frozen=True, kw_only=True, tag="bars"):
    """The completed bars of one moment: *ohlcv* is a (S, 5) float64 matrix and *present* (S,) bool, as bytes."""

    ts_ns: int
    received_ns: int
    ohlcv: bytes
    present: bytes

    def batch(self, interval_ns: int) -> MarketBatch:
        """The batch these bytes are."""
        present = np.frombuffer(self.present, dtype=np.bool_).copy()  # writable: the kernels are compiled for that
        ohlcv = np.frombuffer(self.ohlcv, dtype=np.float64).reshape(len(present), 5).copy()
        return MarketBatch(self.ts_ns, interval_ns, ohlcv, present)


class VenueSaid(msgspec.Struct, frozen=True, kw_only=True, tag="venue"):
    """An order update, a fill or a funding payment."""

    update: OrderUpdate | None = None
    fill: Fill | None = None
    funding: FundingPayment | None = None

    @classmethod
    def of(cls, event: OrderUpdate | Fill | FundingPayment) -> VenueSaid:
        """Wrap *event*."""
        if isinstance(event, OrderUpdate):
            return cls(update=event)
        return cls(fill=event) if isinstance(event, Fill) else cls(funding=event)

    @property
    def event(self) -> OrderUpdate | Fill | FundingPayment:
        """What was wrapped."""
        event = self.update or self.fill or self.funding
        assert event is not None
        return event


class Looked(msgspec.Struct, frozen=True, kw_only=True, tag="looked"):
    """The account as the venue tells it."""

    snapshot: VenueSnapshot


class HealthTold(msgspec.Struct, frozen=True, kw_only=True, tag="health"):
    """What system health calls for."""

    ts_ns: int
    level: int
    connected: bool
    reason: str


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """A person asked for something: halt, resume or flatten."""

    ts_ns: int
    action: str
    reason: str
    actor: str


class RolloutSet(msgspec.Struct, frozen=True, kw_only=True, tag="rollout"):
    """Other switches are in force."""

    ts_ns: int
    change: dict[str, Any]
    in_force: dict[str, Any]


class Wished(msgspec.Struct, frozen=True, kw_only=True, tag="intent"):
    """An intent from outside the signals."""

    ts_ns: int
    intent: Intent


class MoneyMoved(msgspec.Struct, frozen=True, kw_only=True, tag="money"):
    """Money was paid in or taken out (USDT, signed)."""

    ts_ns: int
    amount: float


class RateKnown(msgspec.Struct, frozen=True, kw_only=True, tag="rate"):
    """A symbol's newest funding rate, per 8 hours."""

    ts_ns: int
    symbol: str
    rate_8h: float


class Ticked(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """Time passed and something needs attention."""

    ts_ns: int
    busy: tuple[str, ...] = ()


Input = (
    Began | Lived | BarsCame | VenueSaid | Looked | HealthTold | Asked | RolloutSet | Wished | MoneyMoved | RateKnown
    | Ticked
)

encode_input: Final = msgspec.msgpack.Encoder().encode
decode_input: Final = msgspec.msgpack.Decoder(Input).decode


class InputLog(Protocol):
    """Where inputs are written before they are acted on; what is written survives the death of the process."""

    def append(self, entry: bytes) -> None:
        """Write one input. Raises StateError when it could not be written, and then nothing of it was."""
        ...

    def mark(self) -> Any:
        """The place behind the last input, as a plain value for a checkpoint."""
        ...

    def since(self, mark: Any) -> list[bytes]:
        """The inputs behind *mark* (None: from the beginning), without a last one that was cut."""
        ...


class CheckpointStore(Protocol):
    """Where whole states are kept, each replaced by the next at once or not at all."""

    def save(self, state: dict[str, Any]) -> None:
        """Publish *state*. Raises StateError when it could not be written; the one before is intact then."""
        ...

    def load(self) -> dict[str, Any] | None:
        """The last one; None when there is none."""
        ...
