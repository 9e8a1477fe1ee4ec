"""Deterministic simulation: the live driver and a faulty world around it, in one process, on virtual time."""
