"""The six gates in words: the limit of each, and how many of a run's signals they let through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.runs.results import GateFacts
from quantum_trader.domain.enums import Trend
from quantum_trader.models.gates import GATES, GateSettings, ModeLimits

GATE_COLUMNS: Final = ("Gate", "lets through", "unmeasured", "pass rate", "enforced", "refused")
REFUSED: Final = "GATE_"  # a reason begins with it where an enforced gate has refused
_SAID: Final = {"meta_label": "meta-label"}


def gate_name(gate: str) -> str:
    """*gate* as a person reads it."""
    return _SAID.get(gate, gate)


def limit_words(gate: str, settings: GateSettings, mode: str) -> str:
    """What *gate* lets through in *mode*, in words."""
    limits: ModeLimits = getattr(settings, mode)
    high = limits.margin_bps * settings.high_volatility_factor
    win = limits.min_win_probability
    made: Mapping[str, Callable[[], str]] = {
        "spread": lambda: f"at most {limits.max_spread_bps:g} bps",
        "volume": lambda: f"at least {limits.min_volume_ratio:g} of the 24 h mean",
        "regime": lambda: _regime_words(limits.regimes),
        "cost": lambda: f"return at least costs + {limits.margin_bps:g} bps ({high:g} in high volatility)",
        "confidence": lambda: f"at least {limits.min_confidence:g} (policy's where higher)",
        "meta_label": lambda: f"at least {win:g}" if win > 0.0 else "at least the payoff's break-even",
    }
    return made[gate]()


def _regime_words(regimes: tuple[str, ...]) -> str:
    known = [one.value for one in Trend]
    return "any regime" if set(known) <= set(regimes) else " or ".join(regimes)


def gates_section(facts: GateFacts | None) -> dict[str, Any] | None:
    """The gates of a run as plain values; None where they have judged no signal."""
    if facts is None or not facts.judged:
        return None
    return {
        "mode": facts.mode, "judged": facts.judged, "changed": facts.changes,
        "rows": [
            {
                "gate": gate, "limit": limit_words(gate, facts.settings, facts.mode),
                "enforced": gate in facts.settings.enforced, "passed": facts.passed[place],
                "unmeasured": facts.unmeasured[place], "pass_rate": _rate(facts, place),
                "refused": facts.refused.get(gate, 0),
            }
            for place, gate in enumerate(GATES)
        ],
    }


def _rate(facts: GateFacts, place: int) -> float | None:
    """The share of the measured signals that pass; None where none is measured."""
    measured = facts.judged - facts.unmeasured[place]
    return facts.passed[place] / measured if measured else None


def gates_title(section: Mapping[str, Any]) -> str:
    """What stands above the table."""
    return f"The six gates, mode {section['mode']}: what each lets through of {fmt.count(section['judged'])} signals"


def gates_note(section: Mapping[str, Any]) -> str:
    """What stands below the table."""
    changed = section["changed"]
    since = f" The gates changed {fmt.count(changed)} times; these are those of the end." if changed else ""
    return (
        "Every gate judges every signal. One that is not enforced refuses nothing; the pass rate is that of measured "
        "signals, and an enforced gate refuses the others. "
        "What the signals that a gate stops were worth stands in the table that follows, once shadow trades have "
        f"ended.{since}"
    )


def gate_cells(section: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows of the table."""
    return [
        (
            gate_name(row["gate"]), row["limit"], fmt.count(row["unmeasured"]), fmt.share(row["pass_rate"]),
            "yes" if row["enforced"] else "no", fmt.count(row["refused"]),
        )
        for row in section["rows"]
    ]


def gate_of_reason(reason: str) -> str:
    """The gate that a *reason* names; empty for another reason."""
    gate = reason.removeprefix(REFUSED).lower()
    return gate if reason.startswith(REFUSED) and gate in GATES else ""


def refusal_words(gate: str, facts: GateFacts) -> str:
    """What an enforced *gate* asks for, and how it lets signals through again, in a sentence."""
    return (
        f"The enforced gate {gate_name(gate)} lets through: {limit_words(gate, facts.settings, facts.mode)} (mode "
        f"{facts.mode}). `quantum-trader gates observe {gate} --state DIR`, or gates.enforced without it, lets the "
        "others through too."
    )
