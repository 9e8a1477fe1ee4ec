"""Columns of ``Outcome.trade_whole`` (N, SIZE): the whole numbers of a trade."""

from __future__ import annotations

SYMBOL, SIGN, SIGNAL, ENTRY_NS, EXIT_NS, REASON, SIZE = range(7)
