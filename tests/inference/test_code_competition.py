"""What the script of a package does with the hidden files, and when it refuses to write a submission."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.core import artifacts
from fakevoice.inference import code_competition
from fakevoice.inference.code_competition import CANNED, FACTS, canned_logits, load, main
from fakevoice.inference.inputs import Source
from fakevoice.inference.recordings import answer
from fakevoice.packaging import check, model_folder

N_FILES = 4


@pytest.fixture(scope="module")
def model(predictor, tmp_path_factory):
    """The folder `model/` of the finished run; the canned input is scored in this process, to save time."""
    folder = tmp_path_factory.mktemp("package") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        patch.setattr(
            model_folder,
            "_fingerprint",
            lambda folder: {"logits": canned_logits(load(folder), folder / CANNED).tolist(), "modules": []},
        )
        model_folder.write_model(predictor, folder)
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch, models):
    """Variables that the script sets are restored after a test."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    monkeypatch.setenv("FAKEVOICE_MODELS", str(models))
    for name in code_competition.OFFLINE:
        monkeypatch.setenv(name, "1")


@pytest.fixture
def data(at_home, tmp_path):
    """A folder `data/` with some test clips."""
    folder = tmp_path / "data"
    (folder / "test").mkdir(parents=True)
    for clip in sorted((at_home.paths.raw / "test").iterdir())[:N_FILES]:
        shutil.copyfile(clip, folder / "test" / clip.name)
    write_sample(folder, [clip.stem for clip in sorted((folder / "test").iterdir())])
    return folder


@pytest.fixture
def out(tmp_path):
    """The path of a submission, where one from before lies."""
    path = tmp_path / "output" / "submission.csv"
    path.parent.mkdir()
    path.write_text("old")
    return path


def write_sample(data, ids: list[str], columns: tuple[str, ...] = ("fake", "real")) -> None:
    pd.DataFrame({"id": ids} | dict.fromkeys(columns, 0.5)).to_csv(data / "sample_submission.csv", index=False)


def answers(path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str}, keep_default_na=False).set_index("id")


def test_answers_are_those_of_predict(model, data, out, predictor):
    assert main(model, data, out) == 0
    files = sorted((data / "test").iterdir())
    expected = answer(predictor, [Source(file.stem, file) for file in files]).table
    found = answers(out)
    assert list(found.index) == [file.stem for file in files]
    assert np.abs(found.to_numpy() - expected[["fake", "real"]].to_numpy()).max() < 1e-6


def test_columns_and_rows_follow_the_sample_submission(model, data, out):
    main(model, data, out)
    first = answers(out)
    ids = list(reversed(first.index))
    (data / "sample_submission.csv").write_text(
        "name,real,fake\n" + "".join(f"{id},0,0\n" for id in ids), encoding="utf-8-sig"
    )
    assert main(model, data, out) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith("name,real,fake\n")
    second = pd.read_csv(out, index_col="name")
    pd.testing.assert_frame_equal(second[["fake", "real"]].loc[first.index], first, check_names=False, check_exact=True)


def test_a_file_scored_alone_gets_the_answer_that_it_gets_next_to_a_long_file(model, data, out):
    rate_hz, n_samples = 16_000, 16_000 * 60
    soundfile.write(data / "test" / "long.wav", np.random.default_rng(0).normal(0, 0.1, n_samples), rate_hz)
    ids = [file.stem for file in sorted((data / "test").iterdir())]
    write_sample(data, ids)
    assert main(model, data, out) == 0
    together = answers(out)
    for id in ("long", ids[0]):
        write_sample(data, [id])
        assert main(model, data, out) == 0
        pd.testing.assert_frame_equal(answers(out), together.loc[[id]], check_exact=True)


