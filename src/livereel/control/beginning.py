"""How a task begins, and how it goes on after an interruption: its row, its first key frame, its end if none comes.

A task begins when its stream is attached to a spool and counts as recording when the first key frame is on disk.
Whether it may begin is for the `owner` to say, under the lock of the stream; what has begun is ended in `ending`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from livereel.catalogue.port import UnitOfWork
from livereel.cluster.port import StartOptions
from livereel.control.announcer import Announcer, Change
from livereel.control.armed import Armed
from livereel.control.buckets import is_authorised
from livereel.control.first_key_frames import FirstKeyFrames
from livereel.control.interruptions import Interrupted, Interruptions
from livereel.control.room import Room
from livereel.control.running import Running, RunningTasks
from livereel.domain.clock import Clock
from livereel.domain.errors import (
    BucketNotAuthorised,
    NoKeyFrame,
    ResourceExists,
    ResourceNotFound,
    ShuttingDown,
    SpoolError,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP, PlanTask, Task
from livereel.domain.states import TaskEvent, TaskState, next_task_state
from livereel.domain.templates import RecordType, Template
from livereel.observe import metrics
from livereel.spool import recovery
from livereel.streams.stream import Stream

log = structlog.get_logger()


class Beginning:
    """Brings tasks to RECORDING. The caller holds the lock of the stream concerned.

    What has happened to a task is written down when the catalogue takes it again, unless the server `is_stopping`.
    """

    def __init__(
        self,
        *,
        announcer: Announcer,
        running: RunningTasks,
        interrupted: Interruptions,
        armed: Armed,
        key_frames: FirstKeyFrames,
        room: Room,
        clock: Clock,
        new_id: Callable[[], str],
        node: str,
        spool_dir: Path,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._announcer = announcer
        self._running = running
        self._interrupted = interrupted
        self._armed = armed
        self._key_frames = key_frames
        self._room = room
        self._clock = clock
        self._new_id = new_id
        self._node = node
        self._spool_dir = spool_dir
        self._is_stopping = is_stopping

    def new(
        self, project_id: str, key: StreamKey, template: Template, options: StartOptions, plan: PlanTask | None = None
    ) -> Task:
        """A task of this node that is STARTING; nobody else knows of it yet."""
        now = self._clock.now()
        armed = plan is None and (template.armed if options.armed is None else options.armed)
        deadline = plan.end_at if plan is not None else now + options.limit if armed else None
        return Task(
            id=self._new_id(),
            project_id=project_id,
            key=key,
            record_type=template.record_type if plan is None else RecordType.PLAN,
            template=template,
            state=TaskState.STARTING,
            node=self._node,
            started_at=now,
            armed=armed,
            pre_roll=template.pre_roll if options.pre_roll is None else options.pre_roll,
            deadline=deadline,
            plan_id=plan.id if plan is not None else None,
        )

    async def add(self, task: Task, plan: PlanTask | None = None, *, asked: bool = False) -> Task:
        """The task as a row; raises TaskExists, BucketNotAuthorised, ResourceNotFound (the plan was stopped).

        `asked`: by START, which is refused soon after STOP (TaskExists) and when there is no room (DiskFull).
        """
        # An armed START is answered with this row, any other with the one that says RECORDING.
        durable = task.state is TaskState.ARMED
        try:
            async with self._announcer.change(durable=durable) as change:
                if asked:
                    await self._check_pause(change.uow, task.key)
                    self._room.check()
                if plan is not None:
                    await _note_recording(change.uow, plan, task)
                await change.uow.tasks.add(task)
                authorised = await is_authorised(change.uow, task.project_id, task.template.address.bucket)
        except ResourceExists:
            raise TaskExists(f"a task is recording {task.key} already") from None
        if not authorised:
            refused = BucketNotAuthorised(task.template.address.bucket)
            await self.fail(task, refused.detail)
            raise refused
        return task

    async def begin(self, task: Task, stream: Stream, timeout: float | None, since: float | None = None) -> Task:
        """Bring a STARTING task to RECORDING on a live stream; if that fails it fails, or waits on if it is armed.

        It begins with the last key frame before `since`, without that before START and pre-roll, however long the
        catalogue took since then. With a `timeout` somebody waits for the answer to START: one that is refused leaves
        nothing armed behind. Raises SpoolError, StreamNotLive, NoKeyFrame, ShuttingDown.
        """
        key, answers = task.key, timeout is not None
        try:
            running = self._running.attach(task, stream, task.started_at - task.pre_roll if since is None else since)
        except SpoolError as error:
            await self._not_begun(task, error.detail, answers=answers)
            raise
        writer = running.writer
        try:
            spooled = await self._key_frames.on_disk(task, writer, timeout)
        except BaseException:
            await self._give_up(running, "cancelled before the first key frame", answers=answers)
            raise
        if not spooled:
            reason = writer.failed.detail if writer.failed else "no key frame arrived"
            await self._give_up(running, reason, answers=answers)
            if writer.failed is not None:
                raise writer.failed
            if timeout is None or not self._key_frames.is_pushed(key):
                raise StreamNotLive(f"{key} ended before its first key frame arrived")
            if self._is_stopping():
                raise ShuttingDown("the server is stopping; send START again when it is back")
            raise NoKeyFrame(
                f"{key} is live but sent no key frame within {timeout:.0f} s; shorten the encoder's key-frame interval"
            )
        await self._recording(running, TaskEvent.SPOOLED)
        return running.task

    async def resume(self, stream: Stream, interrupted: Interrupted) -> bool:
        """Go on with an interrupted task on a new push of its stream; False if its first key frame did not come."""
        task = interrupted.task
        running = self._running.attach(task, stream, stream.publish.started_at, interrupted.broke_at)
        if not await self._key_frames.on_disk(task, running.writer, None):
            # The window goes on from where the push before broke; what came without a key frame is no recording.
            await self._running.detach(running)
            return False
        self._interrupted.remove(interrupted)
        await self._recording(running, TaskEvent.RESUME)
        return True

    async def fail(self, task: Task, error: str) -> None:
        """The task has not begun and will not."""
        # First the spool: a server that is killed in between finds a task without one, and fails it at its next start.
        try:
            await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)
        except SpoolError as left:
            log.warning("spool_not_removed", stream=str(task.key), task=task.id, error=left.detail)
        failed = replace(
            task,
            state=next_task_state(task.state, TaskEvent.FAIL),
            ended_at=self._clock.now(),
            completed_at=self._clock.now(),
            error=error,
        )

        async def write(change: Change) -> None:
            await change.uow.tasks.update(failed)
            if task.record_type is not RecordType.COMMAND:  # who sent START gets the reason as its answer
                await change.tell(CallbackEvent.RECORD_FAILED, failed, error=error)

        await self._announcer.insist(write, unless=self._is_stopping)
        metrics.tasks.labels(TaskState.FAILED).inc()
        log.warning("task_not_begun", stream=str(task.key), task=task.id, error=error)

    async def _recording(self, running: Running, event: TaskEvent) -> None:
        """The task takes tags from now on."""
        task = running.task = replace(
            running.task,
            state=next_task_state(running.task.state, event),
            ended_at=None,
            spool_end=None,
        )

        async def write(change: Change) -> None:
            await change.uow.tasks.update(task)
            if event is TaskEvent.SPOOLED:
                await change.tell(CallbackEvent.RECORD_START, task)

        await self._announcer.insist(write, unless=self._is_stopping)
        self._room.begun(task.key)
        log.info("task_recording", stream=str(task.key), task=task.id, record_type=str(task.record_type))
        self._running.add(running)

    async def _give_up(self, running: Running, error: str, *, answers: bool) -> None:
        await self._running.detach(running)
        await self._not_begun(running.task, error, answers=answers)

    async def _not_begun(self, task: Task, error: str, *, answers: bool) -> None:
        if task.armed and not answers:
            await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)
            await self._armed.wait_on(task)
        else:
            await self.fail(task, error)

    async def _check_pause(self, uow: UnitOfWork, key: StreamKey) -> None:
        stopped_at = await uow.tasks.last_stopped_at(key)
        # A STOP in the future means that the clock has been set back, perhaps by hours.
        if stopped_at is not None and 0 <= (pause := self._clock.now() - stopped_at) < MIN_PAUSE_AFTER_STOP:
            raise TaskExists(
                f"{key} was stopped {pause:.1f} s ago; leave {MIN_PAUSE_AFTER_STOP:.0f} s before the next START"
            )


async def _note_recording(uow: UnitOfWork, plan: PlanTask, task: Task) -> None:
    """Raises ResourceNotFound if the plan is over."""
    current = await uow.plan_tasks.get(plan.project_id, plan.id)
    if current is None or current.stop_at is not None:
        raise ResourceNotFound(f"plan {plan.id} was stopped")
    await uow.plan_tasks.update(replace(current, recording_task_id=task.id))
