"""How fast models of signals are trained and scored, beside XGBoost alone.

Training: a daily training on 200,000 samples of 64 features (samples, folds, both learners, baselines, calibration,
importance, scores with intervals, models on disk) beside the booster alone, fitted on the same samples as often as the
walk-forward fits it, with the same settings. A second figure is beside one fit on all samples.

Scoring: 500 trees on the rows of 222 symbols, from a row of features to margins, beside the booster's own fastest way
(``inplace_predict``), on one thread and on two. Both give the same bits.

Needs the extra `learn`; without it a line says that these figures are skipped.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Figure, bench, fastest_in_turns, median_us_in_turns, seconds

SAMPLES, FEATURES = 200_000, 64
SYMBOLS, TREES, DEPTH = 222, 500, 6
TRAINING_AT_MOST, SCORING_AT_MOST = 2.0, 0.5
SCORING_CALLS = 400


def has_learning() -> bool:
    """Whether the libraries that train are there; a line on standard error where they are not."""
    missing = [name for name in ("xgboost", "sklearn") if find_spec(name) is None]
    if missing:
        print(f"learning: {' and '.join(missing)} missing, skipped: pip install 'quantum-trader[learn]'",
              file=sys.stderr)
    return not missing


def made_samples() -> Any:
    """200,000 samples of 64 features over four years of four symbols, whose label has a weak signal."""
    from quantum_trader.domain.clock import NS_PER_HOUR
    from quantum_trader.lab.learning.training_table import SampleTable, sample_weights

    rng = np.random.default_rng(5)
    rows = rng.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.02] = np.nan
    odds = 0.3 * np.nan_to_num(rows[:, 0]) + 0.2 * np.nan_to_num(rows[:, 1]) ** 2
    labels = (rng.random(SAMPLES) < 1.0 / (1.0 + np.exp(-odds.astype(np.float64)))).astype(np.int64)
    starts = np.arange(SAMPLES, dtype=np.int64) // 4 * NS_PER_HOUR
    ends = starts + rng.integers(1, 24, SAMPLES) * NS_PER_HOUR
    net: Any = 0.01 * (labels - 0.5)
    return SampleTable(
        names=tuple(f"feature_{number}" for number in range(FEATURES)), rows=rows, labels=labels, starts_ns=starts,
        ends_ns=ends, known_ns=starts, net_returns=net, net_against=-net,
        weights=sample_weights(starts, ends, NS_PER_HOUR), symbol=np.arange(SAMPLES, dtype=np.int64) % 4,
        symbols=("A", "B", "C", "D"), sides=np.ones(SAMPLES, dtype=np.int64), source="made up",
    )


def daily_training(table: Any, folder: Path) -> float:
    """Seconds of a whole training into *folder*."""
    from quantum_trader.lab.learning.learning_run import LearningPlan, train_models
    from quantum_trader.lab.learning.learning_settings import LearningSettings
    from quantum_trader.lab.learning.trainer import LearningOptions
    from quantum_trader.models.learned.artefact import META_LABEL
    from quantum_trader.models.learned.feature_list import names_hash

    shutil.rmtree(folder, ignore_errors=True)
    plan = LearningPlan(
        kind=META_LABEL, name="bench", settings=LearningSettings(), facts={}, features_hash=names_hash(table.names),
        data_hash="bench", recompute=lambda row: np.asarray(table.rows[row], dtype=np.float64),
    )
    options = LearningOptions(look=lambda look: None, stop=lambda: False)
    return seconds(lambda: train_models(folder, table, plan, options, lambda line: None, time.time_ns))


def booster_alone(table: Any, parts: list[Any]) -> float:
    """Seconds of XGBoost alone: one fit for each of *parts*, places in the table."""
    import xgboost

    from quantum_trader.lab.learning.boosting import BoostingSettings

    settings, taken = BoostingSettings(), 0.0
    for part in parts:
        rows, labels, weights = table.rows[part], table.labels[part], table.weights[part]
        begun = time.perf_counter()
        data = xgboost.QuantileDMatrix(rows, labels, weight=weights, nthread=1, max_bin=settings.bins)
        xgboost.train(settings.parameters(len(part), 0, 1), data, settings.rounds)
        taken += time.perf_counter() - begun
    return taken


def fits_of(table: Any) -> list[Any]:
    """The places of each fit of a booster in a daily training: those of each fold, then all."""
    from quantum_trader.lab.learning.learning_settings import LearningSettings
    from quantum_trader.lab.learning.purged_folds import purged_walk_forward

    settings = LearningSettings()
    folds = purged_walk_forward(
        table.starts_ns, table.ends_ns, settings.folds, settings.embargo_ns, first_share=settings.first_share
    )
    return [*(fold.train for fold in folds), np.arange(SAMPLES, dtype=np.int64)]


@bench("learning_training")
def learning_training() -> Iterator[Figure]:
    """A daily training beside the booster alone."""
    if not has_learning():
        return
    table = made_samples()
    parts = fits_of(table)
    with tempfile.TemporaryDirectory() as place:
        taken = fastest_in_turns(
            2, lambda: daily_training(table, Path(place) / "out"), lambda: booster_alone(table, parts)
        )
    yield Figure(
        name="learning.daily_training", value=taken.value, unit="s", reference=taken.reference,
        reference_name="XGBoost alone, the same fits, s", at_most=TRAINING_AT_MOST,
    )
    yield Figure(
        name="learning.daily_training_of_one_fit", value=taken.value, unit="s",
        reference=booster_alone(table, parts[-1:]), reference_name="XGBoost alone, one fit on all samples, s",
    )


@bench("learning_scoring")
def learning_scoring() -> Iterator[Figure]:
    """Trees on the rows of all symbols beside the booster's own prediction."""
    if not has_learning():
        return
    from quantum_trader.lab.learning.boosting import BoostingSettings, booster_arrays, train_booster
    from quantum_trader.models.learned.trees import TreeEnsemble

    rng = np.random.default_rng(6)
    rows = rng.normal(size=(20_000, FEATURES)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) + rng.normal(size=len(rows)) > 0.0).astype(np.int64)
    settings = BoostingSettings(rounds=TREES, depth=DEPTH, least_weight=2.0)
    booster = train_booster(rows, labels, np.ones(len(rows)), settings, 1, 1)
    trees, now = TreeEnsemble(*_with_features(booster_arrays(booster))), rows[:SYMBOLS]
    for threads in (1, 2):
        booster.set_param({"nthread": threads})
        assert trees.margins(now).tobytes() == booster.inplace_predict(now, predict_type="margin").tobytes()
        taken = median_us_in_turns(
            SCORING_CALLS, lambda _: trees.margins(now), lambda _: booster.inplace_predict(now, predict_type="margin")
        )
        yield Figure(
            name=f"learning.scoring_{TREES}_trees_{SYMBOLS}_symbols_{threads}t", value=taken.value, unit="us",
            reference=taken.reference, reference_name=f"XGBoost's inplace_predict, {threads} threads, us",
            at_most=SCORING_AT_MOST,
        )


def _with_features(found: tuple[Any, float]) -> tuple[Any, int, float]:
    return found[0], FEATURES, found[1]
