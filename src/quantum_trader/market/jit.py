"""Compile ``@scalar`` functions and the scalars they call; Python and machine code share one source."""

from __future__ import annotations

import hashlib
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

from quantum_trader.domain.private_files import make_private_folder
from quantum_trader.domain.scalar import is_scalar

_NO_KERNELS = (
    "app/", "lab/comparison", "lab/council/", "lab/edges", "lab/explain/changeable", "lab/explain/explainer",
    "lab/explain/recorded", "lab/explain/search", "lab/explain/words", "lab/gate_", "lab/insights/",
    "lab/market_context", "lab/metrics/", "lab/pilot/", "lab/registry/", "lab/shadows/advice",
    "lab/shadows/analysis", "lab/shadows/blocks", "lab/shadows/judged_signals", "lab/shadows/meta_labels",
    "lab/simulation/", "lab/statements/", "lab/trials/", "venues/binance/", "venues/local/", "live/",
    "models/check", "models/forecasts", "models/gate_tables", "models/kept", "models/loading", "models/outside_scores",
    "models/port", "models/score_file", "models/learned/artefact", "models/learned/calibration",
    "models/learned/learned_model", "models/learned/meta_label",
    *(f"lab/learning/{name}" for name in (
        "boosting", "calibration", "drift", "evidence", "evolution", "fold", "importance", "leakage", "learn",
        "linear", "model", "probability", "purged", "required", "signal", "train", "trend", "uniqueness",
    )),
)
_CACHE: dict[Callable[..., Any], Any] = {}


def _source_hash() -> str:
    """Hash of every source file that a kernel can reach, and the compiler's version.

    Numba invalidates a cached function by its own file alone; a kernel calls functions of other files, so all of them
    name the cache folder and a stale kernel cannot be loaded. No kernel reaches into the folders of ``_NO_KERNELS``.
    """
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    package = Path(__file__).resolve().parent.parent
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(_NO_KERNELS):
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> Path:
    """Per-user folder for compiled kernels; a private temporary folder where the home is not writable."""
    try:
        folder = Path.home() / ".cache" / "quantum-trader" / f"kernels-{_source_hash()}"
        make_private_folder(folder)  # others who could write here would choose the machine code that runs
        return folder
    except (OSError, RuntimeError):
        return Path(tempfile.mkdtemp(prefix="quantum-trader-kernels-"))


if not numba.config.CACHE_DIR:
    numba.config.CACHE_DIR = str(_cache_folder())


def kernel(function: Callable[..., Any]) -> Any:
    """Compile *function* on its first call and keep the machine code on disk (no fast-math, no GIL)."""
    return njit(cache=True, nogil=True)(function)


def compiled(function: Callable[..., Any]) -> Any:
    """Return the compiled form of the scalar *function*; the scalars it names are compiled with it.

    No fast-math: the compiled form gives the same bits as the Python form. Raises TypeError for a function that
    was not marked ``@scalar``.
    """
    if not is_scalar(function):
        raise TypeError(f"{function.__qualname__} is not marked @scalar")
    if function not in _CACHE:
        _CACHE[function] = kernel(_rebind(function))
    return _CACHE[function]


def _rebind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Copy *function* with the scalars among its globals replaced by their compiled forms."""
    assert isinstance(function, types.FunctionType)
    bindings = dict(function.__globals__)
    for name in function.__code__.co_names:
        target: Any = bindings.get(name)
        if target is not function and is_scalar(target):
            bindings[name] = compiled(target)
    copy = types.FunctionType(
        function.__code__, bindings, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = function.__module__
    return copy
