"""How members look in tables."""

import io
import re

import pytest

from livereel.cli.shell import bytes_text, cell, show, when


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ids_are_never_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout", screen := Screen())
    row = {"id": "0123456789abcdef" * 2, "name": "n" * 50, "text": "word " * 20}
    show(["id", "name", "text"], [row], as_json=False)
    lines = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert any(row["id"] in line for line in lines)
    assert max(len(line) for line in lines) <= 60


def test_what_goes_elsewhere_is_one_line_for_each_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    rows = [{"name": "n" * 90, "text": "word " * 20}] * 3
    show(["name", "text"], rows, as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, None), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (4_404_019, "4.2 MiB"), (5 << 50, "5120.0 TiB")],
)
def test_sizes(size: int | None, text: str | None) -> None:
    assert bytes_text(size) == text


def test_times_are_utc() -> None:
    assert when(1784614528.9) == "2026-07-21 06:15:28Z"
    assert when(None) is None


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (True, "yes"), (["a", "b"], "a, b"), (0, "0")])
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text
