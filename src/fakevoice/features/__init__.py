"""Features: waveform → arrays for networks and columns for the stacker, cached as .npy.

- `frames/`: plug-ins with one column per frame (mel, MFCC, ...); `statistics/`: plug-ins with numbers per clip
- `pooling`: statistics of a feature over time
- `encoders/`: plug-ins that load pretrained encoders; `embed`: waveforms → embeddings
- `extract`: waveform → all features of a config
- `store`: reads the shards of the cache
"""
