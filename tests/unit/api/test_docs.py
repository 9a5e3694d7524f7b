"""docs/api says what the code does."""

from pathlib import Path

from livereel.api.huawei.errors import WIRE, WIRE_OF_OPERATION
from livereel.api.huawei.operations import OPERATIONS

DOCS = Path(__file__).parents[3] / "docs" / "api"


def rows(name: str, columns: int) -> list[tuple[str, ...]]:
    """The cells of all table rows with so many columns, headings and rulers left out."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    tables = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return [
        row for row in tables if len(row) == columns and row[0] not in {"Error", "Operation"} and "---" not in row[0]
    ]


def test_the_error_table() -> None:
    assert rows("errors.md", 4) == [
        (kind.__name__, str(found.status), found.code, found.message) for kind, found in WIRE.items()
    ]


def test_the_table_of_differences() -> None:
    assert rows("errors.md", 5) == [
        (operation, kind.__name__, str(found.status), found.code, found.message)
        for (operation, kind), found in WIRE_OF_OPERATION.items()
    ]


def test_the_permission_table() -> None:
    assert rows("permissions.md", 4) == [
        (
            operation.name,
            f"{operation.method} {operation.path}",
            f"`{operation.action}`" if operation.action else "any user",
            "ours" if operation.ours else "" if operation.verified else "unverified",
        )
        for operation in OPERATIONS
    ]
