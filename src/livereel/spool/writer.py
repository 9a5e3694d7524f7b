"""Writing spools: tags are encoded on the event loop and written by one thread, in order.

The loop never waits for the disk. Encoded tags gather in each `SpoolWriter` until `SpoolPool.flush` (once per sweep of
the ingest pump) hands everything over at once. What the disk does not take in time stays in memory up to a limit;
beyond it writers say they are `congested`, ingest stops reading those sockets, and TCP holds the encoders back.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from pathlib import Path

import structlog

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.codecs import is_video_keyframe
from livereel.flv.marks import BEGIN, SEGMENT, TAKEOVER, TIME, encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tags
from livereel.observe import metrics
from livereel.spool.files import SegmentFiles
from livereel.spool.format import (
    SEGMENT_MAX_BYTES,
    TIME_MARK_SECONDS,
    segment_path,
    segments,
    task_directory,
)
from livereel.streams.headers import Headers, notable

log = structlog.get_logger()

#: Bytes that may wait for the disk, all spools together. 200 streams of 2.66 Mbit/s bring 66 MB a second and a busy
#: disk was seen to stall for 1.6 s, so this rides out the stalls that happen.
MAX_BACKLOG_BYTES = 256 * 1024 * 1024
#: Seconds after which waiting tags are handed over when nobody calls `flush`.
FLUSH_SECONDS = 0.5
#: A bounded share of the backlog per spool, so that one fast stream is held back before it holds back all.
_WRITER_SHARE = 4


class _Progress(Enum):
    """How far the first key frame has come."""

    AWAITED = auto()
    TAKEN = auto()
    HANDED_OVER = auto()


class SpoolPool:
    """The writer thread and all open spools of a process. Belongs to one event loop; not thread-safe."""

    def __init__(self, directory: Path, *, max_backlog_bytes: int = MAX_BACKLOG_BYTES) -> None:
        self._directory = directory
        self.max_backlog_bytes = max_backlog_bytes
        self._dirty: list[SpoolWriter] = []
        self._timer: asyncio.TimerHandle | None = None
        # Bounded by bytes, not by entries: see `congested`.
        self._queue: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[SpoolWriter] = set()
        self._queued_bytes = 0  # counted by the loop
        self._done_bytes = 0  # counted by the thread

    def open(
        self, task_id: str, publish_id: str, on_failure: "Callable[[SpoolError], None] | None" = None
    ) -> "SpoolWriter":
        """A writer for one publish of a task; its first segment comes after those on disk.

        Makes the directory. Raises SpoolError when that fails. `on_failure` is called on the loop, once at most.
        """
        task_dir = task_directory(self._directory, task_id)
        try:
            task_dir.mkdir(parents=True, exist_ok=True)
            present = segments(task_dir)
            end = SpoolPosition(1, 0)
            if present:
                end = SpoolPosition(present[-1], segment_path(task_dir, present[-1]).stat().st_size)
        except OSError as error:
            metrics.spool_errors.inc()
            raise SpoolError(f"spool {task_dir} cannot be made: {error}") from error
        self._start()
        writer = SpoolWriter(self, task_dir, publish_id, end, present[-1] if present else 0)
        writer.on_failure = on_failure
        self._open.add(writer)
        return writer

    @property
    def backlog(self) -> int:
        """Bytes taken from streams and not written yet."""
        return self._queued_bytes - self._done_bytes

    def flush(self) -> None:
        """Hand all that waits over to the thread. Never blocks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._dirty:
            jobs: list[_Job] = []
            for writer in self._dirty:
                jobs.extend(writer.take_jobs())
            self._dirty.clear()
            self._queue.put(jobs)
            metrics.spool_backlog_bytes.set(self.backlog)

    async def close(self) -> None:
        """Write all that waits, close every spool and end the thread. The pool may be used again afterwards."""
        await asyncio.gather(*(writer.close() for writer in list(self._open)))
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    def forget(self, writer: "SpoolWriter") -> None:
        """For writers: this one is closed."""
        self._open.discard(writer)

    def _start(self) -> None:
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
            self._thread.start()

    def waits(self, writer: "SpoolWriter") -> None:
        """For writers: this one has something to be handed over."""
        self._dirty.append(writer)
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush_late)

    def _flush_late(self) -> None:
        self._timer = None
        self.flush()

    def count(self, size: int) -> None:
        """For writers: `size` bytes more wait for the disk."""
        self._queued_bytes += size

    def submit(self, job: "_Job") -> None:
        """For writers: have `job` done after all that waits."""
        self.flush()
        self._queue.put([job])

    def _run(self) -> None:
        """The thread: jobs in order until None comes."""
        while (jobs := self._queue.get()) is not None:
            before = self._done_bytes
            for job in jobs:
                self._done_bytes += job()
            if self._done_bytes > before:
                metrics.spool_bytes.inc(self._done_bytes - before)
                metrics.spool_backlog_bytes.set(self.backlog)


