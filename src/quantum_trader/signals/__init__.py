"""Signals: models, their calibration on past outcomes only, and the ensemble that pools them."""
