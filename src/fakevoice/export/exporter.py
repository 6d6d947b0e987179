"""A finished run as files that need none of it: `./run.sh export` → ONNX, TorchScript, a model card, an example.

The files are held against the pipeline on real clips before any of them is written.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.audio.preprocess import read_clip
from fakevoice.core import artifacts, plugins
from fakevoice.core.config import Config
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.tables import CLIP_TEXT, read_table
from fakevoice.core.tasks import targets
from fakevoice.data.clip_cache import open_clips
from fakevoice.data.groups import first_group
from fakevoice.ensemble.blend import Blend
from fakevoice.export.formats import (
    as_int8,
    as_onnx,
    as_torchscript,
    check_installed,
    run_onnx,
    run_torchscript,
    speed,
    trace,
)
from fakevoice.export.graph import Exportable, FoldLogits, refuse_unexportable
from fakevoice.export.model_card import card, difference_text
from fakevoice.export.without_stacker import StandaloneNetworks, paired_difference, without_stacker
from fakevoice.features.embed import exact
from fakevoice.features.extract import extract_on
from fakevoice.inference.predictor import Predictor, as_cached
from fakevoice.scenes.noise_bank import NoiseBank
from fakevoice.scenes.render import render_all

ONNX, TORCHSCRIPT, INT8 = "model.onnx", "model.pt", "model-int8.onnx"
FACTS, CARD, EXAMPLE = "model.json", "MODEL_CARD.md", "run_model.py"
WRITTEN = (ONNX, TORCHSCRIPT, INT8, FACTS, CARD, EXAMPLE)
N_CHECKED = 64  # clips on which the files are held against the pipeline
N_SCENES = 400  # on which the cost of eight bits is measured
WANTED_DIFFERENCE = 1e-5  # of a probability, which float32 allows
LARGEST_DIFFERENCE = 1e-4  # beyond it the file computes something else
PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, eq=False)
class _Model:
    """What is exported, before it is in any format.

    Attributes:
        graph: the networks, up to their logits.
        clips: (n_clips, n_samples) float32 on which it is held against the pipeline.
        kind: of those clips, in words.
        expected: (n_clips, n_outputs) what the pipeline says of them.
        rounding: largest difference of a probability that the cache's float16 makes to `expected`.
    """

    run: Run
    alone: StandaloneNetworks
    graph: FoldLogits
    clips: np.ndarray
    kind: str
    expected: np.ndarray
    rounding: float


def export(config: Config, folder: Path | None = None, int8: bool = False) -> str:
    """Write the networks of a finished run into a folder, with all that one needs to use them.

    Args:
        config: names the competition and the experiment; all else is taken from the run itself.
        folder: `export/` of the run if None.
        int8: also with products in eight bits, and what that costs in score.

    Returns:
        What was written, and the numbers that one should know.

    Raises:
        ConfigError: a library is missing, or a part of the run cannot be exported.
        ArtifactError: the run is not finished, or a file does not say what the pipeline says.
    """
    check_installed()
    model = _prepare(load_run(config))
    files, cost = _files(model), None
    if int8:
        files[INT8], cost = as_int8(files[ONNX], model.clips), _cost_of_int8(model)
    differences = _differences(files, model)
    folder = folder or model.run.paths.run / "export"
    (folder / INT8).unlink(missing_ok=True)  # of an export before
    for name, content in files.items():
        artifacts.write_bytes(folder / name, content)
    facts = _facts(model, files, folder, differences, cost)
    artifacts.write_json(folder / FACTS, facts)
    artifacts.write_text(folder / CARD, card(model.run, model.alone, facts))
    artifacts.write_bytes(folder / EXAMPLE, (Path(__file__).parent / "example" / EXAMPLE).read_bytes())
    return _summary(model, facts, folder)


def _prepare(run: Run) -> _Model:
    predictor = Predictor.load(run.paths)
    refuse_unexportable(run.config, predictor.networks)
    alone, graph = without_stacker(run), FoldLogits(run.config, predictor.networks)
    clips, kind = real_clips(run)
    exact, rounded = (pipeline_probability(predictor, alone.blend, clips, cached) for cached in (False, True))
    return _Model(run, alone, graph, np.stack(clips), kind, exact, float(np.abs(exact - rounded).max()))


def pipeline_probability(predictor: Predictor, blend: Blend, waveforms: list[np.ndarray], cached: bool) -> np.ndarray:
    """Probabilities (n_clips, n_outputs) float64 of a run's networks, blended by `blend`.

    Args:
        cached: from features as the cache rounds them to save space; otherwise in float32, as exported files do.
    """
    config = predictor.config if cached else exact(predictor.config)
    names = list(dict.fromkeys(network.feature for network in config.networks.values()))
    arrays = extract_on("cpu", np.stack(waveforms), config, names)
    if cached:
        arrays = {name: as_cached(array) for name, array in arrays.items()}
    members = [np.mean(predictor.fold_logits(name, arrays), axis=0) for name in blend.members]
    return blend.probability(np.stack(members, axis=1))


def real_clips(run: Run) -> tuple[list[np.ndarray], str]:
    """At most `N_CHECKED` waveforms (n_samples,) float32 from all over the test, or scenes where there is none.

    Returns:
        The waveforms, and what they are in words.
    """
    test = run.clips[(run.clips["split"] == "test") & (run.clips["error"] == "")]
    if test.empty:
        return render_scenes(run, _spread(len(run.scenes), N_CHECKED)), "scenes"
    chosen = [run.paths.raw / path for path in test["path"].iloc[_spread(len(test), N_CHECKED)]]
    return [read_clip(path, run.config) for path in chosen], "test clips"


def _spread(n_rows: int, n_most: int) -> np.ndarray:
    return np.unique(np.linspace(0, n_rows - 1, n_most).round().astype(int))


def render_scenes(run: Run, rows: np.ndarray) -> list[np.ndarray]:
    """The sound of some scenes, by row number: each (n_samples,) float32."""
    scenes, audit = run.scenes.iloc[rows], read_table(run.paths.stage("prepare") / "audit.csv", CLIP_TEXT)
    sounds = open_clips(run.clips, audit, run.paths.cache, run.paths.raw, run.config)
    voices, bank = run.voices[run.voices["scene"].isin(scenes["scene"])], NoiseBank.load(run.paths.stage("scenes"))
    return list(render_all(scenes, voices, sounds.read, bank, run.config))


def _files(model: _Model) -> dict[str, bytes]:
    config = model.run.config
    try:
        program = trace(Exportable(model.graph, model.alone.blend), config.n_samples)
        return {ONNX: as_onnx(program), TORCHSCRIPT: as_torchscript(program)}
    except Exception as error:  # each layer that cannot be traced fails in a way of its own
        names = ", ".join(f"networks.{name} ({network.model.name})" for name, network in config.networks.items())
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"export: PyTorch cannot trace {names}: {reason}; cnn, lcnn and resnet it can") from error


def _differences(files: dict[str, bytes], model: _Model) -> dict[str, float]:
    """Largest difference in probability of each file to the pipeline."""
    largest = {}
    for name, content in files.items():
        answer = run_torchscript(content) if name == TORCHSCRIPT else run_onnx(content)
        largest[name] = float(np.abs(answer(model.clips) - model.expected).max())
        if name != INT8 and not largest[name] <= LARGEST_DIFFERENCE:
            raise ArtifactError(
                f"export: {name} is off by {largest[name]:.2g} in probability on {len(model.clips)} {model.kind}, "
                f"allowed are {LARGEST_DIFFERENCE:g}: nothing was written; ./run.sh doctor says whether libraries are "
                "those that were tested together"
            )
    return largest


def _cost_of_int8(model: _Model) -> dict[str, Any]:
    """The score of eight bits on scenes that each fold's networks never heard, and its difference to float32."""
    run, config = model.run, model.run.config
    rows = model.alone.rows[_spread(len(model.alone.rows), N_SCENES)]
    clips, fold = np.stack(render_scenes(run, rows)), run.scenes["fold"].to_numpy(int)[rows]
    content = as_onnx(trace(model.graph, config.n_samples))
    probability = []
    for file in (as_int8(content, model.clips), content):
        logits = run_onnx(file)(clips)  # (n_scenes, n_folds, n_networks, n_outputs)
        probability.append(model.alone.simulated.probability(logits[np.arange(len(rows)), fold].astype(np.float64)))
    target, groups = targets(run.scenes["state"], config)[rows], first_group(run.scenes, run.voices)[rows]
    measure = plugins.load("metrics", config.metric).measure
    scores = {name: measure(target, p) for name, p in zip(("int8", "float32"), probability, strict=True)}
    return scores | paired_difference(target, *probability, groups, run) | {"n_scenes": len(rows)}


