"""The report: one page that stands alone, in two languages, with everything that a finished run can show."""

import base64
import os
import re
import shutil
import string
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from PIL import Image

from fakevoice.analysis import results
from fakevoice.core.artifacts import read_json, write_json
from fakevoice.core.config import Config, load_config
from fakevoice.core.errors import ArtifactError
from fakevoice.core.paths import paths
from fakevoice.core.tables import CLIP_TEXT, read_table, write_table
from fakevoice.data.shortcuts import FACTS, REMEDIES
from fakevoice.pipeline.runner import run_pipeline
from fakevoice.pipeline.submission import LOG_COLUMNS
from fakevoice.report import evidence, html_page
from fakevoice.report import sections as report_sections
from fakevoice.report.blocks import Clip, Code, Material, Picture, Section, Summary, Table, Tile, say
from tests.support.sealing import seal

VOID = {"meta", "link", "img", "br", "hr", "input"}
TEXTS = html_page.texts()
DIGITS = ["folds.n_folds=2", "stacker.n_rounds=5", "stacker.min_rows_per_leaf=3", "ensemble.n_bootstrap=20"]
DIGITS += ["networks.mel=null", "networks.mfcc=null", "rules.independent_files=true"]
QUICK = ("training.n_epochs=2", "training.batch_size=4")
SECTIONS_OF_SCENES = [
    *("summary", "scores", "roc", "calibration", "conditions", "confusion", "worst"),
    *("importance", "shortcuts", "drift", "curves", "made"),
]
# seen in special cases only, which the tests below make or which need no more than their words
RARE = {f"{part}.finding" for part in ("calibration", "conditions", "shortcuts", "drift")}
RARE |= {"summary.nothing", "scores.by_duration"}
RARE |= {"conditions.see_groups", "conditions.groups", "conditions.group", "conditions.group_alt"}
SAME = {f"column.{name}" for name in ("auc", "brier", "ece", "eer", "f1", "ks", "p10", "p90", "snr_db")}
SAME |= {"summary.of_file"}
EVIL = "<script>alert(\"x\")</script> & 'y'"


