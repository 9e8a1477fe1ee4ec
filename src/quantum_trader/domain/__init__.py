"""Frozen values, enums, units and events: the words every other room speaks."""
