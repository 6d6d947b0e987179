"""Calibrators, one per file: fit(logit, label) → parameters, apply(parameters, logit) → probability."""
