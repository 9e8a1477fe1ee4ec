"""The pilot's part of a run's report: what it would have earned beside the signals, and whether luck explains that."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.runs.results import PilotFacts
from quantum_trader.domain.clock import iso
from quantum_trader.policy.pilot_evidence import BPS, PILOT_OVER_SIGNALS, verdict_on, weigh_pilot

_SENDS: Final = {
    "OFF": "it decides nothing", "SHADOW": "it sends nothing, its decisions are recorded and followed",
    "PRIMARY": "it alone opens positions", "HYBRID": "it opens positions where it is more confident than the signals",
}
_UNCHANGED: Final = ("NOTHING",)  # outcomes of decisions that leave everything as it is


def _moved(found: dict[str, Any]) -> int:
    """Decisions that asked for a change."""
    return Counter({word: count for word, count in found["outcomes"].items() if word not in _UNCHANGED}).total()


def pilot_section(facts: PilotFacts | None) -> dict[str, Any] | None:
    """The figures of a run's pilot; None where it had none. Results are percent of the run's first equity."""
    if facts is None:
        return None
    evidence = weigh_pilot(facts.days, facts.trades, model=facts.model)
    difference = evidence.result(PILOT_OVER_SIGNALS)
    low, high = difference.interval if difference.interval is not None else (None, None)
    pilot, signals, hybrid = facts.results
    return {
        "name": facts.name, "model": facts.model, "mode": facts.mode, "decisions": facts.decisions,
        "intents": facts.intents, "trades": evidence.trades, "mean_r": evidence.mean_r, "win_rate": evidence.win_rate,
        "exits": evidence.exits, "days": evidence.days, "pilot_pct": pilot * 100.0, "signals_pct": signals * 100.0,
        "hybrid_pct": hybrid * 100.0,
        "difference_bps": difference.mean * BPS if difference.mean is not None else None,
        "low_bps": low * BPS if low is not None else None, "high_bps": high * BPS if high is not None else None,
        "verdict": verdict_on(difference), "failed": facts.failed, "trained_until": iso(facts.trained_until_ns),
        "known_until_end": facts.known_until_end, "outcomes": facts.outcomes, "most_sure": facts.sure,
        "least_confidence": facts.least,
        "modes": [{"since": iso(ts_ns), "mode": mode, "why": why} for ts_ns, mode, why in facts.modes],
    }


def pilot_lines(found: dict[str, Any] | None) -> list[str]:
    """The same in sentences; none without a pilot."""
    if found is None:
        return []
    until = fmt.day(found["trained_until"])
    if found["known_until_end"]:
        return [
            f"Pilot {found['name']}: it was trained on bars until {until}, and this run has no later ones. On bars "
            "that it knows it would shine, so it decides nothing there."
        ]
    said = f"Pilot {found['name']}, an agent of reinforcement learning, in {found['mode']}: {_SENDS[found['mode']]}"
    lines = [
        f"{said}. It was trained on bars until {until} and decides on later ones.",
        f"{fmt.count(found['decisions'])} decisions, of which {fmt.count(_moved(found))} asked for a change; "
        f"{fmt.count(found['intents'])} intents sent. Its confidence that a position pays its cost was "
        f"{found['most_sure']:.2f} at most, and its settings ask for {found['least_confidence']:.2f}.",
    ]
    lines += [f"{row['mode']} since {fmt.day(row['since'])}: {row['why']}." for row in found["modes"][1:]]
    if found["trades"]:
        won = fmt.share(found["win_rate"], 0)
        lines.append(f"{fmt.count(found['trades'])} shadow trades, mean {fmt.multiple(found['mean_r'])}, {won} won.")
    if found["days"]:
        mean = f"pilot - signals {found['difference_bps']:+.2f} bp of equity a day"
        if found["low_bps"] is not None:
            mean += f", interval {found['low_bps']:+.2f} to {found['high_bps']:+.2f}"
        books = ", ".join(f"{name} {fmt.percent(found[f'{key}_pct'])}" for name, key in (
            ("pilot", "pilot"), ("signals", "signals"), ("hybrid", "hybrid"),
        ))
        lines.append(
            f"Shadow books on the same {fmt.count(found['days'])} days, each in positions of up to a fifth of the "
            f"equity a symbol: {books}; {mean}: {found['verdict']}. The account above holds other sizes; compare the "
            "books with each other only."
        )
    if found["failed"]:
        lines.append(f"The pilot failed and was not asked any more: {found['failed']}")
    return lines
