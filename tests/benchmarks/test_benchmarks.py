"""The benchmarks run and write what can be read; nothing here says how fast anything is."""

import importlib
import json
import math
import os
import shutil
import sys
import time

import numpy as np
import pytest

from fakevoice.cli import command_line
from fakevoice.core.config import REPOSITORY
from fakevoice.core.errors import FakevoiceError

pytestmark = pytest.mark.filterwarnings("ignore")  # librosa's and the ONNX exporter's of their own imports
FOLDER = REPOSITORY / "benchmarks"
SHARED = {"all", "made", "rows", "timing", "score_peers", "promise"}
THEMES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in SHARED)
MODULES = [*THEMES, "made", "rows", "timing", "all"]
FAKE_THEME = """
from rows import Row, run_theme

def measure(work, tiny):
    return [Row(4, "a thing", "another", 1.5, reach=2.0, details={"size": "tiny" if tiny else "full"})]

run_theme(measure, __file__)
"""


@pytest.fixture(scope="module")
def bench():
    """The modules by name, found as the scripts find each other, and forgotten afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("FAKEVOICE_HOME", "FAKEVOICE_DATA"):
            environment.setenv(name, os.environ.get(name, ""))  # so that it is put back
        environment.setenv("LOKY_MAX_CPU_COUNT", "1")
        environment.syspath_prepend(FOLDER)
        yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def measured(bench, finished_run, tmp_path_factory):
    """Theme → its rows at the size of a test, each measured once."""
    work = tmp_path_factory.mktemp("bench")
    finished_run.copy(work)
    found = {}

    def rows_of(theme: str) -> list:
        if theme not in found:
            found[theme] = bench[theme].measure(work, True)
        return found[theme]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench["made"], "TINY", finished_run.overrides)
        patch.setattr(bench["made"], "watch", lambda words, env: in_process(bench["timing"], words, env))
        rows_of.work = work
        yield rows_of


def in_process(timing, words, environment):
    """What `watch` does, where starting processes would take longer than their work; it has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        start = time.perf_counter()
        assert command_line.main([str(word) for word in words[3:]]) == 0
    wall_s = time.perf_counter() - start
    return timing.Watched(wall_s, wall_s, 100.0, 50.0, "")


