"""Opening the catalogue: which database it is and how its connections are set up."""

import asyncio
import os
from pathlib import Path

from sqlalchemy import URL, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from livereel.catalogue.port import Catalogue, CatalogueError
from livereel.catalogue.schema import upgrade
from livereel.catalogue.sqlite import BUSY_TIMEOUT, PRAGMAS, SqliteCatalogue
from livereel.catalogue.unit_of_work import SqlCatalogue

# Ordinary transactions last milliseconds; a queue of half a minute means that the database is stuck.
POOL_TIMEOUT = 30.0
POSTGRES_CONNECTIONS = 10
# PostgreSQL's own 4.0 is for spinning disks. With it counting 100 000 record files of a domain reads the table (60 ms)
# instead of an index that is in memory (30 ms).
POSTGRES_RANDOM_PAGE_COST = 1.1


async def open_catalogue(url: str) -> Catalogue:
    """Open the database, making it or bringing its schema up to date.

    `url` is `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/name`.
    Raises CatalogueError if it cannot be opened or was written by a newer livereel.
    """
    target = _parse(url)
    try:
        await asyncio.to_thread(_migrate, target)
        return SqliteCatalogue(str(target.database)) if _is_sqlite(target) else SqlCatalogue(*_postgres_engines(target))
    except ImportError as error:
        raise CatalogueError("a PostgreSQL catalogue needs its driver: pip install 'psycopg[binary]'") from error
    except (SQLAlchemyError, OSError) as error:
        raise CatalogueError(f"cannot open the catalogue {target}: {error}") from error


def _parse(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise CatalogueError(f"not a catalogue URL: {error}") from error
    match target.get_backend_name():
        case "sqlite":
            if target.database in {None, "", ":memory:"}:
                raise CatalogueError("an SQLite catalogue needs a file: sqlite:////var/lib/livereel/catalogue.db")
            return target.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return target.set(drivername="postgresql+psycopg")
        case other:
            raise CatalogueError(f"the catalogue can be sqlite or postgresql, not {other}")


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _migrate(url: URL) -> None:
    options = {"timeout": BUSY_TIMEOUT} if _is_sqlite(url) else {}
    engine = create_engine(url, poolclass=NullPool, connect_args=options)
    if _is_sqlite(url):
        assert url.database is not None
        path = Path(url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Password hashes and sealed secrets live in it. SQLite gives its side files the permissions of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        _set_up_sqlite(engine)
    with engine.begin() as connection:
        upgrade(connection)


def _set_up_sqlite(engine: Engine) -> None:
    def on_connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        del record
        connection.isolation_level = None  # no implicit BEGIN by the driver: ours says how
        cursor = connection.cursor()
        for pragma in PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _postgres_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    writers = create_async_engine(
        url,
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_pre_ping=True,  # a restarted server or a proxy may have dropped idle connections
    )

    def on_connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        del record
        cursor = connection.cursor()
        # A statement and not a start-up option: connection poolers refuse options they do not know.
        cursor.execute(f"SET random_page_cost = {POSTGRES_RANDOM_PAGE_COST}")
        cursor.close()
        connection.commit()

    event.listen(writers.sync_engine, "connect", on_connect)
    # The same pool; a snapshot, so that the total and the items of a page belong together as they do on SQLite.
    readers = writers.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writers, readers
