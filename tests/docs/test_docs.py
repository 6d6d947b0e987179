"""The pages of docs/ are true: links lead somewhere, commands can be typed, tables are those of a run."""

import re
import runpy
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from fakevoice.cli import command_line
from fakevoice.core import config as config_module
from fakevoice.core import config_sections, plugins
from fakevoice.core.artifacts import read_json
from fakevoice.core.config import REPOSITORY, Config, load_config
from fakevoice.core.paths import paths
from fakevoice.core.tables import read_table
from fakevoice.inference.predictor import Predictor
from fakevoice.pipeline.runner import STAGES
from tests.support import documents

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "RESULTS.md", *sorted(DOCS.rglob("*.md"))]
USE = DOCS / "how-to" / "use_the_model.md"
TUTORIAL, STAGE_PAGE, FILE_PAGE = (
    DOCS / "tutorial.md",
    DOCS / "reference" / "stages.md",
    DOCS / "reference" / "files.md",
)
TEXT = {page: documents.read(page) for page in PAGES}
TOLD = {Path(path).stem for text in TEXT.values() for path in documents.files(text) if path.startswith("configs/")}
COMMANDS = [
    (page, command) for page in PAGES[2:] for command in documents.commands(TEXT[page]) if "COMMAND" not in command
]
SERVERS = {"tensorboard", "notebooks"}  # which run until they are stopped: tests/cli/ starts them
PLACEHOLDERS = {name: r"[\w.]+" for name in ("OUTPUT", "CLASS", "MEMBER", "METRIC", "MEASURE", "NETWORK", "MODEL")}
PLACEHOLDERS |= {name: r"\d+" for name in ("K", "N")}


