"""The model registry: which models there are, where each came from, and which one is the champion."""

from quantum_trader.lab.registry.registry import ModelRegistry

__all__ = ["ModelRegistry"]
