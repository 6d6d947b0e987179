"""Pretrained encoders, one per file: build(n_samples, **args) → torch module, waveforms at 16 kHz → embeddings.

The module takes (n_clips, n_samples) float32 waveforms and returns (n_clips, n_bands, n_frames) float32: pooled
statistics of layers with one frame, or the frames of the layers one below the other. A file also has:

- ``weight_files(**args)``: the files that decide its values, part of the cache key
- ``fetch(**args)``: downloads them, for ``./run.sh fetch-models``
- ``describe(**args)``: source, licence and training data in a sentence, for the model card
"""
