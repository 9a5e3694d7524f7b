"""How a recording breaks and ends: the stream is detached, its spool closed, and that written down.

What follows (files, store, recording.json) is `finishing`. When a recording is to end is for the `owner` to say, under
the lock of the stream; a task that never recorded is given up in `beginning`.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from livereel.control.announcer import Announcer, Change
from livereel.control.armed import Armed
from livereel.control.finishing import Finishing
from livereel.control.interruptions import Interrupted, Interruptions
from livereel.control.running import Running, RunningTasks
from livereel.domain.clock import Clock
from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import EndReason, Task
from livereel.domain.states import TaskEvent, next_task_state

log = structlog.get_logger()


class Ending:
    """Brings tasks to INTERRUPTED and FINISHING. The caller holds the lock of the stream concerned.

    When the server `is_stopping` no merge window begins to pass, and what a catalogue does not take is
    left to the next start.
    """

    def __init__(
        self,
        *,
        announcer: Announcer,
        running: RunningTasks,
        interrupted: Interruptions,
        armed: Armed,
        finishing: Finishing,
        clock: Clock,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._announcer = announcer
        self._running = running
        self._interrupted = interrupted
        self._armed = armed
        self._finishing = finishing
        self._clock = clock
        self._is_stopping = is_stopping

    async def interrupt_or_end(self, running: Running, reason: EndReason) -> None:
        """The push of a task is over."""
        if running.task.template.merge_seconds == 0:
            await self.end(running, reason)
            return
        now = self._clock.now()
        broke_at = running.stream.stats.last_media_at or now
        steady = running.stream.heard_steady
        if steady is None:
            steady = self._clock.monotonic() - max(0.0, now - broke_at)
        end = await self._running.end(running)
        task = replace(
            running.task,
            state=next_task_state(running.task.state, TaskEvent.INTERRUPT),
            ended_at=broke_at,
            spool_end=end,
        )
        await self._announcer.insist(lambda change: change.uow.tasks.update(task), unless=self._is_stopping)
        log.info("task_interrupted", stream=str(task.key), task=task.id, window=task.template.merge_seconds)
        self._interrupted.add(task, timed=not self._is_stopping(), broke_at=steady)

    async def end(self, running: Running, reason: EndReason) -> Task:
        """Detach, close the spool, hand the task over to `finishing`; nothing happens if that is done already."""
        if self._running.get(running.task.key) is not running:
            return running.task
        stopped_at = self._clock.now()
        end = await self._running.end(running)
        running.task = await self.ended(replace(running.task, ended_at=stopped_at, spool_end=end), reason)
        return running.task

    async def end_interrupted(self, interrupted: Interrupted, reason: EndReason) -> Task:
        """End a task whose push is over already."""
        self._interrupted.remove(interrupted)
        ended_at = self._clock.now() if reason is EndReason.STOP else interrupted.task.ended_at
        return await self.ended(replace(interrupted.task, ended_at=ended_at), reason)

    async def end_on(
        self, key: StreamKey, reason: EndReason, wanted: Callable[[Task], bool] = lambda _task: True
    ) -> Task | None:
        """End what records this stream, or would go on with it, if it is `wanted`; None if there is no such task."""
        interrupted, running = self._interrupted.get(key), self._running.get(key)
        if interrupted is not None and wanted(interrupted.task):
            return await self.end_interrupted(interrupted, reason)
        if running is not None and wanted(running.task):
            return await self.end(running, reason)
        return None

    async def ended(self, task: Task, reason: EndReason) -> Task:
        """No more tags will come: the rest is up to `finishing`."""
        assert task.spool_end is not None
        task = replace(task, state=next_task_state(task.state, TaskEvent.END), end_reason=reason)

        async def ended(change: Change) -> Task | None:
            await change.uow.tasks.update(task)
            if task.error is not None:  # files are made of what there is, but it is not all
                await change.tell(CallbackEvent.RECORD_FAILED, task, error=task.error)
            return await self._armed.succeed(change.uow, task)

        successor = await self._announcer.insist(ended, unless=self._is_stopping)
        if successor is not None:
            self._armed.adopt(successor)
            self._armed.watch_limit(successor)
        self._finishing.finish(task)
        log.info("task_ended", stream=str(task.key), task=task.id, reason=str(reason))
        return task
