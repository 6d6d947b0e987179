"""docs/reliability.md: every guarantee names the tests that check it, and these tests exist."""

import ast
import re

import pytest

from fakevoice.core.config import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^\| guarantee \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE)
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for table in TABLES for line in table.splitlines()]
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_there_are_guarantees():
    assert len(TABLES) == 4 and len(ROWS) >= 18


@pytest.mark.parametrize(("guarantee", "tests"), [row[:2] for row in ROWS])
def test_every_guarantee_has_tests_that_exist(guarantee, tests):
    nodes = NODE.findall(tests)
    assert nodes and NODE.sub("", tests).replace("<br>", "") == "", guarantee
    for file, name in nodes:
        defined = ast.walk(ast.parse((REPOSITORY / file).read_text(encoding="utf-8")))
        assert name in {node.name for node in defined if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
