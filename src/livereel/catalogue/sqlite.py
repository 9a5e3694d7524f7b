"""The catalogue in a file: SQLite on the event loop, its commits in a thread and several of them at once.

Most statements here find a few rows by key, in less time than it takes to hand them to a thread and to get back in
the queue of the loop, and whoever holds the one connection that writes keeps all others waiting meanwhile. So
statements run where they are asked for. What may take longer runs in a thread: commits, which wait for the disk,
statements for many rows, reads that turn out to look at much, and whatever another process has locked.

Units of work that come while another one is under way share its commit. Each is a savepoint of its own, so that an
exception undoes that unit alone, and each ends when all of them are on disk.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import URL, CursorResult, Dialect, Executable, NullPool, create_engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.sql.selectable import Select

from livereel.catalogue import port
from livereel.catalogue.repositories.base import MANY
from livereel.catalogue.unit_of_work import SqlUnitOfWork

T = TypeVar("T")

# How long a writer waits for another process (the command line, a backup) to end its transaction, in seconds.
# Writers of this process queue for the one writing connection and never meet each other at the file.
BUSY_TIMEOUT = 15.0
# A read takes about a millisecond; more connections than this only cost memory and threads.
READERS = 4
# Steps of SQLite's machine after which a read goes to the thread: about a millisecond.
READ_STEPS = 20_000
# Statements of a unit of work after which others on the loop have their turn: with SQLAlchemy's share 2 to 3 ms.
STATEMENTS_IN_A_ROW = 16

PRAGMAS = (
    "journal_mode = WAL",
    # FULL: a committed state survives power loss. Spools and local copies are deleted on the strength of it.
    "synchronous = FULL",
    "foreign_keys = ON",
)

# Seconds that a patient unit of work waits for a commit to share. A commit takes a healthy disk a few milliseconds,
# wakes a thread and holds up whoever writes next; what a recording leaves behind it is some six of them.
PATIENCE = 0.02

_UNIT = "livereel_unit"


class SqliteCatalogue:
    """`port.Catalogue` on a file that exists and has our schema. Belongs to one event loop."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(READERS + 1, "catalogue")
        self._writer: _Connection | None = None
        self._writing = asyncio.Lock()
        self._waiting = 0
        #: Of the units that ended since the last commit: done when they are on disk.
        self._batch: asyncio.Future[None] | None = None
        #: The batch with the last unit that did not wait for the disk. Readers wait for it in its place.
        self._unawaited: asyncio.Future[None] | None = None
        self._committer: asyncio.Task[None] | None = None
        #: Somebody waits for the commit that is to come, or has waited long enough.
        self._hurried = asyncio.Event()
        self._idle_readers: list[_Connection] = []
        self._reading = asyncio.Semaphore(READERS)
        self._closed = False

    @contextlib.asynccontextmanager
    async def read(self, *, latest: bool = True) -> AsyncIterator[port.UnitOfWork]:
        """A consistent picture of the database. An attempt to write raises CatalogueError."""
        if latest and self._unawaited is not None and not self._unawaited.done():
            self._hurried.set()
            await asyncio.wait([self._unawaited])
        async with self._reading:
            self._check_open()
            with _errors_translated():
                reader = self._idle_readers.pop() if self._idle_readers else await self._connect(writes=False)
                try:
                    reader.in_a_row = 0
                    reader.raw.execute("BEGIN")
                    yield SqlUnitOfWork(reader, writing=False)
                finally:
                    reader.raw.rollback()
                    if self._closed:
                        reader.close()
                    else:
                        self._idle_readers.append(reader)

    @contextlib.asynccontextmanager
    async def write(self, *, durable: bool = True, patient: bool = False) -> AsyncIterator[port.UnitOfWork]:
        """Commits at the end, rolls back when an exception leaves the block. Do not open one inside another."""
        self._waiting += 1
        try:
            await self._writing.acquire()
        finally:
            self._waiting -= 1
        with _errors_translated():
            try:
                writer = await self._begun()
                async with self._unit(writer):
                    yield SqlUnitOfWork(writer, writing=True)
                done = self._batch
                assert done is not None
                urgent = durable and not patient
                if urgent and self._waiting == 0:
                    await self._commit(writer)
                else:
                    self._commit_later(writer, urgent=urgent)
            finally:
                self._writing.release()
            if durable:
                await _settled(done)
            else:
                self._unawaited = done

    async def close(self) -> None:
        """Close all connections when what was written is on disk; units of work that come later fail."""
        async with self._writing:
            self._closed = True
            if self._batch is not None and self._writer is not None:
                await self._commit(self._writer)
        if self._committer is not None:
            self._hurried.set()
            await self._committer
        opened = self._idle_readers + ([self._writer] if self._writer is not None else [])
        self._idle_readers, self._writer = [], None
        for connection in opened:
            await connection.in_thread(connection.close)
        self._threads.shutdown(wait=False)

    def _check_open(self) -> None:
        if self._closed:
            raise port.CatalogueError("the catalogue is closed")

    async def _connect(self, *, writes: bool) -> "_Connection":
        opening = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: _Connection(self._path, self._threads, writes=writes)
        )
        return await _settled(opening)

    async def _begun(self) -> "_Connection":
        """The connection that writes, inside a transaction."""
        self._check_open()
        if self._writer is None:
            self._writer = await self._connect(writes=True)
        writer = self._writer
        writer.in_a_row = 0
        if self._batch is None:
            await writer.do(lambda: writer.raw.execute("BEGIN IMMEDIATE"))
            writer.begun()
            self._batch = asyncio.get_running_loop().create_future()
        return writer

    @contextlib.asynccontextmanager
    async def _unit(self, writer: "_Connection") -> AsyncIterator[None]:
        writer.raw.execute(f"SAVEPOINT {_UNIT}")
        alone = not writer.has_units
        try:
            yield
            writer.raw.execute(f"RELEASE {_UNIT}")
            writer.has_units = True
        except BaseException as error:
            if not writer.raw.in_transaction:  # the disk is full or broken: SQLite has undone the whole transaction
                self._end_batch(port.CatalogueError(f"the catalogue failed: {error}"))
            elif alone:
                writer.raw.rollback()
                self._end_batch(None)
            else:
                writer.raw.execute(f"ROLLBACK TO {_UNIT}")
                writer.raw.execute(f"RELEASE {_UNIT}")
            raise

    def _commit_later(self, writer: "_Connection", *, urgent: bool) -> None:
        if urgent:
            self._hurried.set()
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_in_turn(writer))

    async def _commit_in_turn(self, writer: "_Connection") -> None:
        enough = asyncio.get_running_loop().call_later(PATIENCE, self._hurried.set)
        await _whatever(self._hurried.wait)
        enough.cancel()
        # It queues behind those who wait already: they are what it commits.
        await _whatever(self._writing.acquire)
        try:
            self._committer = None
            self._hurried.clear()
            if self._batch is not None:
                await self._commit(writer)
        finally:
            self._writing.release()

    async def _commit(self, writer: "_Connection") -> None:
        """The caller holds the lock. The outcome is that of the batch."""
        try:
            if writer.changed:
                await writer.in_thread(writer.raw.commit)
            else:
                writer.raw.commit()
        except sqlite3.Error as error:
            if writer.raw.in_transaction:
                writer.raw.rollback()
            self._end_batch(port.CatalogueError(f"the catalogue failed: {error}"))
        finally:
            # After a cancellation too: by then it is done.
            if not writer.raw.in_transaction:
                self._end_batch(None)

    def _end_batch(self, error: port.CatalogueError | None) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if error is None:
            batch.set_result(None)
        else:
            batch.set_exception(error)
            batch.exception()  # seen, should nobody wait for it


