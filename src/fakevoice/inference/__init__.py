"""Inference: audio files → probabilities, by the models of a finished run.

- `inputs`: files, folders, lists and URLs on a command line → recordings
- `predictor`: clips → probabilities; `recordings`: recordings of any length; `stream`: audio as it arrives
- `code_competition`: hidden files of a code competition → submission, inside a package
"""
