"""Vocoders, one per file: resynthesize(waveform, sample_rate, rng) → waveform of a generated voice."""