class _Cursor(sqlite3.Cursor):
    """Its rows are there when `execute` returns, so that no statement stays half run."""

    _rows: Iterator[Any] = iter(())

    def execute(self, statement: str, parameters: Any = ()) -> "_Cursor":
        super().execute(statement, parameters)
        self._rows = iter(super().fetchall() if self.description else ())
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return [row for _, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class _RawConnection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


class _Connection:
    """A connection for one unit of work at a time; what `repositories` expect of one."""

    def __init__(self, path: str, threads: ThreadPoolExecutor, *, writes: bool) -> None:
        self.raw = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, factory=_RawConnection
        )
        for pragma in (*PRAGMAS, f"query_only = {'OFF' if writes else 'ON'}"):
            self.raw.execute(f"PRAGMA {pragma}")
        self.raw.execute("PRAGMA busy_timeout = 0")  # on the loop nobody waits
        engine = create_engine(URL.create("sqlite"), creator=lambda: self.raw, poolclass=NullPool)
        #: In autocommit mode and never told to commit: transactions are ours.
        self._sql = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._threads = threads
        #: Statements since others on the loop had their turn.
        self.in_a_row = 0
        self._limited = False
        self.raw.set_progress_handler(lambda: int(self._limited), READ_STEPS)
        self._changes_before = 0
        #: Whether units have ended in this transaction.
        self.has_units = False

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's description of SQLite."""
        return self._sql.dialect

    def begun(self) -> None:
        """A transaction has begun."""
        self.has_units = False
        self._changes_before = self.raw.total_changes

    @property
    def changed(self) -> bool:
        """Whether anything was written in this transaction."""
        return self.raw.total_changes != self._changes_before

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run a statement and fetch its rows."""
        if isinstance(parameters, Sequence) or statement.get_execution_options().get(MANY):
            return await self.in_thread(lambda: self._sql.execute(statement, parameters))
        return await self.do(lambda: self._sql.execute(statement, parameters), limited=isinstance(statement, Select))

    def begin_nested(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Nothing to do: SQLite undoes a statement that fails, and that alone."""
        return contextlib.nullcontext()

    async def do(self, run: Callable[[], T], *, limited: bool = False) -> T:
        """`run`, here, or in a thread should it take long (only if `limited`) or have to wait for another process."""
        self.in_a_row += 1
        if self.in_a_row > STATEMENTS_IN_A_ROW:
            self.in_a_row = 0
            await asyncio.sleep(0)
        self._limited = limited
        try:
            return run()
        except (sqlite3.OperationalError, OperationalError) as error:
            if not _is_passing(error):
                raise
        finally:
            self._limited = False
        return await self.in_thread(lambda: self._patiently(run))

    async def in_thread(self, call: Callable[[], T]) -> T:
        """`call`, in a thread. A cancellation takes effect after it: nothing is left under way."""
        self.in_a_row = 0
        return await _settled(asyncio.get_running_loop().run_in_executor(self._threads, call))

    def close(self) -> None:
        """Close the database."""
        self._sql.close()

    def _patiently(self, run: Callable[[], T]) -> T:
        self.raw.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        try:
            return run()
        finally:
            self.raw.execute("PRAGMA busy_timeout = 0")


def _is_passing(error: sqlite3.OperationalError | OperationalError) -> bool:
    """Whether a statement would succeed with more time."""
    raw = error.orig if isinstance(error, OperationalError) else error
    code = raw.sqlite_errorcode if isinstance(raw, sqlite3.Error) else 0
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT)


async def _settled(work: "asyncio.Future[T]") -> T:
    """What `work` gives. A cancellation takes effect after it."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # seen: the cancellation says enough
        raise


async def _whatever(wait: Callable[[], Awaitable[object]]) -> None:
    """Wait, cancelled or not: units of work wait for their commit when a loop cancels all that it has."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await wait()
            return


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise port.CatalogueError(f"the catalogue failed: {error}") from error
