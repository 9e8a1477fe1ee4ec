"""The inputs of a live engine: one tagged struct each, written to the input log before the engine takes it.

The same inputs in the same order give the same state, records and commands. A session continues from them after its
process was killed, and a day is proven with them. The tags are the format on disk: a class may be renamed, its tag not.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import Fill, FundingPayment, Intent, OrderUpdate, OutsideScore
from quantum_trader.engine.facts import ModelInForce, ModelRefused, PilotChanged
from quantum_trader.engine.reconciliation import VenueSnapshot


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True, tag="began"):
    """A new session begins: its wallet (USDT) and the namespace of its order ids."""

    ts_ns: int
    wallet: float
    namespace: str
    statement: dict[str, Any] = {}


class ProcessStarted(msgspec.Struct, frozen=True, kw_only=True, tag="lived"):
    """A process has taken the session over; *life* is the name that marks its order ids."""

    ts_ns: int
    life: str


class BarsReceived(msgspec.Struct, frozen=True, kw_only=True, tag="bars"):
    """Completed bars of one moment: *ohlcv* is a (n, 5) float64 matrix and *present* (n,) bool, as bytes.

    *indices* are the n symbols (int32); None means all. While *received_ns* is 0 further bars of the moment are
    awaited; otherwise these are its last bars and the moment is decided on. A repeated bar replaces the earlier one.
    """

    ts_ns: int
    received_ns: int
    ohlcv: bytes
    present: bytes
    indices: bytes | None = None

    @classmethod
    def of(cls, ts_ns: int, received_ns: int, ohlcv: Any, present: Any, some: list[int] | None = None) -> BarsReceived:
        """Return the bars of the symbols *some* (None: all) out of the matrices (S, 5) and (S,) of all symbols."""
        if some is None:
            return cls(ts_ns=ts_ns, received_ns=received_ns, ohlcv=ohlcv.tobytes(), present=present.tobytes())
        indices = np.array(some, dtype=np.int32)
        return cls(
            ts_ns=ts_ns, received_ns=received_ns, ohlcv=ohlcv[indices].tobytes(), present=present[indices].tobytes(),
            indices=indices.tobytes(),
        )

    def symbols(self) -> Any:
        """The indices of these bars' symbols, as an index into arrays."""
        return np.frombuffer(self.indices, dtype=np.int32) if self.indices is not None else slice(None)

    def put(self, ohlcv: Any, present: Any) -> None:
        """Write these bars into the matrices (S, 5) and (S,) of all symbols."""
        some = self.symbols()
        present[some] = np.frombuffer(self.present, dtype=np.bool_)
        ohlcv[some] = np.frombuffer(self.ohlcv, dtype=np.float64).reshape(-1, 5)


class VenueEventReceived(msgspec.Struct, frozen=True, kw_only=True, tag="venue"):
    """An order update, a fill or a funding payment."""

    update: OrderUpdate | None = None
    fill: Fill | None = None
    funding: FundingPayment | None = None

    @classmethod
    def of(cls, event: OrderUpdate | Fill | FundingPayment) -> VenueEventReceived:
        """Wrap *event*."""
        if isinstance(event, OrderUpdate):
            return cls(update=event)
        return cls(fill=event) if isinstance(event, Fill) else cls(funding=event)

    @property
    def event(self) -> OrderUpdate | Fill | FundingPayment:
        """The wrapped event."""
        event = self.update or self.fill or self.funding
        assert event is not None
        return event


class AccountRead(msgspec.Struct, frozen=True, kw_only=True, tag="looked"):
    """Wallet, positions and open orders were read from the venue, to be compared with the books."""

    snapshot: VenueSnapshot


class HealthChanged(msgspec.Struct, frozen=True, kw_only=True, tag="health"):
    """System health calls for another governor level, or the connection was lost or restored."""

    ts_ns: int
    level: int
    connected: bool
    reason: str


