"""The folder ``model/`` of a package: weights, config, encoders and code of a finished run, with their checksums."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from fakevoice.core import artifacts, code_hash, plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.models import SAMPLE_RATE_HZ
from fakevoice.ensemble.ood import RANGE
from fakevoice.features import embed
from fakevoice.features.extract import encoder_features
from fakevoice.inference.code_competition import CANNED, ENCODERS, FACTS, N_CANNED, run_paths
from fakevoice.inference.predictor import Predictor
from fakevoice.packaging.requirements import imported_modules

ROOT = "inference.code_competition"  # the module that a package starts
CODE = "code"
KEYS = ("features", "statistics", "networks", "ensemble")  # of a config, which name plug-ins that score
CANNED_PEAK = 0.3
# Runs with the code of the package alone; the modules are those that scoring really imports.
FINGERPRINT = """
import json, sys
from pathlib import Path
code, model = map(Path, sys.argv[1:])
sys.dont_write_bytecode = True
sys.path.insert(0, str(code))
from fakevoice.inference import code_competition as package
from fakevoice.inference.inputs import Source
package.set_environment(model)
predictor = package.load(model)
logits = package.canned_logits(predictor, model / package.CANNED)
package.score(predictor, [Source("canned", model / package.CANNED)])
print(json.dumps({"logits": logits.tolist(), "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def write_model(predictor: Predictor, folder: Path) -> set[str]:
    """Write ``model/`` of a run.

    Args:
        folder: is created.

    Returns:
        Top-level modules of other projects that its code imports when it scores.

    Raises:
        ConfigError: an encoder is missing.
        ArtifactError: the files cannot score the canned input.
    """
    config = predictor.config
    code = copy_code(config, folder / CODE)
    packaged = _copy_encoders(config, folder / ENCODERS)
    _copy_run(predictor, packaged, folder)
    _write_canned(config, folder / CANNED)
    found = _fingerprint(folder)
    files = [Path(entry.path) for entry in artifacts.walk(folder)]
    facts = {
        "schema": artifacts.SCHEMA_VERSION,
        "competition": config.competition,
        "experiment": config.experiment,
        "outputs": config.outputs,
        "logits": found["logits"],
        "files": artifacts.describe(files, folder),
    }
    artifacts.write_json(folder / FACTS, facts)
    return imported_modules(code) & set(found["modules"])


def copy_code(config: Config, folder: Path) -> list[Path]:
    """Copy the modules that scoring needs, by the imports that cache keys follow, and the plug-ins of the config.

    Returns:
        The copies.
    """
    copies = []
    for file in code_hash.closure([ROOT], code_hash.named_plugins(config, KEYS)):
        copy = folder / "fakevoice" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plugins.PACKAGE / file, copy)
        copies.append(copy)
    return copies


def _copy_encoders(config: Config, folder: Path) -> Config:
    """Copy the files of the pretrained encoders; the config that finds them there."""
    features = dict(config.features)
    for name in encoder_features(config):
        args = features[name]
        checkpoint = Path(args["checkpoint"])
        place = checkpoint.name if checkpoint.is_absolute() or ".." in checkpoint.parts else checkpoint.as_posix()
        for file in embed.weight_files(args):
            copy = folder / place / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        features[name] = args | {"checkpoint": place, "precision": _precision(args, config)}
    return config.model_copy(update={"features": features})


def _precision(args: dict[str, Any], config: Config) -> str:
    """Precision that an encoder has here, so that "auto" does not choose another one on the server."""
    n_samples = round(config.clip_duration_s * SAMPLE_RATE_HZ)
    dtypes = {tensor.dtype for tensor in embed.load_encoder(n_samples, args).parameters()}
    return "bf16" if torch.bfloat16 in dtypes else "fp32"


def _copy_run(predictor: Predictor, config: Config, folder: Path) -> None:
    """Copy what `Predictor.load` reads, with manifests of these files alone."""
    source, target = predictor.paths, run_paths(folder)
    weights = [f"{name}/fold{k}/weights.safetensors" for name in config.networks for k in range(config.folds.n_folds)]
    trees = [f"fold{k}-output{i}.txt" for k in range(config.folds.n_folds) for i in range(len(config.outputs))]
    names = {
        "train": weights,
        "stack": [*trees, *([RANGE] if predictor.range else [])],
        "ensemble": ["ensemble.json"],
    }
    for stage, files in names.items():
        for name in files:
            copy = target.stage(stage) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.stage(stage) / name, copy)
    artifacts.write_json(target.stage("ensemble") / "config.json", config.model_dump(mode="json"))
    for stage in names:
        target.stage(stage).mkdir(parents=True, exist_ok=True)
        outputs = [Path(entry.path) for entry in artifacts.walk(target.stage(stage))]
        artifacts.write_json(target.stage(stage) / "manifest.json", {"outputs": artifacts.describe(outputs, folder)})


def _write_canned(config: Config, path: Path) -> None:
    """Write harmonics that glide, over partials of all frequencies; louder from clip to clip."""
    n_samples, rate_hz = config.n_samples, config.sample_rate_hz
    time_s = np.arange(N_CANNED * n_samples) / rate_hz
    pitch_hz = 140 + 60 * np.sin(2 * np.pi * 0.4 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = sum(np.sin(k * phase) / k for k in range(1, 12))
    partials = np.linspace(50, 0.45 * rate_hz, 101)
    floor = sum(np.sin(2 * np.pi * f * time_s + f**2) for f in partials) / len(partials)
    sound = (voice * (1 + np.sin(2 * np.pi * 3 * time_s)) + floor) * np.linspace(0.05, 1, len(time_s))
    soundfile.write(path, CANNED_PEAK * sound / np.abs(sound).max(), rate_hz, subtype="PCM_16")


def _fingerprint(folder: Path) -> dict[str, Any]:
    """Logits of the canned input, scored with nothing but the package, and all modules that this imports."""
    command = [sys.executable, "-I", "-c", FINGERPRINT, str(folder / CODE), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise ArtifactError(f"the package cannot score the canned input:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
