"""Waits for first key frames: a recording begins, or goes on, when one is on disk.

Here is who waits, for how long, and what ends a wait before its time: the end of the push, a STOP, a plan that is
over. Nothing else lives here: no rows, no locks, and nothing is attached, detached or closed.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from livereel.domain.errors import SpoolError
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import Task
from livereel.domain.templates import RecordType
from livereel.spool.writer import SpoolWriter


class Wait:
    """Waits until somebody calls `end`, which may come first. It makes no task: that would be turns of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    def end(self) -> None:
        """Wait no longer; harmless afterwards."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def over(self, timeout: float | None) -> None:
        """Return when it is ended, or after `timeout` seconds."""
        timer = self._loop.call_later(timeout, self.end) if timeout is not None else None
        try:
            await self._ended
        finally:
            if timer is not None:
                timer.cancel()


class FirstKeyFrames:
    """One wait at most per stream, which is one of a push: streams are told of with `push_began` and `push_ended`."""

    def __init__(self) -> None:
        self._pushed: set[StreamKey] = set()
        self._waits: dict[StreamKey, Wait] = {}
        #: Those without a limit, and what they are for.
        self._lasting: dict[StreamKey, Task] = {}
        #: STOPs under way: a wait that begins while one of them queues for the stream ends at once.
        self._stops: Counter[StreamKey] = Counter()
        self._hurried = False
        #: By plan id, from before there is a task; so the end of the plan may come before the wait.
        self._of_plans: dict[str, Wait] = {}

    def push_began(self, key: StreamKey) -> None:
        """Key frames of this stream may be waited for."""
        self._pushed.add(key)

    def push_ended(self, key: StreamKey) -> None:
        """No key frame will come any more."""
        self._pushed.discard(key)
        if (wait := self._waits.get(key)) is not None:
            wait.end()

    def is_pushed(self, key: StreamKey) -> bool:
        """Whether key frames of the stream may come."""
        return key in self._pushed

    def waiting(self) -> list[Task]:
        """The tasks that begin or go on as soon as a key frame comes, however long that takes."""
        return list(self._lasting.values())

    def waiting_for(self, key: StreamKey) -> Task | None:
        """That one of them which waits for this stream."""
        return self._lasting.get(key)

    def end(self, key: StreamKey) -> None:
        """End the wait for this stream if it has no limit of its own."""
        if key in self._lasting:
            self._waits[key].end()

    def end_limited(self) -> None:
        """End every wait that has a limit, from now on too: the server stops, and somebody wants an answer before."""
        self._hurried = True
        for key, wait in self._waits.items():
            if key not in self._lasting:
                wait.end()

    @contextlib.contextmanager
    def stop_under_way(self, key: StreamKey) -> Iterator[None]:
        """A STOP shall not queue behind the wait of a COMMAND recording that begins in the meantime."""
        self._stops[key] += 1
        try:
            yield
        finally:
            self._stops -= Counter([key])

    @contextlib.contextmanager
    def of_plan(self, plan_id: str) -> Iterator[None]:
        """A recording of this plan is being begun; `end_of_plan` ends its wait."""
        self._of_plans[plan_id] = Wait()
        try:
            yield
        finally:
            del self._of_plans[plan_id]

    def end_of_plan(self, plan_id: str) -> bool:
        """The plan is over; False if no recording of it is being begun."""
        wait = self._of_plans.get(plan_id)
        if wait is not None:
            wait.end()
        return wait is not None

    async def on_disk(self, task: Task, writer: SpoolWriter, timeout: float | None) -> bool:
        """Wait until the first key frame of `task` is on disk; False if that does not happen.

        `timeout`: seconds; without, the wait lasts until it is ended. A key frame that arrived before the end counts,
        also if the disk has not told of it yet.
        """
        key = task.key
        if key not in self._pushed:
            return False
        wait = self._waits[key] = self._of_plans.get(task.plan_id or "") or Wait()
        writer.on_first_keyframe, writer.on_failure = wait.end, lambda _error: wait.end()
        if timeout is None:
            self._lasting[key] = task
            if self._stops[key] and task.record_type is RecordType.COMMAND:
                wait.end()
        elif self._hurried:
            wait.end()
        if writer.first_keyframe_written.is_set() or writer.failed is not None:
            wait.end()
        try:
            await wait.over(timeout)
            if not writer.first_keyframe_written.is_set():
                with contextlib.suppress(SpoolError):
                    await writer.on_disk()
            return writer.first_keyframe_written.is_set()
        finally:
            del self._waits[key]
            self._lasting.pop(key, None)
