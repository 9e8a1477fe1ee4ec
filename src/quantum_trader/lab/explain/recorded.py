"""What stands beside a recorded decision: the signal's features, its bonus, and the profile that was in force."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.explain.search import DecisionContext
from quantum_trader.policy.profiles import OrchestratorConfig, profile_vector


def context_of(found: Mapping[str, Mapping[str, Any]], profile: tuple[float, ...] = ()) -> DecisionContext:
    """What belongs to a decision, from the records of its trace by kind."""
    judged, generated = found.get("signal.judged", {}), found.get("signal.generated", {})
    sure, raw = found["signal.inputs"]["confidence"], generated.get("confidence")
    features = {key: math.nan if value is None else value for key, value in judged.get("features", {}).items()}
    return DecisionContext(
        profile=profile, features=features, bonus=max(0.0, sure - raw) if raw is not None else 0.0,
        mode=judged.get("mode", ""), regime=judged.get("regime", ""),
    )


def recorded_profile(started: Mapping[str, Any] | None) -> tuple[float, ...]:
    """The profile of the record *started* of a run's start, as numbers; empty where it cannot be read."""
    try:
        return tuple(profile_vector(msgspec.convert(started["effective"]["profile"], OrchestratorConfig)))  # type: ignore[index]
    except (TypeError, KeyError, msgspec.ValidationError, ConfigError):
        return ()
