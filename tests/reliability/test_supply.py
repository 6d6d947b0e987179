"""What is installed is what is named: one version of everything, its hashes, its licence."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fakevoice.core.config import REPOSITORY

LOCKED = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
FILES = ("requirements.txt", "constraints.txt")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+?)(?: ; [^\n]+?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
FORBIDDEN = re.compile(r"\bA?GPL", re.IGNORECASE)  # LGPL may be used as a library is


@pytest.fixture(scope="module")
def licences() -> dict:
    return runpy.run_path(str(REPOSITORY / "docs" / "licences.py"))


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Package → version."""
    return {name: version for name, version, _ in ENTRY.findall(LOCKED)}


def lines(file: str) -> list[Requirement]:
    """Requirements of a lock without hashes."""
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    return [Requirement(line) for line in text.splitlines() if not line.startswith("#")]


def here(file: str) -> list[Requirement]:
    """Those that this system and this version of Python need."""
    return [line for line in lines(file) if line.marker is None or line.marker.evaluate()]


def needed(names: list[str], canonical) -> Iterator[tuple[str, str, Requirement]]:
    """Each package with the name of what it needs on this machine, and how it says so."""
    for name in names:
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                yield name, canonical(requirement.name), requirement


def test_every_line_is_a_version_with_its_hashes(locked):
    rest = ENTRY.sub("", LOCKED)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert len(locked) == len(ENTRY.findall(LOCKED)) > 130
    assert not [version for version in locked.values() if "+" in version]  # of no index but PyPI


def test_requirements_and_hashes_are_of_the_same_versions(locked, licences):
    pins = licences["pins"]("requirements.txt")
    assert {name: locked.get(name) for name in pins} == pins


def test_the_locks_follow_from_the_project(locked, licences):
    """docs/lock.sh was run after the last change of pyproject.toml."""
    canonical = licences["canonical"]
    run_time = licences["pins"]("requirements.txt")
    direct = [(Requirement(line), run_time) for line in PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        direct += [(Requirement(line), locked) for line in extra if not line.startswith("fakevoice[")]
    for requirement, lock in direct:
        assert str(requirement.specifier) == f"=={lock[canonical(requirement.name)]}", requirement


def test_the_run_time_lock_has_only_what_is_needed(licences):
    canonical = licences["canonical"]
    pins = licences["pins"]("requirements.txt")
    reached: set[str] = set()
    waiting = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    while waiting:
        reached |= waiting
        waiting = {package for _, package, _ in needed(sorted(waiting), canonical)} - reached
    elsewhere = {canonical(line.name) for line in lines("requirements.txt") if line.marker}
    assert set(pins) - reached - elsewhere == set()


def test_the_oldest_python_is_served():
    """Debian 12 has Python 3.11.2."""
    assert PROJECT["requires-python"] == ">=3.11"
    for requirement in here("requirements.txt"):
        said = metadata.metadata(requirement.name).get("Requires-Python") or ""
        assert SpecifierSet(said).contains("3.11.0"), f"{requirement.name} needs Python {said}"


def test_no_file_names_an_index(licences):
    for file in FILES:
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert not re.search(r"index-url|https?:|--find-links|==\S+\+", text), file


def test_nothing_is_left_to_chance(locked, licences):
    """What is installed needs nothing that constraints.txt does not name, nor another version of it."""
    canonical = licences["canonical"]
    names = [requirement.name for requirement in here("requirements.txt")]
    for name, package, requirement in needed(names, canonical):
        assert package in locked, f"{name} needs {requirement}: run docs/lock.sh"
        assert requirement.specifier.contains(locked[package], prereleases=True), f"{name} needs {requirement}"


def test_no_file_pins_another_version(licences):
    found: dict[str, str] = {}
    for file in FILES:
        for name, version in licences["pins"](file).items():
            assert found.setdefault(name, version) == version, file


def test_every_licence_is_known_and_lets_the_project_be_used(licences):
    told = {name: licences["licence"](name)[0] for name in licences["every"]()}
    assert [name for name, text in told.items() if text in licences["SAYS_NOTHING"] - {"BSD"}] == []
    strict = {name for name, text in told.items() if FORBIDDEN.search(text) and " OR " not in text}
    assert strict == set()


def test_the_page_is_what_is_installed(licences):
    for requirement in here("requirements.txt"):
        installed = metadata.version(requirement.name).partition("+")[0]
        assert requirement.specifier.contains(installed), requirement
    assert licences["page"]() == licences["PAGE"].read_text(encoding="utf-8"), "run .venv/bin/python docs/licences.py"


def test_a_licence_that_nobody_says_is_empty(licences):
    assert licences["licence"]("no-such-package") == ("", "")
