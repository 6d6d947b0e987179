"""fakevoice: which voices in a 5-second clip are real, generated, both or neither."""

__version__ = "0.1.0"
