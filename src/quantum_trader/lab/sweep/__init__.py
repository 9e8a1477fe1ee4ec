"""Sweeps: many profiles and settings over one history, on the engine's own scalars."""
