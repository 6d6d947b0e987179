"""Augmentations for training, one per file, on standardised spectrograms."""
