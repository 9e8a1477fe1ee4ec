"""How long the explanation of one refusal takes, beside one evaluation of a decision.

An explanation is all of it: the sentence, every input's smallest change or the smallest joint one, each checked by
deciding again, the six gates and the policy's rules in words. One evaluation is a decision made once with every check
run: what the policy says by its rules where it is enforced, the checks before sizing, the six gates, sizing and guard,
of the signals that are let through. (A refused signal ends at its check, and takes a fraction of that.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, PolicySettings, RunSettings
from quantum_trader.engine.decision_inputs import DecisionInputs, decide_again, recorded_inputs
from quantum_trader.lab.explain import DecisionContext, explain_inputs
from quantum_trader.lab.explain.effects import settle
from quantum_trader.lab.explain.recorded import context_of
from quantum_trader.lab.explain.search import Decision
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile, profile_vector

TURNS = 15
BAR = 50.0
PROFILE = "SAFE"
Signal = tuple[DecisionInputs, DecisionContext]


def signals(**settings: Any) -> tuple[list[Signal], list[Signal]]:
    """The refused and the approved signals of a year of the bundled recording."""
    asked = RunSettings(
        data=DataSettings(start="2018-01-01", end="2019-01-01"), policy=PolicySettings(profile=PROFILE), **settings
    )
    records: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        run(asked, RunOptions(records=path))
        for line in path.read_bytes().splitlines():
            if b'"topic":"signal.' in line[:100]:
                record = msgspec.json.decode(line)
                records.setdefault(record["trace_id"], {})[record["topic"]] = record["data"]
    profile = tuple(profile_vector(load_profile(PROFILE)))
    found: tuple[list[Signal], list[Signal]] = ([], [])
    for one in records.values():
        signal = recorded_inputs(one["signal.inputs"]), context_of(one, profile)
        found[0 if one["signal.decided"]["reason"] else 1].append(signal)
    return found


def explaining(refused: Sequence[Signal]) -> float:
    """Seconds that the explanation of one refusal takes, mean over all."""
    return seconds(lambda: [explain_inputs(inputs, context) for inputs, context in refused]) / len(refused)


def deciding(approved: Sequence[Signal]) -> float:
    """Seconds that a decision with every check takes, mean over all."""
    return seconds(lambda: [decide_again(inputs) for inputs, _ in approved]) / len(approved)


def deciding_by_rules(approved: Sequence[Decision]) -> float:
    """The same with the policy's rules evaluated first."""

    def all_of_them() -> None:
        for decision in approved:
            settle(list(decision.row), decision.row, decision.profile)
            decide_again(decision.inputs)

    return seconds(all_of_them) / len(approved)


@bench("explain")
def explanations() -> Iterator[Figure]:
    """Refusals of the run that `make run` shows, and of one with the policy and most gates enforced."""
    refused, approved = signals()
    pair = fastest_in_turns(TURNS, lambda: explaining(refused), lambda: deciding(approved))
    yield Figure(
        name="explain: one refusal, policy observed", value=pair.value * 1e6, unit="µs", reference=pair.reference * 1e6,
        reference_name="one evaluation", at_most=BAR,
    )
    refused, approved = signals(
        rollout=OrchestratorIntegrationConfig.create_live_mode_full(),
        gates=GateSettings(mode="runner", enforced=("volume", "regime", "cost", "confidence")),
    )
    decisions = [Decision(*one) for one in approved]
    pair = fastest_in_turns(TURNS, lambda: explaining(refused), lambda: deciding_by_rules(decisions))
    yield Figure(
        name="explain: one refusal, policy and gates enforced", value=pair.value * 1e6, unit="µs",
        reference=pair.reference * 1e6, reference_name="one evaluation with the policy's rules", at_most=BAR,
    )
