"""The model port: ``from quantum_trader.models import Model, FrameModel, Panel, Exit``."""

from quantum_trader.models.port import Exit, FrameModel, Model, Panel

__all__ = ["Exit", "FrameModel", "Model", "Panel"]
