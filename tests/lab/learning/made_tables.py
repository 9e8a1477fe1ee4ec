"""Made-up samples for tests of training: a known signal, noise, or a feature that peeks."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.lab.learning.boosting import BoostingSettings
from quantum_trader.lab.learning.learning_run import LearningPlan
from quantum_trader.lab.learning.learning_settings import LearningSettings
from quantum_trader.lab.learning.linear_training import LinearSettings
from quantum_trader.lab.learning.trainer import LearningOptions
from quantum_trader.lab.learning.training_table import SampleTable, sample_weights
from quantum_trader.models.learned.artefact import META_LABEL, meta_features_hash

NAMES = ("signal", "curve", "noise_1", "noise_2", "noise_3", "gaps")
QUICK = LearningSettings(
    folds=4, embargo="6h", boosting=BoostingSettings(rounds=40, depth=3, learning_rate=0.15, least_weight=10.0, l2=1.0),
    linear=LinearSettings(l2=1.0), importance_rows=500, contribution_rows=200,
)


def made_table(seed: int = 1, count: int = 3_000, strength: float = 1.5, peek: float = 0.0) -> SampleTable:
    """Samples whose label follows ``signal`` and the square of ``curve``; *strength* 0: noise alone.

    With *peek* the feature noise_3 is the label, and as much noise beside it.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    rows[rng.random(count) < 0.4, -1] = np.nan
    odds = strength * (rows[:, 0] + 0.7 * (rows[:, 1] ** 2 - 1.0))
    labels = (rng.random(count) < 1.0 / (1.0 + np.exp(-odds.astype(np.float64)))).astype(np.int64)
    if peek:
        rows[:, 4] = labels + peek * rng.normal(size=count)
    starts = np.sort(rng.choice(300 * 24 * 60, count, replace=False)) * NS_PER_MINUTE
    ends = starts + rng.integers(1, 9, count) * NS_PER_HOUR
    return SampleTable(
        names=NAMES, rows=rows, labels=labels, starts_ns=starts, ends_ns=ends, known_ns=starts,
        net_returns=0.01 * (labels - 0.5), net_against=np.full(count, np.nan),
        weights=sample_weights(starts, ends, NS_PER_HOUR), symbol=rng.integers(0, 2, count),
        symbols=("BTCUSDT", "ETHUSDT"), sides=rng.choice((-1, 1), count), source="made",
    )


def made_plan(table: SampleTable, settings: LearningSettings = QUICK) -> LearningPlan:
    """A plan for *table*, whose features are those that were known."""
    digest = hashlib.sha256(table.rows.tobytes()).hexdigest()
    return LearningPlan(
        kind=META_LABEL, name="made", settings=settings, facts={}, features_hash=meta_features_hash(table.names),
        data_hash=digest, recompute=lambda row: table.rows[row].astype(np.float64),
    )


def options(**changes: Any) -> LearningOptions:
    """Options that show nothing and never stop."""
    return LearningOptions(look=lambda look: None, stop=lambda: False)._replace(**changes)
