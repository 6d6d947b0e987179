"""Which models were trained on generated voices only, and what everybody who reads their probabilities must know."""

from fakevoice.core.config import Config

NOTE = "trained on synthetic demo data: the probabilities say nothing about real recordings"


def is_synthetic(config: Config) -> bool:
    """Whether the training data of a run is the generated demo."""
    return config.dataset.name == "demo"


def synthetic_note(config: Config) -> str:
    """`NOTE` for a model that was trained on the demo; nothing for others."""
    return NOTE if is_synthetic(config) else ""
