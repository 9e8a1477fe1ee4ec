"""Quantum Trader: a crypto-futures trading system with one policy brain, a flight recorder and a learning lab."""

__version__ = "0.1.0"
