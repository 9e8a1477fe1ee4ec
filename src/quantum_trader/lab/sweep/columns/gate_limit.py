"""Columns of ``Rules.gate_limits`` (2, SIZE): the fields of ``models.gates.GateLimits``, in their order."""

from __future__ import annotations

SPREAD_BPS, VOLUME_RATIO, REGIMES, MARGIN_BPS, VOLATILITY_FACTOR, CONFIDENCE, WIN_PROBABILITY, SIZE = range(8)
