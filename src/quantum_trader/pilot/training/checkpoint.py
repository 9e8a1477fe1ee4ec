"""A training's whole state as plain arrays, and back: what a checkpoint holds.

Everything that an update reads is in it: networks, moments of the optimizer, environments, random keys, reward scales
and counts of updates. A training that goes on from it makes the same bits as one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import StateError
from quantum_trader.pilot.training.ppo import Trainer, Training

_LEAF: Final = "training{}"  # a name for each array, by its path in the state

Arrays = dict[str, npt.NDArray[Any]]


def packed_training(training: Training) -> Arrays:
    """The arrays of *training* by the path of each in it; random keys as the integers that they are made of."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(training)
    return {_name(path): np.asarray(_plain(leaf)) for path, leaf in leaves}


def restored_training(
    trainer: Trainer, seeds: Sequence[int], table: Any, arrays: Mapping[str, npt.NDArray[Any]]
) -> Training:
    """The training of *seeds* that :func:`packed_training` made *arrays* of.

    Raises StateError where an array is missing or of another shape or type than *trainer* has.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(trainer.shape_of(seeds, table))
    restored = [_restored(_name(path), leaf, arrays) for path, leaf in leaves]
    training: Training = jax.tree_util.tree_unflatten(structure, restored)
    return training


def _name(path: Any) -> str:
    return _LEAF.format(jax.tree_util.keystr(path))


def _is_key(leaf: Any) -> bool:
    return bool(jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _restored(name: str, like: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    found = arrays.get(name)
    expected = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
    if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
        there = "is missing" if found is None else f"has the shape {found.shape} of {found.dtype}"
        raise StateError(f"{name}: {there}, and this program needs {expected.shape} of {expected.dtype}")
    return jax.random.wrap_key_data(found) if _is_key(like) else jax.numpy.asarray(found)
