"""Market data and what is measured from it: bars, indicators, regime, costs."""
