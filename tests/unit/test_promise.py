"""docs/topics/recovery.md names the tests that prove it; they must exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/topics/recovery.md").read_text()
ROWS = [
    line for line in TEXT.partition("## The fault matrix")[2].partition("\n## ")[0].splitlines() if "`tests/" in line
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def test_every_row_of_the_matrix_names_a_test() -> None:
    table = TEXT.partition("## The fault matrix")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows == ROWS
    assert len(NAMED) > len(rows) / 2


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_named_test_exists(path: str, name: str) -> None:
    module = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions
