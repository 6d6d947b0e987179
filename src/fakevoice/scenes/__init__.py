"""Scenes that imitate the test: clips with folds → scene tables → waveforms.

- `noise_bank`: noises cut out of unlabeled clips; `generated_noises`: synthetic noises
- `draw`: draws voices, noise, room and codec of every scene from one fold
- `render`: a row of the scene table → waveform
"""
