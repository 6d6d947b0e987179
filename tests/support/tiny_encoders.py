"""Checkpoints of speech encoders with few random weights, as transformers writes them."""

from collections.abc import Iterable
from pathlib import Path

import torch

from fakevoice.core.third_party import import_transformers, quiet

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
FAMILIES = {
    "Wav2Vec2": SMALL | {"conv_dim": (16,) * 7},
    "WavLM": SMALL | {"conv_dim": (16,) * 7},
    "Hubert": SMALL | {"conv_dim": (16,) * 7},
    "UniSpeechSat": SMALL | {"conv_dim": (16,) * 7},
    "Data2VecAudio": SMALL | {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 3},
    "Whisper": {
        "d_model": 32,
        "encoder_layers": 3,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "vocab_size": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "decoder_start_token_id": 2,
    },
}


def write(folder: Path, families: Iterable[str] = FAMILIES) -> dict[str, Path]:
    """Write one folder per family, in half precision, with the settings of its feature extractor."""
    return {name: write_one(folder / name, name) for name in families}


def write_one(folder: Path, family: str, **settings) -> Path:
    """Write one checkpoint, whose configuration may differ from the family's by `settings`."""
    transformers = import_transformers()
    torch.manual_seed(7)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family] | settings)
    with quiet(transformers):
        getattr(transformers, f"{family}Model")(config).half().save_pretrained(folder)
    kind = transformers.WhisperFeatureExtractor if family == "Whisper" else transformers.Wav2Vec2FeatureExtractor
    kind().save_pretrained(folder)
    return folder
