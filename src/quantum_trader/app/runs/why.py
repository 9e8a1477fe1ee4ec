"""Why a signal of a run was traded or not, and why nothing was traded in a symbol at a time: from the journal alone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.report.words import words
from quantum_trader.app.runs.model_state import lack_words, state_words
from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.errors import ConfigError, InputError, StateError, brief
from quantum_trader.engine import ids
from quantum_trader.engine.decision_inputs import recorded_inputs
from quantum_trader.engine.model_records import TargetState
from quantum_trader.journal.lake import journal_of
from quantum_trader.lab.explain import Explanation, explain_inputs
from quantum_trader.lab.explain.recorded import context_of, recorded_profile
from quantum_trader.models.forecast import ENTER_AT
from quantum_trader.models.forecasts import Lack
from quantum_trader.signals.settings import SignalSettings

_ID: Final = re.compile(r"(?:s|tr|i)?0*(\d{1,18})", re.IGNORECASE | re.ASCII)
_NEAREST: Final = 4  # ids that are offered for one that is not there
_ALIKE: Final = 0.75  # of a symbol to the one that may be meant; most symbols end alike
_OLD: Final = "was recorded by an older version of this program, which did not keep"
_SIGNAL_KINDS: Final = ("signal.generated", "signal.judged", "signal.inputs", "signal.decided", "trade.closed")


class WhyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a signal that was traded."""

    trade_id: str  # empty while its position is open, and for an addition
    exit_reason: str = ""
    r: float | None = None  # multiples of the risk taken
    pnl: float | None = None  # USDT after fees and funding


