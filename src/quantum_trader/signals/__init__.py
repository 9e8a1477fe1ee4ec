"""Signals: models, their calibration on past outcomes, and the ensemble that pools them."""
