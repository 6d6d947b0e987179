"""A Whisper checkpoint with few random weights, made without importing transformers."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

NAMES = ["whisper-base", "whisper-tiny.en"]  # those of configs/voices.yaml
N_MELS, N_CHANNELS, N_LAYERS, N_POSITIONS = 80, 32, 6, 1500
CONFIG = {
    "architectures": ["WhisperModel"],
    "model_type": "whisper",
    "d_model": N_CHANNELS,
    "encoder_layers": N_LAYERS,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": N_CHANNELS,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 8,
    "num_mel_bins": N_MELS,
    "max_source_positions": N_POSITIONS,
    "max_target_positions": 8,
    "vocab_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 2,
}
EXTRACTOR = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": N_MELS, "sampling_rate": 16000}


def write(folder: Path) -> Path:
    """Write the encoder of a checkpoint, as it is published, but small."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(EXTRACTOR))
    save_file(_tensors(), folder / "model.safetensors", {"format": "pt"})
    return folder


def _tensors() -> dict[str, np.ndarray]:
    square, vector = (N_CHANNELS, N_CHANNELS), (N_CHANNELS,)
    shapes = {
        "conv1.weight": (N_CHANNELS, N_MELS, 3),
        "conv1.bias": vector,
        "conv2.weight": (N_CHANNELS, N_CHANNELS, 3),
        "conv2.bias": vector,
        "embed_positions.weight": (N_POSITIONS, N_CHANNELS),
        "layer_norm.weight": vector,
        "layer_norm.bias": vector,
    }
    for layer in range(N_LAYERS):
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"):
            shapes[f"layers.{layer}.{name}.weight"] = square
            if not name.endswith("k_proj"):
                shapes[f"layers.{layer}.{name}.bias"] = vector
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes[f"layers.{layer}.{name}.weight"] = vector
            shapes[f"layers.{layer}.{name}.bias"] = vector
    rng = np.random.default_rng(0)
    tensors = {f"encoder.{name}": rng.normal(0, 0.2, shape).astype(np.float16) for name, shape in shapes.items()}
    return {name: np.ones_like(t) if name.endswith("norm.weight") else t for name, t in tensors.items()}
