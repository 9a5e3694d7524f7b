"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _generator() -> object:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.parametrize("name", GENERATOR.PAGES)  # type: ignore[attr-defined]
def test_a_page_is_up_to_date(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    written = (ROOT / "docs" / name).read_text("utf-8")
    assert written == GENERATOR.PAGES[name](), "run: python docs/generate.py"  # type: ignore[attr-defined]


def test_every_setting_has_a_reason() -> None:
    page = (ROOT / "docs" / "operate" / "settings.md").read_text("utf-8")
    for line in page.splitlines():
        if line.startswith("| `") and not line.startswith("| `LIVEREEL_"):
            assert len(line.split(" | ")[3]) > 40, line
