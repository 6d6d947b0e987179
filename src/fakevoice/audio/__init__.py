"""Audio: a file → a waveform, and the signal processing that features, scenes and synthesis share.

- `files`: audio files below a folder; `containers`: recordings within a file; `ffmpeg`: what libsndfile cannot read
- `decode`: decides how a file is decoded, and checks what headers claim
- `read`: file → mono waveform at one sample rate, with flags; `messages`: stable codes for the reasons of failures
- `preprocess`: file → clip of fixed length; `windows`: long recording → overlapping windows
- `encode`: waveform → file in memory
- `channel`: room, microphone, bandwidth, codec and clipping
- `spectrum`, `constant_q`: time-frequency transforms; `phase_vocoder`: time stretching
- `pitch`, `voicing`, `timbre`, `linear_prediction`, `speech_frames`: descriptors of speech
- `synthesis/`: generated voices and noises
"""
