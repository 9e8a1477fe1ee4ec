"""A pilot whose network was never trained: for the same seed the same weights, for tests of any pilot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantum_trader.pilot.artefact import Artefact, Card, DataSnapshot, save_artefact, weights_hash
from quantum_trader.pilot.network import Weights
from quantum_trader.pilot.scaling import Singles, default_scalers
from quantum_trader.pilot.settings import ObservationSettings


def untrained(
    seed: int = 3, interval: str = "30m", outcomes: tuple[float, ...] = (), until_ns: int = 1
) -> Artefact:
    """A whole artefact with random weights; its card says that it was trained on bars until *until_ns*."""
    rng = np.random.default_rng(seed)

    def layer(inputs: int, units: int, size: float) -> tuple[Singles, Singles]:
        return (rng.normal(size=(inputs, units)) * size).astype(np.float32), np.zeros(units, np.float32)

    weights = Weights(layer(64, 32, 0.12), layer(32, 32, 0.2), layer(32, 6, 0.6))
    settings = ObservationSettings(interval=interval)
    return Artefact(weights=weights, card=Card(
        name=f"untrained {seed}", created_ns=0, observation=settings, scalers=default_scalers(settings), training={},
        data=DataSnapshot(source="none", symbols=("BTCUSDT",), interval=interval, first_ns=0, last_ns=until_ns),
        metrics={}, weights_hash=weights_hash(weights), outcomes=outcomes,
    ))


def saved(folder: Path, seed: int = 3, interval: str = "30m") -> Path:
    """The folder with an untrained pilot in it."""
    save_artefact(folder, untrained(seed, interval))
    return folder