class SignalExplained(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded signal with its explanation."""

    signal_id: str
    time: str  # UTC
    explanation: Explanation
    recorded_reason: str  # what the record says
    outcome: WhyOutcome | None = None
    notes: tuple[str, ...] = ()
    outside_scores: tuple[str, ...] = ()  # ids of the scores from outside that it was made of


class ForecastSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What the models said of a symbol; returns and costs in basis points a day. None: not known."""

    decided: str  # when, UTC
    model: str
    score: float | None
    expected_bps: float | None
    error_bps: float | None
    cost_bps: float | None
    confidence: float | None
    outside_scores: str = ""  # ids of the scores from outside that it was made of, joined by +


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was traded in a symbol at a time."""

    symbol: str
    at: str  # UTC
    state: str  # engine.model_records.TargetState, or OUTSIDE, NO_DECISION, NOT_RECORDED
    summary: str
    what_to_change: tuple[str, ...] = ()
    as_of: str = ""  # UTC time of the signal whose inputs they change, where it is not the decision's
    forecast: ForecastSaid | None = None
    signal: SignalExplained | None = None  # the one that decided
    halts: tuple[str, ...] = ()  # in force at the time


class RunRecords:
    """The records of one run's journal, asked by time, symbol and trace."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._lake = journal_of(state)

    def of_trace(self, trace_id: str) -> dict[str, dict[str, Any]]:
        """The data of the newest record of each kind of a signal's trace."""
        marks = ", ".join("?" * len(_SIGNAL_KINDS))
        rows = self._rows(
            f"select kind, payload from events where trace_id = ? and kind in ({marks}) order by seq",
            [trace_id, *_SIGNAL_KINDS],
        )
        return {row["kind"]: _data(row["payload"]) for row in rows}

    def last(self, kind: str, until_ns: int, symbol: str = "", where: str = "") -> dict[str, Any] | None:
        """The data of the last record of *kind* up to *until_ns*, with its time as ``ts_ns``; None: there is none."""
        return self._one(kind, "ts_ns <= ?", "desc", until_ns, symbol, where)

    def first(self, kind: str, from_ns: int, symbol: str = "") -> dict[str, Any] | None:
        """The data of the first record of *kind* from *from_ns* on; None: there is none."""
        return self._one(kind, "ts_ns >= ?", "asc", from_ns, symbol, "")

    def _one(
        self, kind: str, when: str, order: str, ts_ns: int, symbol: str, where: str
    ) -> dict[str, Any] | None:
        of_symbol = "and symbol = ?" if symbol else ""
        rows = self._rows(
            f"select ts_ns, payload from events where kind = ? and {when} {of_symbol} {where} "
            f"order by ts_ns {order}, seq {order} limit 1", [kind, ts_ns, *([symbol] if symbol else [])],
        )
        return {**_data(rows[0]["payload"]), "ts_ns": rows[0]["ts_ns"]} if rows else None

    def halts(self, until_ns: int) -> list[tuple[str, dict[str, Any]]]:
        """Kind and data of every halt that was raised or cleared up to *until_ns*, oldest first."""
        rows = self._rows(
            "select kind, payload from events where kind in ('halt.raised', 'halt.cleared', 'health.changed') "
            "and ts_ns <= ? order by ts_ns, seq", [until_ns],
        )
        return [(row["kind"], _data(row["payload"])) for row in rows]

    def span(self) -> tuple[int, int]:
        """Times of the first and the last record."""
        row = self._rows("select min(ts_ns) as first, max(ts_ns) as last from events", [])[0]
        if row["first"] is None:
            raise StateError(f"--state {self.state}: its journal holds no record yet")
        return row["first"], row["last"]

    def signal_numbers(self) -> tuple[int, int]:
        """Numbers of the first and the last signal; (0, 0): there is none."""
        row = self._rows(
            "select min(trace_id) as first, max(trace_id) as last from events where kind = 'signal.decided'", []
        )[0]
        return (_number(row["first"]), _number(row["last"])) if row["first"] else (0, 0)

    def trade_around(self, symbol: str, ts_ns: int) -> dict[str, Any] | None:
        """The closed trade of *symbol* that was open at *ts_ns*."""
        rows = self._rows(
            "select * from trades where symbol = ? and kind = 'trade.closed' and entry_ns <= ? and exit_ns > ? limit 1",
            [symbol, ts_ns, ts_ns],
        )
        return rows[0] if rows else None

    def _rows(self, query: str, params: Sequence[Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._lake.sql(query, params).to_pylist()
        return rows


def _data(payload: str) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(payload)["data"]
    return data


def _number(name: str) -> int:
    found = _ID.fullmatch(name.strip())
    return int(found[1]) if found else 0


# ---------------------------------------------------------------------- one signal


def explain_signal(state: Path, signal_id: str) -> SignalExplained:
    """Explain signal *signal_id* of the run in *state*: "s00000012", its trace or intent, or its number alone.

    Raises InputError with the nearest ids where there is no such signal, StateError where its inputs are not on record.
    """
    records = RunRecords(state)
    number = _number(signal_id)
    found = records.of_trace(ids.signal_trace_id(number)) if number else {}
    if "signal.decided" not in found:
        wrong = "" if number else "is no id of a signal, such as s00000012; "
        raise InputError(f"SIGNAL_ID = {brief(signal_id)}: {wrong}{_nearest(records, number)}")
    return _explained(records, found)


def _nearest(records: RunRecords, number: int) -> str:
    first, last = records.signal_numbers()
    if not last:
        return f"the run in {records.state} has given no signal; `quantum-trader why-not SYMBOL --at TIME` says why"
    low = min(max(number - _NEAREST // 2, first), max(first, last - _NEAREST + 1))
    near = ", ".join(ids.signal_id(one) for one in range(low, min(low + _NEAREST, last + 1)))
    return f"the run has the signals {ids.signal_id(first)} to {ids.signal_id(last)}; the nearest are {near}"


def _explained(records: RunRecords, found: Mapping[str, dict[str, Any]]) -> SignalExplained:
    decided = found["signal.decided"]
    if "signal.inputs" not in found:
        said = f"{decided['signal_id']}: {_OLD} what a decision is made of"
        raise StateError(f"{said}; run it again to have it explained")
    inputs = recorded_inputs(found["signal.inputs"])
    profile = recorded_profile(records.last("run.started", inputs.ts_ns))
    told = explain_inputs(inputs, context_of(found, profile))
    notes = []
    if any(inputs.switches) and not profile:
        notes.append("The profile of this run cannot be read: the policy is taken as it was.")
    if told.reason != decided["reason"]:
        notes.append(
            f"The record says {decided['reason'] or 'ALLOWED'}: this program decides otherwise than the one that "
            "recorded it."
        )
    return SignalExplained(
        signal_id=inputs.signal_id, time=iso(inputs.ts_ns), explanation=told, recorded_reason=decided["reason"],
        outcome=_outcome(found) if not decided["reason"] else None, notes=tuple(notes),
        outside_scores=tuple(found.get("signal.generated", {}).get("outside_scores", ())),
    )


def _outcome(found: Mapping[str, dict[str, Any]]) -> WhyOutcome | None:
    trade = found.get("trade.closed")
    if trade is None:
        return WhyOutcome(trade_id="")
    return WhyOutcome(
        trade_id=trade["trade_id"], exit_reason=trade["exit_reason"], r=trade["r_multiple"], pnl=trade["pnl"]
    )


# ---------------------------------------------------------------------- nothing at a time


def why_nothing(state: Path, symbol: str, at_ns: int) -> WhyNot:
    """Why nothing was traded in *symbol* at *at_ns*: from the last decision of the models up to then.

    Raises InputError for a symbol that the run does not trade.
    """
    records = RunRecords(state)
    symbol = _known_symbol(records, symbol, at_ns)
    first, last = records.span()
    made = records.last("models.decided", at_ns)
    if not first <= at_ns <= last + NS_PER_DAY:
        return _not(symbol, at_ns, "OUTSIDE", (
            f"{iso(at_ns)} lies outside the recording, which goes from {iso(first)} to {iso(last)}."
        ))
    halts = _halts_at(records, at_ns)
    if made is None or symbol not in made["symbols"]:
        return _before_a_decision(records, symbol, at_ns, halts)
    place = made["symbols"].index(symbol)
    told = _forecast(made, place)
    state_of = TargetState(made["states"][place])
    common: dict[str, Any] = {"forecast": told, "halts": halts}
    if state_of is TargetState.SIGNAL:
        return _of_signal(records, symbol, at_ns, made["signals"][place], common)
    if state_of is TargetState.REFUSED:
        return _refused_again(records, symbol, at_ns, made, made["reasons"][place], common)
    if state_of is TargetState.PAUSE:
        return _paused(records, symbol, at_ns, made, common)
    if state_of is TargetState.HELD:
        return _not(symbol, at_ns, state_of.value, _held(records, symbol, at_ns, made), **common)
    if state_of is TargetState.WARM_UP:
        return _not(symbol, at_ns, state_of.value, _warming(made, symbol), ("More bars of it.",), **common)
    if state_of is TargetState.SMALL:
        return _small(symbol, at_ns, told, common)
    if state_of is TargetState.NEAR_HALF:
        return _near_half(records, symbol, at_ns, made, told, common)
    if state_of is TargetState.STOPPED_OUT:
        return _not(symbol, at_ns, state_of.value, _stopped(records, symbol, at_ns), (
            f"The score: below {ENTER_AT:g} in size, or of the other sign.",
        ), **common)
    return _not(symbol, at_ns, state_of.value, _sentence(symbol, made, state_words(state_of)), **common)


def _not(symbol: str, at_ns: int, state: str, summary: str, advice: tuple[str, ...] = (), **more: Any) -> WhyNot:
    return WhyNot(symbol=symbol, at=iso(at_ns), state=state, summary=summary, what_to_change=advice, **more)


def _known_symbol(records: RunRecords, symbol: str, at_ns: int) -> str:
    started = records.last("run.started", at_ns) or records.first("run.started", 0)
    if started is None:
        raise StateError(f"--state {records.state}: its journal holds no run yet")
    known: list[str] = started["symbols"]
    wanted = symbol.strip().upper()
    if wanted not in known:
        near = [one for one in known if wanted and one.startswith(wanted)]  # BTC for BTCUSDT
        near = near or difflib.get_close_matches(wanted, known, 1, _ALIKE)
        hint = f"did you mean {near[0]}?" if near else f"it trades {', '.join(known[:20])}"
        raise InputError(f"SYMBOL = {brief(symbol)}: is not traded by this run; {hint}")
    return wanted


def _halts_at(records: RunRecords, at_ns: int) -> tuple[str, ...]:
    """What kept new positions from being opened at *at_ns*, or made them smaller."""
    held: dict[str, str] = {}
    for kind, data in records.halts(at_ns):
        if kind == "health.changed":
            held.pop("connection", None)
            if not data["connected"]:
                held["connection"] = f"not connected to the exchange: {data['reason']}"
        elif kind == "halt.cleared" and data.get("level") in ("", "NORMAL"):
            held.pop(data["kind"], None)
        else:
            held[data["kind"]] = f"{words(data['kind'])}: {data['reason']}"
    return tuple(held.values())


def _before_a_decision(records: RunRecords, symbol: str, at_ns: int, halts: tuple[str, ...]) -> WhyNot:
    later = records.first("models.decided", at_ns)
    if later is not None:
        said = f"No decision of the models was there yet: their first bar was complete at {iso(later['ts_ns'])}."
        return _not(symbol, at_ns, "NO_DECISION", said, halts=halts)
    signal = records.last("signal.decided", at_ns, symbol)
    if signal is not None:
        return _of_signal(records, symbol, at_ns, signal["signal_id"], {"halts": halts})
    return _not(symbol, at_ns, "NOT_RECORDED", (
        f"{symbol} had no signal up to {iso(at_ns)}. The journal {_OLD} what the models say where no signal comes of "
        "it."
    ), halts=halts)


def _forecast(made: Mapping[str, Any], place: int) -> ForecastSaid:
    def figure(name: str) -> float | None:
        return made[name][place] if made[name] else None

    return ForecastSaid(
        decided=iso(made["ts_ns"]), model=made["model"], score=figure("scores"), expected_bps=figure("expected_bps"),
        error_bps=figure("error_bps"), cost_bps=figure("cost_bps"), confidence=figure("confidences"),
        outside_scores=made["outside_scores"][place] if made.get("outside_scores") else "",
    )


def _sentence(symbol: str, made: Mapping[str, Any], said: str) -> str:
    return f"{symbol} had no signal at the decision of {iso(made['ts_ns'])}: {said}."


def _of_signal(
    records: RunRecords, symbol: str, at_ns: int, signal_id: str, common: Mapping[str, Any]
) -> WhyNot:
    """The signal of that decision: what refused it, or that it was traded."""
    found = _explained(records, records.of_trace(ids.signal_trace_id(_number(signal_id))))
    told = found.explanation
    if found.recorded_reason:
        advice = (*told.what_to_change, told.then) if told.then else told.what_to_change
        return _not(symbol, at_ns, TargetState.SIGNAL.value, told.summary, advice, signal=found, **common)
    said = f"{symbol} was traded: signal {signal_id} of {found.time} was let through."
    return _not(symbol, at_ns, TargetState.SIGNAL.value, said, signal=found, **common)


def _refused_again(
    records: RunRecords, symbol: str, at_ns: int, made: Mapping[str, Any], reason: str, common: Mapping[str, Any]
) -> WhyNot:
    """A target that meets the refusal that its last signal met."""
    signal = records.last("signal.decided", at_ns, symbol)
    said = _sentence(symbol, made, f"its target is still refused ({words(reason)}), and is no new signal")
    if signal is None or signal["reason"] != reason:
        return _not(symbol, at_ns, TargetState.REFUSED.value, said, **common)
    return _with_last(records, symbol, at_ns, TargetState.REFUSED, said, signal["signal_id"], common)


def _paused(
    records: RunRecords, symbol: str, at_ns: int, made: Mapping[str, Any], common: Mapping[str, Any]
) -> WhyNot:
    """A direction that was a signal lately: what became of that one."""
    said = _sentence(symbol, made, state_words(TargetState.PAUSE))
    signal = records.last("signal.decided", at_ns, symbol)
    if signal is None:
        return _not(symbol, at_ns, TargetState.PAUSE.value, said, **common)
    return _with_last(records, symbol, at_ns, TargetState.PAUSE, said, signal["signal_id"], common)


def _with_last(
    records: RunRecords, symbol: str, at_ns: int, state: TargetState, said: str, signal_id: str,
    common: Mapping[str, Any],
) -> WhyNot:
    """*said*, and what became of the symbol's last signal."""
    found = _explained(records, records.of_trace(ids.signal_trace_id(_number(signal_id))))
    told = found.explanation
    return _not(
        symbol, at_ns, state.value,
        f"{said} When it was last a signal ({found.signal_id}, {found.time}): {told.summary}",
        told.what_to_change if found.recorded_reason else (), signal=found,
        as_of=found.time if found.recorded_reason else "", **common,
    )


def _held(records: RunRecords, symbol: str, at_ns: int, made: Mapping[str, Any]) -> str:
    trade = records.trade_around(symbol, at_ns)
    if trade is not None:
        since = f"{trade['side']} since {iso(trade['entry_ns'])}, until {iso(trade['exit_ns'])}"
    else:
        since = "in a position that was still open when the recording ended, or that this run took over"
    return _sentence(symbol, made, f"what the models want was held already ({since})")


def _warming(made: Mapping[str, Any], symbol: str) -> str:
    lacks = [msgspec.convert(one, Lack) for one in made["lacks"] if one["symbol"] == symbol]
    said = lack_words(lacks, {one.model: 1 for one in lacks})
    return _sentence(symbol, made, f"its models are still warming up ({said})")


def _small(symbol: str, at_ns: int, told: ForecastSaid, common: Mapping[str, Any]) -> WhyNot:
    score = told.score or 0.0
    said = (
        f"{symbol} had no signal at the decision of {told.decided}: the combined score was {score:+.2f} of its usual "
        f"size, and from flat one of {ENTER_AT:g} in either direction is needed."
    )
    advice = f"score: at least {ENTER_AT:g} or at most -{ENTER_AT:g} instead of {score:+.2f}"
    return _not(symbol, at_ns, TargetState.SMALL.value, said, (advice,), **common)


def _near_half(
    records: RunRecords, symbol: str, at_ns: int, made: Mapping[str, Any], told: ForecastSaid,
    common: Mapping[str, Any],
) -> WhyNot:
    """The intraday ensemble's probability of a direction beside the one that a signal needs."""
    state, said = TargetState.NEAR_HALF, state_words(TargetState.NEAR_HALF)
    needed = _signal_settings(records, at_ns)
    if needed is None or told.confidence is None:
        return _not(symbol, at_ns, state.value, _sentence(symbol, made, said), **common)
    said += f": it was {told.confidence:.3f} for the likelier direction, and a signal needs {needed.edge:g}"
    advice = f"probability of the likelier direction: at least {needed.edge:g} instead of {told.confidence:.3f}"
    return _not(symbol, at_ns, state.value, _sentence(symbol, made, said), (advice,), **common)


def _signal_settings(records: RunRecords, at_ns: int) -> SignalSettings | None:
    """The settings of the ensemble that were in force; None where they cannot be read."""
    started = records.last("run.started", at_ns)
    try:
        return msgspec.convert(started["effective"]["signals"], SignalSettings)  # type: ignore[index]
    except (TypeError, KeyError, msgspec.ValidationError, ConfigError):
        return None


def _stopped(records: RunRecords, symbol: str, at_ns: int) -> str:
    trade = records.last("trade.closed", at_ns, symbol)
    when = f" at {iso(trade['exit_ns'])} ({words(trade['exit_reason'])})" if trade is not None else ""
    return (
        f"{symbol} had no signal: its position was closed{when}, and the models still want the same direction. After a "
        "stop a symbol waits until the score has been small or has changed its sign."
    )
