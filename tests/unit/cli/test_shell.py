"""How members look in tables."""

import pytest

from livereel.cli.shell import bytes_text, cell, when


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
