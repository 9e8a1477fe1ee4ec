"""Boosted trees as flat arrays, scored by a compiled loop.

The sum over the trees is taken in single precision, in the order of the trees, from the base margin on: the same sum
that XGBoost takes, so that margins are equal to its own to the bit (``predict(output_margin=True)`` on the processor,
trees with numeric splits). A row goes left where its value, rounded to single precision, is below the threshold; a
missing value (NaN) goes where the tree says. What is made of a margin afterwards is not XGBoost's: see ``calibration``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import InputError, brief, require
from quantum_trader.market.arrays import Ints
from quantum_trader.market.jit import kernel

_Singles = npt.NDArray[np.float32]

LEAF: Final = -1  # in place of a feature
MOST_TREES: Final = 20_000
MOST_NODES: Final = 4_000_000
MOST_DEPTH: Final = 64
MOST_FEATURES: Final = 4_096
_BLOCK: Final = 16  # rows that are scored side by side, so that one does not wait for the memory of another
_TYPES: Final = {
    "first": np.int64, "feature": np.int32, "threshold": np.float32, "left": np.int32, "missing_left": np.uint8,
}


class TreeArrays(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The nodes of all trees, one tree after the other; the root is the first node of its tree.

    A node's children stand side by side, behind it: ``left`` and ``left + 1``.
    """

    first: Ints  # (trees + 1,) place of each tree's root, and at the end the number of nodes
    feature: npt.NDArray[np.int32]  # (nodes,) that a node looks at; LEAF for a leaf
    threshold: _Singles  # (nodes,) a value below it goes left; of a leaf the value that it adds
    left: npt.NDArray[np.int32]  # (nodes,) place of the left child; of a leaf 0
    missing_left: npt.NDArray[np.uint8]  # (nodes,) 1: a missing value goes left

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.first) - 1

    def check(self, features: int) -> None:
        """Raise InputError unless these are trees over *features* features: finite, and every path ends in a leaf."""
        for name, kind in _TYPES.items():
            array = getattr(self, name)
            require(array.ndim == 1 and array.dtype == kind, name, f"{array.dtype} of shape {array.shape}",
                    f"must be one row of {np.dtype(kind)}")
        nodes = len(self.feature)
        require(1 <= features <= MOST_FEATURES, "features", features, f"must be 1 to {MOST_FEATURES:,}")
        require(1 <= self.trees <= MOST_TREES, "trees", self.trees, f"must be 1 to {MOST_TREES:,}")
        require(1 <= nodes <= MOST_NODES, "nodes", nodes, f"must be 1 to {MOST_NODES:,}")
        same = len(self.threshold) == len(self.left) == len(self.missing_left) == nodes
        require(same, "nodes", nodes, "feature, threshold, left and missing_left must be of one length")
        bounds = self.first
        rising = bounds[0] == 0 and bounds[-1] == nodes and bool((np.diff(bounds) > 0).all())
        require(rising, "first", bounds[:3], "must begin with 0, rise, and end with the number of nodes")
        good = (self.feature >= LEAF) & (self.feature < features)
        require(bool(good.all()), "feature", self.feature[~good][:3], f"must be {LEAF} to {features - 1}")
        require(bool(np.isfinite(self.threshold).all()), "threshold", "not finite", "must be finite numbers")
        require(bool((self.missing_left <= 1).all()), "missing_left", self.missing_left.max(), "must be 0 or 1")
        self._check_paths()

    def _check_paths(self) -> None:
        """Raise InputError unless each node but the roots is the child of exactly one node before it, in its tree."""
        splits = np.flatnonzero(self.feature != LEAF)
        left = self.left[splits].astype(np.int64)
        ends = self.first[np.searchsorted(self.first, splits, side="right")]  # of the tree that a node is in
        behind = (left > splits) & (left + 1 < ends)
        require(bool(behind.all()), "left", left[~behind][:3], "children must stand behind their node, in its tree")
        children = np.concatenate([left, left + 1, self.first[:-1]])
        known = np.bincount(children, minlength=len(self.feature))
        require(bool((known == 1).all()), "left", np.flatnonzero(known != 1)[:3],
                "each node must be a root or the child of exactly one node")
        if self.depths().max() > MOST_DEPTH:
            raise InputError(f"depth = {int(self.depths().max())}: must be at most {MOST_DEPTH}")

    def depths(self) -> npt.NDArray[np.uint32]:
        """Splits on the longest path of each tree (trees,)."""
        depth = np.zeros(len(self.feature), dtype=np.uint32)
        _node_depths(self.feature, self.left, depth)
        return np.maximum.reduceat(depth, self.first[:-1])


