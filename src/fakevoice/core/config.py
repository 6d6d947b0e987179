"""One YAML per competition, checked before anything runs; every number has its unit in its name.

`configs/<name>.yaml` may start with ``extends: other``, and take a part of that out with null;
``key=value`` words of the command line come on top, in the same way. The word ``preset=NAME`` puts
`configs/presets/<NAME>.yaml` in between: another size, same line.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from fakevoice.core import yaml_values
from fakevoice.core.config_sections import (
    MOST_SEED,
    Answer,
    Args,
    Board,
    Data,
    Ensemble,
    Files,
    Folds,
    Network,
    Package,
    Plugin,
    Preprocessing,
    Published,
    Rules,
    Scenes,
    Section,
    Spectrogram,
    Stacker,
)
from fakevoice.core.errors import ConfigError, nearest

_TOP = Path(__file__).resolve().parents[3]
IS_CHECKOUT = (_TOP / "pyproject.toml").is_file()
# configs/ and requirements.txt: of the checkout, or of the installed package, which has copies
REPOSITORY = _TOP if IS_CHECKOUT else Path(__file__).resolve().parents[1] / "shipped"
CONFIGS, PRESET = REPOSITORY / "configs", "preset="
SCHEDULER = re.compile(r"(tcp|tls)://([\w.-]+|\[[\da-fA-F:]+\]):\d+")
SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of networks, features and studies, which have files of these names
RESERVED_NAMES = {  # kind → names that mean something else in a table or folder of a run
    "networks": {"stack", "ensemble", "fold", "member", "mean", "variant"},
    "features": {"pooled"},
}
# columns that tables have next to the columns of the classes
RESERVED_CLASSES = (
    {"none", "id", "path", "note", "n_windows", "start_s", "end_s", "is_whole", "distance", "reason", "spread"}
    | {"modified_s", "stamp", "version", "scene", "state", "truth", "fold", "column", "mean", "mean_share"}
    | {"file", "unsure", "outside", "n", "combination"}
)
MOST_VALUES = 2**28  # of the spectrogram of a clip: 1 GB of float32
OMITTED = "???"

Task = Literal["multilabel", "binary", "multiclass"]


class Config(Section):
    """Everything that a run depends on."""

    competition: str = Field(pattern=r"^[a-z0-9_]+$")  # names the folder of its data and of its runs
    experiment: str = Field("default", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")  # names the run, kept beside others
    seed: int = Field(0, ge=0)  # of all that is drawn: folds, scenes, weights, batches
    data: Data = Field(Data(), exclude=True)  # in no artifact: what counts is what lies there
    dataset: Plugin  # of datasets/: reads the raw folder
    task: Task = "multilabel"  # any number of classes at once, one of two, one of many
    classes: list[str] = Field(["fake", "real"])  # labels of the data, to the letter; a binary task puts out the first
    answers: list[Answer] = Field([])  # the outputs and what makes them 1, in order; each class is one if empty
    metric: str = "dacon_score"  # of metrics/: what the competition scores by
    measures: list[str] = Field(["auc", "brier", "ece", "eer", "accuracy"])  # shown beside the metric
    epoch_measures: list[str] = Field([])  # of 1,000 held-out clips at most, after every epoch; nothing is chosen by it
    sample_rate_hz: int = Field(16000, ge=1000, le=192000)  # to which every file is resampled
    clip_duration_s: float = Field(5.0, gt=0, le=600)  # of a test clip, and so of a scene
    preprocessing: Preprocessing = Preprocessing()  # of every file
    rules: Rules = Rules()  # of the competition
    on_error: Literal["strict", "mark"] = "strict"  # of a file: stop, or leave it out and predict the prior
    device: Literal["auto", "cpu", "cuda"] = "auto"  # that trains and scores; "auto": a GPU where there is one
    # the next six keys change no result, or only its last digits, so no artifact stores them
    features_device: str = Field("cpu", pattern=r"^(cpu|cuda)(:\d+)?$", exclude=True)  # "cpu" is NumPy
    engine: Literal["local", "dask"] = Field("local", exclude=True)  # processes of this machine, or Dask workers
    scheduler: str = Field("", exclude=True)  # of Dask workers that were started by hand; its own on this machine if ""
    tracking: Literal["none", "mlflow"] = Field("none", exclude=True)  # who else is told of a finished run
    board: Board = Field(Board(), exclude=True)  # where one uploads
    package: Package = Field(Package(), exclude=True)  # server of a code competition
    folds: Folds = Folds()  # how clips are split
    scenes: Scenes = Scenes()  # the test's environment
    files: Files = Files()  # test files that are longer than a clip
    spectrogram: Spectrogram = Spectrogram()  # what features are computed from
    features: dict[str, Args] = Field({})  # of features/: name → arguments
    pooled: list[str] = Field([])  # features whose statistics by band the stacker reads
    statistics: list[str] = Field(["rhythm", "voicing"])  # of the whole clip, for the stacker too
    leak_auc: float = Field(0.999, gt=0.5, le=2)  # of a column alone in every fold of mixed scenes: a leak; 2: never
    shard_size: int = Field(256, ge=1, le=65536)  # clips in a file of the feature cache
    networks: dict[str, Network] = Field({})  # by a name of one's own
    stacker: Stacker = Stacker()  # learns on pooled statistics and the networks' answers
    ensemble: Ensemble = Ensemble()  # of networks and stacker
    studies: dict[str, dict[str, list[str]]] = Field({})  # name → variant → key=value words, for ./run.sh bakeoff
    published: Published | None = None  # what a source reports for the same task

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        for name, network in self.networks.items():
            if network.feature not in self.features:
                raise ValueError(f"networks.{name}.feature: {nearest(network.feature, list(self.features))}")
        for name in self.pooled:
            if name not in self.features:
                raise ValueError(f"pooled: {name!r} is not among the features; {nearest(name, list(self.features))}")
        for state in self.scenes.states:
            for part in state.split("+"):
                if state != "none" and part not in self.classes:
                    raise ValueError(f"scenes.states.{state}: {nearest(part, [*self.classes, 'none'])}")
        for kind in ("networks", "features", "studies"):
            _check_names(kind, list(getattr(self, kind)))
        for study, variants in self.studies.items():
            _check_names(f"studies.{study}", list(variants))
        if self.scheduler and self.engine != "dask":
            raise ValueError("scheduler: it is Dask's; say engine=dask beside it")
        if self.scheduler and not SCHEDULER.fullmatch(self.scheduler):
            raise ValueError(f"scheduler: {self.scheduler!r} is not tcp://HOST:PORT or tls://HOST:PORT")
        if self.n_samples < 1:
            raise ValueError(f"clip_duration_s: {self.clip_duration_s:g} s hold no sample at {self.sample_rate_hz} Hz")
        n_frames = self.n_samples // self.spectrogram.hop_length + 1
        if n_frames * (self.spectrogram.n_fft // 2 + 1) > MOST_VALUES:
            raise ValueError(f"spectrogram: {n_frames} frames of a clip do not fit into 1 GB: raise hop_length")
        if self.seed > MOST_SEED:
            raise ValueError(f"seed: at most {MOST_SEED}, which LightGBM still takes")
        if not (self.networks or self.pooled or self.statistics):
            raise ValueError("nothing to learn from: name at least one of networks, pooled, statistics")
        _check_classes(self.classes)
        for label in (*self.scenes.resynthesis, *self.scenes.resynthesis.values()):
            if self.scenes.states and label not in self.classes:
                raise ValueError(f"scenes.resynthesis: {nearest(label, self.classes)}")
        if self.scenes.states and self.task != "multilabel":
            raise ValueError("scenes.states mixes voices, which only a multilabel task can describe")
        self._check_answers()
        if self.files.n_files and not self.scenes.states:
            raise ValueError("files.n_files: files are simulated as scenes are, so give scenes.states too")
        if self.files.n_files and self.files.hop_s > self.clip_duration_s:
            raise ValueError(f"files.hop_s: {self.files.hop_s:g} s is longer than a clip: sound would be lost")
        for name, network in self.networks.items():
            if network.adapt and self.rules.independent_files:
                raise ValueError(
                    f"networks.{name}.adapt learns from unlabeled clips, which rules.independent_files forbids: "
                    "remove it"
                )
            if network.head == "states":
                self._check_states_head(f"networks.{name}.head")
        return self

    def _check_answers(self) -> None:
        if self.answers and self.task != "multilabel":
            raise ValueError(f"answers: only a multilabel task has them, not a {self.task} one")
        by_name = {answer.name: answer for answer in self.answers}
        if len(by_name) < len(self.answers):
            raise ValueError("answers: each needs a name of its own")
        for name, answer in by_name.items():
            for label in answer.any_of:
                if label not in self.classes:
                    raise ValueError(f"answers.{name}.any_of: {nearest(label, self.classes)}")
            if not answer.where:
                continue
            condition = by_name.get(answer.where)
            if condition is None:
                raise ValueError(f"answers.{name}.where: {nearest(answer.where, list(by_name))}")
            if condition.where or not set(answer.any_of) <= set(condition.any_of):
                raise ValueError(
                    f"answers.{name}.where: {answer.where} must hold wherever {name} does, without a `where` of its own"
                )

    def _check_states_head(self, where: str) -> None:
        if self.answers:
            raise ValueError(f"{where}: states cannot be combined with answers; use labels")
        if not self.scenes.states:
            raise ValueError(f"{where}: states are told apart where scenes.states lists them; use labels here")
        for output in self.outputs:
            heard = [output in state.split("+") for state in self.scenes.states]
            if all(heard) or not any(heard):  # its log-odds would be infinite
                raise ValueError(f"{where}: {output!r} is heard in {sum(heard)} of {len(heard)} states; use labels")

    @property
    def outputs(self) -> list[str]:
        """Names of the probability columns: the answers or all classes, or in a binary task the first one alone."""
        if self.answers:
            return [answer.name for answer in self.answers]
        return self.classes[:1] if self.task == "binary" else self.classes

    @property
    def n_samples(self) -> int:
        """Samples of one clip as the features see it."""
        return round(self.clip_duration_s * self.sample_rate_hz)


def _check_names(kind: str, names: list[str]) -> None:
    """Check names that become file names, also on a file system that ignores case."""
    for name in names:
        if not SAFE_NAME.fullmatch(name):
            raise ValueError(f"{kind}: {name!r} must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")
        if name in RESERVED_NAMES.get(kind, ()):
            raise ValueError(f"{kind}: {name!r} is a reserved name; choose another one")
        same = [other for other in names if other.lower() == name.lower()]
        if len(same) > 1:
            raise ValueError(f"{kind}: {same[0]!r} and {same[1]!r} differ in case only; choose other names")


def _check_classes(classes: list[str]) -> None:
    """Check names of classes, which may contain any printable character but ``+``."""
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ValueError("classes: at least two names are needed, each once")
    for name in classes:
        if not name.isprintable() or name.strip() != name or not name:
            raise ValueError(f"classes: {name!r} is empty, starts or ends with a space, or is not printable")
        if "+" in name:
            raise ValueError(f"classes: {name!r} contains +, which joins the classes of a scene")
        if name in RESERVED_CLASSES:
            raise ValueError(f"classes: {name!r} is the name of a column of a table; choose another name")
        for derived in (f"{name}_low", f"{name}_high", f"compared_{name}"):
            if derived in classes:
                raise ValueError(f"classes: next to {name!r}, {derived!r} is a column of a table; rename one of them")


def config_names() -> list[str]:
    """Names of the configs that ship or that the user has added."""
    return sorted(file.stem for file in CONFIGS.glob("*.yaml"))


def load_config(name: str, overrides: list[str] | None = None) -> Config:
    """Read a config by name or path, apply presets and ``a.b=c`` words on top, and check it.

    Raises:
        ConfigError: unknown name or key (with the nearest valid one), or an impossible value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    presets = [word.removeprefix(PRESET) for word in overrides or [] if word.startswith(PRESET)]
    words = [word for word in overrides or [] if not word.startswith(PRESET)]
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is not key=value")
    try:
        tree = _read(name)
        for preset in presets:
            tree = _on_top(tree, _read_yaml(f"presets/{preset}"))
        tree = OmegaConf.to_container(_on_top(tree, _of_words(words)), resolve=True)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{name} {' '.join(words)}: {error}") from error
    return validate(tree)


