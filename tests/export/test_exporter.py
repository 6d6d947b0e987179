"""What leaves the pipeline says what the pipeline says: as ONNX, as TorchScript, and to who has neither it nor us."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile
import torch

from fakevoice.analysis.finished_run import Run, load_run
from fakevoice.audio.spectrum import power_spectrogram
from fakevoice.cli.command_line import main
from fakevoice.core import plugins
from fakevoice.core.artifacts import checksum, read_json
from fakevoice.core.config import REPOSITORY, Config, load_config
from fakevoice.core.config_sections import Crop, Plugin
from fakevoice.core.errors import ArtifactError, ConfigError
from fakevoice.core.tasks import one_output_each
from fakevoice.data.synthetic import NOTE
from fakevoice.ensemble.blend import Blend, fit_blend
from fakevoice.export import exporter as export_module
from fakevoice.export import formats
from fakevoice.export.graph import (
    CURVES,
    Fold,
    FoldLogits,
    PowerSpectrogram,
    TensorBlend,
    refuse_unexportable,
)
from fakevoice.export.model_card import _data
from fakevoice.export.without_stacker import paired_difference, without_stacker
from fakevoice.features.extract import check_features, extract
from fakevoice.training.models import resnet
from fakevoice.training.networks import TrainedNetwork, build_model, state_membership
from fakevoice.training.standardize import Standardizer

if any(find_spec(name) is None for name in formats.EXTRAS):
    pytest.skip("ONNX is an extra", allow_module_level=True)

PATIENCE_S = 120
CPU = torch.device("cpu")
TENSORS = [f for f in plugins.names("features") if getattr(plugins.load("features", f), "TAKES_TENSORS", False)]
ALONE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    roots = {name.partition(".")[0] for name in sys.modules}
    print("unwanted", *sorted(roots & {"torch", "scipy", "pandas", "fakevoice", "onnx", "lightgbm"}))
"""


