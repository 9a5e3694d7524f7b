"""Tasks that wait for their stream: START accepted before the push (our extension `armed`).

An armed task is a row like any other, so it survives restarts and holds its stream against a second START. When a push
ends, the recording of that push is finished and a new armed task takes its place, until STOP or the limit. The limit
is watched here, whether the task waits or records.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from livereel.catalogue.port import UnitOfWork
from livereel.control.announcer import Announcer
from livereel.domain.clock import Clock, Timer, Timers
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import EndReason, Task
from livereel.domain.states import TaskEvent, TaskState, next_task_state

log = structlog.get_logger()

#: A recording that ended so is followed by another one; STOP and the limit disarm.
GOES_ON_AFTER = frozenset(
    {EndReason.PUBLISH_DONE, EndReason.MERGE_WINDOW, EndReason.RECOVERY, EndReason.SHUTDOWN, EndReason.DISK}
)


class Armed:
    """The armed tasks of this node. The caller holds the lock of the stream concerned.

    `limit_passed` is called when the limit of an armed START has passed. What has happened to a task is written down
    when the catalogue takes it again, unless the server `is_stopping`.
    """

    def __init__(
        self,
        announcer: Announcer,
        clock: Clock,
        timers: Timers,
        new_id: Callable[[], str],
        *,
        limit_passed: Callable[[StreamKey], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._announcer = announcer
        self._clock = clock
        self._timers = timers
        self._new_id = new_id
        self._limit_passed = limit_passed
        self._is_stopping = is_stopping
        self._waiting: dict[StreamKey, Task] = {}
        self._limits: dict[StreamKey, Timer] = {}
        self._frozen = False

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    def get(self, key: StreamKey) -> Task | None:
        """The task that waits for this stream."""
        return self._waiting.get(key)

    def adopt(self, task: Task) -> None:
        """A task in the state ARMED waits for its stream from now on."""
        self._waiting[task.key] = task

    async def begin(self, key: StreamKey) -> Task | None:
        """The stream is there: its armed task, now STARTING, or None."""
        task = self._waiting.get(key)
        if task is None:
            return None
        task = replace(task, state=next_task_state(task.state, TaskEvent.BEGIN), started_at=self._clock.now())
        await self._write(task)
        del self._waiting[key]
        return task

    async def wait_on(self, task: Task) -> None:
        """The stream went before its first key frame: the STARTING task is ARMED again."""
        task = replace(task, state=next_task_state(task.state, TaskEvent.WAIT))
        await self._write(task)
        self._waiting[task.key] = task

    async def end(self, key: StreamKey, reason: EndReason) -> Task | None:
        """STOP or the limit before the stream came: the task is over without a file."""
        task = self._waiting.get(key)
        if task is None:
            return None
        now = self._clock.now()
        state = next_task_state(task.state, TaskEvent.END)
        task = replace(task, state=state, ended_at=now, completed_at=now, end_reason=reason)
        await self._write(task)
        del self._waiting[key]
        log.info("task_disarmed", stream=str(key), task=task.id, reason=str(reason))
        return task

    async def succeed(self, uow: UnitOfWork, ended: Task) -> Task | None:
        """In the transaction that ends an armed recording: the task that waits for the next push, or None."""
        goes_on = ended.armed and ended.end_reason in GOES_ON_AFTER
        if not goes_on or (ended.deadline is not None and self._clock.now() >= ended.deadline):
            return None
        task = Task(
            id=self._new_id(),
            project_id=ended.project_id,
            key=ended.key,
            record_type=ended.record_type,
            template=ended.template,
            state=TaskState.ARMED,
            node=ended.node,
            started_at=self._clock.now(),
            armed=True,
            pre_roll=ended.pre_roll,
            deadline=ended.deadline,
        )
        await uow.tasks.add(task)
        return task

    def watch_limit(self, task: Task) -> None:
        """The limit of this task, if it has one, is in force for its stream, and none of a task before."""
        if (timer := self._limits.pop(task.key, None)) is not None:
            timer.cancel()
        if task.armed and task.deadline is not None and not self._frozen:
            delay = max(0.0, task.deadline - self._clock.now())
            self._limits[task.key] = self._timers.call_later(delay, self._passed, task.key)

    def freeze(self) -> None:
        """Let no limit pass any more: the next start watches them."""
        self._frozen = True
        for timer in self._limits.values():
            timer.cancel()

    async def _write(self, task: Task) -> None:
        await self._announcer.insist(lambda change: change.uow.tasks.update(task), unless=self._is_stopping)

    def _passed(self, key: StreamKey) -> None:
        del self._limits[key]
        self._limit_passed(key)
