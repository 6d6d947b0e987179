"""A config is checked before anything runs: what is unknown or impossible stops with the nearest valid word."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from fakevoice.core import config as config_module
from fakevoice.core import plugins
from fakevoice.core.config import Config, config_hash, config_names, load_config, validate
from fakevoice.core.errors import ConfigError
from fakevoice.core.paths import paths
from fakevoice.features.extract import check_features
from fakevoice.training.cross_validation import check_networks

PACKAGE = Path(config_module.__file__).parents[1]
SECTIONS = [value for value in vars(config_module).values() if isinstance(value, type) and issubclass(value, BaseModel)]


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_features(load_config("demo", list(words)))
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_config_is_sound(name):
    config = load_config(name, ["preset=scratch"] if name == "dacon" else [])  # its encoders are tested on their own
    assert config.competition == name
    plugins.load("datasets", config.dataset.name)
    plugins.load("metrics", config.metric)
    plugins.load("calibrators", config.ensemble.calibrator)
    check_features(config)
    check_networks(config, {feature: (64, 157) for feature in config.features})


@pytest.mark.parametrize("preset", ["small", "large"])  # of voices; the demo is small, dacon large already
def test_presets_change_the_size_and_words_come_on_top(preset):
    name = "voices"
    plain, sized = load_config(name), load_config(name, [f"preset={preset}", "networks.mel.training.n_epochs=3"])
    assert sized.experiment == preset and sized.competition == plain.competition
    assert sized.scenes.n_scenes != plain.scenes.n_scenes and sized.networks["mel"].training.n_epochs == 3
    assert sized.networks.keys() == plain.networks.keys()
    check_networks(sized, {feature: (64, 157) for feature in sized.features})


def test_null_takes_a_part_of_the_parent_out(tmp_path):
    child = tmp_path / "child.yaml"
    child.write_text(
        "extends: voices\nnetworks: {mfcc: null, probe: null, probe_tiny: null}\npooled: [mel]\n"
        "features: {mfcc: null, whisper: null, whisper_tiny: null, mel: {fmax_hz: null}}\n"
    )
    config = load_config(str(child))
    assert list(config.networks) == list(config.features) == ["mel"]
    assert config.features["mel"] == {"n_mels": 64, "fmax_hz": None}  # what is no section keeps its null


def test_an_unknown_preset_hears_which_there_are():
    assert "no preset 'huge'; valid: backbones, edge, encoder, large, scratch, small" in refusal("preset=huge")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sead=1", "unknown key 'sead'; did you mean 'seed'"),
        ("data.rot=x", "unknown key 'data.rot'; did you mean 'root'"),
        ("stacker.n_round=5", "unknown key 'stacker.n_round'; did you mean 'n_rounds'"),
        ("networks.mel.training.n_epoch=1", "unknown key 'networks.mel.training.n_epoch'; did you mean 'n_epochs'"),
        ("networks.mel.model.arguments.width=1", "unknown key 'networks.mel.model.arguments'; did you mean 'args'"),
        ("features.mel.n_mel=8", "features.mel: unknown key 'n_mel'; did you mean 'n_mels'"),
        ("networks.mel.feature=mell", "did you mean 'mel'"),
        ("pooled=[mel,mfc]", "'mfc' is not among the features; did you mean 'mfcc'"),
    ],
)
def test_an_unknown_word_gets_the_nearest_valid_one(word, message):
    assert message in refusal(word)


@pytest.mark.parametrize(
    ("part", "word", "message"),
    [
        (
            "model",
            "networks.mel.model.args.widht=8",
            "networks.mel.model.args: unknown key 'widht'; did you mean 'width'",
        ),
        ("augment", "networks.mel.augment=[{name: spec_augment, args: {n_tim: 1}}]", "did you mean 'n_time'"),
        ("kind", "networks.mel.model.name=resnett", "did you mean 'resnet'"),
        ("type", "networks.mel.model.args.width=wide", "networks.mel.model.args.width = 'wide'"),
    ],
)
def test_arguments_of_plugins_are_checked_too(part, word, message):
    with pytest.raises(ConfigError) as caught:
        check_networks(load_config("demo", [word]), {"mel": (64, 157), "mfcc": (40, 157)})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "spectrogram.hop_length=513",
        "spectrogram.n_fft=511",
        "spectrogram.hop_length=0",
        "features.mel.fmax_hz=8001",
        "features.mel.fmin_hz=-1",
        "features.mel.fmin_hz=9000",
        "features.mel.n_mels=400",  # some bands would be empty
        "features.mel.n_mels=0",
        "features.mel.n_mels=-3",
        "features.mfcc.n_mfcc=65",
        "features.mfcc.n_mfcc=0",
        "scenes.states.none=0.5",  # no longer sums to 1
        "scenes.states={none: -0.5, real: 1.5}",
        "scenes.n_scenes=0",
        "scenes.n_scenes=-1",
        "scenes.event_probability=1.1",
        "scenes.snr_db=[30,0]",  # the ends of a range the wrong way round
        "scenes.band_limit_hz=[-5,0]",
        "scenes.resynthesis={reel: fake}",
        "scenes.resynthesis={real: fack}",
        "clip_duration_s=0",
        "data.cache_gb=0",
        "sample_rate_hz=-16000",
        "folds.n_folds=1",
        "networks.mel.training.learning_rate=0",
        "networks.mel.training.batch_size=1",
        "networks.mel.training.warmup_fraction=1",
        "stacker.feature_fraction=0",
        "ensemble.penalty=0",
        "classes=[fake,fake]",
        "classes=[fake,real,fake]",
        "task=binary",
        "task=guess",
        "competition=../elsewhere",
        "experiment=a/b",
        "experiment=..",
        "seed=-1",
        "seed=x",
    ],
)
def test_an_impossible_value_is_refused(word):
    assert refusal(word)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["networks.mel.head=state"], "networks.mel.head: Input should be 'labels' or 'states'"),
        (["networks.mel.training.schedule=linear"], "'cosine' or 'constant'"),
        (["networks.mel.adapt=[{nme: coral}]"], "unknown key"),
        (
            ["networks.mel.adapt=[{name: coral}]", "rules.independent_files=true"],
            "networks.mel.adapt learns from unlabeled clips, which rules.independent_files forbids: remove it",
        ),
    ],
)
def test_an_impossible_head_or_adaptation_is_refused(words, message):
    assert message in refusal(*words)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"fake": 0.5, "real+fake": 0.5}, "networks.mel.head: 'fake' is heard in 2 of 2 states"),
        ({"fake": 0.5, "none": 0.5}, "networks.mel.head: 'real' is heard in 0 of 2 states"),
    ],
)
def test_a_head_of_states_needs_states_with_and_without_each_output(states, message):
    tree = load_config("demo").model_dump(mode="json")
    tree["scenes"]["states"] = states
    assert validate(tree).scenes.states == states
    tree["networks"]["mel"]["head"] = "states"
    with pytest.raises(ConfigError, match=message):
        validate(tree)


@pytest.mark.parametrize("task", ["multilabel", "multiclass", "binary"])
def test_without_states_there_is_no_head_of_states(task):
    tree = load_config("demo").model_dump(mode="json")
    tree |= {"task": task, "scenes": tree["scenes"] | {"states": {}, "n_scenes": 0}}
    assert validate(tree).task == task
    tree["networks"]["mel"]["head"] = "states"
    with pytest.raises(ConfigError, match=r"networks.mel.head: .*scenes.states"):
        validate(tree)


def test_a_spectrum_too_short_for_the_pitch_is_refused_before_the_run():
    few_bands = ["features.mel.n_mels=4", "features.mfcc.n_mels=4", "features.mfcc.n_mfcc=4"]
    assert "n_fft 64" in refusal("spectrogram={n_fft: 64, hop_length: 32}", *few_bands)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"none": 0.5, "reel": 0.5}, "scenes.states.reel: did you mean 'real'"),
        ({"none": 0.5, "real+fack": 0.5}, r"scenes.states.real\+fack: did you mean 'fake'"),
        ({"none": 1.5, "real": -0.5}, "negative"),
        ({"none": 0.5, "real": 0.4}, "sums to 0.9000"),
        ({}, "n_scenes and states belong together"),
    ],
)
def test_an_impossible_prior_is_refused(states, message):
    tree = load_config("demo").model_dump(mode="json")
    with pytest.raises(ConfigError, match=message):
        validate(tree | {"scenes": tree["scenes"] | {"states": states}})


@pytest.mark.parametrize(
    "word",
    [
        "networks.mel.model.args.width=0",
        "networks.mel.model.args.n_blocks=0",
        "networks.mel.model.args.dropout=1.5",
        "networks.mel.augment=[{name: spec_augment, args: {n_time: 0}}]",
        "networks.mel.augment=[{name: shift, args: {probability: 2}}]",
    ],
)
def test_an_impossible_argument_of_a_network_is_refused(word):
    with pytest.raises(ConfigError):
        check_networks(load_config("demo", [word]), {"mel": (64, 157), "mfcc": (40, 157)})


@pytest.mark.parametrize("word", ["scenes", "features.mel", "scenes.snr_db=1", "scenes.n_scenes=[", "networks=3"])
def test_a_malformed_word_is_a_config_error(word):
    assert refusal(word)


def test_words_of_the_command_line_win():
    config = load_config("demo", ["seed=3", "networks.mel.training.n_epochs=1", "scenes.snr_db=[1,2]", "device=cpu"])
    assert (config.seed, config.scenes.snr_db, config.device) == (3, (1.0, 2.0), "cpu")
    assert config.networks["mel"].training.n_epochs == 1
    assert config.networks["mfcc"].training.n_epochs == load_config("demo").networks["mfcc"].training.n_epochs


def written(folder: Path, text: str, name: str = "own") -> str:
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_extends_changes_what_it_names(tmp_path):
    child = load_config(written(tmp_path, "extends: demo\nfolds: {n_folds: 3}\nstacker: {n_rounds: 7}\n"))
    parent = load_config("demo")
    assert child.folds.n_folds == 3 and child.stacker.n_rounds == 7
    assert child.stacker.l2 == parent.stacker.l2 and child.networks == parent.networks


def test_a_plugin_named_anew_does_not_inherit_arguments(tmp_path):
    text = "extends: demo\nnetworks: {mel: {model: {name: timm_backbone, args: {backbone: resnet10t}}}}\n"
    network = load_config(written(tmp_path, text)).networks["mel"]
    assert network.model.args == {"backbone": "resnet10t"}
    assert network.augment == load_config("demo").networks["mel"].augment


def test_a_plugin_of_the_same_name_keeps_what_is_not_said_again(tmp_path):
    text = "extends: demo\nnetworks: {mel: {model: {args: {n_blocks: 2}}}}\n"
    args = load_config(written(tmp_path, text)).networks["mel"].model.args
    assert args == load_config("demo").networks["mel"].model.args | {"n_blocks": 2}


@pytest.mark.parametrize(
    "text", ["extends: nowhere\n", "a: [\n", "- 1\n- 2\n", "just text\n", "", "extends: own.yaml\n"]
)
def test_a_file_that_is_no_config_is_a_config_error(tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text)
    with pytest.raises(ConfigError):
        load_config("own.yaml")


def test_an_unknown_config_is_told_what_exists():
    with pytest.raises(ConfigError, match="no config 'demoo'; did you mean 'demo'"):
        load_config("demoo")


def test_a_config_survives_its_own_json():
    config = load_config("demo")
    assert validate(config.model_dump(mode="json")) == config


def test_the_hash_stands_for_every_key():
    assert config_hash(load_config("demo")) == config_hash(load_config("demo"))
    for word in (
        "seed=1",
        "networks.mel.training.ema_decay=0.9",
        "features.mel.n_mels=32",
        "scenes.codec_probability=0",
    ):
        assert config_hash(load_config("demo", [word])) != config_hash(load_config("demo"))


@pytest.mark.parametrize(
    "word", ["tcp://gpu1:8786", "tls://gpu-1.lab.example:8786", "tcp://10.0.0.5:8786", "tcp://[fe80::1]:8786"]
)
def test_who_computes_is_in_no_artifact(word):
    config = load_config("demo", ["engine=dask", f"scheduler={word}"])
    assert (config.engine, config.scheduler) == ("dask", word)
    assert config_hash(config) == config_hash(load_config("demo"))
    assert validate(config.model_dump(mode="json")) == load_config("demo")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scheduler=tcp://gpu1:8786"], "say engine=dask"),
        (["engine=dusk"], "engine: Input should be 'local' or 'dask'"),
        (["engine=dask", "scheduler=gpu1:8786"], "'gpu1:8786' is not tcp://HOST:PORT or tls://HOST:PORT"),
        (["engine=dask", "scheduler=tcp://gpu1"], "is not tcp://HOST:PORT"),
        (["engine=dask", "scheduler=http://gpu1:8787/status"], "is not tcp://HOST:PORT"),
    ],
)
def test_a_scheduler_that_cannot_be_one_is_refused(words, message):
    assert message in refusal(*words)


def test_the_demo_never_touches_the_users_data(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    assert paths(load_config("demo")).raw == tmp_path / "home" / "data" / "demo"
    assert paths(load_config("voices")).raw == tmp_path / "data" / "voices"


def test_data_of_the_config_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKEVOICE_DATA", str(tmp_path / "data"))
    config = load_config("voices", [f"data.root={tmp_path}/other"])
    assert paths(config).raw == tmp_path / "other" / "voices"
    assert config_hash(config) == config_hash(load_config("voices"))  # the same files elsewhere are the same run


def reads() -> Counter:
    """How many modules read an attribute of each name; validators only check, so they do not count."""
    found = Counter()
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        checks = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_consistent"]
        checked = {id(node) for check in checks for node in ast.walk(check)}
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and id(node) not in checked]
        found.update({node.attr for node in attributes if isinstance(node.ctx, ast.Load)})
    return found


def test_every_key_is_read_by_some_code():
    declared = Counter(name for section in SECTIONS for name in section.model_fields)
    found = reads()
    assert [name for name, n_sections in declared.items() if found[name] < n_sections] == []


def test_a_config_cannot_be_changed():
    config = load_config("demo")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
    assert isinstance(config, Config)


@pytest.mark.parametrize("name", ["../mel", "/tmp/mel", ".", "..", "a/b", "a\\b", "", " mel", "목소리", "a" * 65])
@pytest.mark.parametrize("kind", ["networks", "studies", "features"])
def test_names_that_cannot_be_file_names_are_refused(kind, name):
    tree = load_config("demo").model_dump(mode="json")
    network = next(iter(tree["networks"].values()))
    tree[kind] = {"networks": {name: network}, "studies": {name: {}}, "features": tree["features"] | {name: {}}}[kind]
    with pytest.raises(ConfigError, match=f"{kind}: .* must be 1 to 64 of the characters"):
        validate(tree)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["stack"], "'stack' is a reserved name"),
        (["ensemble"], "'ensemble' is a reserved name"),
        (["fold"], "'fold' is a reserved name"),
        (["mel", "Mel"], "'mel' and 'Mel' differ in case only"),
    ],
)
def test_a_network_cannot_have_the_name_of_another_member(names, message):
    tree = load_config("demo").model_dump(mode="json")
    tree["networks"] = dict.fromkeys(names, tree["networks"]["mel"])
    with pytest.raises(ConfigError, match=message):
        validate(tree)


@pytest.mark.parametrize(
    "classes", [["a,b", "c:d"], ["bona fide", "spoof"], ["a b", "a_b"], ["[y]", "{z}"], ["가", '"']]
)
def test_names_of_classes_may_contain_any_printable_character(classes):
    tree = load_config("demo").model_dump(mode="json") | {"classes": classes}
    tree["scenes"] |= {"states": {}, "n_scenes": 0}
    assert validate(tree).classes == classes


@pytest.mark.parametrize("name", ["none", "id", "note", "n_windows", "a+b", "", " a", "a\n", "a\tb", "real_low"])
def test_names_of_classes_that_tables_need_for_something_else_are_refused(name):
    tree = load_config("demo").model_dump(mode="json") | {"classes": ["real", name]}
    tree["scenes"] |= {"states": {}, "n_scenes": 0}
    with pytest.raises(ConfigError, match="classes: "):
        validate(tree)
