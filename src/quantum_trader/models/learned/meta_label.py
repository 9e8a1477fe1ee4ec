"""A trained meta-label: the calibrated probability that a signal wins after its costs.

Meta-labelling: M. López de Prado, "Advances in Financial Machine Learning" (Wiley, 2018), chapter 3.6. Another model
gives the side of a trade; the meta-label says whether to take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quantum_trader.domain.errors import ConfigError, require
from quantum_trader.models.learned.artefact import META_LABEL, LearnedArtefact, load_learned


class TrainedMetaLabel:
    """A trained meta-label, ready to judge signals. Raises ConfigError for an artefact of another kind."""

    def __init__(self, artefact: LearnedArtefact) -> None:
        if artefact.card.kind != META_LABEL:
            raise ConfigError(f"model {artefact.model_id}: is a {artefact.card.kind} model, and no {META_LABEL}")
        self.artefact = artefact
        self.probability([np.nan] * len(self.names))  # compiles what is not compiled yet: no signal must wait for it

    @property
    def model_id(self) -> str:
        """SHA-256 of the model."""
        return self.artefact.model_id

    @property
    def names(self) -> tuple[str, ...]:
        """The features that a row has, in their order."""
        return self.artefact.card.features

    def probability(self, features: Sequence[float] | Mapping[str, float]) -> float:
        """P(win after costs) of a signal with *features*: a row in the order of ``names``, or a mapping by name.

        NaN is a missing value. Raises InputError for a row of another length, and for a mapping without one of them.
        """
        if isinstance(features, Mapping):
            lacking = [name for name in self.names if name not in features]
            require(not lacking, "features", lacking[:3], "are missing; a value that is not known is NaN")
            features = [features[name] for name in self.names]
        row = np.asarray(features, dtype=np.float64)
        require(row.shape == (len(self.names),), "features", row.shape, f"must be one row of {len(self.names)} numbers")
        return float(self.artefact.probabilities(row[None, :])[0])


def load_meta_label(folder: Path) -> TrainedMetaLabel:
    """The meta-label in *folder*; raises as ``load_learned`` does, and ConfigError for a model of another kind."""
    return TrainedMetaLabel(load_learned(folder))
