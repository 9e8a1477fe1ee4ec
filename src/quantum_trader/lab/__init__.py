"""Research over recordings: sweeps of settings, walk-forward splits, and what is left of a Sharpe ratio after them."""
