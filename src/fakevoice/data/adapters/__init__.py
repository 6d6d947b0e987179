"""Adapters, one per file: raw competition folder → tables of clips."""
