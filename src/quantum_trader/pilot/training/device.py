"""What training is computed on: the device, its free memory, the versions that decide the last bits."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quantum_trader.pilot.training.required_packages import TRAINING_PACKAGES


def on_device(table: Any) -> Any:
    """*table* with every array on the device, so that it is copied there once and not at every update."""
    return jax.tree.map(jnp.asarray, table)


def device_name() -> str:
    """The device that computes, as "CPU" or "GPU NVIDIA H200"."""
    device = jax.devices()[0]
    kind = str(device.device_kind)
    return device.platform.upper() if kind.lower() == device.platform else f"{device.platform.upper()} {kind}"


def free_device_bytes() -> int | None:
    """Bytes that are free in the device's own memory; None for a CPU, which uses the machine's."""
    stats = jax.devices()[0].memory_stats() if jax.devices()[0].platform != "cpu" else None
    if not stats or "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))


def training_versions() -> dict[str, str]:
    """The versions of Python, numpy and the packages of training, by name."""
    return {"python": platform.python_version(), "numpy": np.__version__} | {
        name: version(name) for name in TRAINING_PACKAGES
    }