#: Runs on the thread and returns how many bytes are no longer waiting.
_Job = Callable[[], int]


class SpoolWriter:
    """One publish going into one task's spool; a `streams.sink.TagSink`.

    When the disk refuses, `failed` is set, `on_failure` is called, and tags are dropped from then on: the stream goes
    on. Everything public belongs to the loop.
    """

    def __init__(self, pool: SpoolPool, task_dir: Path, publish_id: str, end: SpoolPosition, last_segment: int) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._publish_id = publish_id
        self._files = SegmentFiles(task_dir, end)  # used by the thread
        self._segment = last_segment
        self._segment_bytes = 0
        self._marked_at = 0.0
        self._headers = Headers()
        self._pieces: list[bytes] = []  # encoded, for the segment `_segment`
        self._jobs: list[_Job] = []
        self._first_media = _Progress.AWAITED
        self._taken_bytes = 0
        self._done_bytes = 0  # counted by the thread
        self._written_bytes = 0  # counted by the thread
        self._refused = False  # set by the thread
        self._closing: asyncio.Future[None] | None = None
        #: Why nothing is written any more.
        self.failed: SpoolError | None = None
        self.on_failure: Callable[[SpoolError], None] | None = None
        #: Set once the first key frame (audio-only streams: the first audio) is in the file.
        self.first_keyframe_written = asyncio.Event()

    @property
    def congested(self) -> bool:
        """True while too much waits for the disk."""
        if self.failed is not None:
            return False
        limit = self._pool.max_backlog_bytes
        return self._pool.backlog > limit or self._taken_bytes - self._done_bytes > limit // _WRITER_SHARE

    @property
    def position(self) -> SpoolPosition:
        """End of what is in the file, behind a whole tag; before the first write, the end of the publish before."""
        return self._files.position

    @property
    def bytes_written(self) -> int:
        """Bytes this writer has put into files."""
        return self._written_bytes

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        """Open a new segment: a publish begins, or `publish` takes over from the one before (see `streams.sink`)."""
        if self._deaf():
            return
        if publish:
            self._publish_id = publish
        self._headers = Headers()
        for tag in headers:
            self._headers.take(tag)
        self._open_segment(TAKEOVER if publish else BEGIN, headers, headers[0].timestamp if headers else 0, wall)

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        """Take tags as received; they are written at the next `flush`."""
        if self._deaf() or not tags:
            return
        start = 0
        candidates = notable(tags) if self._headers.video else range(len(tags))
        for index in candidates:
            tag = tags[index]
            if self._headers.take(tag) or not self._may_open_segment(tag):
                continue
            if self._first_media is _Progress.AWAITED:
                self._first_media = _Progress.TAKEN
            if tag.kind == TAG_VIDEO or self._is_due(wall):
                self._put(tags[start:index])
                start = index
                self._at_cut(tag.timestamp, wall)
        self._put(tags[start:])

    async def written(self) -> SpoolPosition:
        """Wait until all that was appended is in the file. Raises SpoolError when the spool has failed."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._pool.submit(lambda: self._tell(_settle, done))
        await done
        if self.failed is not None:
            raise SpoolError(self.failed.detail)
        return self.position

    async def close(self) -> SpoolPosition:
        """Write what waits, close the file and say where the spool ends. May be called again; never raises."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            self._pool.submit(partial(self._close_files, self._closing))
        await asyncio.shield(self._closing)
        self._pool.forget(self)
        return self.position

    def take_jobs(self) -> list[_Job]:
        """For the pool: what the thread has to do for this writer, in order."""
        self._seal()
        jobs, self._jobs = self._jobs, []
        return jobs

    def _deaf(self) -> bool:
        return self._closing is not None or self.failed is not None

    def _may_open_segment(self, tag: Tag) -> bool:
        """A key frame, or audio of a stream that has no video."""
        if tag.kind == TAG_VIDEO:
            return is_video_keyframe(tag.payload)
        return tag.kind == TAG_AUDIO and self._headers.video is None

    def _is_due(self, wall: float) -> bool:
        return self._segment_bytes > SEGMENT_MAX_BYTES or wall - self._marked_at >= TIME_MARK_SECONDS

    def _at_cut(self, timestamp: int, wall: float) -> None:
        """Before a tag with which a segment may begin."""
        if self._segment_bytes > SEGMENT_MAX_BYTES:
            self._open_segment(SEGMENT, self._headers.at(timestamp), timestamp, wall)
        elif self._is_due(wall):
            self._put([self._mark(TIME, timestamp, wall)])

    def _open_segment(self, reason: str, headers: Sequence[Tag], timestamp: int, wall: float) -> None:
        self._seal()
        self._segment += 1
        self._segment_bytes = 0
        self._add(FLV_HEADER)
        self._put([self._mark(reason, timestamp, wall), *headers])

    def _mark(self, reason: str, timestamp: int, wall: float) -> Tag:
        self._marked_at = wall
        return encode_mark(wall, self._publish_id, reason, timestamp)

    def _put(self, tags: Sequence[Tag]) -> None:
        if tags:
            self._add(encode_tags(tags))

    def _add(self, data: bytes) -> None:
        if not self._jobs and not self._pieces:
            self._pool.waits(self)
        self._pieces.append(data)
        self._segment_bytes += len(data)

    def _seal(self) -> None:
        """Make a job of what is encoded for the current segment."""
        if not self._pieces:
            return
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._taken_bytes += len(data)
        self._pool.count(len(data))
        first = self._first_media is _Progress.TAKEN
        if first:
            self._first_media = _Progress.HANDED_OVER
        self._jobs.append(partial(self._write, self._segment, data, first))

    # Below: on the thread.

    def _write(self, segment: int, data: bytes, first_media: bool) -> int:
        if not self._refused:
            try:
                self._files.write(segment, data)
            except Exception as error:  # the thread must go on for the other spools, whatever is wrong with this one
                self._refused = True
                metrics.spool_errors.inc()
                self._tell(self._fail, error)
            else:
                self._written_bytes += len(data)
                if first_media:
                    self._tell(self.first_keyframe_written.set)
        self._done_bytes += len(data)
        return len(data)

    def _close_files(self, done: asyncio.Future[None]) -> int:
        try:
            self._files.close()
        except OSError as error:  # a delayed write error of a network file system
            self._refused = True
            self._tell(self._fail, error)
        return self._tell(_settle, done)

    def _tell(self, callback: Callable[..., object], *args: object) -> int:
        """Call back on the loop; a loop that is closed already has nobody who waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)
        return 0

    # Below: on the loop again.

    def _fail(self, error: Exception) -> None:
        if self.failed is None:
            reason = str(error) if isinstance(error, OSError) else repr(error)
            self.failed = SpoolError(f"spool {self._files.directory} cannot be written: {reason}")
            log.error("spool_write_failed", directory=str(self._files.directory), error=reason)
            if self.on_failure is not None:
                self.on_failure(self.failed)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
