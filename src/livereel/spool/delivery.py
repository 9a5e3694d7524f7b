"""How the bytes of one spool get from the event loop into its files and to the disk.

The loop never waits for the disk. What the disk does not take in time stays in memory up to a limit; beyond it spools
say they are `congested`, ingest stops reading those sockets, and TCP holds the encoders back. What was written is
brought to the disk by other threads (group commit). Both kinds of threads belong to the `pool.SpoolPool`.
"""

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from livereel.domain.errors import SpoolError
from livereel.domain.recordings import SpoolPosition
from livereel.observe import metrics
from livereel.spool.crew import Crew, Strand
from livereel.spool.files import SegmentFiles

log = structlog.get_logger()

#: A bounded share of the backlog per spool, so that one fast stream is held back before it holds back all.
_WRITER_SHARE = 4
#: The first half of the backlog is for whoever needs it, the second is divided evenly: a spool whose disk hangs cannot
#: take the part of one whose disk does not.
_COMMON_SHARE = 2

#: Runs on a thread and returns how many bytes are no longer waiting.
_Job = Callable[[], int]


class Pool(Protocol):
    """What a spool has in common with the others of its process; `pool.SpoolPool` explains each."""

    max_backlog_bytes: int
    syncs: bool
    syncs_at_once: bool
    writing: Crew
    syncing: Crew

    @property
    def backlog(self) -> int: ...
    @property
    def writers(self) -> int: ...
    def flush(self) -> None: ...
    def waits(self, spool: "Delivery") -> None: ...
    def count(self, size: int) -> None: ...
    def wrote(self, size: int) -> None: ...
    def sync_directory(self) -> None: ...
    def forget(self, spool: "Delivery") -> None: ...


