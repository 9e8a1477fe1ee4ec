"""Trained models of signals, scored without the libraries that trained them."""
