"""Losses on unlabeled clips, one per file: build(n_features, **args) → torch module."""