def validate(tree: dict[str, Any]) -> Config:
    """Check a plain tree, e.g. of a saved `config.json`.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from error


def config_hash(config: Config) -> str:
    """Eight hexadecimal digits that stand for all keys of a config."""
    return digest(config.model_dump(mode="json"))[:8]


def digest(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _read(name: str, below: tuple[str, ...] = ()):
    from omegaconf import OmegaConf

    tree = _read_yaml(name)
    parent = tree.pop("extends", None) if OmegaConf.is_dict(tree) else None
    if not parent:
        return tree
    if not isinstance(parent, str) or parent in (name, *below):
        raise ConfigError(f"{name}: it cannot extend {parent}; `extends` is the name of one other config")
    return _on_top(_read(parent, (name, *below)), tree)


def _read_yaml(name: str):
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    file = Path(name) if name.endswith(".yaml") else CONFIGS / f"{name}.yaml"
    if not os.path.isfile(file):  # which a name that no file system takes is not either
        kind, folder = ("preset", CONFIGS / "presets") if name.startswith("presets/") else ("config", CONFIGS)
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        raise ConfigError(f"no {kind} {name.removeprefix('presets/')!r}; {nearest(name, known)}")
    try:
        tree = yaml_values.parse(file.read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise ValueError("it must be a table of keys and values")
        _refuse_omitted(tree, str(file))
        return OmegaConf.create(tree)
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"{file} is not a valid config: {error}") from error


def _of_words(words: list[str]):
    """The tree that ``key=value`` words make."""
    from omegaconf import OmegaConf

    tree = OmegaConf.create({})
    for word in words:
        key, _, text = word.partition("=")
        value = yaml_values.parse(text)
        _refuse_omitted(value, key)
        OmegaConf.update(tree, key, value, force_add=True)
    return tree


def _refuse_omitted(value: Any, where: str) -> None:
    """Refuse ``???``, which OmegaConf would drop without a message."""
    if value == OMITTED:
        raise ValueError(f"{where}: {OMITTED} is not a value")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        _refuse_omitted(part, f"{where}.{key}")


def _on_top(parent, child):
    from omegaconf import OmegaConf

    return OmegaConf.merge(_without_replaced(parent, child), child)


def _without_replaced(parent, child):
    """Drop from the parent what the child takes out (``linear: null``), and each plug-in that it names anew.

    The arguments of a plug-in belong to its function, and another one would refuse them.
    """
    for key in list(child):
        if key in ("features", "networks") and hasattr(child[key], "keys"):
            _drop_absent(parent.get(key) or {}, child[key])
        if not hasattr(parent.get(key), "keys"):
            continue
        if child[key] is None:
            del parent[key], child[key]
        elif hasattr(child[key], "keys"):
            if "name" in child[key]:
                del parent[key]
            else:
                _without_replaced(parent[key], child[key])
    return parent


def _drop_absent(parent, child) -> None:
    """Let a preset take out a feature or network that this config does not have."""
    for name in [name for name in child if child[name] is None and name not in parent]:
        del child[name]


def _explain(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{where or 'config'}: {problem['msg'].removeprefix('Value error, ')}"
    return f"unknown key {where!r}; {nearest(str(problem['loc'][-1]), _keys_at(problem['loc'][:-1]))}"


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    model: Any = Config
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        annotation = field.annotation if field else model
        inner = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
        model = inner[0] if inner else annotation
    return sorted(getattr(model, "model_fields", {}))
