"""Evidence of models on made-up samples, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import ModelEvidence, sample_keys
from quantum_trader.lab.learning.leakage_checks import LEAKAGE_CHECKS

SPAN_NS = 200 * NS_PER_DAY


def made_samples(seed: int, count: int = 3_000, strength: float = 1.2) -> dict[str, Any]:
    """Labels that follow a score of *strength* (0: noise), spread over 200 days with lives of up to 8 hours."""
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, SPAN_NS, count)).astype(np.int64)
    score = rng.normal(size=count)
    labels = (rng.random(count) < sigmoid(strength * score)).astype(float)
    return {
        "score": score, "labels": labels, "starts_ns": starts,
        "ends_ns": starts + rng.integers(1, 8, count) * NS_PER_HOUR,
    }


def made_evidence(model_id: str, samples: dict[str, Any], probabilities: np.ndarray, **changes: Any) -> ModelEvidence:
    """Evidence of a model that gave *probabilities* for *samples*."""
    count = len(probabilities)
    facts: dict[str, Any] = {
        "model_id": model_id, "created_ns": SPAN_NS, "data_from_ns": 0, "data_until_ns": SPAN_NS,
        "features_hash": "f" * 64, "keys": sample_keys(["BTCUSDT"] * count, samples["starts_ns"], np.ones(count)),
        "probabilities": probabilities, "labels": samples["labels"], "starts_ns": samples["starts_ns"],
        "ends_ns": samples["ends_ns"], "weights": np.ones(count), "leakage_checks": LEAKAGE_CHECKS,
    }
    return ModelEvidence(**(facts | changes))
