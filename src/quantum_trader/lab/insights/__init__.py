"""Insights: what a day taught, what was blocked and whether rightly, what changed, what it cost, and what to do."""
