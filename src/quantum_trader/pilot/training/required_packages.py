"""Whether the packages that training needs are installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from quantum_trader.domain.errors import ConfigError

TRAINING_PACKAGES: Final = ("jax", "optax")


def require_training_packages() -> None:
    """Raise ConfigError where a package of the extra `train` is missing."""
    missing = [name for name in TRAINING_PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, and training the pilot "
            "needs it: pip install 'quantum-trader[train]' (in a clone: .venv/bin/pip install -c constraints.txt -e "
            "'.[train]')"
        )