@kernel
def _node_depths(feature, left, depth):  # type: ignore[no-untyped-def]
    """Splits above each node (nodes,); children stand behind their node."""
    for node in range(feature.shape[0]):
        if feature[node] >= 0:
            depth[left[node]] = depth[node] + 1
            depth[left[node] + 1] = depth[node] + 1


@kernel
def _spread(rows, columns):  # type: ignore[no-untyped-def]
    """Write each value of *rows* (n, F) twice into *columns* (n, 2 F + 1), and a 0 behind them.

    A missing value is below everything in its first column, and above everything in its second.
    """
    for i in range(rows.shape[0]):
        for f in range(rows.shape[1]):
            value = rows[i, f]
            known = abs(value) < np.inf
            columns[i, 2 * f] = value if known else np.float32(-np.inf)
            columns[i, 2 * f + 1] = value if known else np.float32(np.inf)
        columns[i, 2 * rows.shape[1]] = np.float32(0.0)


@kernel
def _sum_leaves(columns, column, threshold, left, value, roots, depths, margins):  # type: ignore[no-untyped-def]
    """Add to *margins* (n,) the leaf that each row of *columns* ends in, tree by tree.

    A leaf is its own left child, and its column holds 0, which is below its threshold.
    """
    count, width = columns.shape[0], np.uint32(columns.shape[1])
    cells = columns.reshape(-1)
    node, row = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.uint32)
    for first in range(0, count, _BLOCK):
        for r in range(_BLOCK):
            row[r] = np.uint32(min(first + r, count - 1)) * width
        for tree in range(roots.shape[0]):
            for r in range(_BLOCK):
                node[r] = roots[tree]
            for _ in range(depths[tree]):
                for r in range(_BLOCK):
                    at = node[r]
                    node[r] = left[at] + np.uint32(cells[row[r] + column[at]] >= threshold[at])
            for r in range(min(_BLOCK, count - first)):
                margins[first + r] += value[node[r]]


class TreeEnsemble:
    """Trees over *features* features, ready to score. Raises InputError where the arrays are no trees."""

    _MOST_CELLS: Final = 1 << 24  # of the columns that are made at once

    def __init__(self, arrays: TreeArrays, features: int, base_margin: float) -> None:
        """*base_margin*: what the sum begins with, rounded to single precision."""
        arrays.check(features)
        self.arrays, self.features, self.base_margin = arrays, features, np.float32(base_margin)
        if not np.isfinite(self.base_margin):
            raise InputError(f"base_margin = {brief(base_margin)}: must be a finite number")
        leaf = arrays.feature == LEAF
        nodes = np.arange(len(leaf), dtype=np.uint32)
        column = 2 * arrays.feature.astype(np.int64) + (arrays.missing_left == 0)
        self._column = np.where(leaf, 2 * features, column).astype(np.uint32)
        self._threshold = np.where(leaf, np.float32(np.inf), arrays.threshold).astype(np.float32)
        self._left = np.where(leaf, nodes, arrays.left).astype(np.uint32)
        self._value = np.where(leaf, arrays.threshold, np.float32(0.0)).astype(np.float32)
        self._roots, self._depths = arrays.first[:-1].astype(np.uint32), arrays.depths()

    def margins(self, rows: npt.ArrayLike) -> _Singles:
        """The margin (n,) of each of *rows* (n, features), rounded to single precision; NaN and infinite: missing."""
        given: Any = np.ascontiguousarray(rows, dtype=np.float32)
        require(given.ndim == 2 and given.shape[1] == self.features, "rows", given.shape,
                f"must be (n, {self.features})")
        margins = np.full(len(given), self.base_margin, dtype=np.float32)
        width = 2 * self.features + 1
        step = max(1, self._MOST_CELLS // width)
        for first in range(0, len(given), step):
            part = given[first : first + step]
            columns = np.empty((len(part), width), dtype=np.float32)
            _spread(part, columns)
            _sum_leaves(
                columns, self._column, self._threshold, self._left, self._value, self._roots, self._depths,
                margins[first : first + step],
            )
        return margins
