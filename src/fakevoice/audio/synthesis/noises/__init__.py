"""Synthetic noises, one per file: make(n_samples, sample_rate, rng) → waveform."""
