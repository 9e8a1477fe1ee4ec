"""Market data and its measures: bars, indicators, regime, costs."""
