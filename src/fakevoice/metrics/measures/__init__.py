"""Metrics, one per file: measure(label, probability) → float."""
