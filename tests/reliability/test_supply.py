"""What is installed is what is named: one version of everything, its hashes, its licence."""

import re
import runpy
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from fakevoice.core.config import REPOSITORY

LOCKED = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
FILES = ("requirements.txt", "requirements-extra.txt", "requirements-dev.txt")
ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+?)(?: ; [^\n]+?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
FORBIDDEN = re.compile(r"\bA?GPL", re.IGNORECASE)  # LGPL may be used as a library is


@pytest.fixture(scope="module")
def licences() -> dict:
    return runpy.run_path(str(REPOSITORY / "docs" / "licences.py"))


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    """Package → version."""
    return {name: version for name, version, _ in ENTRY.findall(LOCKED)}


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


def test_nothing_is_left_to_chance(locked, licences):
    """What is installed needs nothing that constraints.txt does not name, nor another version of it."""
    canonical = licences["canonical"]
    pins = licences["pins"]("requirements.txt")
    for name, package, requirement in needed(list(pins), canonical):
        assert package in locked, f"{name} needs {requirement}: make constraints.txt anew"
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
    for file in FILES:
        for name, version in licences["pins"](file).items():
            assert metadata.version(name).partition("+")[0] == version, name
    assert licences["page"]() == licences["PAGE"].read_text(encoding="utf-8"), "run .venv/bin/python docs/licences.py"


def test_a_licence_that_nobody_says_is_empty(licences):
    assert licences["licence"]("no-such-package") == ("", "")
