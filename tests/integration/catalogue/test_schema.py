"""The schema that the migrations make, against the tables that the code uses."""

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import CatalogueError
from livereel.catalogue.tables import metadata


def plain_engine(url: str) -> Engine:
    return create_engine(make_url(url).set(drivername="sqlite" if url.startswith("sqlite") else "postgresql+psycopg"))


def definitions(connection: Connection) -> dict[str, set[str]]:
    """The parts of each CREATE statement by name; the order of columns and spaces do not matter."""
    statement = text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
    return {name: parts_of(re.sub(r"\s+", " ", sql)) for name, sql in connection.execute(statement)}


def parts_of(sql: str) -> set[str]:
    """A statement split at its outermost commas: columns that came later have no line of their own."""
    depth, parts = 0, [""]
    for character in sql:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    head, _, first = parts[0].partition("(")
    last, _, tail = parts[-1].rpartition(")") if len(parts) > 1 else (first, "", "")
    return {part.strip() for part in (head, first, *parts[1:-1], last, tail)}


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_the_migrated_schema_is_the_one_of_the_tables(url: str) -> None:
    await (await open_catalogue(url)).close()
    engine = plain_engine(url)
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


async def test_sqlite_ends_up_with_the_very_same_definitions(tmp_path: Path) -> None:
    """What the comparison of Alembic does not see: partial indexes, AUTOINCREMENT, names of keys."""
    await (await open_catalogue(f"sqlite:///{tmp_path / 'migrated.db'}")).close()
    migrated = plain_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    direct = create_engine("sqlite://")
    with migrated.connect() as connection, direct.connect() as other:
        metadata.create_all(other)
        assert definitions(connection) == definitions(other)
    migrated.dispose()
    direct.dispose()


async def test_opening_again_changes_nothing(url: str) -> None:
    for _ in range(2):
        await (await open_catalogue(url)).close()
    engine = plain_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    engine.dispose()


async def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    await (await open_catalogue(url)).close()
    engine = plain_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogueError, match="9999") as refusal:
        await open_catalogue(url)
    assert "Install that version" in refusal.value.detail
    assert "backup" in refusal.value.detail
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()
