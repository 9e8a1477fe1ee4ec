"""Frozen values, enums, units and events that every other room uses."""
