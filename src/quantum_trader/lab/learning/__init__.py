"""The learning lab: labels, sample weights, folds, scores and calibration of models that are trained on signals."""
