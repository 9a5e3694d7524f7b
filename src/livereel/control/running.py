"""Tasks that take tags: which stream goes into which spool.

Streams and spools meet here and nowhere else in `control`. Nothing here knows the catalogue, or decides what is
recorded, until when, or what becomes of it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from livereel.control.disk import Growth
from livereel.domain.clock import Clock
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import SpoolPosition, Task
from livereel.observe import metrics
from livereel.spool.pool import SpoolPool
from livereel.spool.writer import SpoolWriter
from livereel.streams.stream import Stream


@dataclass(slots=True, eq=False)
class Running:
    """A task whose stream is attached to its spool."""

    task: Task
    stream: Stream
    writer: SpoolWriter


class RunningTasks:
    """Those of this node that count as recording. The caller holds the lock of the stream concerned.

    `drain` reads what is in a publisher's socket now; `failed` is told of one whose spool takes no more, and why.
    """

    def __init__(
        self,
        spools: SpoolPool,
        clock: Clock,
        *,
        drain: Callable[[StreamKey], None],
        failed: Callable[[Running, str], None],
    ) -> None:
        self._spools = spools
        self._clock = clock
        self._drain = drain
        self._failed = failed
        self._running: dict[StreamKey, Running] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._running

    def get(self, key: StreamKey) -> Running | None:
        """What records this stream."""
        return self._running.get(key)

    def find(self, task_id: str) -> Running | None:
        """The task with this id, if it takes tags."""
        return next((running for running in self._running.values() if running.task.id == task_id), None)

    def all(self) -> list[Running]:
        """All of them."""
        return list(self._running.values())

    def tasks(self) -> list[Task]:
        """The tasks alone."""
        return [running.task for running in self._running.values()]

    def growth(self) -> list[Growth]:
        """What they have written: each format is a copy of the spool."""
        return [
            Growth(running.task.id, running.writer.bytes_written * (1 + len(running.task.template.formats)))
            for running in self._running.values()
        ]

    def attach(self, task: Task, stream: Stream, since: float, broke_at: float | None = None) -> Running:
        """Let a stream go into the task's spool from its last key frame before `since` on; raises SpoolError.

        It does not count as recording before `add`. `broke_at`: when the push before broke (monotonic), if that is
        known.
        """
        writer = self._spools.open(task.id, stream.publish.id)
        if broke_at is not None:
            writer.away_until = functools.partial(self._away_until, broke_at)
        self._drain(stream.key)
        now = self._clock.now()
        stream.attach(writer, now, max(0.0, now - since))
        self._spools.flush()
        return Running(task, stream, writer)

    def add(self, running: Running) -> None:
        """Its first key frame is on disk: it counts as recording."""
        writer = running.writer
        self._running[running.task.key] = running
        metrics.active_tasks.inc()
        writer.on_failure = lambda error: self._failed(running, error.detail)
        if writer.failed is not None:
            self._failed(running, writer.failed.detail)

    async def end(self, running: Running) -> SpoolPosition:
        """Take what the publisher has sent so far, then no more; returns where the spool ends."""
        self._drain(running.task.key)
        return await self.detach(running)

    async def detach(self, running: Running) -> SpoolPosition:
        """Take no more tags; returns where the spool ends."""
        running.stream.detach(running.writer)
        end = await running.writer.close()
        self.forget(running)
        return end

    def forget(self, running: Running) -> None:
        """It counts as recording no longer, whatever state its spool is in; harmless if it did not."""
        if self._running.get(running.task.key) is running:
            del self._running[running.task.key]
            metrics.active_tasks.dec()

    def _away_until(self, broke_at: float, wall: float) -> float:
        """Seconds from `broke_at` (monotonic) until `wall`, a moment ago in Unix time."""
        return max(0.0, self._clock.monotonic() - broke_at - max(0.0, self._clock.now() - wall))