class OperatorRequestReceived(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """A person requested an action: halt, resume or flatten; lock (*until_ns*) or unlock of *symbol*."""

    ts_ns: int
    action: str
    reason: str
    actor: str
    symbol: str = ""
    until_ns: int = 0


class RolloutChanged(msgspec.Struct, frozen=True, kw_only=True, tag="rollout"):
    """The switches of the policy rollout changed; *in_force* holds all of them."""

    ts_ns: int
    change: dict[str, Any]
    in_force: dict[str, Any]


class GatesChanged(msgspec.Struct, frozen=True, kw_only=True, tag="gates"):
    """The settings of the gates changed; *change* says who, why and what, *in_force* holds all of them."""

    ts_ns: int
    change: dict[str, Any]
    in_force: dict[str, Any]


class PilotSettingsReceived(msgspec.Struct, frozen=True, kw_only=True, tag="pilot"):
    """The pilot's settings were changed; *change* says by whom, why and to what."""

    ts_ns: int
    change: PilotChanged


class PilotWasLate(msgspec.Struct, frozen=True, kw_only=True, tag="late"):
    """The pilot gave no answer in time to the bars that opened at *bars_ns*; *seen*: it was shown them all the same.

    Written behind those bars, so that a process which takes them again repeats what happened and not what might have.
    """

    ts_ns: int
    bars_ns: int
    seen: bool


class ModelReceived(msgspec.Struct, frozen=True, kw_only=True, tag="model"):
    """Another model is to take over from the next bars on. It lies in the state folder before this is written."""

    ts_ns: int
    change: ModelInForce


class ModelWasRefused(msgspec.Struct, frozen=True, kw_only=True, tag="nomodel"):
    """A model that the run should have followed cannot be used; the one in force stays."""

    ts_ns: int
    refusal: ModelRefused


class IntentReceived(msgspec.Struct, frozen=True, kw_only=True, tag="intent"):
    """A trade intent came from outside the signals."""

    ts_ns: int
    intent: Intent


class ScoreReceived(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """A score came from outside; models use it from their first bar that closes at or after *ts_ns*."""

    ts_ns: int
    score: OutsideScore


class MoneyTransferred(msgspec.Struct, frozen=True, kw_only=True, tag="money"):
    """Money was paid in or withdrawn (USDT, signed). *move_id* is the venue's; empty when the stream reported it."""

    ts_ns: int
    amount: float
    move_id: str = ""


class FundingRateReceived(msgspec.Struct, frozen=True, kw_only=True, tag="rate"):
    """A symbol's funding rate changed (a fraction per 8 hours)."""

    ts_ns: int
    symbol: str
    rate_8h: float


class ModelBarsReceived(msgspec.Struct, frozen=True, kw_only=True, tag="warm"):
    """Whole bars of the models' own interval, from before the first bar that a new session decides on.

    *ohlcv* is a (S, 5) float64 matrix and *present* (S,) bool, as bytes.
    """

    ts_ns: int
    ohlcv: bytes
    present: bytes


class FundingHistoryReceived(msgspec.Struct, frozen=True, kw_only=True, tag="rates"):
    """The funding rates that the venue charged for one symbol, for bars that are fetched late.

    *times_ns* (n,) int64 and *rates_8h* (n,) float64 (fractions per 8 hours) as bytes; they count for bars that open
    before *until_ns*.
    """

    ts_ns: int
    symbol: str
    until_ns: int
    times_ns: bytes
    rates_8h: bytes


class FiltersChanged(msgspec.Struct, frozen=True, kw_only=True, tag="filters"):
    """The venue changed a symbol's filters (tick, step, smallest order)."""

    ts_ns: int
    instrument: Instrument


class TimerFired(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """A timer fired because a position or an order needs attention; *busy* are symbols with requests under way."""

    ts_ns: int
    busy: tuple[str, ...] = ()


class ProcessStopping(msgspec.Struct, frozen=True, kw_only=True, tag="stops"):
    """The process stops and finds entries at rest; *busy* are symbols with requests under way."""

    ts_ns: int
    busy: tuple[str, ...] = ()


Input = (
    SessionStarted | ProcessStarted | BarsReceived | VenueEventReceived | AccountRead | HealthChanged
    | OperatorRequestReceived | RolloutChanged | GatesChanged | PilotSettingsReceived | PilotWasLate | ModelReceived
    | ModelWasRefused | IntentReceived | ScoreReceived | MoneyTransferred | FundingRateReceived
    | FundingHistoryReceived | FiltersChanged | ModelBarsReceived | TimerFired | ProcessStopping
)

_encode: Final = msgspec.msgpack.Encoder().encode


def encode_input(event: Input) -> bytes:
    """*event* as an entry of the input log; StateError for a value that cannot be written, such as 2**64."""
    try:
        return _encode(event)
    except (OverflowError, ValueError, TypeError, RecursionError) as error:
        raise StateError(f"an input of the kind {type(event).__name__} cannot be written ({error})") from None


decode_input: Final = msgspec.msgpack.Decoder(Input).decode


class InputLog(Protocol):
    """Where inputs are written before the engine takes them; what is written survives a killed process."""

    def append(self, entry: bytes) -> None:
        """Write one input. Raises StateError when it could not be written, and then nothing of it was."""
        ...

    def mark(self) -> Any:
        """The position behind the last input, as a plain value for a checkpoint."""
        ...

    def since(self, mark: Any) -> list[bytes]:
        """The inputs behind *mark* (None: from the beginning); a last one that was cut off is left out."""
        ...


class CheckpointStore(Protocol):
    """Where checkpoints are kept; the next one replaces the last one completely or not at all."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep *state*. Raises StateError when it could not be written; the last one is intact then."""
        ...

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None when there is none."""
        ...
