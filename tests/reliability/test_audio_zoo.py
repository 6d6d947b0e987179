"""Every kind of audio file, in order or not: read, refused with a reason, never hung on, never dropped from a table."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.audio.files import EXTENSIONS
from fakevoice.audio.read import measure_length, read_audio
from fakevoice.cli.command_line import main
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import REPOSITORY, Config, load_config
from fakevoice.core.errors import DataError
from fakevoice.core.paths import Paths, paths
from fakevoice.core.tables import read_table
from fakevoice.data.adapters import demo
from fakevoice.inference.inputs import list_sources
from fakevoice.inference.predictor import Predictor
from fakevoice.pipeline.runner import run_pipeline
from tests.support import audio_zoo
from tests.support.audio_zoo import BAD, EITHER, GOOD, RATE_HZ, Specimen

LONGEST_S = 120  # of a test; a pipe that is opened would wait for ever
FILE_S = 2.0  # of reading one file
FILE_BYTES = 8e6  # of Python's memory for one file: a few blocks, whatever its header claims
GROWTH_BYTES = 48e6  # of the process after all files, with what libraries keep
SAME = 0.97  # correlation of what is read with what was written, through the worst codec
OUTPUTS = ["fake", "real"]
N_TRAIN, N_TEST = 16, 4
# The stacker alone: what a line does about files does not hang on networks, whose training takes longest.
WORDS = [
    *("networks.mel=null", "networks.mfcc=null", "features.mfcc=null", "pooled=[mel]", "folds.n_folds=2"),
    *("scenes.n_scenes=48", "shard_size=64", "stacker.n_rounds=10", "stacker.min_rows_per_leaf=5"),
    *("ensemble.n_bootstrap=20", "dataset.name=dacon", "on_error=mark"),
    *("clip_duration_s=1.0", "scenes.resynthesis_probability=0"),
]

# Prints what reading each file gave: its reason, how long it took, and what memory.
READER = """
import json, resource, sys, time, tracemalloc
from fakevoice.audio.read import measure_length, read_audio
from fakevoice.core.errors import AudioError

read_audio(sys.argv[1], 16000)
start_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in json.load(sys.stdin):
    tracemalloc.start()
    start, reason, n_frames = time.perf_counter(), "", 0
    try:
        read_audio(path, 16000)
        n_frames = measure_length(path).n_frames
    except AudioError as error:
        reason = error.reason
    facts = [reason, n_frames, time.perf_counter() - start, tracemalloc.get_traced_memory()[1]]
    print(json.dumps([*facts, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kib)]), flush=True)
    tracemalloc.stop()
