"""Deterministic simulation: the live driver at an exchange with faults, in one process, on virtual time."""
