"""The warm live world of the engine's room, for the lines that must hold on the live road."""

from __future__ import annotations

from tests.live.conftest import warm, world

__all__ = ["warm", "world"]
