"""The model port: ``from quantum_trader.models import Model, FrameModel, Panel, Exit, ScoreFile``."""

from quantum_trader.models.port import Exit, FrameModel, Model, Panel
from quantum_trader.models.score_file import ScoreFile

__all__ = ["Exit", "FrameModel", "Model", "Panel", "ScoreFile"]
