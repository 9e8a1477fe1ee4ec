"""Samples of a meta-label from signals with results: which of them count, and that a known dependence is learned."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.lab.learning.made_tables import QUICK, made_plan, options
from tests.lab.shadows.made_signals import HOURS_OPEN, START_NS, made_signals

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.learning.learning_run import train_models
from quantum_trader.lab.learning.meta_label_samples import known_until, samples_of
from quantum_trader.lab.learning.training_table import sample_weights
from quantum_trader.lab.shadows.meta_labels import meta_label_rows
from quantum_trader.models.entry_features import ENTRY_FEATURES
from quantum_trader.models.learned.meta_label import load_meta_label


def test_a_signal_counts_when_its_result_and_all_before_it_are_known() -> None:
    """Of signals each two hours whose trades last 12: those whose end is past; a quick one behind an open one waits."""
    table = meta_label_rows(made_signals(100, 3))
    until = START_NS + 50 * NS_PER_HOUR

    first = known_until(table, until, None)

    assert first.tolist() == list(range((50 - HOURS_OPEN) // 2 + 1))
    ends = table.ends_ns.copy()
    ends[30] = table.starts_ns[30] + 1
    ends[10] = table.starts_ns[10] + 100 * NS_PER_HOUR
    slow = msgspec.structs.replace(table, ends_ns=ends)
    assert known_until(slow, until, None).tolist() == list(range(10))
    assert known_until(slow, 10**19, None).tolist() == list(range(100))
    assert known_until(slow, until, ("ETHUSDT",)).tolist() == [1, 3, 5, 7, 9]


def test_samples_are_the_signals_with_their_results() -> None:
    """Features, label, net result, side and span of each; a short signal bets on the other side."""
    table = meta_label_rows(made_signals(60, 4))

    samples = samples_of(table, np.arange(60), "made")

    assert samples.names == ENTRY_FEATURES
    assert samples.labels.tolist() == (table.net_bps > 0.0).astype(int).tolist()
    assert samples.net_returns == pytest.approx(table.net_bps / 1e4)
    assert np.isnan(samples.net_against).all(), "a signal that is not taken has no opposite"
    assert (samples.sides < 0).tolist() == (table.rows[:, ENTRY_FEATURES.index("sign")] < 0.0).tolist()
    assert samples.known_ns.tolist() == table.known_ns.tolist()


def test_what_confidence_says_of_the_result_is_learned(tmp_path: Path) -> None:
    """Signals whose result grows with their confidence: it is the first feature, and the probability rises with it."""
    pytest.importorskip("xgboost")
    pytest.importorskip("sklearn")
    signals = made_signals(3_000, 5, gain_per_confidence=1_500.0)
    features = signals.features.copy()
    features[:, ENTRY_FEATURES.index("confidence")] = signals.confidence
    table = meta_label_rows(msgspec.structs.replace(signals, features=features))
    samples = samples_of(table, np.arange(3_000), "made")
    samples = msgspec.structs.replace(
        samples, weights=sample_weights(samples.starts_ns, samples.ends_ns, NS_PER_HOUR)
    )

    document = train_models(
        tmp_path, samples, made_plan(samples, msgspec.structs.replace(QUICK, embargo="24h")), options(),
        lambda line: None, lambda: 5,
    )

    assert document is not None
    for one in document.models:
        assert one.importance[0].name == "confidence"
        assert one.result.together.scores.auc.low > 0.55
        label = load_meta_label(tmp_path / one.folder)
        row = dict.fromkeys(ENTRY_FEATURES, 0.0)
        low, high = (label.probability(row | {"confidence": value}) for value in (0.52, 0.68))
        assert high > low + 0.1