def named(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


@pytest.fixture(scope="module")
def generator() -> dict:
    return runpy.run_path(str(DOCS / "generate.py"))


@every_page
def test_every_link_leads_somewhere(page):
    for target in documents.links(TEXT[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists() and file.is_relative_to(REPOSITORY), target
        assert not anchor or anchor in documents.anchors(documents.read(file)), target


@every_page
def test_every_file_that_a_page_names_exists(page):
    """Paths from the top of the repository; the reader writes some of them."""
    written = {path for text in TEXT.values() for path in documents.files(text)}
    files = re.findall(r"\b(?:src|tests|benchmarks|configs|docs|notebooks)/[\w/.-]*\.(?:py|yaml|md)\b", TEXT[page])
    missing = {path for path in files if not (REPOSITORY / path).exists() and "/NAME." not in path}
    assert missing <= written


def test_every_page_is_in_the_index():
    listed = {(DOCS / target).resolve() for target in documents.links(TEXT[DOCS / "README.md"])}
    assert set(PAGES) - {DOCS / "README.md"} <= listed


def test_how_every_command_is_tried_is_told():
    """Each command has one row, and each file that a row names tries it."""
    rows = re.findall(r"^\| (`.+?) \| (.+?) \| (.*?) \|$", TEXT[DOCS / "reference" / "tested.md"], flags=re.MULTILINE)
    told = [command for commands, _, _ in rows for command in re.findall(r"`([\w -]+)`", commands)]
    known = command_line._parser()._subparsers._group_actions[0].choices
    assert sorted(told) == sorted([*known, *documents.OF_THE_SCRIPT])
    for commands, _, files in rows:
        for file in re.findall(r"`(tests/[\w/]+\.py)`", files):
            text = (REPOSITORY / file).read_text(encoding="utf-8")
            assert any(re.search(rf"\b{command}\b", text) for command in re.findall(r"`([\w-]+)`", commands)), file


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=lambda value: named(value) if isinstance(value, Path) else value
)
def test_a_command_can_be_typed(page, command, tmp_path, monkeypatch):
    if page.name != "commands.md":  # which shows the grammar, not commands
        monkeypatch.setattr(config_module, "CONFIGS", documents.write_configs(tmp_path / "configs", *TEXT.values()))
        documents.check_command(command)


@every_page
def test_a_part_of_a_config_is_sound(page, tmp_path):
    for block in documents.blocks(TEXT[page], "yaml"):
        if not block.startswith("# configs/"):  # files are run below
            part = tmp_path / "part.yaml"
            part.write_text(f"extends: demo\n{block}")
            assert load_config(str(part)).networks


def test_what_is_quoted_of_the_log_is_there():
    log = " ".join(documents.read(REPOSITORY / "LOG.md").split())
    quoted = re.findall(r'LOG\.md\): "(.+?)"', " ".join(" ".join(TEXT.values()).split()))
    assert len(quoted) > 20 and [quote for quote in quoted if quote not in log] == []


@pytest.mark.parametrize("name", ["config.md", "commands.md", "plugins.md"])
def test_a_generated_page_is_what_the_code_says(generator, name):
    assert generator["PAGES"][name]() == TEXT[DOCS / "reference" / name], "run .venv/bin/python docs/generate.py"


def test_every_key_of_a_config_has_a_meaning(generator):
    sections = generator["_sections"](Config, "", {})
    every = {
        value
        for value in vars(config_sections).values()
        if isinstance(value, type) and issubclass(value, config_sections.Section)
    }
    assert set(sections) == every - {config_sections.Section} | {Config}
    meanings = {section.__name__: generator["_comments"](section) for section in sections}
    assert [(name, key) for name, told in meanings.items() for key, meaning in told.items() if not meaning] == []


def test_every_command_is_shown_somewhere():
    shown = {documents.words(command)[0] for page, command in COMMANDS if page.name != "commands.md"}
    headings = sections_of(TEXT[DOCS / "reference" / "commands.md"])
    known = {name.split()[0] for heading in headings for name in heading.split(", ")}
    assert known >= {"all", "status", "predict", "score", "bakeoff", "test", "bench", *STAGES}
    assert known - shown - set(STAGES) == set() and set(STAGES) == set(sections_of(TEXT[STAGE_PAGE]))


def sections_of(text: str) -> dict[str, str]:
    """Name → text of each part under a heading of the second order."""
    _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def pattern(name: str) -> str:
    """What a name with placeholders in capitals stands for."""
    parts = re.split(f"({'|'.join(PLACEHOLDERS)})", name)
    return "".join(PLACEHOLDERS.get(part, re.escape(part)) for part in parts)


def columns_told() -> dict[str, list[str]]:
    """CSV → its columns as the pages list them."""
    told = {}
    for page in (STAGE_PAGE, FILE_PAGE):
        for file, table in re.findall(r"^#### `(.+)`\n\n((?:\|.*\n)+)", TEXT[page], re.MULTILINE):
            cells = [line.split("|")[1] for line in table.splitlines()[2:]]
            told[file] = [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]
    return told


@pytest.mark.parametrize("file", columns_told())
def test_the_columns_of_a_table_are_those_of_a_run(finished_run, file):
    (found, *_) = sorted(finished_run.home.rglob(file))
    columns, told = list(read_table(found).columns), [pattern(name) for name in columns_told()[file]]
    assert [column for column in columns if not any(re.fullmatch(name, column) for name in told)] == []
    asked = finished_run.config.epoch_measures
    absent = [name for name in told if not any(re.fullmatch(name, column) for column in columns)]
    assert absent == [] or (file == "epochs.csv" and absent == [pattern("MEASURE")] and not asked)


@pytest.mark.parametrize("stage", STAGES)
def test_every_output_of_a_stage_is_told(finished_run, stage):
    section = sections_of(TEXT[STAGE_PAGE])[stage]
    told = [pattern(name) for name in re.findall(r"`([\w./-]+\.\w+)`", section)]
    folder = finished_run.paths.stage(stage)
    outputs = [finished_run.home / name for name in read_json(folder / "manifest.json")["outputs"]]
    own = [path.relative_to(folder).as_posix() for path in outputs if path.is_relative_to(folder)]
    assert [name for name in own if not any(re.fullmatch(known, name) for known in told)] == []
    (stale_by,) = re.findall(r"^Stale by: (.+?)(?:\n\n|\. )", section, re.MULTILINE | re.DOTALL)
    keys = set(re.findall(r"`(\w+)`", stale_by))
    reads = set(plugins.load("stages", stage).READS)
    assert reads <= keys <= reads | {*STAGES, "warm_start"}


def of_the_demo(command: str) -> bool:
    """Whether a command of the tutorial is about the demo, or what the reader makes of it."""
    options = command_line.parse(documents.words(command))
    return getattr(options, "config", "") in {"", "demo", *TOLD}


def arguments(command: str, tiny: list[str]) -> list[str]:
    """A command of the demo at the size of a test; words of the page come last, and so win."""
    matches = (sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in documents.words(command))
    typed = list(chain.from_iterable(matches))
    options = command_line.parse(typed)
    if not hasattr(options, "words") or typed[0] in ("submit", "leaderboard"):
        return typed
    if getattr(options, "config", "") in TOLD:  # which has no networks
        tiny = [word for word in tiny if not word.startswith("networks.")]
    return [typed[0], *tiny, *typed[1:]]


def test_the_tutorial_comes_true(damageable, tmp_path, monkeypatch, capsys):
    """Its commands of the demo in their order, with its files."""
    written = documents.write_configs(tmp_path / "configs", TEXT[TUTORIAL])
    monkeypatch.setattr(config_module, "CONFIGS", written)
    monkeypatch.chdir(damageable.home)
    monkeypatch.delenv("FAKEVOICE_DATA", raising=False)
    commands = [command for command in documents.fenced_commands(TEXT[TUTORIAL]) if of_the_demo(command)]
    run = [command for command in commands if documents.words(command)[0] not in SERVERS]
    assert len(run) >= 10 and {documents.words(command)[0] for command in commands} >= SERVERS
    for command in run:
        assert command_line.main(arguments(command, damageable.overrides)) == 0, command + capsys.readouterr().err


def test_the_tutorial_is_the_same_in_korean():
    english, korean = TEXT[TUTORIAL], TEXT[DOCS / "tutorial.ko.md"]
    for of in (documents.blocks, documents.links):
        here, there = of(english), of(korean)
        assert [without_comments(part) for part in here] == [without_comments(part) for part in there]
    assert len(re.findall(r"^#", english, re.MULTILINE)) == len(re.findall(r"^#", korean, re.MULTILINE))
    numbers = re.compile(r"(?<![\w.])\d*\.\d+")
    assert sorted(numbers.findall(english)) == sorted(numbers.findall(korean))


def without_comments(text: str) -> list[str]:
    return [re.sub(r"\s+# .*|^# (?!configs/).*", "", line) for line in text.splitlines()]


def test_a_run_that_is_moved_predicts_the_same(at_home, tmp_path, monkeypatch):
    """With nothing but what the page says is needed."""
    (packed,) = [block for block in documents.blocks(TEXT[USE], "bash") if block.startswith("tar ")]
    for folder in packed.split()[3:]:
        shutil.copytree(at_home.home / folder, tmp_path / folder)
    files = sorted((at_home.home / "data" / "demo" / "test").glob("*.ogg"))[:3]
    here = Predictor.load(at_home.paths).predict(files)
    monkeypatch.setenv("FAKEVOICE_HOME", str(tmp_path))
    there = Predictor.load(paths(at_home.config)).predict(files)
    assert np.array_equal(here.probability, there.probability) and there.reasons == ["", "", ""]


def test_the_python_of_a_page_runs(at_home, monkeypatch, capsys):
    monkeypatch.chdir(at_home.home)
    (block,) = documents.blocks(TEXT[USE], "python")
    exec(compile(block, str(USE), "exec"), {})
    assert capsys.readouterr().out.startswith("['fake', 'real'] [[")


def test_parts_of_a_long_recording_are_scored(at_home, tmp_path, monkeypatch):
    (table,) = [block for block in documents.blocks(TEXT[USE]) if block.startswith("id,path")]
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "call.wav", rng.normal(0, 0.1, 160_000), 16_000)
    (tmp_path / "parts.csv").write_text(table)
    out = tmp_path / "out.csv"
    assert command_line.main(["predict", str(tmp_path / "parts.csv"), "--out", str(out), "--config", "demo"]) == 0
    answers = pd.read_csv(out)
    assert list(answers["id"]) == ["call_0000", "call_0005"]
    told = re.findall(r"`(\w+)`", sections_of(TEXT[USE])["What the columns mean"].partition("They are")[0])
    assert set(answers.columns) <= set(told)
