"""Which modules decide what a scene sounds like: a change of any makes everything that was rendered stale."""

from fakevoice import lookup
from fakevoice.config import Config

MODULES = (
    "audio",
    "decoder",
    "preprocessing",
    "spectrum",
    "pitch",
    "noise_shapes",
    "channel",
    "noise_bank",
    "rendering",
)


def sound_modules(config: Config) -> list[str]:
    """Names of modules and plug-ins, as `lookup.source_hash` takes them."""
    noises = config.scenes.noises or lookup.names("noises")
    vocoders = config.scenes.vocoders or lookup.names("vocoders")
    return [*MODULES, *(f"noises/{name}" for name in noises), *(f"vocoders/{name}" for name in vocoders)]
