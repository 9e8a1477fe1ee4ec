"""Binance USD-M: keys, endpoints and the adapter."""