def numbers_in(value):
    """All numbers in details, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for inner in value for number in numbers_in(inner)]
    return [value] if isinstance(value, int | float) else []


def test_every_theme_is_run_by_all(bench):
    assert sorted(bench["all"].THEMES) == THEMES


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_writes_numbers(measured, bench, theme, capsys):
    rows = measured(theme)
    assert rows
    for row in rows:
        written = json.loads(json.dumps(row.as_json(), allow_nan=False))
        assert bench["rows"].Row(**bench["all"]._without_verdict(written)).verdict == row.verdict
        assert row.unit in ("AUC", "") or row.value > 0
        assert row.spread is None or row.spread[0] <= row.value <= row.spread[1]
        assert all(math.isfinite(number) for number in numbers_in(row.details))
    assert bench["rows"].as_table(rows).count("\n") == 1 + len(rows)


@pytest.mark.slow
def test_every_row_is_measured(measured):
    assert {row.number for theme in THEMES for row in measured(theme)} == set(range(1, 14))


def test_something_to_do_is_no_start(measured, bench, monkeypatch):
    run = bench["made"].finished_run(measured.work, True)
    monkeypatch.setattr(bench["start"], "NOTHING_TO_DO", "never said")
    with pytest.raises(FakevoiceError, match="was to be up to date"):
        bench["start"].heavy_after_all(run)


@pytest.mark.slow
def test_other_features_than_librosas_are_refused(measured, bench, monkeypatch):
    features = bench["features"]
    config = features.load_config("voices", features.WORDS)
    files = bench["made"].clips(measured.work / "recordings", 2)
    assert features._largest_deviation(files, config)
    monkeypatch.setattr(features, "LOWEST_HZ", 30.0)
    with pytest.raises(FakevoiceError, match=r"^mel of C00000.ogg"):
        features._largest_deviation(files, config)


def test_a_missing_extra_is_said(measured, bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FakevoiceError, match=r"onnxruntime is missing: \./run\.sh install export"):
        bench["runtime_onnx"].measure(measured.work, True)


@pytest.mark.slow
def test_other_logits_of_onnx_are_refused(measured, bench, monkeypatch):
    onnx = bench["runtime_onnx"]
    trace, as_onnx = onnx.trace, onnx.as_onnx

    def off(model, *shape):
        last = model.head[-1].bias
        last.data += 1e-3
        content = as_onnx(trace(model, *shape))
        last.data -= 1e-3
        return content

    monkeypatch.setattr(onnx, "trace", off)
    monkeypatch.setattr(onnx, "as_onnx", lambda content: content)
    with pytest.raises(FakevoiceError, match=r"logits are off by 0.001"):
        onnx.measure(measured.work, True)


def test_workers_that_say_something_else_are_refused(measured, bench, monkeypatch):
    predict = bench["predict"]
    extract_files = predict.extract_files

    def louder(config, files):
        arrays, reasons = extract_files(config, files)
        return {name: array + 1 for name, array in arrays.items()}, reasons

    monkeypatch.setattr(predict, "extract_files", louder)
    with pytest.raises(FakevoiceError, match="from the same models in this process"):
        predict.measure(measured.work, True)


@pytest.mark.parametrize(
    ("value", "larger_is_better", "holds", "verdict"),
    [
        (1.7, False, True, "no"),
        (1.6, False, True, "yes"),
        (1.3, False, True, "moonshot"),
        (1.3, False, False, "no"),
        (1.2, True, True, "no"),
        (1.6, True, True, "moonshot"),
    ],
)
def test_verdicts(bench, value, larger_is_better, holds, verdict):
    reach, moonshot = (1.3, 1.6) if larger_is_better else (1.6, 1.3)
    marks = {"reach": reach, "moonshot": moonshot, "larger_is_better": larger_is_better, "holds": holds}
    assert bench["rows"].Row(1, "a", "b", value, **marks).verdict == verdict
    assert bench["rows"].Row(1, "a", "b", value).verdict == "–"


def test_a_row_without_a_number_is_refused(bench):
    with pytest.raises(FakevoiceError, match="no finite value"):
        bench["rows"].Row(1, "a", "b", float("nan"))


def test_turns_are_taken(bench):
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = bench["timing"].take_turns(calls, 3)
    assert "".join(order) == "ab" + "baabba"  # a call to warm up, then the order turns around
    assert {name: values.shape for name, values in seconds.items()} == {"a": (3,), "b": (3,)}


def test_the_ratio_is_that_of_the_rounds(bench):
    ratio = bench["timing"].median_ratio(np.array([2.0, 9.0, 8.0]), np.array([1.0, 3.0, 2.0]))
    assert ratio == {"value": 3.0, "spread": (2.0, 4.0)}


def test_memory_of_children_counts(bench):
    held = "import time; held = bytearray(b'1') * (64 * 2**20); time.sleep(0.4)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    nothing = bench["timing"].watch([sys.executable, "-c", "import time; time.sleep(0.4)"], {})
    found = bench["timing"].watch([sys.executable, "-c", child], {})
    assert found.peak_mib - nothing.peak_mib > 60 and found.peak_own_mib > 60
    assert found.wall_s > 0.4 and found.cpu_s < found.wall_s + 0.1
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    assert 0.3 < bench["timing"].watch([sys.executable, "-c", busy], {}).cpu_s < 0.6


def test_a_command_that_fails_is_said(bench):
    with pytest.raises(FakevoiceError, match="it broke: 7"):
        bench["timing"].watch(
            [sys.executable, "-c", "import os, sys; sys.exit('it broke: ' + os.environ['N'])"], {"N": "7"}
        )


def test_exponents(bench):
    sizes = (1000, 2000, 4000, 8000)
    assert bench["growth"].exponent(sizes, np.array(sizes) ** 2 * 0.1) == pytest.approx(2)
    assert bench["growth"].line(sizes, 3 + 0.5 * np.array(sizes)) == pytest.approx((3, 0.5))


def test_disk_is_that_of_the_shapes(bench):
    config = bench["dacon"].load_config("dacon", [*bench["dacon"].SMALL, "preset=scratch"])
    disk = bench["dacon"].disk_bytes(config)
    assert disk["mel"] == ("(96, 313)", 151_264 * 96 * 313 * 2)
    assert disk["pooled"][1] == 4 * 151_264 * (5 * (96 + 48) + 33 + 879)  # of bands, of rhythm and voicing, of speech


def test_all_goes_on_after_a_theme_that_fails(bench, tmp_path, monkeypatch, capfd):
    shutil.copy(FOLDER / "rows.py", tmp_path)
    shutil.copy(FOLDER / "timing.py", tmp_path)
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    (tmp_path / "sound.py").write_text(FAKE_THEME)
    monkeypatch.setattr(bench["all"], "HERE", tmp_path)
    monkeypatch.setattr(bench["all"], "THEMES", ("broken", "sound"))
    assert bench["all"].main(["--tiny", "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr()
    assert "| 4 | a thing | another | 1.50 × | – | ≤ 2.00 × | – | yes |" in said.out and "failed: broken" in said.err
    written = json.loads((tmp_path / "out" / "all.json").read_text())
    assert written["failed"] == ["broken"] and written["rows"][0]["details"] == {"size": "tiny"}
    assert written["machine"]["cores"] >= 1
    assert bench["all"].main(["sound", "--out", str(tmp_path / "out")]) == 0


def test_an_unknown_theme_is_refused(bench, capsys):
    with pytest.raises(SystemExit):
        bench["all"].main(["featurs"])
    assert "no theme featurs" in capsys.readouterr().err
