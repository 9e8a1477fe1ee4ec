"""Columns of ``Tape.ohlc`` (T, S, SIZE): the prices of a bar."""

from __future__ import annotations

OPEN, HIGH, LOW, CLOSE, SIZE = range(5)
