"""What the models of a session still lack, and since when they have given no signal, as status and plan show it.

The process that runs the models writes this beside its figures and into each checkpoint, so that who reads a state
folder runs no user's code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quantum_trader.app.report.words import words
from quantum_trader.app.runs.model_facts import least_equity
from quantum_trader.domain.clock import iso
from quantum_trader.engine.core import Engine
from quantum_trader.engine.model_records import TargetState, ensemble_lacks, target_state
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts, Lack
from quantum_trader.models.loading import INTRADAY
from quantum_trader.models.outside_scores import source_taken

_MOST_SYMBOLS: Final = 6  # named in one place
_STATE_WORDS: Final = {
    TargetState.SIGNAL: "a signal was given",
    TargetState.HELD: "the target is held",
    TargetState.NO_BAR: "the symbol had no bar",
    TargetState.WARM_UP: "the models are warming up",
    TargetState.NO_VIEW: "the models have no view",
    TargetState.STOPPED_OUT: "stopped out, until the score turns",
    TargetState.SMALL: f"the score is between -{fc.ENTER_AT:g} and {fc.ENTER_AT:g}",
    TargetState.WAITS: "the target waits for its next bar",
    TargetState.LATE: "the bars came too late to open anything",
    TargetState.FAILED: "a model has failed",
    TargetState.CALIBRATING: "the calibration knows too few outcomes",
    TargetState.NEAR_HALF: "the probability is too near one half",
    TargetState.PAUSE: "the pause after the last signal in this direction is not over",
}


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a session: the symbols it is for, and what it lacks for those that it gives no score yet."""

    name: str
    symbols: tuple[str, ...]
    lacks: tuple[Lack, ...] = ()
    scores_of: str | None = None  # whose scores from outside it takes; empty: any source's; None: it takes none


class ModelsState(msgspec.Struct, frozen=True, kw_only=True):
    """The models of a session at its newest bar."""

    models: tuple[ModelLine, ...]
    failed_ns: int = 0  # close of the first bar since which a model has failed; 0: none does
    last_signal_ns: int = 0  # 0: none yet
    silent_since_ns: int = 0  # the last signal, or the start where there was none; 0: it has not begun
    silence: str = ""  # why the newest bars gave no signal; empty: they gave one
    equity: float = 0.0  # USDT
    least_equity: tuple[tuple[str, float], ...] = ()  # symbol, USDT, where known; see model_facts.least_equity


def models_state(engine: Engine, began_ns: int) -> ModelsState:
    """What *engine*'s models lack, and since when there has been no signal; *began_ns* is when the session began."""
    last_ns, forecasts = engine.records.tally.last_signal_ns, engine.market.forecasts
    if forecasts is None:
        lines, silence = _intraday(engine)
        failed_ns = 0
    else:
        found = forecasts.lacks()
        lines = tuple(
            ModelLine(
                name=loaded.name, symbols=forecasts.symbols_of(loaded),
                lacks=tuple(one for one in found if one.model == loaded.name), scores_of=source_taken(loaded.model),
            )
            for loaded in forecasts.models
        )
        silence, failed_ns = _silence(engine, forecasts, lines), forecasts.failed_ns
    return ModelsState(
        models=lines, failed_ns=failed_ns, last_signal_ns=last_ns, silent_since_ns=last_ns or began_ns,
        silence=silence, equity=float(engine.account.equity),
        least_equity=tuple((symbol, usdt) for symbol, usdt in least_equity(engine) if math.isfinite(usdt)),
    )


def _intraday(engine: Engine) -> tuple[tuple[ModelLine, ...], str]:
    """The compiled ensemble's line, and why its newest decisions gave no signal."""
    known, symbols = engine.market.kernel.warm_up(), tuple(engine.symbols)
    lacks = ensemble_lacks(known, symbols)
    line = ModelLine(name=INTRADAY, symbols=symbols, lacks=lacks)
    if engine.records.tally.last_signal_ns >= engine.market.now_ns > 0:
        return (line,), ""
    if len(lacks) == len(symbols):
        return (line,), "its models are warming up"
    if known.outcomes < known.outcomes_needed:
        return (line,), (
            f"its calibration knows {known.outcomes:.1f} of {known.outcomes_needed:g} independent outcomes"
        )
    return (line,), "no probability is far enough from one half, or the pause after the last signal is not over"


