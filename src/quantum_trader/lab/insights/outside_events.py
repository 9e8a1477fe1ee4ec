"""Signals, gates and trades of a simulation that is not this program's, as events of a journal and records of a day."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, to_ns
from quantum_trader.domain.errors import InputError, brief
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import DecisionEvent, Event, GateEvent, SignalEvent, TradeEvent
from quantum_trader.lab.insights.day_records import DayRecords, midnight_of
from quantum_trader.lab.insights.threshold_moves import MovedThreshold, threshold_steps
from quantum_trader.lab.statements.checker import safe_name

_PRODUCER: Final = "outside"
_TIMES: Final = ("ts_ns", "ts", "timestamp", "time")
_NAMES: Final = {  # a field's name here -> what others call it
    "signal_id": ("signal_id", "id"), "gate": ("gate", "gate_name", "name"), "passed": ("passed", "pass", "allowed"),
    "observed": ("observed", "value", "actual"), "limit": ("limit", "threshold"),
    "pnl": ("pnl", "net_pnl", "profit"), "r_multiple": ("r_multiple", "r", "pnl_r"), "side": ("side", "action"),
    "trade_id": ("trade_id", "id"), "fees": ("fees", "fee"), "exit_reason": ("exit_reason", "reason"),
}
Given = TypeVar("Given", bound=Event)


class OutsideEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The events in the order of their time; a signal was blocked by the first gate that did not let it pass."""

    signals: tuple[SignalEvent, ...]
    gates: tuple[GateEvent, ...]
    decisions: tuple[DecisionEvent, ...]
    trades: tuple[TradeEvent, ...]

    @classmethod
    def of(cls, signals: Iterable[Any], gates: Iterable[Any], trades: Iterable[Any]) -> OutsideEvents:
        """The events that are given, or that mappings state. Raises InputError for one that is neither or lacks time.
        """
        given = _in_time(_each(signals, SignalEvent, _signal))
        judged = _each(gates, GateEvent, _gate(given))
        by_signal: dict[str, list[GateEvent]] = defaultdict(list)
        for one in judged:
            by_signal[one.signal_id].append(one)
        return cls(
            signals=given, gates=_in_time(judged), trades=_in_time(_each(trades, TradeEvent, _trade)),
            decisions=tuple(_decision(one, by_signal.get(one.signal_id, [])) for one in given),
        )


def write_events(directory: Path, events: OutsideEvents) -> None:
    """Log *events* into a journal of their own."""
    everything: list[Event] = [*events.signals, *events.gates, *events.decisions, *events.trades]
    with EventLogger(directory, producer=_PRODUCER) as logger:
        for one in sorted(everything, key=lambda event: event.ts_ns):
            logger.log(one)


def outside_day(events: OutsideEvents, day: str) -> tuple[DayRecords, MovedThreshold | None]:
    """The records of *day*, and what moving a gate's threshold makes of its signals where none was let through."""
    begin_ns = midnight_of(day)
    today = [one for one in events.decisions if begin_ns <= one.ts_ns < begin_ns + NS_PER_DAY]
    blocked = [one for one in today if one.decision == "BLOCKED"]
    reasons = Counter(one.reason for one in blocked)
    records = DayRecords(
        day=day, signals=None, given=len(today), refused=(), changes=(), halts={},
        refusals=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )
    nothing = bool(blocked) and len(blocked) == len(today)
    return records, _moved_gate(events, [one.signal_id for one in blocked]) if nothing else None


def _moved_gate(events: OutsideEvents, blocked: Sequence[str]) -> MovedThreshold | None:
    """The gate that alone stopped the most of the signals *blocked*, with its figure as the nearest threshold."""
    failed: dict[str, list[GateEvent]] = {name: [] for name in blocked}
    for one in events.gates:
        if not one.passed and one.signal_id in failed:
            failed[one.signal_id].append(one)
    alone: dict[str, list[GateEvent]] = defaultdict(list)
    for some in failed.values():
        if len(some) == 1 and math.isfinite(some[0].observed) and math.isfinite(some[0].limit):
            alone[some[0].gate].append(some[0])
    if not alone:
        return None
    gate = min(alone, key=lambda name: (-len(alone[name]), name))
    known = alone[gate]
    rising = known[-1].observed > known[-1].limit  # a limit that is the most that passes
    values = [one.observed for one in known if (one.observed > one.limit) is rising]
    return MovedThreshold(
        setting=safe_name(gate), title=f"threshold of {safe_name(gate)}", unit="", gate="", config_key="",
        mode=known[-1].mode, before=known[-1].limit, looked_at=len(blocked), refused=len(blocked),
        moves=threshold_steps(values, rising, lambda value: [
            one.signal_id for one in known if (one.observed <= value if rising else one.observed >= value)
        ], {}),
    )


