"""Trials for tests."""

from __future__ import annotations

from typing import Any

from quantum_trader.lab.trials.record import Trial, hash_of_values


def made_trial(number: int = 0, data: str = "d" * 64, **changes: Any) -> Trial:
    """Setting *number*, tried on *data*."""
    facts: dict[str, Any] = {
        "source": "sweep", "kind": "setting", "label": f"SAFE base_confidence={number / 100:g}", "data_hash": data,
        "settings_hash": hash_of_values({"number": number}), "settings": {"number": number},
    }
    return Trial(**(facts | changes))
