"""The schema that the migrations make, against the tables that the code uses."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import CatalogueError
from livereel.catalogue.schema import upgrade
from livereel.catalogue.tables import metadata
from livereel.domain.templates import FormatConfig


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


# Of the first schema, with every column that it had: what an installation may hold when it is upgraded.
FIRST_ROWS = (
    "INSERT INTO domains VALUES ('push.example.com', 'p', 'push', 'on', 'r', '', '', '', 1)",
    "INSERT INTO templates (id, project_id, domain, app, stream, record_type, address, formats, created_at, updated_at)"
    " VALUES ('t', 'p', 'push.example.com', 'live', '*', 'COMMAND_RECORD', :address, :formats, 1, 2)",
    "INSERT INTO tasks (id, project_id, domain, app, stream, record_type, template, state, node, started_at)"
    " VALUES ('task', 'p', 'push.example.com', 'live', 'cam01', 'COMMAND_RECORD', :template, 'finishing', 'n', 3)",
    "INSERT INTO files (job_id, asset_id, task_id, project_id, domain, app, stream, record_type, format, sequence,"
    " state, bucket, location, object_key, start_segment, start_offset, started_at, checkpoint, report)"
    " VALUES ('job', 'a', 'task', 'p', 'push.example.com', 'live', 'cam01', 'COMMAND_RECORD', 'MP4', 0,"
    " 'stored', 'rec-a', 'r', 'k.mp4', 1, 13, 3, '{}', '{}')",
)


async def test_what_was_there_keeps_what_it_meant(url: str) -> None:
    """SQLite above all: making a table anew would take all rows with it that refer to it."""
    address, formats = {"bucket": "rec-a", "location": "r", "object": ""}, {"MP4": asdict(FormatConfig(60, "{stream}"))}
    template = {
        **{"id": "t", "project_id": "p", "domain": "push.example.com", "app": "live", "stream": "*"},
        **{"record_type": "COMMAND_RECORD", "address": address, "formats": formats},
        **{"created_at": 1.0, "updated_at": 2.0},
    }
    values = {name: json.dumps(value) for name, value in (("address", address), ("formats", formats))}
    engine = plain_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA foreign_keys = ON"))
        upgrade(connection, to="0001")
        for row in FIRST_ROWS:
            connection.execute(text(row), values | {"template": json.dumps(template)})
    engine.dispose()
    catalogue = await open_catalogue(url)
    async with catalogue.read() as uow:
        domain = await uow.domains.get("push.example.com")
        [kept] = await uow.templates.for_domain("push.example.com")
        task = await uow.tasks.get("task")
        files = await uow.files.of_task("task")
        assert domain is not None
        assert not domain.stream_backup
        assert task is not None
        assert task.template == kept
        assert (kept.armed, kept.pre_roll) == (False, 0.0)
        assert (task.armed, task.pre_roll, task.deadline, task.plan_id) == (False, 0.0, None, None)
        assert [file.job_id for file in files] == ["job"]
    await catalogue.close()
