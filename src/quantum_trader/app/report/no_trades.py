"""Why a run has closed no trade, and what would change that, in sentences."""

from __future__ import annotations

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.gates import gate_of_reason, refusal_words
from quantum_trader.app.runs.model_state import ModelsState, lacks_of, silence_words
from quantum_trader.app.runs.results import RunFacts

_RANGE = "Another range (--from, --to) would change it"


def why_no_trades(facts: RunFacts) -> str:
    """Why no trade was closed, and what would change it; empty where there are trades."""
    if facts.trades:
        return ""
    if not facts.signals:
        return f"No trade was closed, since there was no signal{_because(facts.models_at_end)}. {_more_signals(facts)}"
    if facts.positions:
        held = len(facts.positions)
        return f"No trade was closed: {held} position{'s' * (held > 1)} opened, and open at the end. {_RANGE}."
    if facts.refusals:
        (reason, found), *others = sorted(facts.refusals.items(), key=lambda item: -item[1])
        second = f", and {fmt.count(others[0][1])} for this: {fmt.words(others[0][0])}" if others else ""
        return (
            f"No trade was closed: of {fmt.count(facts.signals)} signals {fmt.count(found)} were not traded for this "
            f"reason: {fmt.words(reason)}{second}. "
            + " ".join(dict.fromkeys(_let_through(facts, one) for one, _ in [(reason, found), *others[:1]]))
        )
    return f"No trade was closed: no order of the {fmt.count(facts.signals)} signals was filled. {_RANGE}."


def silence_sentence(state: ModelsState | None) -> str:
    """Since when there has been no signal at the end, and why; empty where the newest bars gave one."""
    said = silence_words(state) if state is not None and state.silence else ""
    return f"No signal {said}." if said else ""


def _because(state: ModelsState | None) -> str:
    return f": {state.silence}" if state is not None and state.silence else ""


def _more_signals(facts: RunFacts) -> str:
    """What would give a run signals that had none."""
    if facts.models_at_end is not None and (lacks := lacks_of(facts.models_at_end)):
        return f"More bars would change it ({lacks}). Those from before --from count, where --data has them."
    if facts.models is None:
        return f"{_RANGE}, and so would more bars before it, which its calibration learns from."
    return f"{_RANGE}, and so may other parameters: `quantum-trader sweep --grid` tries them."


def _let_through(facts: RunFacts, reason: str) -> str:
    """What would let signals through that *reason* has stopped."""
    if (gate := gate_of_reason(reason)) and facts.gates is not None:
        return refusal_words(gate, facts.gates)
    if reason == "LOW_CONFIDENCE" and facts.models is not None:
        found = facts.models.combined
        if found is not None and found.confidence >= found.threshold:
            return (
                "The confidence beside the model is that of the end, at a score of 1; at these signals it was below "
                "the threshold. --ungated trades every target, to compare."
            )
        return "What its confidence lacks stands beside the model; --ungated trades every target, to compare."
    if reason == "BELOW_MINIMUM_SIZE" and facts.models is not None and facts.models.least_equity:
        return "More equity (--equity) would change it; the least for each symbol stands beside the model."
    if reason == "LOW_CONFIDENCE":
        return "A lower threshold (another --profile, or rollout.fixed_confidence) would change it."
    return "What the limits are is in the settings: `quantum-trader config show`."