# ---- from mappings ---------------------------------------------------------------------------------------------------
def _in_time(events: Iterable[Given]) -> tuple[Given, ...]:
    return tuple(sorted(events, key=lambda one: one.ts_ns))


def _each(given: Iterable[Any], kind: type[Given], made: Callable[[Mapping[str, Any], int], Given]) -> list[Given]:
    """*given* as events of *kind*: as they are, or *made* of a mapping and its number from 1."""
    found = []
    for number, one in enumerate(given, 1):
        if isinstance(one, kind):
            found.append(one)
        elif isinstance(one, Mapping):
            found.append(made(one, number))
        else:
            raise InputError(f"{brief(one)}: give a {kind.__name__} or a mapping with its fields")
    return found


def _field(one: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of the field *name*, by whichever of its names it has; InputError where it is missing and needed."""
    for key in _NAMES.get(name, (name,)):
        if one.get(key) is not None:
            return one[key]
    if default is None:
        raise InputError(f"{brief(dict(one))}: lacks {name!r}")
    return default


def _moment(one: Mapping[str, Any]) -> int:
    found = next((one[key] for key in _TIMES if one.get(key) is not None), None)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            raise InputError(f"{brief(found)}: write a time as 2025-11-06T12:00:00") from None
    if isinstance(found, datetime):
        return to_ns(found)
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    raise InputError(f"{brief(dict(one))}: lacks a time: give ts, ISO 8601 (UTC), or ts_ns in nanoseconds")


def _number(value: Any, default: float = math.nan) -> float:
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError):
        raise InputError(f"{brief(value)}: must be a number") from None


def _signal(one: Mapping[str, Any], number: int) -> SignalEvent:
    ts_ns = _moment(one)
    name = str(_field(one, "signal_id", f"s{number:08d}"))
    return SignalEvent(
        trace_id=name, symbol=str(one.get("symbol", "")), ts_ns=ts_ns, signal_id=name,
        side=str(_field(one, "side", "LONG")), confidence=_number(one.get("confidence"), 0.0),
        consensus=_number(one.get("consensus"), 0.0), model=str(one.get("model", "")), features_ts_ns=ts_ns,
    )


def _gate(signals: Sequence[SignalEvent]) -> Callable[[Mapping[str, Any], int], GateEvent]:
    by_id = {one.signal_id: one for one in signals}

    def made(one: Mapping[str, Any], _number_of: int) -> GateEvent:
        name = str(_field(one, "signal_id"))
        signal = by_id.get(name)
        has_time = any(one.get(key) is not None for key in _TIMES)
        if signal is None and not has_time:
            raise InputError(f"{brief(dict(one))}: no signal has the id {name!r}")
        return GateEvent(
            trace_id=name, symbol=str(one.get("symbol") or (signal.symbol if signal else "")),
            ts_ns=_moment(one) if has_time or signal is None else signal.ts_ns, signal_id=name,
            gate=safe_name(str(_field(one, "gate"))), passed=bool(_field(one, "passed")),
            observed=_number(_field(one, "observed", math.nan)), limit=_number(_field(one, "limit", math.nan)),
            mode=str(one.get("mode", "")),
        )

    return made


def _trade(one: Mapping[str, Any], number: int) -> TradeEvent:
    name = str(_field(one, "trade_id", f"t{number:08d}"))
    return TradeEvent(
        trace_id=str(one.get("signal_id") or one.get("trace_id") or ""), symbol=str(one.get("symbol", "")),
        ts_ns=_moment(one), trade_id=name, side=str(_field(one, "side", "LONG")), pnl=_number(_field(one, "pnl")),
        r_multiple=_number(_field(one, "r_multiple", math.nan)), fees=_number(_field(one, "fees", 0.0)),
        exit_reason=str(_field(one, "exit_reason", "EXIT")), bars_held=int(_number(one.get("bars_held"), 0.0)),
    )


def _decision(signal: SignalEvent, gates: Sequence[GateEvent]) -> DecisionEvent:
    """Blocked by the first of *gates* that did not let it pass."""
    stopped = safe_name(next((one.gate for one in gates if not one.passed), ""))
    return DecisionEvent(
        trace_id=signal.trace_id, symbol=signal.symbol, ts_ns=signal.ts_ns, signal_id=signal.signal_id,
        decision="BLOCKED" if stopped else "ALLOWED", reason=f"GATE_{stopped.upper()}" if stopped else "",
        confidence=signal.confidence, feature_times={},
    )
