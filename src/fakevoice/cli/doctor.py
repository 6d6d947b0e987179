"""What this machine has for a run, what is missing, and the command that mends it: `./run.sh doctor`."""

import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from fakevoice.audio.messages import NO_LIBSNDFILE
from fakevoice.core import plugins, remote
from fakevoice.core.config import REPOSITORY, Config, config_names, load_config
from fakevoice.core.errors import ConfigError, FakevoiceError, install_extra
from fakevoice.core.paths import data_root, data_url, home, paths

if TYPE_CHECKING:
    from fakevoice.cli.estimate import Cost

N_CLIPS = 50_000  # test clips for which time and size are estimated
BYTES_PER_VALUE = 2  # features are stored in float16, decoded clips in 16 bits
EXTRAS = {  # extra of pyproject.toml → its package, and what needs it
    "cluster": ("distributed", "engine=dask"),
    "s3": ("s3fs", "data.root=s3://..."),
    "export": ("onnxruntime", "./run.sh export and bench"),
    "notebooks": ("jupyterlab", "./run.sh notebooks"),
    "tracking": ("mlflow", "tracking=mlflow"),
    "tune": ("optuna", "./run.sh tune"),
    "kaggle": ("kaggle", "./run.sh submit to Kaggle"),
    "encoders": ("peft", "lora_rank of the network encoder"),
}
INSTALL = f"{sys.executable} -m pip install -r"
MARKS = {"fine": "ok", "note": "--", "missing": "!!"}


@dataclass(frozen=True)
class Finding:
    """One fact about the machine.

    Attributes:
        state: ``fine``, ``note`` (it works without), or ``missing`` (a run would fail).
        mend: the command or change that mends it; empty where nothing has to be.
    """

    subject: str
    state: str
    text: str
    mend: str = ""


def examine(config_name: str, words: list[str]) -> tuple[str, bool]:
    """Look at everything that a run needs.

    Args:
        config_name: the competition whose data is looked at; all that are found if empty.

    Returns:
        A readable table, and whether nothing is missing.

    Raises:
        ConfigError: as `load_config`.
    """
    decoder = _decoder()
    findings = [*_python(), decoder, *_machine(), *_places()]
    if decoder.state == "fine":  # the adapters of the data import it
        findings += _data(config_name, words)
    lines = [f"{MARKS[found.state]} {found.subject:<12}{found.text}" for found in findings]
    mends = list(dict.fromkeys(found.mend for found in findings if found.mend))
    bad = sum(found.state == "missing" for found in findings)
    lines += ["", f"{bad} missing" if bad else "nothing is missing: ./run.sh all"]
    return "\n".join([*lines, *(f"  {mend}" for mend in mends)]), not bad


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", "fine", f"{version}, {sys.executable}")
    yield _pinned()
    absent = [extra for extra, (package, _) in EXTRAS.items() if find_spec(package) is None]
    if absent:
        text = f"not installed: {', '.join(f'{extra} ({EXTRAS[extra][1]})' for extra in absent)}"
        yield Finding("extras", "note", text, f"{install_extra(*absent)}    (optional)")
    else:
        yield Finding("extras", "fine", f"all there: {', '.join(EXTRAS)}")
    has_ffmpeg = shutil.which("ffmpeg") is not None
    text = "reads AAC, WMA, AC-3 and videos too" if has_ffmpeg else "missing: AAC, WMA, AC-3 and videos are not read"
    yield Finding("ffmpeg", "fine" if has_ffmpeg else "note", text)


def _decoder() -> Finding:
    try:
        import soundfile
    except OSError:
        what, _, mend = NO_LIBSNDFILE.partition(": ")
        return Finding("libsndfile", "missing", what, mend)
    return Finding("libsndfile", "fine", soundfile.__libsndfile_version__)


def _pinned() -> Finding:
    """Whether the installed versions are those that were tested together."""
    file = REPOSITORY / "requirements.txt"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    pins = {found.name: str(found.specifier).removeprefix("==") for found in requirements if _applies(found)}
    other = {}
    for package, wanted in pins.items():
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found.partition("+")[0] != wanted:
            other[package] = f"{package} {found} instead of {wanted}"
    if not other:
        return Finding("packages", "fine", f"{len(pins)} as {file.name} pins them")
    is_missing = any("missing" in text for text in other.values())
    return Finding("packages", "missing" if is_missing else "note", "; ".join(other.values()), f"{INSTALL} {file}")


def _applies(requirement: Requirement) -> bool:
    """Whether this system and Python need a package."""
    return requirement.marker is None or requirement.marker.evaluate()


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _machine() -> Iterator[Finding]:
    import psutil
    import torch

    n_cores, memory_gb = _n_cores(), 1e-9 * psutil.virtual_memory().available
    yield Finding("cores", "fine", f"{n_cores} to use, of {os.cpu_count()}")
    per_core_gb = memory_gb / n_cores
    state, mend = ("fine", "") if per_core_gb >= 1 else ("note", "LOKY_MAX_CPU_COUNT=1 ./run.sh all    (less memory)")
    yield Finding("memory", state, f"{memory_gb:.1f} GB free, {per_core_gb:.1f} GB for each core", mend)
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Finding("GPU", "fine", f"{names}; preset=large is for it")
    else:
        yield Finding("GPU", "note", f"none that torch {torch.__version__} sees: networks are trained on the cores")


