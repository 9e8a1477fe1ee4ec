"""Columns of ``Desk.stamps`` (S, SIZE): the whole numbers of a symbol's position."""

from __future__ import annotations

ENTRY_NS, FUNDED, SIGNAL, SIZE = range(4)  # FUNDED counts the funding times paid
