"""Columns of ``Outcome.trade`` (N, SIZE): quantity, prices and money of a trade; R is the net result over RISK."""

from __future__ import annotations

QTY, ENTRY, EXIT, PNL, R, FEES, FUNDING, RISK, EQUITY, SIZE = range(10)
