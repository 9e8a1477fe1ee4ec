"""Whether the packages that training models of signals needs are installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from quantum_trader.domain.errors import ConfigError

LEARNING_PACKAGES: Final = {"xgboost": "xgboost-cpu", "sklearn": "scikit-learn"}  # module -> package


def require_learning_packages() -> None:
    """Raise ConfigError where a package of the extra `learn` is missing."""
    missing = [package for module, package in LEARNING_PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, and training a model of "
            "signals needs it: pip install 'quantum-trader[learn]' (in a clone: .venv/bin/pip install -c "
            "constraints.txt -e '.[learn]')"
        )
