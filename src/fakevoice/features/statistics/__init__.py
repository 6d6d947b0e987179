"""Statistics of a clip, one file per kind: waveform and power spectrogram → named numbers."""