class Page(HTMLParser):
    """What a page holds; the end tags must fit."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def asked() -> set[str]:
    """Keys of all texts that the pages of this module have asked for."""
    return set()


@pytest.fixture(scope="module")
def home_of(tmp_path_factory):
    """Sets FAKEVOICE_HOME for as long as this module runs."""
    with pytest.MonkeyPatch.context() as environment:

        def set_home(home: Path) -> None:
            environment.setenv("FAKEVOICE_HOME", str(home))
            environment.setenv("FAKEVOICE_DATA", str(home / "data"))
            environment.setenv("LOKY_MAX_CPU_COUNT", "1")

        yield set_home


class Asked(dict):
    """Texts that write down who is asked for."""

    def __init__(self, asked: set[str]):
        super().__init__(TEXTS)
        self.asked = asked

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)


def write(config: Config, asked: set[str]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "texts", lambda: Asked(asked))
        patch.setattr(html_page, "DPI", 60)  # in half the time
        return html_page.write_report(config)


@pytest.fixture(scope="module")
def written(finished_run, home_of, asked, tmp_path_factory) -> Path:
    """The page of the tiny demo."""
    home_of(finished_run.copy(tmp_path_factory.mktemp("report")))
    return write(finished_run.config, asked)


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def digits(home_of, asked, tmp_path_factory) -> Path:
    """The page of a few digits, a task of ten classes without test clips, and here without networks."""
    home, rng, rows = tmp_path_factory.mktemp("digits"), np.random.default_rng(0), []
    home_of(home)
    (home / "data" / "digits" / "train").mkdir(parents=True)
    for index in range(60):
        sound = np.sin(2 * np.pi * (200 + 300 * (index % 10)) * np.arange(4000) / 8000) / 3 + rng.normal(0, 0.03, 4000)
        soundfile.write(home / "data" / "digits" / "train" / f"{index:04d}.wav", sound, 8000)
        rows.append((f"{index:04d}.wav", index % 10))
    pd.DataFrame(rows, columns=["file_name", "label"]).to_csv(home / "data" / "digits" / "train.csv", index=False)
    config = load_config("digits", DIGITS)
    assert run_pipeline(config)
    return write(config, asked)


@pytest.fixture(scope="module")
def lengths(home_of, asked, tmp_path_factory) -> Path:
    """The page of a task of two classes with measures after every epoch, published numbers and no pooled features."""
    home_of(tmp_path_factory.mktemp("lengths"))
    words = ["dataset.args.n_clips=24", "folds.n_folds=2", "stacker.n_rounds=5", "stacker.min_rows_per_leaf=3"]
    for network in ("padded", "five_seconds"):
        words += [f"networks.{network}.{word}" for word in ("model.args.width=4", *QUICK)]
    config = load_config("length_bias", [*words, "ensemble.n_bootstrap=20"])
    assert run_pipeline(config)
    return write(config, asked)


def sections(page: Page) -> list[str]:
    return [attributes["id"] for attributes in page.of("section")]


def test_every_section_is_there(page):
    assert sections(page) == SECTIONS_OF_SCENES
    links = [attributes["href"] for attributes in page.of("a") if attributes["href"].startswith("#")]
    assert set(links) <= {f"#{name}" for name in SECTIONS_OF_SCENES}
    assert links[: len(SECTIONS_OF_SCENES)] == [f"#{name}" for name in SECTIONS_OF_SCENES]


def test_many_classes_and_no_test(digits):
    page = Page(digits.read_text(encoding="utf-8"))
    assert [name for name in SECTIONS_OF_SCENES if name not in sections(page)] == ["conditions", "curves"]
    assert "There are no test clips" in page.text and "Submissions of this competition" not in page.text
    names = {path.name for path in digits.parent.iterdir()}
    assert {"roc-classes.png", "reliability-all-classes.png", "confusion.png"} <= names


def test_the_page_states_the_rules_of_the_run(page, digits):
    assert "unlabeled clips may be used" in page.text
    assert "nothing was fitted on test or unlabeled clips" in Page(digits.read_text(encoding="utf-8")).text


def test_two_classes(lengths):
    page = Page(lengths.read_text(encoding="utf-8"))
    assert [name for name in SECTIONS_OF_SCENES if name not in sections(page)] == []
    assert "As a tutorial on LJSpeech" in page.text and "too few unlabeled clips" in page.text
    assert {"roc-fake.png", "by-fold.png", "curves-padded.png"} <= {path.name for path in lengths.parent.iterdir()}


def test_groups_of_many_classes(digits, home_of, monkeypatch):
    home_of(digits.parents[4])
    monkeypatch.setattr(results, "MAX_GROUPS", 100)
    section = report_sections.conditions(Material.gather(load_config("digits", DIGITS)))
    assert [block.kind for block in section.blocks] == ["picture", "table"]
    assert html_page.in_language(section.blocks[0].caption, "en").startswith("accuracy by group, from 0.0")


@pytest.mark.parametrize("which", ["written", "digits", "lengths"])
def test_nothing_is_loaded_from_anywhere(which, request):
    text = request.getfixturevalue(which).read_text(encoding="utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "base", "form"}
    loaded = [
        attributes[name] for _, attributes in page.tags for name in ("src", "href", "srcset") if name in attributes
    ]
    assert loaded and all(link.startswith(("data:", "#")) for link in loaded)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    (policy,) = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "https:" not in policy and "http:" not in policy


def test_pictures_lie_beside_the_page_and_in_it(written, page):
    files = {path.name: path.read_bytes() for path in written.parent.glob("*.png")}
    inside = {base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in page.of("img")}
    assert inside == set(files.values()) and len(files) > 25
    for path in written.parent.glob("*.png"):
        picture = Image.open(path)
        assert picture.format == "PNG" and np.asarray(picture.convert("L"), float).std() > 5, path.name
    for image, size in zip(page.of("img"), map(picture_size, page.of("img")), strict=True):
        assert (int(image["width"]), int(image["height"])) == size


def picture_size(image: dict) -> tuple[int, int]:
    content = base64.b64decode(image["src"].partition(",")[2])
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def test_clips_can_be_heard(page, tmp_path):
    sounds = page.of("audio")
    assert 4 <= len(sounds) <= 8
    for sound in sounds:
        assert "controls" in sound and sound["aria-labelledby"].startswith("worst-")
        content = base64.b64decode(sound["src"].removeprefix("data:audio/flac;base64,"))
        (tmp_path / "sound.flac").write_bytes(content)
        waveform, rate_hz = soundfile.read(tmp_path / "sound.flac")
        assert len(waveform) == 5 * rate_hz and waveform.std() > 1e-4


@pytest.mark.parametrize("which", ["written", "digits"])
def test_a_screen_reader_has_what_it_needs(which, request):
    page = Page(request.getfixturevalue(which).read_text(encoding="utf-8"))
    for image in page.of("img"):
        assert image["alt"] == image["data-alt-en"]
        assert len(image["data-alt-en"].split()) > 4 and re.search("[가-힣]", image["data-alt-ko"])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= set(ids)
    assert len(page.of("caption")) == len(page.of("table")) and len(page.of("h1")) == 1
    assert all(heading["scope"] in ("col", "row") for heading in page.of("th"))
    assert all("aria-sort" in heading for heading in page.of("th") if heading["scope"] == "col")


def test_both_languages_are_complete():
    for key, text in TEXTS.items():
        assert set(text) == {"en", "ko"} and all(text.values()), key
        gaps = {language: {gap for _, gap, _, _ in string.Formatter().parse(text[language])} for language in text}
        assert gaps["en"] - {None} == gaps["ko"] - {None}, key
        if key not in SAME and not key.startswith("remedy."):
            assert re.search("[가-힣]", re.sub("{.*?}", "", text["ko"])), key
        assert not re.search("[가-힣]", text["en"]), key
    assert {key.removeprefix("remedy.") for key in TEXTS if key.startswith("remedy.")} == {*REMEDIES, "all"}
    assert {key.removeprefix("shortcut.") for key in TEXTS if key.startswith("shortcut.")} == {
        *FACTS,
        "spectrum",
        "all",
    }


def test_a_demo_run_says_that_it_knows_nothing_about_real_recordings(page):
    for language in ("en", "ko"):
        assert TEXTS["summary.synthetic"][language] in page.text


def test_headings_are_in_both_languages(page, written):
    text = page.text
    for section in SECTIONS_OF_SCENES:
        assert TEXTS[f"{section}.title"]["ko"] in text and TEXTS[f"{section}.title"]["en"] in text
    of_the_run = {"dacon_score", "mel", "mfcc", "stack", "none", "fake", "real", "real+fake"}  # the same everywhere
    found = re.findall(r'<th scope="col".*?<button type="button">(.*?)</button>', written.read_text(encoding="utf-8"))
    bare = {heading for heading in found if "<span" not in heading}
    same = {text["en"] for key, text in TEXTS.items() if key.startswith("column.") and text["en"] == text["ko"]}
    assert len(found) > 80 and bare <= of_the_run | same, bare - same


def test_what_is_found_is_true(finished_run, written, home_of):
    home_of(written.parents[4])
    material = Material.gather(finished_run.config)
    found = report_sections.calibration(material)
    eces = [block.caption.values for block in found.blocks]
    assert (found.finding is None) == all(values["after"] <= values["before"] for values in eces)
    worse = material.scenes.assign(**{f"probability_{name}": 0.99 for name in finished_run.config.outputs})
    assert report_sections.calibration(replace(material, scenes=worse)).finding is not None
    by_fold = material.tables["by_fold"].query("member == 'ensemble'").set_index("fold")["dacon_score"]
    assert report_sections.scores(material).finding.values["fold"] == by_fold.idxmax()  # lower is better


def log_of(*files: tuple[str, str]) -> pd.DataFrame:
    rows = [[name, "0" * 8, "default", "0.14", "0.16", "0.12", "0.21", board] for name, board in files]
    return pd.DataFrame(rows, columns=LOG_COLUMNS)


@pytest.fixture(scope="module")
def changed(finished_run, home_of, asked, tmp_path_factory) -> Page:
    """With a board score, labels of the test and seconds in manifests; recordings and unlabeled clips are gone."""
    home_of(finished_run.copy(tmp_path_factory.mktemp("changed")))
    places, own = paths(finished_run.config), finished_run.submission().name
    log = log_of(("demo-11111111.csv", "0.25"), ("demo2-22222222.csv", "0.3"), (own, "0.15"))
    write_table(places.submissions / "log.csv", log)
    clips = read_table(places.stage("prepare") / "clips.csv", CLIP_TEXT)
    test = clips.loc[clips["split"] == "test", ["id"]]
    truth = test.assign(label=np.resize(["real", "fake", "none", "real+fake"], len(test)))
    write_table(places.stage("prepare") / "truth.csv", truth)
    for name in ("prepare", "train"):
        manifest = places.stage(name) / "manifest.json"
        write_json(manifest, read_json(manifest) | {"seconds": 90.0})
    for name in ("clips", "audit"):
        table = read_table(places.stage("prepare") / f"{name}.csv", CLIP_TEXT)
        write_table(places.stage("prepare") / f"{name}.csv", table[table["split"] != "unlabeled"])
    seal(places, "prepare")
    shutil.rmtree(places.raw)
    return Page(write(finished_run.config, asked).read_text(encoding="utf-8"))


def test_board_scores_stand_beside_what_was_expected(changed):
    assert "demo-11111111.csv" in changed.text and "demo2-22222222.csv" not in changed.text
    assert "1 of 2 board scores lie within" in changed.text and "dacon_score on the board" in changed.text


def test_what_is_known_is_said(changed):
    assert "3.0 minutes in all" in changed.text and "on the test, labels known" in changed.text


def test_what_is_gone_is_said(changed):
    assert "cannot be rendered here and now" in changed.text and not changed.of("audio")
    assert "too few unlabeled clips" in changed.text


def test_every_text_is_used(written, digits, lengths, changed, asked):
    missing = {key for key in TEXTS if key not in asked and not key.startswith(("column.", "shortcut.", "remedy."))}
    assert missing <= RARE
    source = "".join(Path(module.__file__).read_text() for module in (html_page, report_sections, evidence))
    source += (html_page.TEMPLATES / "report.html").read_text()
    for key in RARE:
        name = key.removesuffix("_alt")
        assert f'"{name}"' in source or f'"{name.rpartition("_")[0]}_{{' in source, key


def test_the_same_run_gives_the_same_bytes(finished_run, written, home_of, asked):
    """But for the date; and what an earlier report left is removed."""
    home_of(written.parents[4])
    first = {path.name: path.read_bytes() for path in written.parent.iterdir()}
    (written.parent / "left-over.png").write_bytes(b"of an earlier report")
    manifest = paths(finished_run.config).stage("ensemble") / "manifest.json"
    made = manifest.stat().st_mtime
    os.utime(manifest, (made, made + 86400))
    assert write(finished_run.config, asked) == written
    second = {path.name: path.read_bytes() for path in written.parent.iterdir()}
    assert list(second) and {name: second[name] for name in second if name.endswith(".png")} == {
        name: content for name, content in first.items() if name.endswith(".png")
    }
    lines = zip(first["report.html"].splitlines(), second["report.html"].splitlines(), strict=True)
    changed = [(old, new) for old, new in lines if old != new]
    assert len(changed) == 1 and b" UTC</dd>" in changed[0][0]


def test_an_unfinished_run_says_what_to_do(damageable):
    places = paths(damageable.config)
    (places.stage("results") / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"has no results yet: \./run\.sh all --config demo$"):
        html_page.write_report(damageable.config)
    other = load_config("demo", [*damageable.overrides, "experiment=never"])
    with pytest.raises(ArtifactError, match=r"has no prepare yet: \./run\.sh all --config demo experiment=never$"):
        html_page.write_report(other)
    assert not (places.run / "report").exists()


def test_what_comes_from_data_is_text(tmp_path):
    figure = Figure(figsize=(1, 1))
    picture = Picture(EVIL, figure, say("summary.of_file", file=EVIL), say("summary.of_file", file=EVIL))
    rows = pd.DataFrame({EVIL: [EVIL], "condition": [say("summary.of_file", file=EVIL)]})
    clip = Clip(say("worst.title_of", scene=EVIL, state=EVIL, loss=1.0), [("clips", EVIL)], picture, b"sound")
    blocks = [picture, Table(say("scores.published", source=EVIL), rows, EVIL), Code(say("made.config"), EVIL), clip]
    section = Section("made", say("made.command", command=EVIL), blocks, say("summary.of_file", file=EVIL))
    tile = Tile(say("summary.oof", metric=EVIL), float("nan"), say("summary.of_file", file=EVIL))
    facts = [("competition", EVIL), ("experiment", EVIL)]
    summary = Summary([tile], say("summary.assumes_clips", metric=EVIL), facts, [("made", section.finding)])
    page = html_page.render(summary, [section], {EVIL: b"png"})
    parsed = Page(page)
    assert len(parsed.of("script")) == 1 and "<script>alert" not in page
    assert parsed.text.count(EVIL) > 15 and parsed.of("img")[0]["alt"] == EVIL
    assert html_page.file_names([EVIL]) == {EVIL: "-script-alert-x-script-y-.png"}


def test_pictures_whose_names_differ_in_special_characters_or_case_have_files_of_their_own():
    names = ["state-a b", "state-a_b", "state-A:b", "state-가짜"]
    files = html_page.file_names(names)
    assert list(files.values()) == ["state-a-b.png", "state-a-b-2.png", "state-A-b-3.png", "state-가짜.png"]


def test_numbers_are_short():
    shown = {0.16289: "0.1629", 12.345: "12.3", 7468.75: "7469", -26.93: "-26.9", 3.14159: "3.14", 0.0: "0.0000"}
    assert {value: str(html_page.cell(value)) for value in shown} == shown
    assert html_page.cell(float("nan")) == "–" and html_page.cell(18000) == "18000"


def in_chromium(url: str, folder: Path) -> tuple[str, str]:
    """The document after its script has run, and what was logged."""
    program = shutil.which("chromium") or pytest.skip("Chromium is not installed: no browser to try the page in")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --enable-logging=stderr --lang=en-US"
    command = [program, *options.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


def test_in_a_browser(written, tmp_path):
    """The hash chooses Korean, its script finds no fault, and a click sorts a table."""
    text = written.read_text(encoding="utf-8")
    click = """<script>{
      const found = [...document.querySelectorAll("thead th")].find((th) => th.textContent.startsWith("member"));
      const column = [...found.parentElement.cells].find((th) => th.textContent.startsWith("AUC"));
      column.firstElementChild.click();
      column.firstElementChild.click();
      const order = [...found.closest("table").tBodies[0].rows].map((row) => row.cells[column.cellIndex].dataset.value);
      document.body.dataset.order = order.join(" ");
    }</script></body>"""
    copy = tmp_path / "report.html"
    copy.write_text(text.replace("</body>", click), encoding="utf-8")
    document, logged = in_chromium(f"file://{copy}#ko", tmp_path)
    assert "CONSOLE" not in logged
    assert '<html lang="ko" data-lang="ko">' in document
    assert "<title>demo/default: 실행 리포트</title>" in document
    assert re.search(r'<button type="button" data-to="ko" aria-pressed="true">', document)
    order = [float(value) for value in re.search(r'data-order="(.*?)"', document)[1].split()]
    assert len(order) == 4 and order == sorted(order, reverse=True) and 'aria-sort="descending"' in document
    assert all(image["alt"] == image["data-alt-ko"] for image in Page(document).of("img"))
