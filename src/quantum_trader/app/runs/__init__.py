"""Runs: replay, local venue and live trading, their state folders, and what people ask of them."""
