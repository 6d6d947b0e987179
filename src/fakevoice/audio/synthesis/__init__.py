"""Generated sound for the demo data and for scenes: random generator → waveform.

- `source_filter`: synthetic speakers; `noise_shapes`: building blocks of noises
- `noises/`, `vocoders/`: plug-ins
"""
