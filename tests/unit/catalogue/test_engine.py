"""Opening a catalogue, as far as no server is needed."""

import os
import stat
import sys
from pathlib import Path

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import CatalogueError


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a catalogue URL"),
        ("catalogue.db", "not a catalogue URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://localhost/livereel", "sqlite or postgresql, not mysql"),
    ],
)
async def test_unusable_urls_are_explained(url: str, says: str) -> None:
    with pytest.raises(CatalogueError, match=says):
        await open_catalogue(url)


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot open the catalogue") as refusal:
        await open_catalogue(f"postgresql://anna:geheim@/livereel?host={tmp_path}")
    assert "anna" in refusal.value.detail
    assert "geheim" not in refusal.value.detail


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(CatalogueError, match=r"catalogue\.db.*not a database"):
        await open_catalogue(f"sqlite:///{path}")
    assert path.read_bytes() == b"this is not a database" * 100


async def test_a_path_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match="cannot open the catalogue"):
        await open_catalogue(f"sqlite:///{tmp_path / 'file' / 'catalogue.db'}")


async def test_the_file_is_made_with_its_directory_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "catalogue.db"
    catalogue = await open_catalogue(f"sqlite:///{path}")
    async with catalogue.write(), catalogue.read():
        for name in os.listdir(path.parent):
            assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600, name
    await catalogue.close()
    assert os.listdir(path.parent) == ["catalogue.db"]  # all connections are closed: SQLite removed its side files


async def test_without_the_driver_postgres_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(CatalogueError, match="pip install"):
        await open_catalogue("postgresql://localhost/livereel")
