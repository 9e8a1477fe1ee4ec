"""Columns of ``Tape.signals`` (N, SIZE), and of ``Following.signal`` (SIZE,): signals and outside intents."""

from __future__ import annotations

(
    SIGN, CONFIDENCE, ATR, PRICE, TREND, QTY, STOP, LEVERAGE, REDUCES, AGE_S, EXPIRED, SIZE,
) = range(12)  # QTY to REDUCES of outside intents alone; AGE_S: age of the symbol's newest bar, seconds
