"""Columns of ``Tape.measures`` (T, S + 1, SIZE): the numbers compared with a profile's thresholds."""

from __future__ import annotations

VOL_RATIO, SPREAD_BPS, SLIPPAGE_BPS, SIZE = range(4)
