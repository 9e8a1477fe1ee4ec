"""The signals in a run's journal: what the gates measured of each, what was decided, and what its shadow trade made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError, StateError
from quantum_trader.engine.entry import EntryRequest
from quantum_trader.journal.lake import Lake, journal_of
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH
from quantum_trader.models.gates import GATE_COUNT, GateInputs, GateLimits
from quantum_trader.risk import account_column

_RISK_PCT: Final = EntryRequest._fields.index("risk_pct")
_FACTOR: Final = EntryRequest._fields.index("factor")
SIGNAL_KINDS: Final = ("signal.judged", "signal.decided", "signal.generated", "signal.inputs")  # of one signal each
SignalLines = Mapping[str, Iterable[tuple[int, int, bytes]]]  # kind -> (number, time, payload) of its records, in order
JUDGED_KINDS: Final = (*SIGNAL_KINDS, "shadow.closed", "market.hole")  # that judged signals are made of
OUTAGE_HOURS: Final = 72.0  # a day until the entry and a day until the last bar, with outages, and a day to spare
RESOLVED, OPEN, VOID, NONE = range(4)
"""Of a shadow trade: it has ended; its result is still to come; its result never came; the signal has none.

A shadow that has not ended is VOID from its longest time and OUTAGE_HOURS on, and where the data of its symbol ends for
more than a day. A signal that adds to a position, that
came before its symbol was warm, or while 64 shadows of the symbol were open, has none.
"""

T = TypeVar("T", bound=msgspec.Struct)
_Number = float | None  # NaN is null in a record


class _Gate(msgspec.Struct, frozen=True, gc=False):
    observed: _Number
    limit: _Number
    measured: bool
    passed: bool
    enforced: bool


_Features = msgspec.defstruct("_Features", [(name, _Number, None) for name in ENTRY_FEATURES], frozen=True, gc=False)


class _Judged(msgspec.Struct, frozen=True, gc=False):
    signal_id: str
    symbol: str
    mode: str
    gates: tuple[_Gate, ...]
    regime: str
    features: _Features  # type: ignore[valid-type]  # made from the names of the features
    features_hash: str


class _Decided(msgspec.Struct, frozen=True, gc=False):
    signal_id: str
    decision: str
    reason: str
    features_ts_ns: int
    confidence: float
    shadow_hours: float = 0.0


class _Inputs(msgspec.Struct, frozen=True, gc=False):
    signal_id: str
    request: tuple[_Number, ...]
    account: tuple[_Number, ...]
    gates: tuple[_Number, ...]
    gate_limits: tuple[_Number, ...]
    quantity: _Number = None  # null: the risk alone decides


class _Hole(msgspec.Struct, frozen=True, gc=False):
    symbol: str


class _Ended(msgspec.Struct, frozen=True, gc=False):
    signal_id: str
    r: float
    exit: str
    bars_held: int
    net_bps: float = 0.0
    cost_bps: float = 0.0
    funding_bps: float = 0.0
    entry_price: float = 0.0
    entry_ns: int = 0


class _Given(msgspec.Struct, frozen=True, gc=False):
    signal_id: str
    model: str


class _Line(msgspec.Struct, frozen=True, gc=False):
    ts_ns: int
    data: msgspec.Raw


class JudgedSignals(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """N signals in the order in which they were given; arrays share that axis. NaN: not known.

    Results are of the shadow trade, bps of its entry's notional after costs and funding; *r* is weighted by risk.
    """

    signal_ids: tuple[str, ...]
    symbols: tuple[str, ...]  # of each signal
    models: tuple[str, ...]
    modes: tuple[str, ...]
    regimes: tuple[str, ...]  # market state of the symbol in words
    reasons: tuple[str, ...]  # why it was not traded; empty: it was
    ts_ns: Ints  # when it was given
    features_ns: Ints  # time of the newest datum that its features used
    confidence: Floats
    observed: Floats  # (N, 6) figure of each gate
    measured: Bools  # (N, 6)
    passed: Bools  # (N, 6) False where not measured
    enforced: Bools  # (N, 6)
    gate_inputs: Floats  # (N, 10) models.gates.GateInputs
    gate_limits: Floats  # (N, 7) models.gates.GateLimits that were in force
    features: Floats  # (N, K) models.entry_features
    record_numbers: Ints  # (N, 2) in the journal: of the record of the features, of that of the result; 0: no result
    outcome: npt.NDArray[np.int8]  # RESOLVED, OPEN, VOID, NONE
    entry_ns: Ints  # open of the bar that filled the shadow trade; 0 without a result
    end_ns: Ints  # when the shadow trade's result was known; 0 without one
    net_bps: Floats
    cost_bps: Floats
    funding_bps: Floats
    r: Floats
    by_score: Bools  # whether a model's score would have held the position
    risk_usdt: Floats  # permitted risk of the trade: what one R is worth; NaN where none was permitted
    exits: tuple[str, ...]  # empty without a result
    first_ns: int = 0  # of the first and the last record of the journal
    last_ns: int = 0
    damage: tuple[str, ...] = ()  # what of the journal could not be read

    def __len__(self) -> int:
        return len(self.signal_ids)

    @property
    def traded(self) -> Bools:
        """Whether an order was sent for each signal."""
        return np.array([not reason for reason in self.reasons], dtype=np.bool_)

    @property
    def settled(self) -> Bools:
        """Whether the result of each signal counts: known, and so is that of every signal before it.

        Stops end sooner than targets, so the results known so far hold too many losers; those up to the first signal
        whose shadow trade is open do not.
        """
        is_open = np.flatnonzero(self.outcome == OPEN)
        first = int(is_open[0]) if len(is_open) else len(self)
        found: Bools = (self.outcome == RESOLVED) & (np.arange(len(self)) < first)
        return found

    @property
    def data_hash(self) -> str:
        """Identity of the signals and their results."""
        digest = hashlib.sha256("\n".join(self.signal_ids).encode())
        for array in (self.ts_ns, self.observed, self.net_bps, self.r):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]


def read_judged_signals(state: Path | str) -> JudgedSignals:
    """The signals in the journal of the state folder *state*.

    Raises StateError where there is no journal or no signal that was judged by gates, DataError for a record that does
    not have the fields of its kind.
    """
    found = judged_signals_in(journal_of(state))
    if not len(found):
        raise StateError(
            f"--state {state}: its journal has no signal judged by gates; give the folder of a run that had signals "
            "(`quantum-trader run --state DIR`), made by this version of the program or a later one"
        )
    return found


def judged_signals_in(lake: Lake) -> JudgedSignals:
    """The signals in the journal *lake*; none where it has none yet.

    Raises DataError for a record that does not have the fields of its kind.
    """
    found = judged_signals_of({kind: lake.lines(kind=kind) for kind in JUDGED_KINDS}, str(lake.directory))
    span = lake.sql("select min(ts_ns) as first, max(ts_ns) as last from events").to_pylist()[0]
    return msgspec.structs.replace(
        found, first_ns=span["first"] or 0, last_ns=span["last"] or 0,
        damage=tuple(f"{one.path}: {one.reason}" for one in lake.damage),
    )


def judged_signals_of(lines: SignalLines, source: str) -> JudgedSignals:
    """The signals in records, by each kind of JUDGED_KINDS; none where there are none.

    Raises DataError that names *source* for a record that does not have the fields of its kind.
    """
    judged = list(_records(lines, source, "signal.judged", _Judged))
    for _, _, one in judged:
        _check_width(source, one.signal_id, "gates", len(one.gates), GATE_COUNT)
    decided = {one.signal_id: one for _, _, one in _records(lines, source, "signal.decided", _Decided)}
    given = {one.signal_id: one.model for _, _, one in _records(lines, source, "signal.generated", _Given)}
    inputs = {one.signal_id: one for _, _, one in _records(lines, source, "signal.inputs", _Inputs)}
    for known in inputs.values():
        _check_width(source, known.signal_id, "account", len(known.account), account_column.SIZE)
        _check_width(source, known.signal_id, "request", len(known.request), len(EntryRequest._fields))
    ended = {
        one.signal_id: (number, ts_ns, one) for number, ts_ns, one in _records(lines, source, "shadow.closed", _Ended)
    }
    rows = [found for found in judged if found[2].signal_id in decided]  # a decision under way has no reason yet
    holes: dict[str, int] = {one.symbol: ts_ns for _, ts_ns, one in _records(lines, source, "market.hole", _Hole)}
    return _table(rows, decided, given, inputs, ended, holes)


def _check_width(source: str, signal_id: str, key: str, found: int, needed: int) -> None:
    if found != needed:
        raise DataError(
            f"{source}: {key} of {signal_id}: {found} instead of {needed}; another version of this program wrote it"
        )


def _records(lines: SignalLines, source: str, kind: str, data: type[T]) -> Iterator[tuple[int, int, T]]:
    """Number, time and data of the records of one *kind*, in order."""
    line, content = msgspec.json.Decoder(_Line), msgspec.json.Decoder(data)
    for number, _, payload in lines.get(kind, ()):
        try:
            record = line.decode(payload)
            yield number, record.ts_ns, content.decode(record.data)
        except msgspec.DecodeError as error:
            raise DataError(f"{source}: a record of {kind} cannot be read ({error})") from None


def _table(
    rows: list[tuple[int, int, _Judged]], decided: Mapping[str, _Decided], given: Mapping[str, str],
    inputs: Mapping[str, _Inputs], ended: Mapping[str, tuple[int, int, _Ended]], holes: Mapping[str, int],
) -> JudgedSignals:
    """The records as arrays; *holes*: when the data of a symbol last ended for more than a day."""
    known_ns = max((ts_ns for _, ts_ns, _ in (*rows, *ended.values())), default=0)
    judged = [one for _, _, one in rows]
    ids = [one.signal_id for one in judged]
    decisions = [decided[one] for one in ids]
    known = [inputs.get(one) for one in ids]
    ends = [ended.get(one) for one in ids]
    results = [end[2] if end is not None else None for end in ends]
    ts_ns = np.array([moment for _, moment, _ in rows], dtype=np.int64)
    return JudgedSignals(
        signal_ids=tuple(ids), symbols=tuple(one.symbol for one in judged),
        models=tuple(given.get(one, "") for one in ids), modes=tuple(one.mode for one in judged),
        regimes=tuple(one.regime for one in judged), reasons=tuple(one.reason for one in decisions), ts_ns=ts_ns,
        features_ns=np.array([one.features_ts_ns for one in decisions], dtype=np.int64),
        confidence=np.array([one.confidence for one in decisions], dtype=np.float64),
        observed=_numbers(([gate.observed for gate in one.gates] for one in judged), GATE_COUNT),
        measured=_flags([gate.measured for gate in one.gates] for one in judged),
        passed=_flags([gate.passed for gate in one.gates] for one in judged),
        enforced=_flags([gate.enforced for gate in one.gates] for one in judged),
        gate_inputs=_numbers((one.gates if one is not None else () for one in known), len(GateInputs._fields)),
        gate_limits=_numbers((one.gate_limits if one is not None else () for one in known), len(GateLimits._fields)),
        features=_numbers((_features(one) for one in judged), len(ENTRY_FEATURES)),
        record_numbers=np.array([
            (row[0], end[0] if end is not None else 0) for row, end in zip(rows, ends, strict=True)
        ], dtype=np.int64).reshape(-1, 2),
        outcome=np.array(
            [
                _outcome(end, decision, known_ns - moment, is_cut=holes.get(one.symbol, 0) >= moment)
                for (_, moment, one), decision, end in zip(rows, decisions, results, strict=True)
            ], dtype=np.int8,
        ),
        entry_ns=np.array([one.entry_ns if one is not None else 0 for one in results], dtype=np.int64),
        end_ns=np.array([end[1] if end is not None else 0 for end in ends], dtype=np.int64),
        net_bps=_result(results, "net_bps"), cost_bps=_result(results, "cost_bps"),
        funding_bps=_result(results, "funding_bps"), r=_result(results, "r"),
        by_score=np.array([one is not None and one.quantity is not None for one in known], dtype=np.bool_),
        risk_usdt=np.array([_risk_usdt(one) for one in known], dtype=np.float64),
        exits=tuple(one.exit if one is not None else "" for one in results),
    )


def _numbers(rows: Iterable[Sequence[_Number]], width: int) -> Floats:
    """*rows* (N, width) as an array; what is not known, or missing at the end of a row, is NaN."""
    found = [row[:width] for row in rows]
    short = [at for at, row in enumerate(found) if len(row) < width]
    for at in short:
        found[at] = [*found[at], *[None] * (width - len(found[at]))]
    return np.array(found, dtype=np.float64).reshape(-1, width)  # None becomes NaN


def _flags(rows: Iterable[list[bool]]) -> Bools:
    return np.array(list(rows), dtype=np.bool_).reshape(-1, GATE_COUNT)


def _features(one: _Judged) -> Sequence[_Number]:
    """The features in their order; nothing where another version of the program gave others."""
    if one.features_hash != ENTRY_FEATURES_HASH:
        return ()
    return msgspec.structs.astuple(one.features)


def _outcome(result: _Ended | None, decision: _Decided, age_ns: int, *, is_cut: bool) -> int:
    """What became of a signal's shadow trade, *age_ns* after the signal; *is_cut*: its data ended since then."""
    if result is not None:
        # An older version did not keep fills: without an entry the result in bps is not known.
        return RESOLVED if result.entry_price > 0.0 else VOID
    if not decision.shadow_hours > 0.0:
        return NONE
    return OPEN if not is_cut and age_ns < (decision.shadow_hours + OUTAGE_HOURS) * NS_PER_HOUR else VOID


def _result(results: list[_Ended | None], key: str) -> Floats:
    return np.array([
        getattr(one, key) if one is not None and one.entry_price > 0.0 else math.nan for one in results
    ], dtype=np.float64)


def _risk_usdt(known: _Inputs | None) -> float:
    """The permitted risk of a signal's trade, USDT: equity x risk x the share that record and governor leave.

    NaN where none is left: what the trade would have risked is not known then.
    """
    if known is None:
        return math.nan
    equity, request = known.account[account_column.EQUITY], known.request
    figures: list[Any] = [math.nan if one is None else one for one in (equity, request[_RISK_PCT], request[_FACTOR])]
    risk = float(figures[0] * figures[1] / 100.0 * figures[2])
    return risk if risk > 0.0 else math.nan

