"""Columns of ``Rules.instruments`` (S, SIZE): the venue's terms for a symbol."""

from __future__ import annotations

TICK, STEP_SIZE, LEAST_QTY, LEAST_NOTIONAL, TAKER_BPS, MAKER_BPS, SIZE = range(7)
