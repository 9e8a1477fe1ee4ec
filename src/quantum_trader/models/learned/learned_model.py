"""A trained model as a model of the model port: its score is how far its probability lies from a coin flip."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.arrays import Floats
from quantum_trader.models.learned.artefact import SIGNAL, LearnedArtefact, load_learned
from quantum_trader.models.learned.feature_list import NAMES, WINDOW
from quantum_trader.models.learned.signal_features import NEEDS, panel_features
from quantum_trader.models.port import Model, Panel

_KNOWN: Final = NAMES.index("volatility")  # a symbol with features has it


class LearnedModel(Model):
    """A model that was trained on labelled bars: 2 P(up) - 1, with the calibrated probability of its label.

    Bars, horizon and exit are those that it was trained for. A symbol without enough bars has no view.
    """

    warmup = WINDOW
    needs = NEEDS

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        folder: str  # of the trained model
        model: str = ""  # the id that it must have; empty: whatever lies there

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        super().__init__(params)
        if params is None:
            raise ConfigError('LearnedModel: names no folder; write params = {folder = "build/learned/boosting"}, or '
                              "--model build/learned/boosting")
        folder = Path(self.params.folder)
        self.artefact = load_learned(folder)
        self.check_artefact(folder)
        self.score(_still_panel())  # compiles what is not compiled yet: the first bar that counts must not wait for it

    def check_artefact(self, folder: Path) -> None:
        """Take what the model states; ConfigError where it is no model of signals, or another than was named."""
        card = self.artefact.card
        if card.kind != SIGNAL:
            raise ConfigError(
                f"--model {folder}: is a {card.kind}, which judges the signals of other models and gives none; name "
                "the folder of a signal model"
            )
        if self.params.model not in ("", self.artefact.model_id):
            raise ConfigError(
                f"--model {folder}: holds the model {self.artefact.model_id}, and {self.params.model} was named; take "
                "the folder anew from where it was made"
            )
        self.bars, self.horizon, self.exit = card.bars, card.horizon, card.exit

    def score(self, panel: Panel) -> Floats:
        """See the base class."""
        rows = panel_features(panel)
        scores = 2.0 * self.artefact.probabilities(rows) - 1.0
        return np.where(np.isnan(rows[:, _KNOWN]), np.nan, scores)


def _still_panel() -> Panel:
    """A panel of one symbol whose price is 1."""
    fields = {name: np.full((WINDOW, 1), 1.0) for name in NEEDS}
    return Panel(("",), np.arange(WINDOW, dtype=np.int64), WINDOW, fields)


def learned_artefact(model: object) -> LearnedArtefact | None:
    """The artefact of *model* where it is a trained one; None for any other model."""
    return model.artefact if isinstance(model, LearnedModel) else None