"""


@pytest.fixture(autouse=True)
def no_test_hangs(monkeypatch):
    def stop(*_):
        raise TimeoutError(f"more than {LONGEST_S} s")

    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Zoo:
    """Specimens below a folder, and what a process of its own says of each in their order."""

    folder: Path
    specimens: list[Specimen]
    read: pd.DataFrame

    def of(self, expected: str) -> list[Specimen]:
        """Those of which this is expected."""
        return [specimen for specimen in self.specimens if specimen.expected == expected]


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.slow)], ids=["quick", "all"])
def zoo(request, tmp_path_factory) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo") / "zoo"
    specimens = audio_zoo.zoo(folder, is_quick=request.param)
    names = json.dumps([str(folder / specimen.name) for specimen in specimens])
    command = [sys.executable, "-c", READER, str(folder / "lie/wav-true.wav")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(
        command, input=names, capture_output=True, text=True, timeout=LONGEST_S, env=environment, errors="replace"
    )
    columns = ["reason", "n_frames", "took_s", "peak_bytes", "growth_bytes"]
    read = pd.DataFrame([json.loads(line) for line in done.stdout.splitlines()], columns=columns)
    assert len(read) == len(specimens), done.stderr[-2000:]
    return Zoo(folder, specimens, read)


def test_each_file_is_read_or_refused_with_the_reason(zoo):
    wrong = []
    for specimen, reason in zip(zoo.specimens, zoo.read["reason"], strict=True):
        is_right = specimen.reason in reason and reason != "" if specimen.expected == BAD else not reason
        if specimen.expected != EITHER and not is_right:
            wrong.append((specimen.name, specimen.expected, specimen.reason, reason))
    counts = Counter(specimen.expected for specimen in zoo.specimens)
    kinds = Counter(specimen.kind for specimen in zoo.specimens)
    print(f"{len(zoo.specimens)} files {dict(counts)}: {dict(kinds)}")
    assert not wrong
    assert counts[EITHER] < 0.1 * len(zoo.specimens)


def test_what_is_read_is_what_was_written(zoo):
    for specimen in zoo.specimens:
        if specimen.is_same:
            waveform, written = read_audio(zoo.folder / specimen.name, RATE_HZ).waveform, audio_zoo.voice(specimen.name)
            assert np.corrcoef(waveform[: len(written)], written)[0, 1] > SAME, specimen.name


def test_time_and_memory_follow_from_what_is_there_not_from_what_a_header_claims(zoo):
    slowest, most = zoo.read["took_s"].max(), zoo.read["peak_bytes"].max()
    growth, longest = zoo.read["growth_bytes"].max(), zoo.read["n_frames"].max()
    print(f"slowest {slowest:.3f} s, most {most / 1e6:.2f} MB of a file, {growth / 1e6:.1f} MB after all")
    names = [specimen.name for specimen in zoo.specimens]
    assert slowest < FILE_S, names[zoo.read["took_s"].argmax()]
    assert most < FILE_BYTES, names[zoo.read["peak_bytes"].argmax()]
    assert growth < GROWTH_BYTES
    assert longest <= 12 * RATE_HZ, names[zoo.read["n_frames"].argmax()]  # at 192 kHz; three hours are claimed


# What the zoo has found.


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(16_000, 1), (44_100, 1), (44_100, 2)])
def test_a_long_mp3_is_read_without_a_gap(tmp_path, rate_hz, n_channels):
    """It was decoded in blocks, each of which began with noise; so did each part."""
    sound = np.stack([audio_zoo.voice("long.mp3", 20.0, rate_hz)] * n_channels, axis=1)
    soundfile.write(tmp_path / "long.mp3", sound, rate_hz)
    whole, _ = soundfile.read(tmp_path / "long.mp3", dtype="float32", always_2d=True)
    np.testing.assert_allclose(read_audio(tmp_path / "long.mp3", rate_hz).waveform, whole[:, 0], atol=1e-5)
    for start_s in (0.3, 2.5, 7.5, 18.9):
        part = read_audio(tmp_path / f"long.mp3#t={start_s},{start_s + 1}", rate_hz).waveform
        start = round(start_s * rate_hz)
        np.testing.assert_allclose(part, whole[start : start + rate_hz, 0], atol=1e-5)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16"])
def test_a_part_of_what_cannot_be_sought(tmp_path, subtype):
    path = tmp_path / "phone.wav"
    soundfile.write(path, audio_zoo.voice("phone.wav", 3.0, 8000), 8000, subtype=subtype)
    whole = read_audio(path, 8000).waveform
    for start, end in ((0, 1), (1, 2), (2, 3)):
        part = read_audio(f"{path}#t={start},{end}", 8000).waveform
        np.testing.assert_array_equal(part, whole[8000 * start : 8000 * end])


def test_years_that_a_flipped_bit_makes_are_not_counted(tmp_path):
    content = bytearray(audio_zoo.written("years", format="MP3"))
    content[21] ^= 1  # of the number of frames
    (tmp_path / "years.mp3").write_bytes(content)
    with soundfile.SoundFile(tmp_path / "years.mp3") as file:
        assert file.frames > 1e9
    n_frames, rate_hz = measure_length(tmp_path / "years.mp3")[:2]
    assert abs(n_frames - RATE_HZ) < 2000 and rate_hz == RATE_HZ


@pytest.mark.parametrize("format", ["VOC", "WAV", "AIFF"])
def test_a_cut_is_flagged(tmp_path, format):
    content = audio_zoo.written("cut", format=format)
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    assert "truncated" in read_audio(tmp_path / "cut.wav", RATE_HZ).flags


def test_a_name_that_is_not_utf8_is_named(tmp_path):
    name = os.fsencode(tmp_path) + b"/" + "목소리.wav".encode("cp949")
    Path(os.fsdecode(name)).write_bytes(audio_zoo.wav("a"))
    for asked in (tmp_path, Path(os.fsdecode(name))):
        with pytest.raises(DataError, match=r"\\udcb8.*not UTF-8"):
            list_sources([str(asked)])


# A competition of them.


@dataclass(frozen=True)
class Competition:
    """A raw folder that holds clips of the demo and of the zoo."""

    home: Path
    config: Config

    @property
    def paths(self) -> Paths:
        return paths(self.config)


def write_rows(path: Path, columns: list[str], rows: list[tuple]) -> None:
    """All values in quotes, since names hold all that may stand in a name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([columns, *rows])