def _places() -> Iterator[Finding]:
    for name in ("features_cache", "runs", "submissions"):
        near = _existing(home() / name)
        if not os.access(near, os.W_OK):
            yield Finding("folders", "missing", f"{near} cannot be written", f"chmod u+w {near}")
    yield Finding("disk", "fine", f"{_free_gb():.0f} GB free in {home()}")


def _existing(path: Path) -> Path:
    return next(near for near in (path, *path.parents) if near.exists())


def _free_gb() -> float:
    return shutil.disk_usage(_existing(home())).free / 1e9


def _data(config_name: str, words: list[str]) -> Iterator[Finding]:
    root = data_root()
    if config_name or remote.is_url(root):
        names = [config_name or "demo"]
    else:
        folder = Path(root)
        found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        names = [name for name in found if name in config_names()] or ["demo"]
        for name in sorted({*found} - {*config_names()}):
            mend = f"cp configs/dacon.yaml configs/{name}.yaml, and say competition: {name} in it"
            yield Finding("data", "note", f"{folder / name}: no config of that name", mend)
        if names == ["demo"]:
            mend = f"put a competition into {folder}/<name>/: ./run.sh prepare --help"
            yield Finding("data", "note", f"none in {folder}: the demo is made and run", mend)
    for name in names:
        yield from _competition(load_config(name, words))
    if config_name:
        yield from _estimates(load_config(config_name, words))


def _competition(config: Config) -> Iterator[Finding]:
    from fakevoice.data.audit import find_missing

    places, adapter = paths(config), plugins.load("datasets", config.dataset.name)
    where, expected = f"{config.competition}: {places.raw}", "./run.sh prepare --help says what is expected there"
    if data_url(config):
        url = remote.shown(data_url(config))
        yield Finding("data", "note", f"{config.competition}: {url} is downloaded by ./run.sh prepare")
    elif not places.raw.is_dir() and hasattr(adapter, "make"):
        yield Finding("data", "fine", f"{where} is made by ./run.sh prepare")
    elif not places.raw.is_dir():
        yield Finding("data", "missing", f"{where} does not exist", expected)
    else:
        try:
            args = {} if hasattr(adapter, "make") else config.dataset.args
            clips = adapter.read(places.raw, classes=config.classes, **args)
        except FakevoiceError as error:
            yield Finding("data", "missing", f"{config.competition}: {error}", expected)
            return
        counts = clips["split"].value_counts(sort=False).to_dict()
        text = f"{where} holds {', '.join(f'{n} {split}' for split, n in counts.items())} clips"
        absent = find_missing(clips, places.raw)
        mend = "./run.sh prepare lists them all" if len(absent) else ""
        text += f", {len(absent)} of them without a file, e.g. {absent['path'].iloc[0]}" if len(absent) else ""
        yield Finding("data", "missing" if len(absent) else "fine", text, mend)
        yield _room(config, counts)


def _estimates(config: Config) -> Iterator[Finding]:
    """Size and time of each feature and network; `estimate` says how they are derived."""
    from fakevoice.cli import estimate

    n_clips = N_CLIPS if config.scenes.states else 0
    n_scenes = config.scenes.n_scenes or N_CLIPS
    cores = estimate.cores_flops(_n_cores())
    yield Finding(
        "estimates",
        "fine",
        f"for {n_scenes:,} scenes and {n_clips:,} test clips, all folds; at {estimate.EFFICIENCY:.0%} of the "
        f"{estimate.GPU_FLOPS / 1e12:.0f} TFLOP/s of a GPU (A100, bf16) and of the {cores / 1e9:.0f} GFLOP/s of these "
        f"{_n_cores()} cores, as measured; without decoding, mixing and spectrograms",
    )
    try:
        for kind, costs in (
            ("feature", estimate.feature_costs(config, n_scenes + n_clips)),
            ("network", estimate.network_costs(config, n_scenes, n_clips)),
        ):
            for cost in costs:
                yield Finding(kind, "fine", _cost_text(cost, cores))
    except ConfigError as error:
        yield Finding("model", "note", str(error))


def _cost_text(cost: "Cost", cores: float) -> str:
    from fakevoice.cli import estimate

    parts = []
    if cost.n_parameters:
        parts.append(f"{cost.n_parameters / 1e6:.2f} M parameters")
    if cost.cache_bytes:
        parts.append(f"{cost.cache_bytes / 1e9:.1f} GB in the cache")
    if cost.n_operations:
        on_gpu, on_cores = (estimate.hours(cost, flops) for flops in (estimate.GPU_FLOPS, cores))
        parts.append(f"{on_gpu:.2f} h on a GPU, {on_cores:.1f} h on these cores")
    return f"{cost.name}: {', '.join(parts)}"


def _room(config: Config, counts: dict[str, int]) -> Finding:
    """Whether what the line writes of this competition fits on the disk."""
    from fakevoice.features.extract import check_features

    n_train = counts.get("train", 0)
    n_values = sum(math.prod(shape) for shape in check_features(config).values())
    n_clips = sum(counts.values()) - n_train + (config.scenes.n_scenes or n_train)
    needed_gb = (n_clips * n_values + n_train * config.n_samples) * BYTES_PER_VALUE / 1e9
    text = f"{config.competition}: features take about {needed_gb:.1f} GB"
    if needed_gb < _free_gb() or paths(config).cache.is_dir():
        return Finding("room", "fine", text)
    mend = "make room, or FAKEVOICE_HOME=/path/with/room ./run.sh all"
    return Finding("room", "missing", f"{text}, {_free_gb():.1f} GB are free", mend)
