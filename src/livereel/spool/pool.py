"""All open spools of a process and the threads that write and sync them.

Encoded tags gather in each `writer.SpoolWriter` until `SpoolPool.flush` (a few times per pass of the ingest pump) hands
everything over at once. Group commit: what was written is brought to the disk once per interval, and at once when
somebody waits for it; spools that ask while others are being synced go together in the next round.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from livereel.domain.errors import SpoolError
from livereel.observe import metrics
from livereel.spool.crew import HELP_AFTER, Crew
from livereel.spool.delivery import Delivery
from livereel.spool.directories import fsync_directory
from livereel.spool.format import task_directory
from livereel.spool.writer import SpoolWriter

log = structlog.get_logger()

#: Bytes that may wait for the disk, all spools together. 200 streams of 2.66 Mbit/s bring 66 MB a second and a busy
#: disk was seen to stall for 1.6 s, so this rides out the stalls that happen.
MAX_BACKLOG_BYTES = 256 * 1024 * 1024
#: Bytes that gather in a pass over the publishers before they are handed over. Less wakes threads too often (10 % more
#: CPU time at 200 streams), more only takes memory.
HAND_OVER_BYTES = 1024 * 1024
#: Seconds between two syncs of a spool: what a power cut may take of it.
FSYNC_INTERVAL = 1.0
#: Seconds after which waiting tags are handed over when nobody calls `flush`.
FLUSH_SECONDS = 0.5
#: One thread writes everything a healthy disk takes; more would only fight for the interpreter.
_WRITING_THREADS = 1
#: Syncs wait for the disk and not for the processor, and a journal takes those that come together in one go.
_SYNCING_THREADS = 8
#: Seconds `close` waits for a disk that does not answer. What it has not taken by then is lost with the process.
CLOSE_SECONDS = 5.0


class SpoolPool:
    """Opens spools below `directory`. Belongs to one event loop; not thread-safe.

    `fsync_interval`: seconds; 0 syncs after every write, None never (the kernel writes back when it likes to).
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        fsync_interval: float | None = FSYNC_INTERVAL,
    ) -> None:
        self._directory = directory
        self.max_backlog_bytes = max_backlog_bytes
        self._interval = fsync_interval
        #: Whether what is written is synced, and whether after every write.
        self.syncs, self.syncs_at_once = fsync_interval is not None, fsync_interval == 0
        self.writing = Crew("spool-writer", _WRITING_THREADS)
        self.syncing = Crew("spool-sync", _SYNCING_THREADS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dirty: list[Delivery] = []
        self._unsynced: set[Delivery] = set()
        self._open: set[Delivery] = set()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._sync_timer: asyncio.TimerHandle | None = None
        self._help_timer: asyncio.TimerHandle | None = None
        self._queued_bytes = self._handed_bytes = 0  # counted by the loop
        self._done_bytes = 0  # counted by the threads
        self._done_lock = threading.Lock()
        self._directory_lock = threading.Lock()
        self._directory_wanted = self._directory_synced = 0

    def open(
        self, task_id: str, publish_id: str, on_failure: Callable[[SpoolError], None] | None = None
    ) -> SpoolWriter:
        """A writer for one publish of a task; its first segment comes after those on disk.

        Raises SpoolError for an id that is none. `on_failure` is called on the loop, once at most.
        """
        task_dir = task_directory(self._directory, task_id)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            metrics.spool_unsynced_bytes.set_function(lambda: sum(w.unsynced_bytes for w in list(self._unsynced)))
            metrics.spool_unsynced_seconds.set_function(self._oldest_unsynced)
        writer = SpoolWriter(self, task_dir, publish_id)
        writer.on_failure = on_failure
        self._open.add(writer)
        self.waits(writer)
        return writer

    @property
    def backlog(self) -> int:
        """Bytes taken from streams and not written yet."""
        return self._queued_bytes - self._done_bytes

    @property
    def writers(self) -> int:
        """How many spools are open, at least 1."""
        return max(1, len(self._open))

    def flush(self) -> None:
        """Hand all that waits over to the threads. Never blocks."""
        if self._dirty:
            dirty, self._dirty = self._dirty, []
            self._handed_bytes = self._queued_bytes
            self.writing.put(strand for writer in dirty if (strand := writer.hand_over()) is not None)
            metrics.spool_backlog_bytes.set(self.backlog)
            if self._interval:
                self._unsynced.update(dirty)
                self._sync_later()
        self._help()

    def slice_over(self) -> None:
        """`flush` if much has gathered. Every call wakes a thread that then fights for the interpreter."""
        if self._queued_bytes - self._handed_bytes >= HAND_OVER_BYTES:
            self.flush()

    def pass_over(self) -> None:
        """`flush`, and bring to the disk now what would be due in the next pass: there is time between passes.

        Rounds by the clock alone begin while a pass is under way, as that is when their first tags came.
        """
        self.flush()
        if self._interval and self._sync_timer is not None and self._loop is not None:
            began = self._sync_timer.when() - self._interval
            if self._loop.time() - began >= self._interval / 2:
                self._sync_timer.cancel()
                self._sync_round()

    async def close(self) -> None:
        """Write and sync all that waits, close every spool and end the threads. The pool may be used again afterwards.

        Gives up on a disk that does not answer.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        closing = [asyncio.ensure_future(writer.close()) for writer in list(self._open)]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        # A sync that fails has its spool cut by those who write.
        for crew in (self.writing, self.syncing, self.writing):
            if not await asyncio.to_thread(crew.close, max(0.0, deadline - time.monotonic())):
                log.error("spool_disk_hangs", directory=str(self._directory), waiting=self.backlog)
        for late in closing:
            late.cancel()
        for timer in (self._flush_timer, self._sync_timer, self._help_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._sync_timer = self._help_timer = None
        self._unsynced.clear()

    def forget(self, spool: Delivery) -> None:
        """For writers: this one is closed."""
        self._open.discard(spool)

    def waits(self, spool: Delivery) -> None:
        """For writers: this one has something to be handed over."""
        self._dirty.append(spool)
        if self._flush_timer is None and self._loop is not None:
            self._flush_timer = self._loop.call_later(FLUSH_SECONDS, self._flush_late)

    def count(self, size: int) -> None:
        """For writers: `size` bytes more wait for the disk."""
        self._queued_bytes += size

    def wrote(self, size: int) -> None:
        """For writers: `size` bytes less wait for the disk. From any thread."""
        if size:
            with self._done_lock:
                self._done_bytes += size
            metrics.spool_bytes.inc(size)
            metrics.spool_backlog_bytes.set(self.backlog)

    def sync_directory(self) -> None:
        """For writers: bring the names of all spools to the disk. Callers that come together share one fsync.

        From any thread. Raises OSError.
        """
        with self._done_lock:
            self._directory_wanted += 1
            mine = self._directory_wanted
        with self._directory_lock:
            if self._directory_synced < mine:
                upto = self._directory_wanted
                fsync_directory(self._directory)
                self._directory_synced = upto

    def _flush_late(self) -> None:
        self._flush_timer = None
        self.flush()

    def _sync_later(self) -> None:
        if self._sync_timer is None and self._loop is not None and self._interval:
            self._sync_timer = self._loop.call_later(self._interval, self._sync_round)

    def _sync_round(self) -> None:
        self._sync_timer = None
        self._unsynced = {writer for writer in self._unsynced if writer.wants_sync()}
        if self._unsynced:
            self.syncing.put(strand for writer in self._unsynced if (strand := writer.sync_soon()) is not None)
            self._sync_later()
            self._help()

    def _help(self) -> None:
        """Let the crews grow if work waits behind a thread that is stuck, and look again while any waits."""
        waiting = [crew.help() for crew in (self.writing, self.syncing)]
        if any(waiting) and self._help_timer is None and self._loop is not None:
            self._help_timer = self._loop.call_later(HELP_AFTER, self._help_again)

    def _help_again(self) -> None:
        self._help_timer = None
        self._help()

    def _oldest_unsynced(self) -> float:
        since = [moment for writer in list(self._unsynced) if (moment := writer.unsynced_since) is not None]
        return time.monotonic() - min(since) if since else 0.0
