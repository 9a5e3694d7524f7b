"""Whether there is room for a recording, and which pushes are recorded later instead.

A push waits when it was refused above the high-water mark, when its recording was ended before the disk was full, and
when its spool failed: it is tried again when there is room, or a while later. START is refused and does not wait.
"""

from collections.abc import Awaitable, Callable

import structlog

from livereel.control.disk import Disk
from livereel.domain.clock import Timers
from livereel.domain.errors import DiskFull, LivereelError, SpoolError
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask, Task
from livereel.domain.templates import Template
from livereel.observe import metrics
from livereel.streams.stream import Stream

log = structlog.get_logger()

#: Seconds after which a stream whose spool has failed is recorded again, if that needs no START: a disk that was full
#: may have room again, and one failed recording a minute is not too much to hear of a dead disk.
SPOOL_RETRY = 60.0


class Room:
    """`disk` is asked each time; `fail` writes down that a task failed before it began; `again` tries all that wait."""

    def __init__(
        self,
        disk: Callable[[], Disk],
        timers: Timers,
        *,
        fail: Callable[[Task, PlanTask | None, str], Awaitable[None]],
        again: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._timers = timers
        self._fail = fail
        self._again = again
        self._waiting: dict[StreamKey, tuple[Stream, Template | None]] = {}
        #: Of whom it was told that they are not recorded: once for each push or plan, however often it is tried.
        self._told: dict[StreamKey, str] = {}

    @property
    def low(self) -> bool:
        """Whether running recordings are being ended for the disk."""
        return self._disk().low

    def check(self) -> None:
        """Raises DiskFull."""
        try:
            self._disk().check_room()
        except DiskFull:
            metrics.disk_refused.inc()
            raise

    async def check_unasked(self, task: Task, of: str, plan: PlanTask | None = None) -> None:
        """Raises DiskFull. Nobody waits for an answer: the first time for `of`, a push or plan, the task fails."""
        try:
            self.check()
        except DiskFull as full:
            if self._is_news(task.key, of):
                await self._fail(task, plan, full.detail)
            raise

    def add(self, stream: Stream, template: Template | None) -> None:
        """Record the push by `template` when there is room, unless it begins now."""
        self._waiting[stream.key] = (stream, template)

    def ended_early(self, task: Task, stream: Stream) -> None:
        """Record the stream of a task that is ended early again, when there is room."""
        self.add(stream, task.template)
        self._is_news(task.key, task.plan_id or stream.publish.id)

    def not_begun(self, key: StreamKey, refused: LivereelError) -> None:
        """A push that is recorded without START is not."""
        log.info("recording_not_begun", stream=str(key), reason=refused.detail)
        if isinstance(refused, SpoolError):
            self.retry_later()

    def retry_later(self) -> None:
        """A spool has failed: try again in a while, whether the disk says that there is room or not."""
        self._timers.call_later(SPOOL_RETRY, self._again)

    def take(self) -> list[tuple[Stream, Template | None]]:
        """All that wait, to be tried now."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken

    def begun(self, key: StreamKey) -> None:
        """The stream is recorded."""
        self._waiting.pop(key, None)
        self._told.pop(key, None)

    def gone(self, stream: Stream) -> None:
        """The push is over."""
        if (found := self._waiting.get(stream.key)) is not None and found[0] is stream:
            del self._waiting[stream.key]
        if self._told.get(stream.key) == stream.publish.id:
            del self._told[stream.key]

    def _is_news(self, key: StreamKey, of: str) -> bool:
        """True if nobody was told yet that `of` (id of a push or a plan) is not recorded; from now on somebody is."""
        told, self._told[key] = self._told.get(key), of
        return told != of