def _silence(engine: Engine, forecasts: Forecasts, lines: Sequence[ModelLine]) -> str:
    """Why the newest bars of the models gave no signal; empty where they gave one."""
    if forecasts.failed_ns:
        return (
            f"a model has failed since the bar that closed {iso(forecasts.failed_ns)[:16]}Z: targets of before are not "
            "traded, open positions keep their stops"
        )
    decided_ns = forecasts.history.next_ns
    if not decided_ns:
        return "no bar of theirs is complete yet"
    if engine.records.tally.last_signal_ns >= decided_ns:
        return ""
    if all(len(line.lacks) == len(line.symbols) for line in lines):
        return "the models are warming up"
    if engine.market.is_past:
        return "the newest bars came too late to open anything"
    why: dict[str, list[str]] = {}
    warming = set(forecasts.symbols).difference(*(_warm(line) for line in lines))
    for index, symbol in enumerate(forecasts.symbols):
        reason = "warming up" if symbol in warming else _why(engine, forecasts, index, symbol)
        why.setdefault(reason, []).append(symbol)
    if len(why) == 1:
        return next(iter(why))
    return "; ".join(f"{reason} ({_listed(symbols)})" for reason, symbols in why.items())


def _warm(line: ModelLine) -> set[str]:
    return set(line.symbols) - {one.symbol for one in line.lacks}


def _why(engine: Engine, forecasts: Forecasts, index: int, symbol: str) -> str:
    """Why a symbol whose models are warm gives no signal."""
    targets = engine.opening.targets
    state = target_state(engine.market, engine.account, targets, index, symbol)
    return state_words(state, targets.refusal(index))


def state_words(state: TargetState, refusal: str = "") -> str:
    """What became of a target, in words; *refusal* is the reason where it was refused."""
    if state is TargetState.REFUSED:
        return f"the target is still refused: {words(refusal)}"
    return _STATE_WORDS[state]


def lack_words(lacks: Iterable[Lack], symbols: Mapping[str, int]) -> str:
    """What each model lacks, as "MyTrend: 212 of 365 days"; by symbol where not all of its symbols lack the same.

    *symbols* holds how many symbols each model is for, by its name.
    """
    found: dict[str, dict[tuple[int, int, str], list[str]]] = {}
    for one in lacks:
        groups = found.setdefault(one.model, {})
        groups.setdefault((one.bars, one.needed, one.interval), []).append(one.symbol)
    said = []
    for name, groups in found.items():
        parts: list[str] = []
        for (bars, needed, interval), names in groups.items():
            unit = "days" if interval == "1d" else f"bars of {interval}"
            whose = "" if len(names) == symbols.get(name) else f" ({_listed(names)})"
            parts.append(f"{bars} of {needed} {unit}{whose}" if not parts else f"{bars}{whose}")
        said.append(f"{name}: {', '.join(parts)}")
    return "; ".join(said)


def _listed(symbols: Sequence[str]) -> str:
    """*symbols* with commas; of many the first ones, and how many more there are."""
    if len(symbols) <= _MOST_SYMBOLS:
        return ", ".join(symbols)
    return f"{', '.join(symbols[:_MOST_SYMBOLS - 1])} and {len(symbols) - _MOST_SYMBOLS + 1} more"


def lacks_of(state: ModelsState) -> str:
    """What the models of *state* lack, in words; empty where all are warm."""
    lacks = [one for line in state.models for one in line.lacks]
    return lack_words(lacks, {line.name: len(line.symbols) for line in state.models})


def silence_words(state: ModelsState) -> str:
    """Since when there has been no signal, and why, as "since the start (2018-06-01T00:00Z): warming up"."""
    when = f"{iso(state.silent_since_ns)[:16]}Z"
    since = f"since {when}" if state.last_signal_ns else f"since the start ({when})"
    return f"{since if state.silent_since_ns else 'yet'}: {state.silence}"


def models_lines(state: ModelsState) -> list[str]:
    """The models of a session as lines of text: what they lack, and since when there has been no signal."""
    lacks = lacks_of(state)
    names = ", ".join(line.name for line in state.models)
    lines = [f"models       {f'still lacking: {lacks}' if lacks else f'{names}: warm'}"]
    if state.silence:
        lines.append(f"signals      none {silence_words(state)}")
    elif state.last_signal_ns:
        lines.append(f"signals      the last {iso(state.last_signal_ns)[:16]}Z")
    if said := too_small_words(state):
        lines.append(f"too small    {said}")
    return lines


def too_small_words(state: ModelsState) -> str:
    """Which symbols cannot be traded with the equity, and from which equity on they can; empty where all can."""
    short = [f"{symbol} (from {usdt:,.0f} USDT on)" for symbol, usdt in state.least_equity if usdt > state.equity]
    if not short:
        return ""
    return (
        f"an equity of {state.equity:,.0f} USDT cannot trade {', '.join(short)}: the position of a score of 1 is below "
        "the venue's least order"
    )


def saved_models(saved: Mapping[str, Any] | None) -> ModelsState | None:
    """The state of the models in a checkpoint; None where it holds none."""
    raw = (saved or {}).get("models") or ((saved or {}).get("more") or {}).get("models")
    return msgspec.convert(raw, ModelsState) if raw else None
