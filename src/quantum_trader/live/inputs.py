"""What can be told to a live engine: one tagged value each, written down before the engine sees it.

The same inputs in the same order give the same state, records and commands; that is how a session continues after its
process was killed, and how a day is proven.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
import numpy as np

from quantum_trader.domain.instrument import Instrument
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
    """Completed bars of one moment: *ohlcv* is a (n, 5) float64 matrix and *present* (n,) bool, as bytes.

    *indices* are the n symbols (int32), None: all of them. With *received_ns* 0 others are still awaited; else these
    are the last ones and the moment is decided on. A bar told again replaces the one before.
    """

    ts_ns: int
    received_ns: int
    ohlcv: bytes
    present: bytes
    indices: bytes | None = None

    @classmethod
    def of(cls, ts_ns: int, received_ns: int, ohlcv: Any, present: Any, some: list[int] | None = None) -> BarsCame:
        """Those of *some* symbols out of the matrices (S, 5) and (S,) of all; None: all of them."""
        if some is None:
            return cls(ts_ns=ts_ns, received_ns=received_ns, ohlcv=ohlcv.tobytes(), present=present.tobytes())
        indices = np.array(some, dtype=np.int32)
        return cls(
            ts_ns=ts_ns, received_ns=received_ns, ohlcv=ohlcv[indices].tobytes(), present=present[indices].tobytes(),
            indices=indices.tobytes(),
        )

    def put(self, ohlcv: Any, present: Any) -> None:
        """Write these bars into the matrices (S, 5) and (S,) of all symbols."""
        some = np.frombuffer(self.indices, dtype=np.int32) if self.indices is not None else slice(None)
        present[some] = np.frombuffer(self.present, dtype=np.bool_)
        ohlcv[some] = np.frombuffer(self.ohlcv, dtype=np.float64).reshape(-1, 5)


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
    """Money was paid in or taken out (USDT, signed). *move_id*: the venue's, where it was asked; a stream has none."""

    ts_ns: int
    amount: float
    move_id: str = ""


class RateKnown(msgspec.Struct, frozen=True, kw_only=True, tag="rate"):
    """A symbol's newest funding rate, per 8 hours."""

    ts_ns: int
    symbol: str
    rate_8h: float


class FiltersKnown(msgspec.Struct, frozen=True, kw_only=True, tag="filters"):
    """The venue takes a symbol's orders on another grid from now on."""

    ts_ns: int
    instrument: Instrument


class Ticked(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """Time passed and something needs attention."""

    ts_ns: int
    busy: tuple[str, ...] = ()


Input = (
    Began | Lived | BarsCame | VenueSaid | Looked | HealthTold | Asked | RolloutSet | Wished | MoneyMoved | RateKnown
    | FiltersKnown | Ticked
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