@pytest.fixture(scope="module")
def run(finished_run) -> Run:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        return load_run(finished_run.config)


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """The folder of a whole export, with eight bits, and what it said."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(finished_run.home))
        environment.setattr(export_module, "N_SCENES", 24)
        environment.setattr(formats, "N_TIMED", 3)
        before = finished_run.times()
        said = export_module.export(finished_run.config, folder, int8=True)
        assert finished_run.times() == before
    return folder, said


@pytest.fixture(scope="module")
def blend(exported, run) -> Blend:
    return without_stacker(run).blend


@pytest.fixture(scope="module")
def clips(run) -> list[np.ndarray]:
    """Seven: of the test, silence, the loudest noise that there is, one sample, and a hum that is nearly nothing."""
    rng, n_samples = np.random.default_rng(0), run.config.n_samples
    click, hum = np.zeros(n_samples), 1e-5 * np.sin(2 * np.pi * 100 / 16_000 * np.arange(n_samples))
    click[n_samples // 3] = 1
    made = [np.zeros(n_samples), np.sign(rng.normal(size=n_samples)), click, hum]
    return [*export_module.real_clips(run)[0][:3], *(clip.astype(np.float32) for clip in made)]


def answers(folder) -> dict:
    onnx, script = ((folder / name).read_bytes() for name in ("model.onnx", "model.pt"))
    return {"onnx": formats.run_onnx(onnx), "torchscript": formats.run_torchscript(script)}


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize("n_clips", [1, 7])
def test_the_files_say_what_the_pipeline_says(exported, predictor, blend, clips, kind, n_clips):
    said = answers(exported[0])[kind](np.stack(clips[:n_clips]))
    expected = export_module.pipeline_probability(predictor, blend, clips[:n_clips], cached=False)
    assert said.shape == (n_clips, 2) and said.dtype == np.float32
    assert np.abs(said - expected).max() < 1e-5
    assert n_clips == 1 or np.ptp(expected, axis=0).min() > 1e-3  # they could differ


def test_the_facts_are_those_of_the_run(exported, run):
    folder, said = exported
    facts, config = read_json(folder / "model.json"), run.config
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "model.pt", "model-int8.onnx", "model.json", "MODEL_CARD.md", "run_model.py")
    }
    assert facts["sha256"] == {name: checksum(folder / name) for name in ("model.onnx", "model.pt", "model-int8.onnx")}
    assert (facts["outputs"], facts["n_samples"], facts["sample_rate_hz"]) == (["fake", "real"], 80_000, 16_000)
    assert facts["hop_samples"] == 40_000 and facts["n_folds"] == 2 and facts["checked_on"] == "16 test clips"
    assert facts["largest_difference"]["model.onnx"] < 1e-5 > facts["largest_difference"]["model.pt"]
    assert 1e-7 < facts["rounding_of_the_cache"] < 1e-2
    assert facts["parameters_of_one_fold"].keys() == config.networks.keys()
    assert facts["audio_seconds_per_second"].keys() == {"model.onnx", "model-int8.onnx"}
    scores = without_stacker(run).scores
    for text in (said, (folder / "MODEL_CARD.md").read_text()):
        for value in (scores["discounted_score"], run.metrics["discounted_score"], scores["expected_score"]):
            assert f"{value:.4f}" in text
        assert f"{scores['difference']:+.4f}" in text and f"{facts['int8']['difference']:+.4f}" in text
        assert f"{facts['largest_difference']['model.onnx']:.1e}" in text


def test_the_card_tells_of_the_data_and_its_limits(exported, run):
    text = (exported[0] / "MODEL_CARD.md").read_text()
    train = run.clips[run.clips["split"] == "train"]
    for label, rows in train.groupby("label"):
        assert f"| {label} | {len(rows)} | {rows['group'].nunique()} |" in text
    assert f"{NOTE[0].upper()}{NOTE[1:]}." in text
    for word in ("60 train, 16 test, 8 unlabeled", "0 to 30 dB", "MIT", "2 folds", "n_mfcc=40", "| auc |"):
        assert word in text
    assert "Rules: none. Unlabeled clips may be used for noises, label shares and adaptation; there are 8." in text
    ruled = replace(run, config=load_config("demo", ["rules.independent_files=true"]))
    assert "Nothing was fitted on test or unlabeled clips" in "\n".join(_data(ruled))
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_nothing_tells_of_this_machine(exported, finished_run):
    for path in exported[0].iterdir():
        content = path.read_bytes()
        for place in (REPOSITORY, finished_run.home, sys.prefix):
            assert str(place).encode() not in content, path.name


def alone(folder, *files) -> subprocess.CompletedProcess:
    """The example in a fresh interpreter, in a folder that has nothing of this project."""
    words = [sys.executable, "-c", ALONE, str(folder / "run_model.py"), *map(str, files)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, cwd=folder, env={})


def test_the_example_needs_nothing_else(exported, run, predictor, blend, clips, tmp_path):
    sound = np.concatenate(clips[:3])[: int(12.3 * 16_000)]
    soundfile.write(tmp_path / "long.wav", np.stack([sound, sound], axis=1), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", sound[:30_000], 16_000, subtype="FLOAT")
    done = alone(exported[0], tmp_path / "long.wav", tmp_path / "short.wav")
    assert done.returncode == 0, done.stderr
    head, *rows, unwanted = done.stdout.splitlines()
    assert unwanted == "unwanted" and head == "file,start_s,end_s,fake,real"
    cells = [row.split(",") for row in rows]
    assert [row[1:3] for row in cells[:-1]] == [["0.0", "5.0"], ["2.5", "7.5"], ["5.0", "10.0"], ["7.3", "12.3"]]
    assert cells[-1][1:3] == ["0.0", "1.875"]
    windows = [sound[start : start + 80_000] for start in (0, 40_000, 80_000, len(sound) - 80_000)]
    windows.append(np.append(sound[:30_000], np.zeros(50_000)))
    expected = export_module.pipeline_probability(predictor, blend, windows, cached=False)
    assert np.abs(np.array([row[3:] for row in cells], float) - expected).max() < 1e-4


def test_the_example_refuses_another_rate_and_is_short(exported, tmp_path):
    soundfile.write(tmp_path / "other.wav", np.zeros(44_100), 44_100)
    done = alone(exported[0], tmp_path / "other.wav")
    assert done.returncode == 1 and "44100 Hz, but the model hears 16000 Hz" in done.stderr
    assert len((exported[0] / "run_model.py").read_text().splitlines()) <= 30


def test_eight_bits_are_of_the_networks_alone(exported, clips):
    import onnx

    graph = onnx.load(exported[0] / "model-int8.onnx").graph
    kinds = {i.name: i.data_type for i in graph.initializer}
    assert kinds["logits.power.basis"] == onnx.TensorProto.FLOAT
    assert sum(name.endswith("_quantized") and ".model." in name for name in kinds) >= 2 * 2 * 9
    floats, eights = (
        formats.run_onnx((exported[0] / name).read_bytes())(np.stack(clips[:3]))
        for name in ("model.onnx", "model-int8.onnx")
    )
    assert 0 < np.abs(floats - eights).max() < 0.1
    cost = json.loads((exported[0] / "model.json").read_text())["int8"]
    assert cost["n_scenes"] == 24 and cost["difference"] == pytest.approx(cost["int8"] - cost["float32"])
    assert cost["difference_low"] <= cost["difference_high"]


def test_eight_bits_are_measured_out_of_fold(run, monkeypatch):
    """What scenes get from the networks that never heard them, as the run wrote it down."""
    model, said = export_module._prepare(run), []

    def answer_of(graph: FoldLogits):
        return lambda clips: graph.eval()(torch.from_numpy(clips)).detach().numpy()

    monkeypatch.setattr(export_module, "trace", lambda graph, n_samples: graph)
    monkeypatch.setattr(export_module, "as_onnx", lambda graph: graph)
    monkeypatch.setattr(export_module, "as_int8", lambda graph, clips: graph)
    monkeypatch.setattr(export_module, "run_onnx", answer_of)
    monkeypatch.setattr(export_module, "paired_difference", lambda target, p, before, *rest: said.append(p) or {})
    monkeypatch.setattr(export_module, "N_SCENES", 24)
    export_module._cost_of_int8(model)
    oof = np.stack([np.load(run.paths.stage("train") / f"oof-{name}.npy") for name in run.config.networks], axis=1)
    rows = model.alone.rows[export_module._spread(len(oof), 24)]
    assert np.abs(said[0] - model.alone.simulated.probability(oof[rows])).max() < 1e-4


@pytest.fixture
def made_before(exported, monkeypatch):
    """Files that an export need not make again."""
    files = {name: (exported[0] / name).read_bytes() for name in ("model.onnx", "model.pt")}
    monkeypatch.setattr(export_module, "_files", lambda model: dict(files))


def test_an_export_without_eight_bits_leaves_none_behind(at_home, made_before, tmp_path, capsys):
    (tmp_path / "model-int8.onnx").write_bytes(b"old")
    assert main(["export", "--config", "demo", "--out", str(tmp_path)]) == 2  # a file of somebody else's
    assert "model-int8.onnx is not of this command" in capsys.readouterr().err
    (tmp_path / "model.json").write_text("{}")  # an earlier export
    assert main(["export", "--config", "demo", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "model-int8.onnx").exists() and (tmp_path / "model.onnx").is_file()
    assert read_json(tmp_path / "model.json")["int8"] is None and "eight bits" not in capsys.readouterr().out


def test_a_file_that_says_something_else_is_not_written(at_home, made_before, tmp_path, monkeypatch):
    right = export_module.pipeline_probability
    monkeypatch.setattr(export_module, "pipeline_probability", lambda *rest: right(*rest) + 2e-4)
    with pytest.raises(ArtifactError, match=r"model.onnx is off by 0.0002 .* 16 test clips"):
        export_module.export(at_home.config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_off_by_more_than_float32_makes_it_says_so(exported, run):
    folder, said = exported
    assert "more than" not in said
    facts, model = read_json(folder / "model.json"), export_module._prepare(run)
    facts["largest_difference"]["model.onnx"] = 5e-5
    assert "off by 5.0e-05 at most, more than 1e-05, on 16 test clips" in export_module._summary(model, facts, folder)


def test_without_a_test_it_is_held_against_scenes(run, monkeypatch):
    monkeypatch.setattr(export_module, "N_CHECKED", 5)
    waveforms, kind = export_module.real_clips(replace(run, clips=run.clips[run.clips["split"] != "test"]))
    assert kind == "scenes" and len(waveforms) == 5 and {len(waveform) for waveform in waveforms} == {80_000}


def test_a_model_without_a_difference_has_none(run):
    rng, label = np.random.default_rng(0), run.oof[["label_fake", "label_real"]].to_numpy()
    good, groups = np.clip(label + rng.normal(0, 0.2, label.shape), 0.01, 0.99), np.arange(len(label)) // 4
    same, worse = (paired_difference(label, p, good, groups, run) for p in (good, np.full(label.shape, 0.45)))
    assert set(same.values()) == {0.0} and worse["difference_low"] > 0.1  # lower is better


def test_the_stacker_is_left_out(run):
    found = without_stacker(run)
    assert found.blend.members == ["mel", "mfcc"] and np.shape(found.blend.weights)[1] == 4
    shares = [run.metrics["shares"][output]["expected"] for output in run.config.outputs]
    assert found.blend.prior == pytest.approx(shares) and found.simulated.shares == found.simulated.simulated
    assert found.scores["oof_score"] != run.metrics["oof_score"]


@pytest.mark.parametrize(("n_fft", "hop_length", "n_samples"), [(512, 256, 80_000), (400, 130, 5_001), (64, 64, 640)])
def test_the_spectrum_is_that_of_the_features(n_fft, hop_length, n_samples):
    waveform = np.random.default_rng(0).normal(0, 0.1, (2, n_samples)).astype(np.float32)
    expected = np.stack([power_spectrogram(one, n_fft, hop_length) for one in waveform])
    power = PowerSpectrogram(n_fft, hop_length)(torch.from_numpy(waveform)).numpy()
    assert power.shape == expected.shape
    assert np.abs(power - expected).max() < 1e-5 * expected.max()


@pytest.mark.slow
def test_features_that_take_tensors_can_be_exported():
    """All of them in one file, each read by a network of its own; and the same file again."""
    given = ", ".join(f"{name}: {{feature: {name}, model: {{name: mlp}}}}" for name in TENSORS)
    features = "{" + ", ".join(f"{name}: {{}}" for name in TENSORS) + "}"
    only = ["networks.mel=null", "networks.mfcc=null", "pooled=[]", "clip_duration_s=0.5"]
    config = load_config("demo", [*only, f"features={features}", f"networks={{{given}}}"])
    folds = {name: [trained(config, name)] for name in TENSORS}
    refuse_unexportable(config, folds)
    first, again = (formats.as_onnx(formats.trace(FoldLogits(config, folds), config.n_samples)) for _ in range(2))
    assert first == again
    answer = formats.run_onnx(first)
    waveforms = np.random.default_rng(0).normal(0, 0.1, (3, config.n_samples)).astype(np.float32)
    said = answer(waveforms)  # (3, 1, n_networks, n_outputs)
    for place, (name, (network,)) in enumerate(folds.items()):
        x = np.stack([extract(waveform, config, [name])[name] for waveform in waveforms])
        expected = network.logits(iter([network.standardizer(x)[:, None]]))
        assert np.abs(said[:, 0, place] - expected).max() < 1e-4, name


def test_pools_that_round_up_are_padded_for_the_fast_kernel():
    """And say the same: of 22 x 157 and of 11 x 79 values, odd on one axis and on both."""
    import onnx
    import onnxruntime

    model = resnet.build((44, 313), 2, width=4).eval()
    content = formats.as_onnx(formats.trace(model, 1, 44, 313))
    pools = [node for node in onnx.load_from_string(content).graph.node if node.op_type == "AveragePool"]
    found = [{part.name: onnx.helper.get_attribute_value(part) for part in pool.attribute} for pool in pools]
    assert [values["pads"] for values in found][:2] == [[0, 0, 0, 1], [0, 0, 1, 1]]
    assert not any(values["ceil_mode"] for values in found)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = torch.randn(3, 1, 44, 313, generator=torch.Generator().manual_seed(0))
    (said,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert np.abs(said - model(x).detach().numpy()).max() < 1e-5


def trained(config: Config, name: str, crop: Crop | None = None, states: tuple[str, ...] = ()) -> TrainedNetwork:
    """A network as it is before training, which is as good as any."""
    network, rng = config.networks[name], np.random.default_rng(0)
    shape = check_features(config)[network.feature]
    torch.manual_seed(0)
    model = build_model(network.model, shape, len(states or config.outputs)).eval()
    mean, deviation = (rng.uniform(low, low + 1, (1, 1)).astype(np.float32) for low in (-20, 5))
    standardizer = Standardizer("band" if crop else "none", mean, deviation, crop or Crop())
    return TrainedNetwork(model, standardizer, CPU, state_membership(list(states), config.outputs, CPU))


@pytest.mark.parametrize("case", ["labels", "cropped", "states", "multiclass"])
def test_a_fold_says_what_its_network_says(case):
    task = ["task=multiclass", "classes=[fake,real,other]"] if case == "multiclass" else []
    scenes = ["scenes.states=null", "scenes.n_scenes=0"] if case == "multiclass" else []
    config = load_config("demo", ["networks.mel.model.args.width=4", *task, *scenes])
    crop = Crop(bands=(0.1, 0.8), frames=(0.25, 1)) if case == "cropped" else None
    states = ("none", "fake", "real", "real+fake") if case == "states" else ()
    network = trained(config, "mel", crop, states)
    x = np.random.default_rng(0).normal(-30, 10, (3, 64, 313)).astype(np.float32)
    expected = one_output_each(network.logits(iter([network.standardizer(x)[:, None]])), config.task)
    fold = Fold(network, len(config.outputs), config.task).eval()
    said = fold(torch.from_numpy(x)).detach().numpy()
    assert said.shape == expected.shape and np.abs(said - expected).max() < 1e-4


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize("calibrator", plugins.names("calibrators"))
def test_the_blend_is_that_of_the_pipeline(calibrator, task):
    rng, config = np.random.default_rng(0), load_config("demo", [f"ensemble.calibrator={calibrator}"])
    config = config.model_copy(update={"task": task})
    target = rng.integers(0, 2, (400, 2)) if task == "multilabel" else np.eye(2)[rng.integers(0, 2, 400)]
    logits = (target[:, None] - 0.5) * 3 + rng.normal(0, 2, (400, 2, 2))
    blend = fit_blend(logits, target, ["mel", "mfcc"], config)
    blend = blend.at_shares(np.linspace(1, 2, len(blend.shares)) / np.linspace(1, 2, len(blend.shares)).sum())
    logits = np.concatenate([logits, 50 * logits, np.zeros((1, 2, 2))])
    said = TensorBlend(blend)(torch.from_numpy(logits).float()).numpy()
    assert np.abs(said - blend.probability(logits)).max() < 5e-6


def test_the_blend_of_outputs_with_conditions_is_that_of_the_pipeline():
    rng = np.random.default_rng(0)
    present = rng.integers(0, 2, (300, 2))
    fake = present & rng.integers(0, 2, (300, 2))
    target = np.column_stack([fake.any(axis=1), fake, present])
    logits = (target[:, None] - 0.5) * 3 + rng.normal(0, 2, (300, 2, 5))
    blend = fit_blend(logits, target, ["mel", "mfcc"], load_config("deepvoice"))
    said = TensorBlend(blend)(torch.from_numpy(logits).float()).numpy()
    assert np.abs(said - blend.probability(logits)).max() < 5e-6


def refusal(words: list[str], network: str = "one") -> str:
    config = load_config("demo", words)
    with pytest.raises(ConfigError) as refused:
        refuse_unexportable(config, {network: [trained(config, network)]} if config.networks else {})
    return str(refused.value)


def test_what_cannot_be_exported_is_named_with_what_can():
    only = ["networks.mel=null", "networks.mfcc=null", "clip_duration_s=0.5"]
    text = refusal([*only, "features.waveform={}", "networks.one={feature: waveform, model: {name: rawnet}}"])
    assert "networks.one reads waveform" in text and "chroma, lfcc, linear, mel, mfcc can be exported" in text
    text = refusal([*only, "features.cqt={}", "networks.one={feature: cqt, model: {name: cnn}}"])
    assert "networks.one reads cqt" in text
    text = refusal([*only, "networks.one={feature: mel, model: {name: lcnn, args: {pooling: lstm}}}"])
    assert "networks.one (lcnn) has recurrent layers" in text and "pooling=mean" in text
    assert "no networks" in refusal(only)


def test_a_calibrator_without_a_curve_is_refused(monkeypatch):
    monkeypatch.delitem(CURVES, "platt")
    assert "not with the calibrator platt, but identity" in refusal(["ensemble.calibrator=platt"], "mel")


def test_a_network_that_cannot_be_traced_is_named(run, monkeypatch):
    def fail(*given):
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(export_module, "trace", fail)
    with pytest.raises(ConfigError, match=r"networks.mfcc \(resnet\): no such operator; cnn, lcnn and resnet it can"):
        export_module._files(export_module._prepare(run))


def test_a_missing_library_says_what_to_install(at_home, monkeypatch, capsys):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else 1)
    assert main(["export", "--config", "demo"]) == 2
    assert "export needs onnxscript: ./run.sh install export" in capsys.readouterr().err


def test_an_unfinished_run_is_said(damageable, capsys):
    (damageable.paths.stage("ensemble") / "manifest.json").unlink()
    assert main(["export", "--config", "demo"]) == 1
    assert "./run.sh all" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["voices", "demo"])
def test_the_edge_preset_is_small_and_can_be_exported(name):
    config = load_config(name, ["preset=edge"])
    (network,) = config.networks
    refuse_unexportable(config, {network: [trained(config, network)]})
    n_parameters = sum(tensor.numel() for tensor in trained(config, network).model.parameters())
    assert 4 * n_parameters < 1e6 and config.experiment == "edge"


def test_the_example_is_the_one_that_ships(exported):
    shipped = plugins.PACKAGE / "export" / "example" / "run_model.py"
    assert (exported[0] / "run_model.py").read_bytes() == shipped.read_bytes()
    assert Plugin(name="lcnn") == load_config("voices", ["preset=edge"]).networks["lcnn"].model.model_copy(
        update={"args": {}}
    )