def _facts(
    model: _Model, files: dict[str, bytes], folder: Path, differences: dict[str, float], cost: dict | None
) -> dict[str, Any]:
    """What `model.json` holds."""
    run, config = model.run, model.run.config
    n_parameters = {
        name: sum(tensor.numel() for tensor in folds[0].model.parameters())
        for name, folds in model.graph.networks.items()
    }
    onnx_files = [name for name in files if name != TORCHSCRIPT]
    return {
        "competition": config.competition,
        "experiment": config.experiment,
        "ensemble_sha256": artifacts.checksum(run.paths.stage("ensemble") / "ensemble.json"),
        "task": config.task,
        "outputs": config.outputs,
        "sample_rate_hz": config.sample_rate_hz,
        "n_samples": config.n_samples,
        "clip_duration_s": config.clip_duration_s,
        "hop_samples": config.n_samples // 2,
        "preprocessing": config.preprocessing.model_dump(),
        "n_folds": config.folds.n_folds,
        "parameters_of_one_fold": n_parameters,
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "sha256": {name: artifacts.checksum(folder / name) for name in files},
        "size_mb": {name: len(content) / 1e6 for name, content in files.items()},
        "checked_on": f"{len(model.clips)} {model.kind}",
        "largest_difference": differences,
        "rounding_of_the_cache": model.rounding,
        "audio_seconds_per_second": {
            name: speed(files[name], model.clips[0], config.clip_duration_s) for name in onnx_files
        },
        "int8": cost,
    }


