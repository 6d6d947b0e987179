"""Features, one per file: power spectrogram → (n_bands, n_frames)."""
