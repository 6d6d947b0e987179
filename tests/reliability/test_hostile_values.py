"""Any value of any key of a config and of any argument of a plug-in: accepted, or exit code 2 with one sentence."""

import inspect
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fakevoice.cli.command_line import main, parse
from fakevoice.core import plugins
from fakevoice.core.config import load_config
from fakevoice.core.errors import ConfigError
from fakevoice.pipeline.checks import check_plugins

DEMO = load_config("demo", ["scenes.n_scenes=96"]).model_dump(mode="json")
NUMBERS = [0, -1, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, -1e308, 1e-320, float("nan"), float("inf"), True, False]
TEXTS = [
    "???",
    "1:30",
    "１２",
    "",
    " ",
    "1e999",
    "null",
    "true",
    "0x10",
    "010",
    "1_0",
    "[",
    "{}",
    "[[1]]",
    "a" * 300,
    "목소리",
]
HOSTILE = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from([None, [], {}, [True, 30], [1e308, 1e309], {"a": 1}, [[1], 2], ["a", "a"]]),
    st.integers(),
    st.floats(),
)
QUICK = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


def keys(tree: dict, above: str = "") -> list[str]:
    """Dotted names of all keys below which a section has values."""
    found = []
    for name, value in tree.items():
        found.append(f"{above}{name}")
        if isinstance(value, dict):
            found += keys(value, f"{above}{name}.")
    return found


def plugin_arguments() -> list[tuple[str, str, str]]:
    """Kind, name and argument of every plug-in that a config gives arguments to."""
    functions = {
        "datasets": "read",
        "features": "compute",
        "models": "build",
        "augment": "build",
        "adaptation": "build",
    }
    found = []
    for kind, function in functions.items():
        for name in plugins.names(kind):
            module = plugins.load(kind, name)
            parameters = inspect.signature(getattr(module, "make", getattr(module, function))).parameters
            found += [(kind, name, key) for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    return [argument for argument in found if argument[2] != "classes"]


def is_refused_in_one_sentence(words: list[str]) -> bool:
    """Whether the checks before a run refuse these words; they may raise nothing but `ConfigError`."""
    try:
        check_plugins(load_config("demo", words))
    except ConfigError as error:
        assert error.exit_code == 2 and str(error).strip() and len(str(error)) < 2000
        return True
    return False


def as_word(key: str, value: object) -> str:
    """``key=value`` as a person types it: text as it is, anything else as JSON, which is YAML too."""
    text = value if isinstance(value, str) else json.dumps(value).replace("NaN", ".nan").replace("Infinity", ".inf")
    return f"{key}={text}"


@settings(QUICK, max_examples=50)
@given(key=st.sampled_from(keys(DEMO)), value=HOSTILE)
@example("seed", True)
@example("seed", "1:30")
@example("seed", "???")
@example("seed", "010")
@example("folds.n_folds", 2**63)
@example("scenes.snr_db", [True, 30])
@example("scenes.level_dbfs", [-1e308, 1e308])
@example("stacker.n_leaves", 10**30)
@example("spectrogram", {"n_fft": 16384, "hop_length": 1})
@example("networks.mel.training.batch_size", 2**40)
@example("classes", ["a" * 300, "b"])
def test_any_value_of_a_key(key, value):
    is_refused_in_one_sentence([as_word(key, value)])


@settings(QUICK, max_examples=50)
@given(argument=st.sampled_from(plugin_arguments()), value=HOSTILE)
@example(("features", "mel", "n_mels"), 2**63)
@example(("features", "cqt", "bins_per_octave"), 2**31)
@example(("models", "resnet", "width"), 16384)
@example(("models", "resnet", "n_blocks"), 2**31)
@example(("models", "mlp", "n_layers"), 2**31)
@example(("models", "resnet", "width"), True)
@example(("augment", "pitch_shift", "semitones"), [0, 1e308])
@example(("datasets", "demo", "n_train"), -1)
def test_any_value_of_an_argument_of_a_plugin(argument, value):
    kind, name, key = argument
    args = {key: value}
    words = {
        "datasets": [f"dataset.name={name}", as_word(f"dataset.args.{key}", value)],
        "features": [as_word(f"features.{name}.{key}", value)],
        "models": [f"networks.mel.model.name={name}", as_word(f"networks.mel.model.args.{key}", value)],
    }.get(kind)
    if words is None:
        plugin = json.dumps({"name": name, "args": args}).replace("NaN", ".nan").replace("Infinity", ".inf")
        key = "adapt" if kind == "adaptation" else kind
        words = [f"networks.mel.{key}=[{plugin}]"]
    is_refused_in_one_sentence(words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "drawn"),
    [
        (test_any_value_of_a_key, {"key": st.sampled_from(keys(DEMO))}),
        (test_any_value_of_an_argument_of_a_plugin, {"argument": st.sampled_from(plugin_arguments())}),
    ],
)
def test_many_more_values(test, drawn):
    settings(QUICK, max_examples=1500)(given(**drawn, value=HOSTILE)(test.hypothesis.inner_test))()


@pytest.mark.parametrize(
    "word",
    [
        "seed=???",
        "seed=1:30",
        "seed=true",
        "scenes.snr_db=[true,30]",
        "folds.n_folds=１２",
        "networks.mel.model.args.width=100000",
        "networks.mel.model.args.width=16384",
        "features.mel.n_mels=9223372036854775808",
        "dataset.args.n_train=-1",
        "dataset.args.n_train=1e11",
        "scenes.n_scenes=99999999999",
        "spectrogram={n_fft: 16384, hop_length: 1}",
        "clip_duration_s=1e308",
        "stacker.ignored=['*']",
    ],
)
def test_what_no_machine_can_hold_or_no_number_is_refused(word):
    assert is_refused_in_one_sentence([word])


@pytest.mark.parametrize(
    "words",
    [
        ["stream", "--channels", "100000000000"],
        ["stream", "--rate", "0"],
        ["stream", "--rate", "１６０００"],
        ["stream", "--hop", "nan"],
        ["predict", "x.wav", "--hop", "1e999"],
        ["predict", "x.wav", "--hop", "-1"],
        ["tune", "seed=1..2", "--trials", "99999999999999999999"],
        ["serve", "--port", "65536"],
        ["tensorboard", "--port", "99999999999"],
        ["monitor", "x", "--every", "inf"],
    ],
)
def test_numbers_of_the_command_line_have_bounds(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(words)
    assert stop.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_an_argument_that_is_not_utf8_is_refused(capsys):
    assert main(["predict", "\udcff.wav"]) == 2
    assert "is not UTF-8" in capsys.readouterr().err
