"""What training is computed on: the device, its free memory, the versions that decide the last bits."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from quantum_trader.domain.private_files import make_private_folder
from quantum_trader.pilot.training.required_packages import TRAINING_PACKAGES

_PROCESSOR: Final = Path("/proc/cpuinfo")
_SLOW_S: Final = 1.0  # programs that take longer to compile are kept


@contextmanager
def compiled_programs_in(folder: Path) -> Iterator[None]:
    """Keep compiled programs in *folder*, and take those that are there: a training that goes on compiles nothing anew.

    They are machine code of this processor, and have a folder by its features. Raises OSError where the folder cannot
    be made, or others may write it.
    """
    place = folder / _processor()
    make_private_folder(place)
    settings = {
        "jax_compilation_cache_dir": str(place), "jax_persistent_cache_min_compile_time_secs": _SLOW_S,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    _configure(settings)
    try:
        yield
    finally:
        _configure(before)


def _configure(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _processor() -> str:
    """A name for the processor's features."""
    told = {platform.machine(), platform.processor(), device_name(), jax.__version__}
    with suppress(OSError):
        lines = _PROCESSOR.read_text(encoding="ascii", errors="replace").splitlines()
        told |= {line for line in lines if line.startswith(("flags", "model name", "Features"))}
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()[:16]


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
