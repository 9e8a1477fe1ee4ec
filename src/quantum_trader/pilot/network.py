"""The pilot's network without the training library: 64 features, two hidden layers, one number for each action.

The same single-precision products as in training, compiled; the order of the sums may differ, so that results agree to
1e-5 and not to the bit.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import InputError, require
from quantum_trader.market.jit import kernel
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.scaling import Singles

LAYERS: Final = ("hidden_1", "hidden_2", "actions")
MOST_WIDTH: Final = 1024  # units of a hidden layer


class Weights(msgspec.Struct, frozen=True):
    """The layers of a network, float32: each a matrix (inputs, outputs) and a bias (outputs,); hidden ones are tanh."""

    hidden_1: tuple[Singles, Singles]  # (64, H1), (H1,)
    hidden_2: tuple[Singles, Singles]  # (H1, H2), (H2,)
    actions: tuple[Singles, Singles]  # (H2, 6), (6,)

    def __post_init__(self) -> None:
        inputs = FEATURE_COUNT
        for name in LAYERS:
            matrix, bias = getattr(self, name)
            for part, array in (("matrix", matrix), ("bias", bias)):
                key = f"weights.{name}.{part}"
                require(array.dtype == np.float32, key, str(array.dtype), "must be float32")
                if not np.isfinite(array).all():
                    raise InputError(f"{key}: holds numbers that are not finite; train the model again")
            outputs = ACTION_COUNT if name == "actions" else bias.shape[0] if bias.ndim == 1 else 0
            key = f"weights.{name}"
            require(1 <= outputs <= MOST_WIDTH, f"{key}.bias", bias.shape, f"must be of 1 to {MOST_WIDTH} units")
            require(matrix.shape == (inputs, outputs), f"{key}.matrix", matrix.shape, f"must be {(inputs, outputs)}")
            require(bias.shape == (outputs,), f"{key}.bias", bias.shape, f"must be {(outputs,)}")
            inputs = outputs


@kernel
def _layer(inputs, matrix, bias, outputs):  # type: ignore[no-untyped-def]
    """One layer for one row, without its activation."""
    for unit in range(bias.shape[0]):
        outputs[unit] = bias[unit]
    for place in range(matrix.shape[0]):
        number = inputs[place]
        if number != 0.0:
            for unit in range(bias.shape[0]):
                outputs[unit] += number * matrix[place, unit]


@kernel
def evaluate_rows(rows, first, first_bias, second, second_bias, last, last_bias, scratch, logits):  # type: ignore[no-untyped-def]
    """The logits (N, 6) of scaled observations *rows* (N, 64); *scratch* (2, widest layer)."""
    for row in range(rows.shape[0]):
        _layer(rows[row], first, first_bias, scratch[0])
        for unit in range(first_bias.shape[0]):
            scratch[0, unit] = np.tanh(scratch[0, unit])
        _layer(scratch[0, : first_bias.shape[0]], second, second_bias, scratch[1])
        for unit in range(second_bias.shape[0]):
            scratch[1, unit] = np.tanh(scratch[1, unit])
        _layer(scratch[1, : second_bias.shape[0]], last, last_bias, logits[row])


@kernel
def _shares(logits, probabilities):  # type: ignore[no-untyped-def]
    """The probability of each action (N, 6): the softmax of its logits."""
    for row in range(logits.shape[0]):
        most = logits[row].max()
        total = 0.0
        for place in range(logits.shape[1]):
            probabilities[row, place] = np.exp(float(logits[row, place]) - most)
            total += probabilities[row, place]
        for place in range(logits.shape[1]):
            probabilities[row, place] /= total


class Network:
    """Evaluates a network on scaled observations; it allocates only what it returns."""

    def __init__(self, weights: Weights) -> None:
        self.arrays = tuple(np.ascontiguousarray(part) for name in LAYERS for part in getattr(weights, name))
        widest = max(weights.hidden_1[1].shape[0], weights.hidden_2[1].shape[0])
        self.scratch = np.zeros((2, widest), dtype=np.float32)

    def logits(self, rows: Singles) -> Singles:
        """One number for each action (N, 6) of scaled observations *rows* (N, 64), float32."""
        self._check(rows)
        return self._logits(rows)

    def probabilities(self, rows: Singles) -> npt.NDArray[np.float64]:
        """The probability of each action (N, 6) for scaled observations *rows* (N, 64), float32.

        Raises InputError for rows of another shape or type, and for a number that is not finite.
        """
        self._check(rows)
        return self.of_observer(rows)

    def of_observer(self, values: Singles) -> npt.NDArray[np.float64]:
        """The same for an observer's ``values``, whose shape and numbers are known to be right."""
        logits = self._logits(values)
        found = np.empty(logits.shape)
        _shares(logits, found)
        return found

    def _logits(self, rows: Singles) -> Singles:
        found = np.empty((rows.shape[0], ACTION_COUNT), dtype=np.float32)
        evaluate_rows(rows, *self.arrays, self.scratch, found)
        return found

    def _check(self, rows: Any) -> None:
        good = rows.ndim == 2 and rows.shape[1] == FEATURE_COUNT and rows.dtype == np.float32
        require(good, "rows", (rows.shape, str(rows.dtype)), f"must be float32 of the shape (N, {FEATURE_COUNT})")
        if not np.isfinite(rows).all():
            raise InputError("rows: hold numbers that are not finite; only ready observations may be judged")
