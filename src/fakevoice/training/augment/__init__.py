"""Augmentations for training, one per file, of what its ``INPUT`` says.

- ``"waveform"``: ``build(sample_rate_hz, **args)`` → waveform (n,) float32 and generator → (n,) float32
- ``"picture"``: ``build(shape, **args)`` → a transform of albumentations, for standardised spectrograms
- ``"batch"``: ``build(**args)`` → x (batch, 1, n_bands, n_frames), y (batch, n_columns) and generator → x and y
"""