def rows_of(path: Path, columns: list[str]) -> list[tuple]:
    return list(read_table(path, tuple(columns))[columns].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def demo_raw(tmp_path_factory) -> Path:
    """The demo's recordings, few of them."""
    raw = tmp_path_factory.mktemp("raw") / "demo"
    demo.make(raw, n_train=N_TRAIN, n_test=N_TEST, n_unlabeled=4)
    return raw


def compete(source: Path, home: Path, zoo: Zoo, tested: list[Specimen], trained: list[Specimen]) -> Competition:
    """The demo with some specimens as further clips, ``zoo/<name>`` each."""
    raw = home / "data" / "demo"
    raw.mkdir(parents=True)
    for folder in (*(path for path in source.iterdir() if path.is_dir()), zoo.folder):
        (raw / folder.name).symlink_to(folder)
    test, train = ([f"zoo/{specimen.name}" for specimen in specimens] for specimens in (tested, trained))
    more = {
        "test": (["id", "path"], [(name, name) for name in test]),
        "sample_submission": (["id", *OUTPUTS], [(name, "0.5", "0.5") for name in test]),
        "train": (["id", "path", "label"], [(name, name, OUTPUTS[crc32(name.encode()) % 2]) for name in train]),
        "train_meta": (["id", "group"], [(name, f"zoo{crc32(name.encode()) % 9}") for name in train]),
    }
    for name, (columns, rows) in more.items():
        write_rows(raw / f"{name}.csv", columns, rows_of(source / f"{name}.csv", columns) + rows)
    return Competition(home, load_config("demo", WORDS))


@pytest.fixture(scope="module")
def marked(demo_raw, zoo, tmp_path_factory):
    """A finished line with the whole zoo in the test, and a part of the bad ones in train."""
    home = tmp_path_factory.mktemp("marked")
    competition = compete(demo_raw, home, zoo, zoo.specimens, zoo.of(BAD)[::3])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FAKEVOICE_HOME", str(home))
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        environment.delenv("FAKEVOICE_DATA", raising=False)
        assert run_pipeline(competition.config, "submission")
        yield competition


def submitted(competition: Competition) -> pd.DataFrame:
    (file,) = (competition.home / "submissions").glob("demo-*.csv")
    return read_table(file, ("id",)).set_index("id")


def test_every_row_is_predicted_and_the_bad_ones_get_the_prior(marked, zoo):
    answers = submitted(marked)
    prior = read_json(marked.paths.stage("ensemble") / "ensemble.json")["prior"]
    assert len(answers) == N_TEST + len(zoo.specimens)
    assert np.isfinite(answers[OUTPUTS].to_numpy()).all()
    bad = answers.loc[[f"zoo/{specimen.name}" for specimen in zoo.of(BAD)], OUTPUTS].to_numpy()
    assert np.abs(bad - prior).max() < 3e-6
    good = [specimen for specimen in zoo.of(GOOD) if specimen.kind in ("container", "name", "byte order")]
    found = answers.loc[[f"zoo/{specimen.name}" for specimen in good], OUTPUTS].to_numpy()
    assert (np.abs(found - prior).max(axis=1) > 1e-4).all()
    print(f"{len(answers)} rows, {len(bad)} of the prior")


def test_errors_csv_holds_exactly_the_bad_ones_each_with_its_reason(marked, zoo):
    errors = read_table(marked.paths.stage("prepare") / "errors.csv", ("id", "split", "path", "reason"))
    either = {f"zoo/{specimen.name}" for specimen in zoo.of(EITHER)}
    expected = {("test", f"zoo/{specimen.name}"): specimen.reason for specimen in zoo.of(BAD)}
    expected |= {("train", f"zoo/{specimen.name}"): specimen.reason for specimen in zoo.of(BAD)[::3]}
    found = {(row.split, row.id): row.reason for row in errors.itertuples() if row.id not in either}
    assert found.keys() == expected.keys()
    assert [key for key in found if expected[key] not in found[key] or not found[key]] == []


def test_the_good_ones_get_their_own_scores_beside_the_bad_ones(marked, zoo):
    answers, good = submitted(marked), zoo.of(GOOD)
    scores = Predictor.load(marked.paths).predict([zoo.folder / specimen.name for specimen in good])
    found = answers.loc[[f"zoo/{specimen.name}" for specimen in good], OUTPUTS].to_numpy()
    assert np.abs(found - scores.probability).max() < 1e-5


def test_strict_stops_with_the_count_the_first_ten_and_a_file_of_all(demo_raw, zoo, tmp_path, monkeypatch, capsys):
    bad = zoo.of(BAD)
    missing = [specimen for specimen in bad if not os.path.exists(zoo.folder / specimen.name)]
    for part, said in ((zoo.specimens, missing), ([s for s in zoo.of(GOOD) + bad if s not in missing], None)):
        expected = said or [specimen for specimen in bad if specimen not in missing]
        home = tmp_path / f"{len(part)}"
        competition = compete(demo_raw, home, zoo, part, [])
        monkeypatch.setenv("FAKEVOICE_HOME", str(home))
        monkeypatch.delenv("FAKEVOICE_DATA", raising=False)
        capsys.readouterr()
        assert main(["prepare", "--config", "demo", *WORDS, "on_error=strict"]) == 1
        message, file = capsys.readouterr().err, competition.paths.stage("prepare") / "errors.csv"
        assert f"{len(expected)} of the audio files cannot be used" in message
        assert message.count(" (test zoo/") == min(10, len(expected)) and str(file) in message
        listed = read_table(file, ("id", "split", "path", "reason"))
        assert listed["id"].tolist() == [f"zoo/{specimen.name}" for specimen in part if specimen in expected]
        assert (listed["reason"] != "").all()


def test_predict_says_something_of_every_file(marked, zoo, capsys):
    out = marked.home / "scores.csv"
    assert main(["predict", str(zoo.folder), "--config", "demo", *WORDS, "--out", str(out)]) == 0
    heard = [specimen for specimen in zoo.specimens if _is_found(zoo.folder, specimen)]
    ids = {source.path: source.id for source in list_sources([str(zoo.folder)])}
    table, errors = read_table(out, ("id", "note")), read_table(out.with_suffix(".errors.csv"), ("id", "reason"))
    assert sorted(table["id"]) == sorted(ids.values())
    assert {zoo.folder / specimen.name for specimen in heard} <= set(ids)
    assert np.isfinite(table[OUTPUTS].to_numpy()).all()
    bad, either = ({ids.get(zoo.folder / specimen.name) for specimen in zoo.of(kind)} for kind in (BAD, EITHER))
    assert set(errors["id"]) - either == bad - {None}
    assert (errors["reason"] != "").all()
    print(f"{len(table)} files scored, {len(errors)} with a reason")


def _is_found(folder: Path, specimen: Specimen) -> bool:
    path = folder / specimen.name
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in EXTENSIONS and not is_hidden and os.path.lexists(path) and not path.is_dir()


@pytest.mark.slow
def test_a_line_trained_on_the_zoo_is_the_same_without_the_bad_ones(zoo, demo_raw, tmp_path, monkeypatch):
    sure = [specimen for specimen in zoo.specimens if specimen.expected != EITHER]
    trained = [specimen for specimen in sure if specimen.kind in ("container", "header lie", "cut", "samples")][::2]
    tested, answers = [specimen for specimen in sure if specimen not in trained], {}
    monkeypatch.delenv("FAKEVOICE_DATA", raising=False)
    for name, kept in {"all": sure, "good": zoo.of(GOOD)}.items():
        chosen = ([s for s in part if s in kept] for part in (tested, trained))
        competition = compete(demo_raw, tmp_path / name, zoo, *chosen)
        monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path / name))
        assert run_pipeline(competition.config, "submission")
        answers[name] = submitted(competition)
    common = answers["all"].loc[answers["good"].index, OUTPUTS]
    print(f"{len(answers['all'])} rows with {len(trained)} in train, {len(common)} without the bad ones")
    assert np.abs(common - answers["good"][OUTPUTS]).to_numpy().max() < 1e-5
