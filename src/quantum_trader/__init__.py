"""Quantum Trader: a crypto-futures trading system with one policy brain, a flight recorder and a learning lab."""

from __future__ import annotations

import logging

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # a library says nothing until a program asks for it