def test_the_content_decides_and_an_id_may_be_a_name_or_a_path(model, data, out):
    first, second, third, _ = sorted((data / "test").iterdir())
    main(model, data, out)
    expected = answers(out).loc[[first.stem, second.stem, third.stem]].to_numpy()
    first.rename(data / "test" / "a.BIN")
    (data / "test" / "deep").mkdir()
    second.rename(data / "test" / "deep" / "b")
    third.rename(data / "test" / "c.v2.mp3")
    write_sample(data, ["test/a.BIN", "b", "c.v2.ogg"])
    assert main(model, data, out) == 0
    assert answers(out).to_numpy() == pytest.approx(expected, abs=0)


def test_a_file_that_cannot_be_read_gets_the_prior_and_is_counted(model, data, out, predictor, monkeypatch, capsys):
    monkeypatch.setattr(code_competition, "MAX_UNREADABLE", 0.5)
    first, second, *_ = sorted((data / "test").iterdir())
    first.write_bytes(b"")
    second.unlink()
    assert main(model, data, out) == 0
    assert answers(out).loc[[first.stem, second.stem]].to_numpy() == pytest.approx(
        np.array([predictor.blend.prior] * 2), abs=1e-5
    )
    shown = capsys.readouterr().err
    assert f"2 of {N_FILES} files could not be read and get the prior" in shown
    assert f"{first}: 0 bytes" in shown


def remove_sample(data) -> None:
    (data / "sample_submission.csv").unlink()


def rename_column(data) -> None:
    write_sample(data, ["a"], ("fake", "other"))


def repeat_id(data) -> None:
    write_sample(data, ["a", "a"])


def add_namesake(data) -> None:
    clip = next((data / "test").iterdir())
    shutil.copyfile(clip, clip.with_suffix(".wav"))


def make_constant(data) -> None:
    first, *others = sorted((data / "test").iterdir())
    for other in others:
        shutil.copyfile(first, other)


def damage_one(data) -> None:
    next((data / "test").iterdir()).write_bytes(b"no sound")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_sample, "cannot read .*sample_submission.csv"),
        (rename_column, r"columns \['id', 'fake', 'other'\], the model predicts \['fake', 'real'\]"),
        (repeat_id, "id 'a' is repeated or empty"),
        (add_namesake, "could be .*"),
        (make_constant, f"constant answers: all {N_FILES} files got"),
        (damage_one, f"1 of {N_FILES} files could not be read, more than 1%"),
    ],
)
def test_data_that_would_waste_a_submission_ends_without_one(model, data, out, capsys, change, message):
    change(data)
    assert_refused(model, data, out, capsys, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (check._remove, "fold0/weights.safetensors is missing"),
        (check._cut, r"fold0/weights.safetensors is \d+ bytes instead of \d+"),
        (check._exchange, "the fingerprint differs: the logits of fingerprint.wav differ by up to"),
    ],
)
def test_other_weights_end_without_a_submission(model, data, out, tmp_path, capsys, change, message):
    copy = shutil.copytree(model, tmp_path / "model")
    change(copy)
    assert_refused(copy, data, out, capsys, message)


def test_code_that_was_changed_ends_without_a_submission(model, data, out, tmp_path, capsys):
    copy = shutil.copytree(model, tmp_path / "model")
    with (copy / "code" / "fakevoice" / "audio" / "read.py").open("a") as file:
        file.write("\n")
    assert_refused(copy, data, out, capsys, r"audio/read.py is \d+ bytes")


def test_logits_that_are_not_finite_differ(model, predictor, monkeypatch):
    facts = artifacts.read_json(model / FACTS)
    code_competition.check_fingerprint(predictor, model, facts)
    monkeypatch.setattr(code_competition, "canned_logits", lambda *given: np.full(np.shape(facts["logits"]), np.nan))
    with pytest.raises(artifacts.ArtifactError, match="fingerprint differs"):
        code_competition.check_fingerprint(predictor, model, facts)


def assert_refused(model, data, out, capsys, message: str) -> None:
    assert main(model, data, out) == 1
    assert not out.exists()
    assert re.search(message, capsys.readouterr().err)
