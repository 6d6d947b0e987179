"""Example scripts that are copied next to exported models."""
