"""The trial ledger: every setting, seed, threshold and model that was tried, so that the best one is judged by it."""

from quantum_trader.lab.trials.ledger import TrialLedger
from quantum_trader.lab.trials.record import Trial

__all__ = ["Trial", "TrialLedger"]
