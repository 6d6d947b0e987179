"""The model card of an exported model, every number of it from what the run wrote."""

import math
from collections.abc import Iterator
from typing import Any

from fakevoice.analysis.finished_run import Run
from fakevoice.analysis.results_report import markdown_row
from fakevoice.core import plugins
from fakevoice.data.synthetic import synthetic_note
from fakevoice.export.without_stacker import StandaloneNetworks
from fakevoice.features import embed
from fakevoice.scenes.draw import RT60_S

CONDITIONS = {
    "oof": "out of fold, as simulated",
    "discounted": "the same, where how a voice was recorded tells no label",
    "expected": "to expect of the test",
}


def card(run: Run, alone: StandaloneNetworks, facts: dict[str, Any]) -> str:
    """The page as Markdown.

    Args:
        facts: what `model.json` holds.
    """
    parts = (
        _model(run, facts),
        _data(run),
        _scores(run, alone, facts),
        _limits(run, facts),
        _preprocessing(run),
        _encoders(run),
        _use(facts),
    )
    texts = ["\n".join(line.rstrip() for line in part) for part in parts]
    return "\n\n".join(filter(None, texts)) + "\n"


def difference_text(scores: dict[str, Any]) -> str:
    """A paired difference with its interval, of a dictionary that `without_stacker.paired_difference` fills."""
    ends = f"{scores['difference_low']:+.4f} to {scores['difference_high']:+.4f}"
    return f"{scores['difference']:+.4f} (95 % interval {ends})"


def _model(run: Run, facts: dict[str, Any]) -> Iterator[str]:
    config = run.config
    yield f"# {config.competition}/{config.experiment}\n"
    if note := synthetic_note(config):
        yield f"**{note[0].upper()}{note[1:]}.**\n"
    yield f"From {config.clip_duration_s:g} s of sound at {config.sample_rate_hz} Hz to a probability each of: "
    yield f"{', '.join(config.outputs)} ({config.task}). Feature extraction, networks and calibration are inside.\n"
    yield from _table("network", "reads", "model", "parameters", "folds")
    for name, network in config.networks.items():
        n_parameters = f"{facts['parameters_of_one_fold'][name]:,}"
        yield markdown_row(name, network.feature, network.model.name, n_parameters, facts["n_folds"])
    yield "\nThe logits of all folds are averaged, and blended by a calibrated regression. The run's LightGBM stacker"
    yield "is no part of this model."


def _data(run: Run) -> Iterator[str]:
    config, clips = run.config, run.clips
    train, counts = clips[clips["split"] == "train"], clips["split"].value_counts(sort=False)
    yield "## Data\n"
    yield f"Competition `{config.competition}`: {', '.join(f'{n:,} {split}' for split, n in counts.items())} clips.\n"
    yield from _table("label", "training clips", "groups")
    for label, rows in train.groupby("label"):
        yield markdown_row(label, f"{len(rows):,}", f"{rows['group'].nunique():,}")
    unit = "recording channel" if config.folds.unit == "channel" else "group (a speaker or generator)"
    yield f"\n{_rules(run)}"
    yield f"\n{config.folds.n_folds} folds, each of which holds back every clip of a {unit}."
    if config.scenes.states:
        states = run.scenes["state"].value_counts(normalize=True, sort=False)
        yield f"Trained on {len(run.scenes):,} simulated scenes, of which hold "
        yield ", ".join(f"{state} {share:.1%}" for state, share in states.items()) + "."


def _rules(run: Run) -> str:
    if run.config.rules.independent_files:
        return (
            "Rules: independent files. Nothing was fitted on test or unlabeled clips, and the answer for a file "
            "depends on that file alone."
        )
    n_unlabeled = int((run.clips["split"] == "unlabeled").sum())
    return f"Rules: none. Unlabeled clips may be used for noises, label shares and adaptation; there are {n_unlabeled}."


def _scores(run: Run, alone: StandaloneNetworks, facts: dict[str, Any]) -> Iterator[str]:
    metric, scores = run.config.metric, alone.scores
    yield f"## Scores\n\n{metric}, each value with its 95 % interval:\n"
    yield from _table("", "this model", "with the stacker, which stays in the pipeline")
    for name, words in CONDITIONS.items():
        is_of_files = name == "expected" and "files_score" in run.metrics  # this model answers windows alone
        if f"{name}_score" in scores and not is_of_files:
            yield markdown_row(words, _value(scores, name), _value(run.metrics, name))
    yield f"\nDifference on the same scenes: {difference_text(scores)}."
    yield "All are scores of the fold models, each on what it never heard; this model holds all of them.\n"
    if alone.by_output:
        yield from _table("by output", *run.config.outputs)
        for name, values in alone.by_output.items():
            yield markdown_row(name, *(_number(values[output]) for output in run.config.outputs))
        yield ""
    yield f"Largest difference in probability to the pipeline on {facts['checked_on']}: "
    yield ", ".join(f"{name} {value:.1e}" for name, value in facts["largest_difference"].items()) + "."
    yield "Arithmetic is float32, as in the pipeline's scoring. Only the pipeline rounds features to float16, to save"
    yield f"space, which moves its own probabilities by up to {facts['rounding_of_the_cache']:.1e} on the same clips."
    if cost := facts["int8"]:
        yield f"\nWith the networks' products in eight bits {metric} is {_number(cost['int8'])} instead of "
        yield f"{_number(cost['float32'])} on {cost['n_scenes']} out-of-fold scenes: {difference_text(cost)}."


