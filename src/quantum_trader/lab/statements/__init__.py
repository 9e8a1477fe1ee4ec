"""Statements: sentences whose every number, name, date and comparison is a placeholder or a claim that is checked."""
