"""The owner's side of recording: begins and ends tasks on the streams of this node.

A task begins when its stream is attached to a spool and counts as recording when the first key frame is on disk.
It ends when the stream is detached; what follows (files, store, recording.json) is `finishing`.

This module is long because all that may begin, break or end a recording meets here, under one lock per stream; what
only waits is in `armed` and `interruptions`.
"""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.cluster.port import Action, Answer, Command, StartOptions
from livereel.control.announcer import Announcer, Change
from livereel.control.armed import Armed
from livereel.control.buckets import is_authorised
from livereel.control.disk import AlwaysRoom, Disk, Growth
from livereel.control.finishing import Finishing
from livereel.control.interruptions import Interrupted, Interruptions
from livereel.control.locks import StreamLocks
from livereel.control.room import Room
from livereel.domain.clock import Clock, Timer, Timers
from livereel.domain.errors import (
    BucketNotAuthorised,
    DiskFull,
    NoKeyFrame,
    NothingRecording,
    ResourceExists,
    ResourceNotFound,
    ShuttingDown,
    SpoolError,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP, EndReason, PlanTask, SpoolPosition, Task
from livereel.domain.states import TaskEvent, TaskState, next_task_state
from livereel.domain.templates import RecordType, Template
from livereel.observe import metrics
from livereel.observe.clock import LoopTimers
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool import recovery
from livereel.spool.pool import SpoolPool
from livereel.spool.writer import SpoolWriter
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream

log = structlog.get_logger()

#: Seconds of a push kept until its recording begins, which may wait for the catalogue or the tenant's service: the
#: longest that may take, and a group of pictures.
BEGINNING_KEPT = 20.0
#: Seconds an orderly stop waits for what was received to get into the spools: a disk that hangs must not keep the
#: recordings on others from being finished.
SHUTDOWN_WAIT = 5.0


@dataclass(slots=True)
class Running:
    """A task that takes tags: its row, its stream and its spool."""

    task: Task
    stream: Stream
    writer: SpoolWriter


class Owner:
    """Begins and ends recording tasks; one at a time per stream."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        registry: StreamRegistry,
        spools: SpoolPool,
        recorder: RecorderSupervisor,
        finishing: Finishing,
        announcer: Announcer,
        clock: Clock,
        new_id: Callable[[], str],
        node: str,
        spool_dir: Path,
        key_frame_timeout: float,
        pre_roll_keep: float = 0.0,
        timers: Timers | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._registry = registry
        self._spools = spools
        self._recorder = recorder
        self._finishing = finishing
        self._announcer = announcer
        self._clock = clock
        self._timers = timers or LoopTimers()
        self._new_id = new_id
        self._node = node
        self._spool_dir = spool_dir
        self._key_frame_timeout = key_frame_timeout
        self._pre_roll_keep = pre_roll_keep
        self._armed = Armed(catalogue, clock, new_id)
        self._limits: dict[StreamKey, Timer] = {}
        self._running: dict[StreamKey, Running] = {}
        self._interrupted = Interruptions(recorder, clock, self._timers, self._window_passed)
        #: Waits without a limit for the first key frame of a push; STOP of a COMMAND recording sets the event.
        self._awaited: dict[StreamKey, tuple[asyncio.Event, RecordType]] = {}
        #: STOPs under way: a wait that begins while one of them queues for the stream ends at once.
        self._stops: Counter[StreamKey] = Counter()
        #: Pushes of which it is not clear yet what records them.
        self._new_pushes: set[StreamKey] = set()
        #: By plan id: a planned recording is being begun; setting the event ends the wait for its first key frame.
        self._beginning: dict[str, asyncio.Event] = {}
        self._locks = StreamLocks(self._changed)
        self._gone: dict[StreamKey, asyncio.Event] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._closing = self._refusing = False
        #: Reads what is in a publisher's socket now; set by the composition root, since ingest lies above.
        self.drain: Callable[[StreamKey], None] = lambda _key: None
        #: Asks the tenant's service about a push of an ON_DEMAND template; gives the template to record by, or None.
        self.decide_on_demand: Callable[[Stream, Template], Awaitable[Template | None]] = _never
        #: Whether there is room for recordings; set by the composition root.
        self.disk: Disk = AlwaysRoom()
        self._room = Room(lambda: self.disk, self._timers, fail=self._refused, again=self.room_again)
        #: Told when a START, STOP, begin or end of a push is dealt with: a stream may be free for a plan now.
        self.on_change: Callable[[], None] = lambda: None
        finishing.on_task_failed = self._let_go

    async def handle(self, command: Command) -> Answer:
        """Carry out a command for a stream of this node; raises domain errors."""
        if command.action is Action.START:
            if command.template is None:
                raise ValueError("START carries the template that decides over the stream")
            if self._refusing:
                raise ShuttingDown("the server is stopping; send START again when it is back")
            task = await self._start(command.project_id, command.key, command.template, command.options)
        else:
            with self._stop_under_way(command.key):
                task = await self._stop(command.key)
        return Answer(task.id)

    def publish_began(self, stream: Stream, template: Template | None) -> None:
        """A stream is live. It goes on with a task that waits for it, or a CONTINUOUS template records it."""
        self._gone[stream.key] = asyncio.Event()
        lasting = max(self._pre_roll_keep, template.pre_roll if template is not None else 0.0)
        awaited = any(stream.key in waiting for waiting in (self._armed, self._interrupted, self._running))
        stream.keep(max(lasting, BEGINNING_KEPT if awaited else _kept_for(template)))
        # A push that nothing records must not hold all that memory.
        self._timers.call_later(BEGINNING_KEPT, stream.keep, lasting)
        if not self._closing:
            self._new_pushes.add(stream.key)
            self._in_background(self._take_up(stream, template))

    async def publish_ended(self, stream: Stream) -> None:
        """A stream has ended and its last tags were fed: interrupt or end what records it."""
        if gone := self._gone.pop(stream.key, None):
            gone.set()
        self._room.gone(stream)
        async with self._locks.hold(stream.key):
            running = self._running.get(stream.key)
            if running is not None and running.stream is stream:
                await self._interrupt_or_end(running, EndReason.PUBLISH_DONE)

    async def adopt(self, task: Task) -> bool:
        """Go on with an INTERRUPTED task of an earlier run if its merge window is open still; the recorder knows it."""
        async with self._locks.hold(task.key):
            if self._interrupted.is_over(task):
                return False
            self._interrupted.add(task, timed=True)
            self._watch_limit(task)
        return True

    async def adopt_armed(self, task: Task) -> None:
        """Wait on with an armed task of an earlier run."""
        async with self._locks.hold(task.key):
            if task.state is TaskState.STARTING:
                await self._armed.wait_on(task)
            else:
                self._armed.adopt(task)
            self._watch_limit(task)

    async def end_recovered(self, task: Task, reason: EndReason) -> None:
        """End a task of an earlier run where its spool ends; the recorder knows it."""
        async with self._locks.hold(task.key):
            await self._ended(task, reason)

    def is_free(self, key: StreamKey, project_id: str) -> bool:
        """True if the stream is pushed to this node, in this project, and nothing records it or is about to."""
        stream = self._registry.get(key)
        if stream is None or stream.project_id != project_id:
            return False
        taken = (self._running, self._interrupted, self._armed, self._locks, self._new_pushes)
        return key in self._gone and not self._closing and not any(key in keys for keys in taken)

    async def begin_planned(self, plan: PlanTask, template: Template) -> Task:
        """Record the stream of a plan; returns when the first key frame is on disk, however long that takes.

        Raises TaskExists if something else records it, StreamNotLive, BucketNotAuthorised, DiskFull, SpoolError, and
        ResourceNotFound when the plan was stopped.
        """
        self._beginning[plan.id] = asyncio.Event()
        try:
            async with self._locks.hold(plan.key):
                stream = self._live(plan.key)
                # What came while the planner looked belongs to the recording.
                began_at = max(plan.start_at, stream.publish.started_at)
                options = StartOptions(pre_roll=max(0.0, self._clock.now() - began_at))
                task = self._new_task(plan.project_id, plan.key, template, options, plan)
                await self._room.check_unasked(task, plan.id, plan)
                return await self._begin(await self._added(task, plan), stream, None)
        finally:
            del self._beginning[plan.id]

    def planned(self) -> list[Task]:
        """The tasks of plans that take tags or wait for their stream."""
        return [task for task in self.running() + self._interrupted.tasks() if task.plan_id is not None]

    async def end_planned(self, key: StreamKey, plan_id: str) -> Task | None:
        """End what a plan records, if it records anything. The plan's row must say already that it is over."""
        interrupted, running = self._interrupted.get(key), self._running.get(key)
        if (beginning := self._beginning.get(plan_id)) is not None:
            beginning.set()
        elif interrupted is not None and interrupted.task.plan_id == plan_id:
            if (awaited := self._awaited.get(key)) is not None:
                awaited[0].set()
        elif running is None or running.task.plan_id != plan_id:
            return None
        async with self._locks.hold(key):
            interrupted, running = self._interrupted.get(key), self._running.get(key)
            if interrupted is not None and interrupted.task.plan_id == plan_id:
                return await self._end_interrupted(interrupted, EndReason.PLAN_END)
            if running is not None and running.task.plan_id == plan_id:
                return await self._end(running, EndReason.PLAN_END)
        return None

    def growth(self) -> list[Growth]:
        """What the tasks that take tags have written: each format is a copy of the spool."""
        return [
            Growth(running.task.id, running.writer.bytes_written * (1 + len(running.task.template.formats)))
            for running in self._running.values()
        ]

    async def end_for_disk(self, task_id: str) -> None:
        """End a task while there is room to finish it; what is recorded without START goes on when there is again."""
        for running in [running for running in self._running.values() if running.task.id == task_id]:
            async with self._locks.hold(running.task.key):
                if self._running.get(running.task.key) is running:
                    self._room.ended_early(running.task, running.stream)
                    await self._end(running, EndReason.DISK)

    def room_again(self) -> None:
        """The disk has room: begin what had to wait for it and is live still."""
        if not self._closing:
            for stream, template in self._room.take():
                self._in_background(self._take_up(stream, template, waited=True))
            self.on_change()

    def running(self) -> list[Task]:
        """The tasks that take tags now."""
        return [running.task for running in self._running.values()]

    def refuse_starts(self) -> None:
        """Answer START with ShuttingDown: it would begin a recording that `close` ends a moment later."""
        self._refusing = True

    async def close(self) -> None:
        """Begin nothing more; end what is running. A task with a merge window stays open for the next start."""
        self._closing = True
        self._interrupted.freeze()
        for timer in self._limits.values():
            timer.cancel()
        ended: set[asyncio.Task[None]] = set()
        if self._running:
            ending = {asyncio.create_task(self._end_at_shutdown(key)): key for key in self._running}
            ended, stuck = await asyncio.wait(ending, timeout=SHUTDOWN_WAIT)
            for job in stuck:
                job.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            for job in stuck:  # recovery ends what it was to end
                if self._running.pop(ending[job], None) is not None:
                    metrics.active_tasks.dec()
        for job in list(self._background):
            job.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for job in ended:
            job.result()

    async def _end_at_shutdown(self, key: StreamKey) -> None:
        async with self._locks.hold(key):
            if (running := self._running.get(key)) is not None:
                await self._interrupt_or_end(running, EndReason.SHUTDOWN)

    async def _start(self, project_id: str, key: StreamKey, template: Template, options: StartOptions) -> Task:
        if key in self._awaited:
            raise TaskExists(f"a recording of {key} begins or goes on as soon as a key frame comes")
        async with self._locks.hold(key):
            task = self._new_task(project_id, key, template, options)
            if task.armed and self._registry.get(key) is None:
                self._check_free(key)
                await self._check_pause(key)
                self._room.check()
                task = await self._added(replace(task, state=TaskState.ARMED))
                self._armed.adopt(task)
                log.info("task_armed", stream=str(key), task=task.id, deadline=task.deadline)
            else:
                stream = self._live(key)
                await self._check_pause(key)
                self._room.check()
                task = await self._begin(await self._added(task), stream, self._key_frame_timeout)
            self._watch_limit(task)
            return task

    def _check_free(self, key: StreamKey) -> None:
        """Raises ShuttingDown, TaskExists."""
        if self._closing:
            raise ShuttingDown("the server is stopping; send START again when it is back")
        busy = self._running.get(key) or self._interrupted.get(key)
        if (task := busy.task if busy is not None else self._armed.get(key)) is not None:
            raise TaskExists(f"task {task.id} records {key} already (it is {task.state})")

    def _live(self, key: StreamKey) -> Stream:
        """The stream, if a recording of it may begin; raises ShuttingDown, TaskExists, StreamNotLive."""
        self._check_free(key)
        stream = self._registry.get(key)
        if stream is None:
            raise StreamNotLive(f"{key} is not being pushed; START after the PUBLISH notification")
        if key not in self._gone:
            raise StreamNotLive(f"{key} is just beginning or ending; START after the PUBLISH notification")
        return stream

    def _new_task(
        self, project_id: str, key: StreamKey, template: Template, options: StartOptions, plan: PlanTask | None = None
    ) -> Task:
        now = self._clock.now()
        armed = plan is None and (options.armed or template.armed)
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
            pre_roll=max(options.pre_roll, template.pre_roll) if plan is None else options.pre_roll,
            deadline=deadline,
            plan_id=plan.id if plan is not None else None,
        )

    async def _take_up(self, stream: Stream, template: Template | None, *, waited: bool = False) -> None:
        """What a new push means for recording: go on with an interrupted task, begin a CONTINUOUS one, or nothing.

        `waited`: for the disk; the push is not new, and `template` is what was decided for it then.
        """
        key = stream.key
        try:
            async with self._locks.hold(key):
                if waited and (key in self._running or self._registry.get(key) is not stream):
                    return
                if (interrupted := self._interrupted.get(key)) is not None:
                    reason = EndReason.PUBLISH_DONE
                    if _goes_on(interrupted.task, template) and self._room.low:
                        reason = EndReason.DISK
                    elif _goes_on(interrupted.task, template):
                        if await self._resume(stream, interrupted) or not interrupted.passed or key not in self._gone:
                            return
                        reason = EndReason.MERGE_WINDOW  # and this push is recorded as one that comes later would be
                    await self._end_interrupted(interrupted, reason)
                if key in self._armed:
                    self._room.add(stream, template)
                    self._room.check()
                if (task := await self._armed.begin(key)) is not None:
                    await self._begin(task, stream, None, task.started_at if waited else stream.publish.started_at)
                    return
                if template is not None and template.record_type is RecordType.ON_DEMAND and not waited:
                    template = await self.decide_on_demand(stream, template)
                if template is not None and template.record_type in (RecordType.CONTINUOUS, RecordType.ON_DEMAND):
                    since = 0.0 if waited else self._clock.now() - stream.publish.started_at
                    task = self._new_task(template.project_id, key, template, StartOptions(pre_roll=since))
                    self._room.add(stream, template)
                    await self._room.check_unasked(task, stream.publish.id)
                    await self._begin(await self._added(task), stream, None)
        except (StreamNotLive, TaskExists, BucketNotAuthorised, DiskFull, SpoolError) as refused:
            self._room.not_begun(key, refused)
        except Exception:
            log.exception("recording_failed", stream=str(key))
        finally:
            self._new_pushes.discard(key)
            self.on_change()

    async def _refused(self, task: Task, plan: PlanTask | None, error: str) -> None:
        await self._fail(await self._added(task, plan), error)

    async def _check_pause(self, key: StreamKey) -> None:
        async with self._catalogue.read() as uow:
            stopped_at = await uow.tasks.last_stopped_at(key)
        # A STOP in the future means that the clock has been set back, perhaps by hours.
        if stopped_at is not None and 0 <= (pause := self._clock.now() - stopped_at) < MIN_PAUSE_AFTER_STOP:
            raise TaskExists(
                f"{key} was stopped {pause:.1f} s ago; leave {MIN_PAUSE_AFTER_STOP:.0f} s before the next START"
            )

    async def _added(self, task: Task, plan: PlanTask | None = None) -> Task:
        """The task as a row; raises TaskExists, BucketNotAuthorised, ResourceNotFound (the plan was stopped)."""
        # An armed START is answered with this row, any other with the one that says RECORDING.
        durable = task.state is TaskState.ARMED
        try:
            async with self._catalogue.write(durable=durable) as uow:
                if plan is not None:
                    await _note_recording(uow, plan, task)
                await uow.tasks.add(task)
                authorised = await is_authorised(uow, task.project_id, task.template.address.bucket)
        except ResourceExists:
            raise TaskExists(f"a task is recording {task.key} already") from None
        if not authorised:
            refused = BucketNotAuthorised(task.template.address.bucket)
            await self._fail(task, refused.detail)
            raise refused
        return task

    async def _begin(self, task: Task, stream: Stream, timeout: float | None, since: float | None = None) -> Task:
        """Bring a STARTING task to RECORDING on a live stream; if that fails it fails, or waits on if it is armed.

        It begins with the last key frame before `since`, without that before START and pre-roll, however long the
        catalogue took since then. With a `timeout` somebody waits for the answer to START: one that is refused leaves
        nothing armed behind.
        """
        key, answers = task.key, timeout is not None
        try:
            running = self._attach(task, stream, task.started_at - task.pre_roll if since is None else since)
        except SpoolError as error:
            await self._not_begun(task, error.detail, answers=answers)
            raise
        writer = running.writer
        try:
            spooled = await self._first_key_frame(running, timeout)
        except BaseException:
            await self._give_up(running, "cancelled before the first key frame", answers=answers)
            raise
        if not spooled:
            reason = writer.failed.detail if writer.failed else "no key frame arrived"
            await self._give_up(running, reason, answers=answers)
            if writer.failed is not None:
                raise writer.failed
            if timeout is None or key not in self._gone:
                raise StreamNotLive(f"{key} ended before its first key frame arrived")
            raise NoKeyFrame(
                f"{key} is live but sent no key frame within {timeout:.0f} s; shorten the encoder's key-frame interval"
            )
        await self._recording(running, TaskEvent.SPOOLED)
        self._recorder.record(self._finishing.spec(running.task))
        return running.task

    async def _resume(self, stream: Stream, interrupted: Interrupted) -> bool:
        """Go on with an interrupted task on a new push of its stream; False if its first key frame did not come."""
        task = interrupted.task
        running = self._attach(task, stream, stream.publish.started_at, interrupted.broke_at)
        spooled = await self._first_key_frame(running, None)
        if spooled:
            self._interrupted.remove(interrupted)
            await self._recording(running, TaskEvent.RESUME)
        else:
            # The window goes on from where the push before broke; what came without a key frame is no recording.
            stream.detach(running.writer)
            await running.writer.close()
        return spooled

    def _attach(self, task: Task, stream: Stream, since: float, broke_at: float | None = None) -> Running:
        """Let a stream go into the task's spool from its last key frame before `since` on; raises SpoolError.

        `broke_at`: when the push before broke (monotonic), if that is known.
        """
        writer = self._spools.open(task.id, stream.publish.id)
        if broke_at is not None:
            writer.away_until = functools.partial(self._away_until, broke_at)
        self.drain(stream.key)
        now = self._clock.now()
        stream.attach(writer, now, max(0.0, now - since))
        self._spools.flush()
        return Running(task, stream, writer)

    def _away_until(self, broke_at: float, wall: float) -> float:
        """Seconds from `broke_at` (monotonic) until `wall`, a moment ago in Unix time."""
        return max(0.0, self._clock.monotonic() - broke_at - max(0.0, self._clock.now() - wall))

    async def _first_key_frame(self, running: Running, timeout: float | None) -> bool:
        """Wait until the first key frame is on disk; False if that does not happen. Without timeout STOP ends it.

        A key frame that arrived before the wait was ended counts, also if the disk has not told of it yet.
        """
        key, writer = running.task.key, running.writer
        refused, stopped = asyncio.Event(), self._beginning.get(running.task.plan_id or "", asyncio.Event())
        writer.on_failure = lambda _error: refused.set()
        if timeout is None:
            self._awaited[key] = (stopped, running.task.record_type)
            if self._stops[key] and running.task.record_type is RecordType.COMMAND:
                stopped.set()
        try:
            gone = self._gone.get(key)
            if gone is None:
                return False
            if not await _wait(writer.first_keyframe_written, timeout, unless=(refused, stopped, gone)):
                with contextlib.suppress(SpoolError):
                    await writer.on_disk()
            return writer.first_keyframe_written.is_set()
        finally:
            self._awaited.pop(key, None)

    async def _recording(self, running: Running, event: TaskEvent) -> None:
        """The task takes tags from now on."""
        task = running.task = replace(
            running.task,
            state=next_task_state(running.task.state, event),
            ended_at=None,
            spool_end=None,
        )
        async with self._announcer.change() as change:
            await change.uow.tasks.update(task)
            if event is TaskEvent.SPOOLED:
                await change.tell(CallbackEvent.RECORD_START, task)
        self._running[task.key] = running
        self._room.begun(task.key)
        metrics.active_tasks.inc()
        log.info("task_recording", stream=str(task.key), task=task.id, record_type=str(task.record_type))
        writer = running.writer
        writer.on_failure = lambda error: self._spool_failed(running, error.detail)
        if writer.failed is not None:
            self._spool_failed(running, writer.failed.detail)

    async def _give_up(self, running: Running, error: str, *, answers: bool) -> None:
        running.stream.detach(running.writer)
        await running.writer.close()
        await self._not_begun(running.task, error, answers=answers)

    async def _not_begun(self, task: Task, error: str, *, answers: bool) -> None:
        if task.armed and not answers:
            await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)
            await self._armed.wait_on(task)
        else:
            await self._fail(task, error)

    async def _fail(self, task: Task, error: str) -> None:
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
        async with self._announcer.change() as change:
            await change.uow.tasks.update(failed)
            if task.record_type is not RecordType.COMMAND:  # who sent START gets the reason as its answer
                await change.tell(CallbackEvent.RECORD_FAILED, failed, error=error)
        metrics.tasks.labels(TaskState.FAILED).inc()
        log.warning("task_not_begun", stream=str(task.key), task=task.id, error=error)

    @contextlib.contextmanager
    def _stop_under_way(self, key: StreamKey) -> Iterator[None]:
        self._stops[key] += 1
        try:
            yield
        finally:
            self._stops -= Counter([key])

    async def _stop(self, key: StreamKey) -> Task:
        if (awaited := self._awaited.get(key)) is not None:
            waits, record_type = awaited
            if record_type is not RecordType.COMMAND:
                raise NothingRecording(f"{key} is recorded by a {record_type} template, not by command")
            waits.set()  # else it would hold the stream until a key frame comes
        async with self._locks.hold(key):
            if (disarmed := await self._armed.end(key, EndReason.STOP)) is not None:
                return disarmed
            interrupted, running = self._interrupted.get(key), self._running.get(key)
            waiting = interrupted or running
            if waiting is None:
                raise NothingRecording(f"no task is recording {key}")
            if waiting.task.record_type is not RecordType.COMMAND:
                raise NothingRecording(f"{key} is recorded by a {waiting.task.record_type} template, not by command")
            if interrupted is not None:
                return await self._end_interrupted(interrupted, EndReason.STOP)
            assert running is not None
            return await self._end(running, EndReason.STOP)

    async def _interrupt_or_end(self, running: Running, reason: EndReason) -> None:
        """The push of a task is over. The caller holds the stream's lock."""
        if running.task.template.merge_seconds == 0:
            await self._end(running, reason)
            return
        now = self._clock.now()
        broke_at = running.stream.stats.last_media_at or now
        steady = running.stream.heard_steady
        if steady is None:
            steady = self._clock.monotonic() - max(0.0, now - broke_at)
        end = await self._let_stream_go(running)
        task = replace(
            running.task,
            state=next_task_state(running.task.state, TaskEvent.INTERRUPT),
            ended_at=broke_at,
            spool_end=end,
        )
        await self._announcer.insist(lambda change: change.uow.tasks.update(task), unless=self._is_closing)
        log.info("task_interrupted", stream=str(task.key), task=task.id, window=task.template.merge_seconds)
        self._interrupted.add(task, timed=not self._closing, broke_at=steady)

    def _window_passed(self, interrupted: Interrupted) -> None:
        self._in_background(self._end_late(interrupted))

    async def _end_late(self, interrupted: Interrupted) -> None:
        interrupted.passed = True
        if (awaited := self._awaited.get(interrupted.task.key)) is not None:
            awaited[0].set()
        async with self._locks.hold(interrupted.task.key):
            if self._interrupted.get(interrupted.task.key) is interrupted:
                await self._end_interrupted(interrupted, EndReason.MERGE_WINDOW)

    async def _end_interrupted(self, interrupted: Interrupted, reason: EndReason) -> Task:
        """End a task whose push is over already. The caller holds the stream's lock."""
        self._interrupted.remove(interrupted)
        ended_at = self._clock.now() if reason is EndReason.STOP else interrupted.task.ended_at
        return await self._ended(replace(interrupted.task, ended_at=ended_at), reason)

    async def _end(self, running: Running, reason: EndReason) -> Task:
        """Detach, close the spool, hand the task over to `finishing`. The caller holds the stream's lock."""
        if self._running.get(running.task.key) is not running:
            return running.task
        stopped_at = self._clock.now()
        end = await self._let_stream_go(running)
        running.task = await self._ended(replace(running.task, ended_at=stopped_at, spool_end=end), reason)
        return running.task

    async def _let_stream_go(self, running: Running) -> SpoolPosition:
        """Take what the publisher has sent so far, then no more; returns where the spool ends."""
        self.drain(running.task.key)
        running.stream.detach(running.writer)
        end = await running.writer.close()
        del self._running[running.task.key]
        metrics.active_tasks.dec()
        return end

    async def _ended(self, task: Task, reason: EndReason) -> Task:
        """No more tags will come: the rest is up to `finishing`."""
        assert task.spool_end is not None
        task = replace(task, state=next_task_state(task.state, TaskEvent.END), end_reason=reason)

        async def ended(change: Change) -> Task | None:
            await change.uow.tasks.update(task)
            if task.error is not None:  # files are made of what there is, but it is not all
                await change.tell(CallbackEvent.RECORD_FAILED, task, error=task.error)
            return await self._armed.succeed(change.uow, task)

        successor = await self._announcer.insist(ended, unless=self._is_closing)
        if successor is not None:
            self._armed.adopt(successor)
            self._watch_limit(successor)
        self._finishing.finish(task)
        log.info("task_ended", stream=str(task.key), task=task.id, reason=str(reason))
        return task

    def _watch_limit(self, task: Task) -> None:
        """End an armed START when its limit has passed, whatever it is doing then."""
        if (timer := self._limits.pop(task.key, None)) is not None:
            timer.cancel()
        if task.armed and task.deadline is not None and not self._closing:
            delay = max(0.0, task.deadline - self._clock.now())
            self._limits[task.key] = self._timers.call_later(
                delay, lambda: self._in_background(self._limit_passed(task.key))
            )

    async def _limit_passed(self, key: StreamKey) -> None:
        if (awaited := self._awaited.get(key)) is not None:
            awaited[0].set()
        async with self._locks.hold(key):
            self._limits.pop(key, None)
            await self._armed.end(key, EndReason.ARMED_LIMIT)
            if (interrupted := self._interrupted.get(key)) is not None and interrupted.task.armed:
                await self._end_interrupted(interrupted, EndReason.ARMED_LIMIT)
            if (running := self._running.get(key)) is not None and running.task.armed:
                await self._end(running, EndReason.ARMED_LIMIT)

    def _spool_failed(self, running: Running, error: str) -> None:
        log.error("spool_failed", stream=str(running.task.key), task=running.task.id, error=error)
        self._in_background(self._end_failed(running, error))

    def _changed(self) -> None:
        self.on_change()

    def _is_closing(self) -> bool:
        return self._closing

    def _in_background(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(job)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _let_go(self, task_id: str) -> None:
        """The recorder gave the task up: take the stream off it. Its row and spool are the caller's business."""
        for task in self._interrupted.tasks():
            if task.id == task_id and (interrupted := self._interrupted.get(task.key)) is not None:
                self._interrupted.remove(interrupted)
        for running in [running for running in self._running.values() if running.task.id == task_id]:
            async with self._locks.hold(running.task.key):
                running.stream.detach(running.writer)
                await running.writer.close()
                if self._running.pop(running.task.key, None) is not None:
                    metrics.active_tasks.dec()

    async def _end_failed(self, running: Running, error: str) -> None:
        async with self._locks.hold(running.task.key):
            running.task = replace(running.task, error=error)
            self._room.ended_early(running.task, running.stream)
            await self._end(running, EndReason.SPOOL_FAILED)
        self._room.retry_later()


def _goes_on(task: Task, template: Template | None) -> bool:
    """Whether an interrupted task takes the new push of its stream, for which `template` decides."""
    if task.plan_id is not None:  # what a CONTINUOUS template covers is recorded to its end, plan or not
        return template is None or template.record_type is not RecordType.CONTINUOUS
    if template is None or (template.id, template.record_type) != (task.template.id, task.record_type):
        return False
    # What START asked for holds to its end; what records by itself follows a template that was changed meanwhile.
    return task.record_type is RecordType.COMMAND or _is_unchanged(task.template, template)


def _is_unchanged(before: Template, now: Template) -> bool:
    """Whether a template still says what a recording was begun with; the tenant's service may have left formats out."""
    kept = now.formats
    if before.record_type is RecordType.ON_DEMAND:
        kept = {name: config for name, config in now.formats.items() if name in before.formats}
    return (kept, now.address) == (before.formats, before.address)


async def _note_recording(uow: UnitOfWork, plan: PlanTask, task: Task) -> None:
    """Raises ResourceNotFound if the plan is over."""
    current = await uow.plan_tasks.get(plan.project_id, plan.id)
    if current is None or current.stop_at is not None:
        raise ResourceNotFound(f"plan {plan.id} was stopped")
    await uow.plan_tasks.update(replace(current, recording_task_id=task.id))


async def _never(_stream: Stream, _template: Template) -> Template | None:
    return None


def _kept_for(template: Template | None) -> float:
    """Seconds of a new push that its template may want from before its recording begins."""
    if template is None:
        return 0.0
    begins_with_the_push = template.record_type is not RecordType.COMMAND  # or may, if a plan says so
    return BEGINNING_KEPT if begins_with_the_push else template.pre_roll


async def _wait(wanted: asyncio.Event, timeout: float | None, *, unless: tuple[asyncio.Event, ...]) -> bool:
    """Wait for `wanted`, one of `unless` or the timeout (seconds); True if `wanted` is set."""
    waiters = [asyncio.create_task(event.wait()) for event in (wanted, *unless)]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
    return wanted.is_set()
