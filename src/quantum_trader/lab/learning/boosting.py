"""Boosted trees by XGBoost, and its trees as the flat arrays that live scoring reads.

XGBoost is imported inside the functions: no process but the one that trains needs it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import InputError, require
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.learned.trees import LEAF, TreeArrays

if TYPE_CHECKING:
    import xgboost

BASE_SCORE: Final = 0.5  # a margin of 0: the trees say everything
MOST_ROUNDS: Final = 5_000


class BoostingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How trees are boosted. The defaults lean on many samples a leaf, since labels overlap and say little each."""

    rounds: int = 200  # trees
    depth: int = 4  # splits on a path
    learning_rate: float = 0.03
    least_weight: float = 50.0  # of the Hessian in a leaf; a sample of weight 1 adds at most 0.25
    least_share: float = 0.01  # of all samples that is enough in a leaf, where these are few
    l2: float = 10.0  # penalty on a leaf's value
    row_share: float = 0.5  # of the samples for each tree
    column_share: float = 0.5  # of the features for each tree
    bins: int = 256  # in which a feature's values are put

    def __post_init__(self) -> None:
        for key, low, high in (
            ("rounds", 1, MOST_ROUNDS), ("depth", 1, 12), ("learning_rate", 1e-4, 1.0), ("least_weight", 0.0, 1e9),
            ("least_share", 0.0, 0.5), ("l2", 0.0, 1e9), ("row_share", 0.01, 1.0),
            ("column_share", 0.01, 1.0), ("bins", 2, 4096),
        ):
            value = getattr(self, key)
            require(low <= value <= high, f"boosting.{key}", value, f"must be {low:g} to {high:g}")

    def parameters(self, samples: int, seed: int, threads: int) -> dict[str, Any]:
        """What XGBoost is given for so many *samples*. The number of threads does not change the trees."""
        least = min(self.least_weight, self.least_share * 0.25 * samples)
        return {
            "objective": "binary:logistic", "base_score": BASE_SCORE, "tree_method": "hist", "device": "cpu",
            "max_depth": self.depth, "eta": self.learning_rate, "min_child_weight": least,
            "lambda": self.l2, "subsample": self.row_share, "colsample_bytree": self.column_share,
            "max_bin": self.bins, "seed": seed, "nthread": threads, "verbosity": 0,
        }


def train_booster(  # the samples, and how they are learned
    rows: npt.NDArray[np.float32], labels: Ints, weights: Floats, settings: BoostingSettings, seed: int, threads: int
) -> xgboost.Booster:
    """The booster of *rows* (n, F), *labels* (n,) 0 or 1 and *weights* (n,); the same arguments give the same trees."""
    import xgboost

    data = xgboost.QuantileDMatrix(rows, labels, weight=weights, nthread=threads, max_bin=settings.bins)
    return xgboost.train(settings.parameters(len(labels), seed, threads), data, settings.rounds)


def booster_arrays(booster: xgboost.Booster) -> tuple[TreeArrays, float]:
    """The trees of *booster* and its base margin. Raises InputError for anything but trees of one number."""
    learner = json.loads(booster.save_raw("json").decode())["learner"]
    model, shape = learner["gradient_booster"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    require(model["name"] == "gbtree" and objective == "binary:logistic", "booster", (model["name"], objective),
            "must be trees (gbtree) for binary:logistic")
    require(int(shape["num_class"]) == 0 and int(shape["num_target"]) == 1, "booster", shape, "must give one number")
    parts = [_tree(tree) for tree in model["model"]["trees"]]
    sizes = [len(part["feature"]) for part in parts]
    first = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    for part, at in zip(parts, first[:-1].tolist(), strict=True):
        part["left"] += np.where(part["feature"] == LEAF, 0, at)
    return TreeArrays(
        first=first, feature=_row(parts, "feature", np.int32), threshold=_row(parts, "threshold", np.float32),
        left=_row(parts, "left", np.int32), missing_left=_row(parts, "missing_left", np.uint8),
    ), _base_margin(shape["base_score"])


def _row(parts: list[dict[str, Any]], name: str, kind: Any) -> Any:
    return np.concatenate([part[name] for part in parts]).astype(kind)


def _tree(tree: dict[str, Any]) -> dict[str, Any]:
    """One tree of XGBoost's JSON with its nodes in breadth-first order, siblings side by side."""
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    if any(tree["split_type"]):
        raise InputError("booster: has splits by category; give numbers alone")
    order, place = [0], 0
    while place < len(order):
        node = order[place]
        if left[node] >= 0:
            order += [int(left[node]), int(right[node])]
        place += 1
    kept = np.array(order)
    at = np.zeros(len(left), dtype=np.int64)
    at[kept] = np.arange(len(kept))
    split = left[kept] >= 0
    return {
        "feature": np.where(split, np.array(tree["split_indices"])[kept], LEAF),
        "threshold": np.array(tree["split_conditions"], dtype=np.float64)[kept],
        "left": np.where(split, at[np.maximum(left[kept], 0)], 0),
        "missing_left": np.where(split, np.array(tree["default_left"])[kept], 0),
    }


def _base_margin(text: str) -> float:
    """The margin of XGBoost's base score, in single precision as there: -ln(1 / p - 1)."""
    one = np.float32(1.0)
    score = np.float32(float(text.strip("[]")))
    require(0.0 < float(score) < 1.0, "base_score", text, "must be one probability")
    return float(-np.log(one / score - one, dtype=np.float32)) if score != np.float32(BASE_SCORE) else 0.0


def tree_contributions(booster: xgboost.Booster, rows: npt.NDArray[np.float32]) -> Floats:
    """SHAP values (n, F + 1) of the margin of each of *rows* (n, F); the last column is the expected margin.

    They are exact for trees: S. Lundberg, G. Erion and S.-I. Lee, "Consistent individualized feature attribution for
    tree ensembles" (2018). Each row's values add up to its margin.
    """
    import xgboost

    if not len(rows):  # XGBoost would give an array of one dimension
        return np.zeros((0, rows.shape[1] + 1))
    found: Floats = booster.predict(xgboost.DMatrix(rows), pred_contribs=True).astype(np.float64)
    return found


def additivity_error(contributions: Floats, margins: Floats) -> float:
    """The largest difference between a row's SHAP values added up and its margin, as a share of the margins' size."""
    total = contributions.sum(axis=1)
    size = max(float(np.abs(margins).max(initial=0.0)), 1.0)
    worst = float(np.abs(total - margins).max(initial=0.0))
    return worst / size if math.isfinite(worst) else math.inf