def _summary(model: _Model, facts: dict[str, Any], folder: Path) -> str:
    metric, scores, before = model.run.config.metric, model.alone.scores, model.run.metrics
    judged = "discounted" if "discounted_score" in scores else "oof"
    n_parameters = sum(facts["parameters_of_one_fold"].values())
    lines = [
        f"{folder}: {', '.join((*facts['sha256'], FACTS, CARD, EXAMPLE))}",
        f"{metric} out of fold {scores[f'{judged}_score']:.4f} without the stacker, "
        f"{before[f'{judged}_score']:.4f} with it: {difference_text(scores)}; to expect {scores['expected_score']:.4f} "
        f"({scores['expected_low']:.4f} to {scores['expected_high']:.4f}), with it {before['expected_score']:.4f}",
        f"{n_parameters:,} parameters in each of {facts['n_folds']} folds",
    ]
    for name, largest in facts["largest_difference"].items():
        rate = facts["audio_seconds_per_second"].get(name)
        fast = f", {rate:.0f} s of audio a second on one core" if rate else ""
        size = facts["size_mb"][name]
        off = "" if name == INT8 or largest <= WANTED_DIFFERENCE else f", more than {WANTED_DIFFERENCE:g}"
        lines.append(f"  {name:<16}{size:.2f} MB, off by {largest:.1e} at most{off}, on {facts['checked_on']}{fast}")
    if cost := facts["int8"]:
        lines.append(
            f"eight bits: {metric} {cost['int8']:.4f} instead of {cost['float32']:.4f} on {cost['n_scenes']} "
            f"out-of-fold scenes: {difference_text(cost)}"
        )
    return "\n".join(lines)