class Delivery(ABC):
    """The half of a `writer.SpoolWriter` that knows files and threads.

    When the disk refuses, or loses what it took, `failed` is set, `on_failure` is called, and nothing is taken from
    then on. Everything public belongs to the loop.
    """

    def __init__(self, pool: Pool, task_dir: Path) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._jobs: list[_Job] = []
        self._taken_bytes = 0
        self._closing: asyncio.Future[None] | None = None
        self._awaiting: set[asyncio.Future[None]] = set()  # that something is on disk
        # Used by the threads too.
        self._files = SegmentFiles(task_dir, syncs=pool.syncs)
        self._handed_over: deque[_Job] = deque([self._prepare])
        self._writing = Strand(pool.writing, self._write_turn)
        self._syncing = Strand(pool.syncing, self._sync_turn)
        self._done_bytes = 0
        self._refused = False
        self._lost = False
        self._wishes_lock = threading.Lock()
        self._wishes: list[Callable[[], object]] = []
        self._written_since: float | None = None  # monotonic time of the oldest byte that no sync has begun for
        self._syncing_since: float | None = None
        #: Why nothing is written any more.
        self.failed: SpoolError | None = None
        self.on_failure: Callable[[SpoolError], None] | None = None
        #: Set once the first key frame (audio-only streams: the first audio) is on disk; in the file, if the pool does
        #: not sync; `on_first_keyframe` is called then.
        self.first_keyframe_written = asyncio.Event()
        self.on_first_keyframe: Callable[[], None] | None = None

    @property
    def congested(self) -> bool:
        """True while too much waits for the disk."""
        if self.failed is not None:
            return False
        limit, own = self._pool.max_backlog_bytes, self.backlog
        if own > limit // _WRITER_SHARE:
            return True
        common = limit // _COMMON_SHARE
        return self._pool.backlog > common and own > (limit - common) // self._pool.writers

    @property
    def backlog(self) -> int:
        """Bytes handed over and not written yet."""
        return self._taken_bytes - self._done_bytes

    @property
    def position(self) -> SpoolPosition:
        """End of what is in the file, behind a whole tag; before the first write, the end of the publish before."""
        return self._files.position

    @property
    def synced(self) -> SpoolPosition:
        """Everything before this outlives a power cut."""
        return self._files.synced

    @property
    def unsynced_bytes(self) -> int:
        """Bytes in the files that may not be on disk yet."""
        return self._files.unsynced

    @property
    def unsynced_since(self) -> float | None:
        """Monotonic time at which the oldest of these bytes was written."""
        since = self._syncing_since
        return since if since is not None else self._written_since

    @property
    def bytes_written(self) -> int:
        """Bytes this writer has put into files."""
        return self._files.written

    async def written(self) -> SpoolPosition:
        """Wait until all that was appended is in the file. Raises SpoolError when the spool has failed."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._submit(lambda: self._tell(_settle, done))
        await done
        return self._checked()

    async def on_disk(self) -> SpoolPosition:
        """Wait until all that was appended is on disk; like `written` if the pool does not sync. Raises SpoolError."""
        await self.written()
        if self._pool.syncs:
            done: asyncio.Future[None] = self._loop.create_future()
            self._awaiting.add(done)
            self._sync_and(partial(_settle, done))
            await done
            self._awaiting.discard(done)
        return self._checked()

    async def close(self) -> SpoolPosition:
        """Write what waits, close the file and say where the spool ends. May be called again; never raises.

        The end is brought to the disk at once, but not waited for.
        """
        if self._closing is None:
            self._closing = self._loop.create_future()
            self._submit(partial(self._close_files, self._closing))
        await asyncio.shield(self._closing)
        self._pool.forget(self)
        return self.position

    def hand_over(self) -> Strand | None:
        """For the pool: give what waits to a thread, which is to run the strand unless it is None."""
        self._seal()
        self._handed_over.extend(self._jobs)
        self._jobs.clear()
        return self._writing if self._writing.want() else None

    def wants_sync(self) -> bool:
        """For the pool: something is not on disk, or is on its way to the file."""
        return not self._lost and (self.unsynced_bytes > 0 or (self.backlog > 0 and not self._refused))

    def sync_soon(self) -> Strand | None:
        """For the pool: bring what is written to the disk; a thread is to run the strand unless it is None."""
        return self._syncing if self._syncing.want() else None

    def _deaf(self) -> bool:
        return self._closing is not None or self.failed is not None

    @abstractmethod
    def _seal(self) -> None:
        """`_deliver` what has gathered; for the other half."""

    def _deliver(self, segment: int, data: bytes, *, first_media: bool) -> None:
        """Have whole tags written to segment `segment` of this publish at the next `flush` of the pool."""
        self._jobs.append(partial(self._write, segment, data, first_media))

    def _submit(self, job: _Job) -> None:
        self._pool.flush()
        self._handed_over.append(job)
        self._writing.poke()

    def _checked(self) -> SpoolPosition:
        if self.failed is not None:
            raise SpoolError(self.failed.detail)
        return self.position

    # Below: on a thread that writes, one at a time.

    def _write_turn(self) -> None:
        while self._handed_over:
            job = self._handed_over.popleft()
            self._pool.wrote(job())
        if self._pool.syncs_at_once:
            self._syncing.poke()

    def _prepare(self) -> int:
        try:
            self._files.prepare()
        except OSError as error:
            self._refuse(error)
        return 0

    def _write(self, segment: int, data: bytes, first_media: bool) -> int:
        if not self._refused:
            if self._written_since is None:
                self._written_since = time.monotonic()
            try:
                self._files.write(segment, data)
            except Exception as error:  # others must be served, whatever is wrong with this one
                self._refuse(error)
            else:
                if first_media:
                    self._first_media_written()
        self._done_bytes += len(data)
        return len(data)

    def _first_media_written(self) -> None:
        if self._pool.syncs:
            self._sync_and(self._first_keyframe)
        else:
            self._tell(self._first_keyframe)

    def _close_files(self, done: asyncio.Future[None]) -> int:
        try:
            self._files.finish()
        except OSError as error:  # a delayed write error of a network file system
            self._refuse(error)
        self._syncing.poke()
        return self._tell(_settle, done)

    def _give_up(self, error: OSError) -> int:
        if self._closing is None:  # else nothing is going to be appended, and readers take what can still be read
            self._files.cut_to_synced()
        self._files.close()
        return self._tell(self._fail, error)

    def _refuse(self, error: Exception) -> None:
        if not self._refused:
            self._refused = True
            metrics.spool_errors.inc()
            self._tell(self._fail, error)

    # Below: on a thread that syncs, one at a time.

    def _sync_turn(self) -> None:
        if self._lost or not self._pool.syncs:
            return
        begun = time.monotonic()
        with self._wishes_lock:
            granted, self._wishes = self._wishes, []
        self._syncing_since, self._written_since = self._written_since, None
        try:
            synced = self._files.sync(self._pool.sync_directory)
        except OSError as error:
            # Nothing is taken any more; the files are cut by the thread that writes them.
            self._lost = self._refused = True
            metrics.spool_errors.inc()
            self._handed_over.append(partial(self._give_up, error))
            self._writing.poke()
            return
        finally:
            self._syncing_since = None
        if synced:
            metrics.spool_fsync_seconds.observe(time.monotonic() - begun)
        for call in granted:
            self._tell(call)

    # Below: on any of them.

    def _sync_and(self, call: Callable[[], object]) -> None:
        """Have `call` called on the loop when all that is written now is on disk."""
        with self._wishes_lock:
            self._wishes.append(call)
        self._syncing.poke(urgent=True)

    def _tell(self, callback: Callable[..., object], *args: object) -> int:
        """Call back on the loop; a loop that is closed already has nobody who waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)
        return 0

    # Below: on the loop again.

    def _first_keyframe(self) -> None:
        self.first_keyframe_written.set()
        if self.on_first_keyframe is not None:
            self.on_first_keyframe()

    def _fail(self, error: Exception) -> None:
        if self.failed is None:
            reason = str(error) if isinstance(error, OSError) else repr(error)
            verb = "be brought to the disk" if self._lost else "be written"
            self.failed = SpoolError(f"spool {self._files.directory} cannot {verb}: {reason}")
            log.error("spool_write_failed", directory=str(self._files.directory), error=reason, lost=self._lost)
            if self.on_failure is not None:
                self.on_failure(self.failed)
        if self._lost:
            for done in self._awaiting:
                _settle(done)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