def _limits(run: Run, facts: dict[str, Any]) -> Iterator[str]:
    law = run.config.scenes
    yield "## Limits\n"
    yield "- Scores are of voices and sources that no model heard, under the conditions of training. Generators,"
    yield "  channels and languages of another kind may get any probability."
    if law.states:
        codecs = ", ".join(law.codecs) or "all that there are"
        yield f"- Scenes assume noise {_range(law.snr_db)} dB under the voices, rooms of {_range(RT60_S)} s"
        yield f"  reverberation, a level of {_range(law.level_dbfs)} dBFS, and these codecs: {codecs}."
        shares = run.metrics["shares"]
        heard = ", ".join(f"{output} {shares[output]['expected']:.3f}" for output in run.config.outputs)
        yield f"- Probabilities hold where outputs are as frequent as this: {heard}."
    yield "- Nothing in this file says when a clip lies outside of what training covered; `./run.sh predict` does."
    yield f"- It hears {facts['n_samples']:,} samples at a time and nothing before or after them."


def _preprocessing(run: Run) -> Iterator[str]:
    config, given = run.config, run.config.preprocessing
    yield "## Preprocessing\n"
    yield f"Yours: decode, mono (mean of the channels), resample to {config.sample_rate_hz} Hz, float32 from"
    trim = f"cut off both ends where they lie {given.trim_db:g} dB under the loudest moment, " if given.trim_db else ""
    yield f"-1 to 1, {trim}bring to {config.n_samples:,} samples (`{given.fit}`: as the pipeline's preprocessing.fit)."
    yield "The example does the `mean` of channels, neither resamples nor trims, and fills up with zeros.\n"
    yield f"The model's: power spectrum of frames of {config.spectrogram.n_fft} samples every "
    yield f"{config.spectrogram.hop_length}; then, standardised as each fold was:\n"
    for name in dict.fromkeys(network.feature for network in config.networks.values()):
        args = ", ".join(f"{key}={value}" for key, value in config.features[name].items())
        yield f"- `{name}`({args})"


def _encoders(run: Run) -> Iterator[str]:
    used = {network.feature for network in run.config.networks.values()}
    encoders = {name: args for name, args in run.config.features.items() if name in used and embed.is_encoder(args)}
    lines = []
    for name, args in encoders.items():
        lines.append(f"- `{name}`: {embed.describe(args)}. Its weights are inside and were not changed.")
    for name, network in run.config.networks.items():
        module = plugins.load("models", network.model.name)
        if hasattr(module, "describe"):
            lines.append(f"- `{name}`: {module.describe(**network.model.args)}. Its weights were trained further.")
    if not lines:
        return
    yield "## Pretrained encoders\n"
    yield from lines
    yield "\nAn encoder may have been trained on recordings that your test contains too."


def _use(facts: dict[str, Any]) -> Iterator[str]:
    yield "## Use\n\n```bash\npip install onnxruntime numpy soundfile\npython run_model.py RECORDING.wav\n```\n"
    yield f"Input `waveform` (batch, {facts['n_samples']}) float32, output `probability` (batch, "
    yield f"{len(facts['outputs'])}) float32. `model.pt` is the same for `torch.jit.load`.\n"
    yield from _table("file", "MB", "seconds of audio a second on one core of the exporting machine", "SHA-256")
    for name, checksum in facts["sha256"].items():
        rate = facts["audio_seconds_per_second"].get(name)
        yield markdown_row(name, f"{facts['size_mb'][name]:.2f}", f"{rate:.0f}" if rate else "", f"`{checksum}`")
    yield f"\nMade with {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}."
    yield "\n## Licence\n\nThe code that made this model, and the example, are under the MIT licence. The data has a"
    yield "licence of its own, which decides what may be done with a model trained on it."


def _table(*names: str) -> Iterator[str]:
    yield markdown_row(*names)
    yield markdown_row(*("---" for _ in names))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _value(scores: dict[str, Any], name: str) -> str:
    value, low, high = (_number(scores[f"{name}_{end}"]) for end in ("score", "low", "high"))
    return f"{value} ({low} to {high})"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"
