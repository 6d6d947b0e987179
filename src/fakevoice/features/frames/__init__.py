"""Features, one per file: power spectrogram, or waveform, → (n_bands, n_frames)."""
