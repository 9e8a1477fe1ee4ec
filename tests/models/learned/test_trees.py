"""Trees as arrays: equal to XGBoost's own margins to the bit, and refused where they are no trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.learned.made_models import random_trees

from quantum_trader.domain.errors import InputError
from quantum_trader.models.learned.trees import LEAF, TreeArrays, TreeEnsemble


def walked(arrays: TreeArrays, row: np.ndarray, base: float) -> np.float32:
    """The margin of *row* by the definition: node by node, tree by tree, in single precision."""
    total = np.float32(base)
    for root in arrays.first[:-1]:
        node = int(root)
        while arrays.feature[node] != LEAF:
            value = row[arrays.feature[node]]
            left = bool(arrays.missing_left[node]) if np.isnan(value) else value < arrays.threshold[node]
            node = int(arrays.left[node]) + (0 if left else 1)
        total = np.float32(total + arrays.threshold[node])
    return total


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_a_margin_is_the_sum_of_the_leaves_in_the_order_of_the_trees(seed: int, rows: int) -> None:
    """To the bit, for any number of rows beside the block size, values missing at random."""
    rng = np.random.default_rng(seed)
    arrays = random_trees(seed, 5, trees=int(rng.integers(1, 30)), depth=int(rng.integers(1, 7)))
    given_rows = rng.normal(size=(rows, 5)).astype(np.float32)
    given_rows[rng.random(given_rows.shape) < 0.3] = np.nan

    found = TreeEnsemble(arrays, 5, 0.125).margins(given_rows)

    assert found.tobytes() == np.array([walked(arrays, row, 0.125) for row in given_rows]).tobytes()


def test_an_infinite_value_counts_as_missing_and_a_value_at_the_threshold_goes_right() -> None:
    """One split at 1.0 whose missing values go left: 1.0 goes right; NaN and both infinities go left."""
    arrays = TreeArrays(
        first=np.array([0, 3]), feature=np.array([0, LEAF, LEAF], dtype=np.int32),
        threshold=np.array([1.0, 10.0, 20.0], dtype=np.float32), left=np.array([1, 0, 0], dtype=np.int32),
        missing_left=np.array([1, 0, 0], dtype=np.uint8),
    )
    rows = np.array([[0.5], [1.0], [np.nan], [np.inf], [-np.inf]])

    assert TreeEnsemble(arrays, 1, 0.0).margins(rows).tolist() == [10.0, 20.0, 10.0, 10.0, 10.0]


@pytest.mark.parametrize("depth", [1, 4, 6])
def test_margins_equal_those_of_the_booster_to_the_bit(depth: int) -> None:
    """On 100,000 rows of which a tenth of the values is missing; XGBoost predicts on one thread and on two."""
    xgboost = pytest.importorskip("xgboost")
    from quantum_trader.lab.learning.boosting import BoostingSettings, booster_arrays, train_booster

    rng = np.random.default_rng(depth)
    rows = rng.normal(size=(100_000, 12)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(rows[:, 0]) + rng.normal(size=len(rows)) > 0.3).astype(np.int64)
    settings = BoostingSettings(rounds=120, depth=depth, learning_rate=0.2, least_weight=1.0, l2=1.0)
    booster = train_booster(rows[:20_000], labels[:20_000], np.ones(20_000), settings, 3, 1)
    arrays, base_margin = booster_arrays(booster)

    mine = TreeEnsemble(arrays, rows.shape[1], base_margin).margins(rows)

    for threads in (1, 2):
        booster.set_param({"nthread": threads})
        theirs = booster.predict(xgboost.DMatrix(rows), output_margin=True)
        assert mine.tobytes() == theirs.tobytes()
    assert len(np.unique(mine)) > 2, "trees that say something"


def test_a_base_score_beside_one_half_is_the_margin_that_the_booster_starts_with() -> None:
    """The margin of 0.2 in single precision, and margins to the bit from there."""
    xgboost = pytest.importorskip("xgboost")
    from quantum_trader.lab.learning.boosting import booster_arrays

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2_000, 3)).astype(np.float32)
    data = xgboost.DMatrix(rows, (rows[:, 0] > 1.0).astype(np.float32))
    booster = xgboost.train({"objective": "binary:logistic", "base_score": 0.2, "tree_method": "hist"}, data, 20)
    arrays, base_margin = booster_arrays(booster)

    assert base_margin == pytest.approx(np.log(0.2 / 0.8), rel=1e-6)
    assert TreeEnsemble(arrays, 3, base_margin).margins(rows).tobytes() == booster.predict(
        data, output_margin=True).tobytes()


def changed(**changes: Any) -> TreeArrays:
    """Two trees, the first with a split, with some arrays replaced."""
    good = {
        "first": np.array([0, 3, 4]), "feature": np.array([0, LEAF, LEAF, LEAF], dtype=np.int32),
        "threshold": np.array([0.5, 1.0, 2.0, 3.0], dtype=np.float32), "left": np.array([1, 0, 0, 0], dtype=np.int32),
        "missing_left": np.array([1, 0, 0, 0], dtype=np.uint8),
    }
    return TreeArrays(**(good | changes))


@pytest.mark.parametrize(("changes", "said"), [
    ({"left": np.array([0, 0, 0, 0], dtype=np.int32)}, "children must stand behind"),  # a node that is its own child
    ({"left": np.array([2, 0, 0, 0], dtype=np.int32)}, "children must stand behind"),  # into the next tree
    ({"left": np.array([-5, 0, 0, 0], dtype=np.int32)}, "children must stand behind"),
    ({"feature": np.array([2, LEAF, LEAF, LEAF], dtype=np.int32)}, "feature = "),
    ({"feature": np.array([LEAF, LEAF, LEAF, LEAF], dtype=np.int32)}, "child of exactly one"),  # nodes without parent
    ({"feature": np.array([-2, LEAF, LEAF, LEAF], dtype=np.int32)}, "feature = "),
    ({"threshold": np.array([np.nan, 1.0, 2.0, 3.0], dtype=np.float32)}, "finite"),
    ({"threshold": np.array([0.5, np.inf, 2.0, 3.0], dtype=np.float32)}, "finite"),
    ({"threshold": np.array([0.5, 1.0, 2.0, 3.0])}, "threshold = "),  # double precision
    ({"first": np.array([0, 3])}, "first = "),
    ({"first": np.array([0, 3, 3, 4])}, "first = "),
    ({"first": np.array([0])}, "trees = "),
    ({"missing_left": np.array([2, 0, 0, 0], dtype=np.uint8)}, "missing_left = "),
    ({"missing_left": np.array([1, 0, 0], dtype=np.uint8)}, "nodes = "),
])
def test_what_is_no_tree_is_refused(changes: dict[str, Any], said: str) -> None:
    """Cycles, nodes out of range or without a parent, numbers that are none, arrays that do not fit."""
    with pytest.raises(InputError, match=said):
        TreeEnsemble(changed(**changes), 2, 0.0)


def test_two_parents_of_one_node_are_refused() -> None:
    """A node that two splits lead to is no tree, even where no path comes back."""
    arrays = TreeArrays(
        first=np.array([0, 5]), feature=np.array([0, 0, 0, LEAF, LEAF], dtype=np.int32),
        threshold=np.zeros(5, dtype=np.float32), left=np.array([1, 3, 3, 0, 0], dtype=np.int32),
        missing_left=np.zeros(5, dtype=np.uint8),
    )

    with pytest.raises(InputError, match="exactly one"):
        TreeEnsemble(arrays, 1, 0.0)


def test_trees_that_are_too_deep_are_refused() -> None:
    """A chain of 65 splits: each right child splits again."""
    nodes = 2 * 65 + 1
    feature, left, at = np.full(nodes, LEAF, dtype=np.int32), np.zeros(nodes, dtype=np.int32), 0
    for level in range(65):
        feature[at], left[at] = 0, 2 * level + 1
        at = 2 * level + 2
    chain = TreeArrays(
        first=np.array([0, nodes]), feature=feature, threshold=np.zeros(nodes, dtype=np.float32), left=left,
        missing_left=np.zeros(nodes, dtype=np.uint8),
    )

    with pytest.raises(InputError, match="depth = 65"):
        TreeEnsemble(chain, 1, 0.0)


def test_rows_of_another_width_are_refused() -> None:
    """The number of features is part of the model."""
    with pytest.raises(InputError, match="rows = "):
        TreeEnsemble(changed(), 2, 0.0).margins(np.zeros((3, 5)))
