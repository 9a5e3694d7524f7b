"""The owner's side of recording: what is recorded of the streams of this node, from when and until when.

All that may begin, break or end a recording meets here, under one lock per stream: commands, pushes, plans, limits, a
full disk, a spool that fails, the start and the stop of the server. Here is decided; what is done then is in
`beginning` and `ending`, what takes tags is in `running`, and what only waits in `armed` and `interruptions`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import structlog

from livereel.cluster.port import Action, Answer, Command, StartOptions
from livereel.control.announcer import Announcer
from livereel.control.armed import Armed
from livereel.control.beginning import Beginning
from livereel.control.disk import AlwaysRoom, Disk, Growth
from livereel.control.ending import Ending
from livereel.control.finishing import Finishing
from livereel.control.first_key_frames import FirstKeyFrames
from livereel.control.interruptions import Interrupted, Interruptions
from livereel.control.locks import StreamLocks
from livereel.control.room import Room
from livereel.control.running import Running, RunningTasks
from livereel.domain.clock import Clock, Timers
from livereel.domain.errors import (
    BucketNotAuthorised,
    DiskFull,
    NothingRecording,
    ShuttingDown,
    SpoolError,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import EndReason, PlanTask, Task
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType, Template
from livereel.observe.clock import LoopTimers
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool.pool import SpoolPool
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream

log = structlog.get_logger()

#: Seconds of a push kept until its recording begins, which may wait for the catalogue or the tenant's service: the
#: longest that may take, and a group of pictures.
BEGINNING_KEPT = 20.0
#: Seconds an orderly stop waits for what was received to get into the spools: a disk that hangs must not keep the
#: recordings on others from being finished.
SHUTDOWN_WAIT = 5.0


class Owner:
    """Begins and ends recording tasks; one at a time per stream."""

    def __init__(
        self,
        *,
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
        self._registry = registry
        self._recorder = recorder
        self._finishing = finishing
        self._clock = clock
        self._timers = timers or LoopTimers()
        self._key_frame_timeout = key_frame_timeout
        self._pre_roll_keep = pre_roll_keep
        self._room = Room(lambda: self.disk, self._timers, fail=self._refused, again=self.room_again)
        self._running = RunningTasks(spools, clock, drain=self._drain, failed=self._spool_failed)
        self._interrupted = Interruptions(recorder, clock, self._timers, self._window_passed)
        self._armed = Armed(
            announcer,
            clock,
            self._timers,
            new_id,
            limit_passed=self._limit_passed,
            is_stopping=self._is_stopping,
        )
        self._key_frames = FirstKeyFrames()
        self._beginning = Beginning(
            announcer=announcer,
            running=self._running,
            interrupted=self._interrupted,
            armed=self._armed,
            key_frames=self._key_frames,
            room=self._room,
            clock=clock,
            new_id=new_id,
            node=node,
            spool_dir=spool_dir,
            is_stopping=self._is_stopping,
        )
        self._ending = Ending(
            announcer=announcer,
            running=self._running,
            interrupted=self._interrupted,
            armed=self._armed,
            finishing=finishing,
            clock=clock,
            is_stopping=self._is_stopping,
        )
        #: Pushes of which it is not clear yet what records them.
        self._new_pushes: set[StreamKey] = set()
        self._locks = StreamLocks(self._changed)
        self._background: set[asyncio.Task[None]] = set()
        self._closing = self._refusing = False
        #: Reads what is in a publisher's socket now; set by the composition root, since ingest lies above.
        self.drain: Callable[[StreamKey], None] = lambda _key: None
        #: Asks the tenant's service about a push of an ON_DEMAND template; gives the template to record by, or None.
        self.decide_on_demand: Callable[[Stream, Template], Awaitable[Template | None]] = _never
        #: Whether there is room for recordings; set by the composition root.
        self.disk: Disk = AlwaysRoom()
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
            with self._key_frames.stop_under_way(command.key):
                task = await self._stop(command.project_id, command.key)
        return Answer(task.id)

    def publish_began(self, stream: Stream, template: Template | None) -> None:
        """A stream is live. It goes on with a task that waits for it, or a CONTINUOUS template records it."""
        self._key_frames.push_began(stream.key)
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
        self._key_frames.push_ended(stream.key)
        self._room.gone(stream)
        async with self._locks.hold(stream.key):
            running = self._running.get(stream.key)
            if running is not None and running.stream is stream:
                await self._ending.interrupt_or_end(running, EndReason.PUBLISH_DONE)

    async def adopt(self, task: Task) -> bool:
        """Go on with an INTERRUPTED task of an earlier run if its merge window is open still; the recorder knows it."""
        async with self._locks.hold(task.key):
            if self._interrupted.is_over(task):
                return False
            self._interrupted.add(task, timed=True)
            self._armed.watch_limit(task)
        return True

    async def adopt_armed(self, task: Task) -> None:
        """Wait on with an armed task of an earlier run."""
        async with self._locks.hold(task.key):
            if task.state is TaskState.STARTING:
                await self._armed.wait_on(task)
            else:
                self._armed.adopt(task)
            self._armed.watch_limit(task)

    async def end_recovered(self, task: Task, reason: EndReason) -> None:
        """End a task of an earlier run where its spool ends; the recorder knows it."""
        async with self._locks.hold(task.key):
            await self._ending.ended(task, reason)

    def is_free(self, key: StreamKey, project_id: str) -> bool:
        """True if the stream is pushed to this node, in this project, and nothing records it or is about to."""
        stream = self._registry.get(key)
        if stream is None or stream.project_id != project_id:
            return False
        taken = (self._running, self._interrupted, self._armed, self._locks, self._new_pushes)
        return self._key_frames.is_pushed(key) and not self._closing and not any(key in keys for keys in taken)

    async def begin_planned(self, plan: PlanTask, template: Template) -> Task:
        """Record the stream of a plan; returns when the first key frame is on disk, however long that takes.

        Raises TaskExists if something else records it, StreamNotLive, BucketNotAuthorised, DiskFull, SpoolError, and
        ResourceNotFound when the plan was stopped.
        """
        with self._key_frames.of_plan(plan.id):
            async with self._locks.hold(plan.key):
                stream = self._live(plan.key, plan.project_id)
                # What came while the planner looked belongs to the recording.
                began_at = max(plan.start_at, stream.publish.started_at)
                options = StartOptions(pre_roll=max(0.0, self._clock.now() - began_at))
                task = self._beginning.new(plan.project_id, plan.key, template, options, plan)
                await self._room.check_unasked(task, plan.id, plan)
                return await self._begin(await self._beginning.add(task, plan), stream, None)

    def planned(self) -> list[Task]:
        """The tasks of plans that take tags or wait for their stream."""
        return [task for task in self.running() + self._interrupted.tasks() if task.plan_id is not None]

    async def end_planned(self, key: StreamKey, plan_id: str) -> Task | None:
        """End what a plan records, if it records anything. The plan's row must say already that it is over."""
        interrupted, running = self._interrupted.get(key), self._running.get(key)
        if not self._key_frames.end_of_plan(plan_id):
            if interrupted is not None and interrupted.task.plan_id == plan_id:
                self._key_frames.end(key)
            elif running is None or running.task.plan_id != plan_id:
                return None
        async with self._locks.hold(key):
            return await self._ending.end_on(key, EndReason.PLAN_END, lambda task: task.plan_id == plan_id)

    def growth(self) -> list[Growth]:
        """What the tasks that take tags have written."""
        return self._running.growth()

    async def end_for_disk(self, task_id: str) -> None:
        """End a task while there is room to finish it; what is recorded without START goes on when there is again."""
        if (running := self._running.find(task_id)) is not None:
            async with self._locks.hold(running.task.key):
                if self._running.get(running.task.key) is running:
                    self._room.ended_early(running.task, running.stream)
                    await self._ending.end(running, EndReason.DISK)

    def room_again(self) -> None:
        """The disk has room: begin what had to wait for it and is live still."""
        if not self._closing:
            for stream, template in self._room.take():
                self._in_background(self._take_up(stream, template, waited=True))
            self.on_change()

    def running(self) -> list[Task]:
        """The tasks that take tags now."""
        return self._running.tasks()

    def refuse_starts(self) -> None:
        """Answer START with ShuttingDown, also one that waits: `close` would end its recording a moment later."""
        self._refusing = True
        self._key_frames.end_limited()

    async def close(self) -> None:
        """Begin nothing more; end what is running. A task with a merge window stays open for the next start."""
        self._closing = True
        self._interrupted.freeze()
        self._armed.freeze()
        ended: set[asyncio.Task[None]] = set()
        if running := self._running.all():
            ending = {asyncio.create_task(self._end_at_shutdown(each.task.key)): each for each in running}
            ended, stuck = await asyncio.wait(ending, timeout=SHUTDOWN_WAIT)
            for job in stuck:
                job.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            for job in stuck:  # recovery ends what it was to end
                self._running.forget(ending[job])
        for job in list(self._background):
            job.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for job in ended:
            job.result()

    async def _end_at_shutdown(self, key: StreamKey) -> None:
        async with self._locks.hold(key):
            if (running := self._running.get(key)) is not None:
                await self._ending.interrupt_or_end(running, EndReason.SHUTDOWN)

    async def _start(self, project_id: str, key: StreamKey, template: Template, options: StartOptions) -> Task:
        if self._key_frames.waiting_for(key) is not None:
            raise TaskExists(f"a recording of {key} begins or goes on as soon as a key frame comes")
        async with self._locks.hold(key):
            await self._end_of_others(key, project_id)
            task = self._beginning.new(project_id, key, template, options)
            if task.armed and self._registry.get(key) is None:
                self._check_free(key)
                task = await self._beginning.add(replace(task, state=TaskState.ARMED), asked=True)
                self._armed.adopt(task)
                log.info("task_armed", stream=str(key), task=task.id, deadline=task.deadline)
            else:
                stream = self._live(key, project_id)
                task = await self._begin(await self._beginning.add(task, asked=True), stream, self._key_frame_timeout)
            self._armed.watch_limit(task)
            return task

    def _check_free(self, key: StreamKey) -> None:
        """Raises ShuttingDown, TaskExists."""
        if self._closing:
            raise ShuttingDown("the server is stopping; send START again when it is back")
        busy = self._running.get(key) or self._interrupted.get(key)
        if (task := busy.task if busy is not None else self._armed.get(key)) is not None:
            raise TaskExists(f"task {task.id} records {key} already (it is {task.state})")

    async def _end_of_others(self, key: StreamKey, project_id: str) -> None:
        """End what waits for the stream since its domain was another project's: that one has no part in its pushes.

        The caller holds the stream's lock.
        """
        if (armed := self._armed.get(key)) is not None and armed.project_id != project_id:
            await self._armed.end(key, EndReason.DOMAIN)
        if (interrupted := self._interrupted.get(key)) is not None and interrupted.task.project_id != project_id:
            await self._ending.end_interrupted(interrupted, EndReason.DOMAIN)

    def _live(self, key: StreamKey, project_id: str) -> Stream:
        """The stream, if a recording of it may begin; raises ShuttingDown, TaskExists, StreamNotLive."""
        self._check_free(key)
        stream = self._registry.get(key)
        if stream is None or stream.project_id != project_id:
            raise StreamNotLive(f"{key} is not being pushed; START after the PUBLISH notification")
        if not self._key_frames.is_pushed(key):
            raise StreamNotLive(f"{key} is just beginning or ending; START after the PUBLISH notification")
        return stream

    async def _take_up(self, stream: Stream, template: Template | None, *, waited: bool = False) -> None:
        """What a new push means for recording: go on with an interrupted task, begin a CONTINUOUS one, or nothing.

        `waited`: for the disk; the push is not new, and `template` is what was decided for it then.
        """
        key = stream.key
        try:
            async with self._locks.hold(key):
                if waited and (key in self._running or self._registry.get(key) is not stream):
                    return
                await self._end_of_others(key, stream.project_id)
                if (interrupted := self._interrupted.get(key)) is not None:
                    reason = EndReason.PUBLISH_DONE
                    if interrupted.goes_on(template) and self._room.low:
                        reason = EndReason.DISK
                    elif interrupted.goes_on(template):
                        resumed = await self._beginning.resume(stream, interrupted)
                        if resumed or not interrupted.passed or not self._key_frames.is_pushed(key):
                            return
                        reason = EndReason.MERGE_WINDOW  # and this push is recorded as one that comes later would be
                    await self._ending.end_interrupted(interrupted, reason)
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
                    task = self._beginning.new(template.project_id, key, template, StartOptions(pre_roll=since))
                    self._room.add(stream, template)
                    await self._room.check_unasked(task, stream.publish.id)
                    await self._begin(await self._beginning.add(task), stream, None)
        except (StreamNotLive, TaskExists, BucketNotAuthorised, DiskFull, SpoolError) as refused:
            self._room.not_begun(key, refused)
        except Exception:
            log.exception("recording_failed", stream=str(key))
        finally:
            self._new_pushes.discard(key)
            self.on_change()

    async def _refused(self, task: Task, plan: PlanTask | None, error: str) -> None:
        await self._beginning.fail(await self._beginning.add(task, plan), error)

    async def _begin(self, task: Task, stream: Stream, timeout: float | None, since: float | None = None) -> Task:
        task = await self._beginning.begin(task, stream, timeout, since)
        self._recorder.record(self._finishing.spec(task))
        return task

    async def _stop(self, project_id: str, key: StreamKey) -> Task:
        if (awaiting := self._key_frames.waiting_for(key)) is not None:
            _check_on_command(awaiting, project_id)
            self._key_frames.end(key)  # else it would hold the stream until a key frame comes
        async with self._locks.hold(key):
            await self._end_of_others(key, project_id)
            if (disarmed := await self._armed.end(key, EndReason.STOP)) is not None:
                return disarmed
            if (recording := self._interrupted.get(key) or self._running.get(key)) is not None:
                _check_on_command(recording.task, project_id)
            if (ended := await self._ending.end_on(key, EndReason.STOP)) is not None:
                return ended
            raise NothingRecording(f"no task is recording {key}")

    def _window_passed(self, interrupted: Interrupted) -> None:
        self._in_background(self._end_late(interrupted))

    async def _end_late(self, interrupted: Interrupted) -> None:
        interrupted.passed = True
        self._key_frames.end(interrupted.task.key)
        async with self._locks.hold(interrupted.task.key):
            if self._interrupted.get(interrupted.task.key) is interrupted:
                await self._ending.end_interrupted(interrupted, EndReason.MERGE_WINDOW)

    def _limit_passed(self, key: StreamKey) -> None:
        self._in_background(self._end_armed(key))

    async def _end_armed(self, key: StreamKey) -> None:
        self._key_frames.end(key)
        async with self._locks.hold(key):
            await self._armed.end(key, EndReason.ARMED_LIMIT)
            await self._ending.end_on(key, EndReason.ARMED_LIMIT, lambda task: task.armed)

    def _spool_failed(self, running: Running, error: str) -> None:
        log.error("spool_failed", stream=str(running.task.key), task=running.task.id, error=error)
        self._in_background(self._end_failed(running, error))

    async def _end_failed(self, running: Running, error: str) -> None:
        async with self._locks.hold(running.task.key):
            running.task = replace(running.task, error=error)
            self._room.ended_early(running.task, running.stream)
            await self._ending.end(running, EndReason.SPOOL_FAILED)
        self._room.retry_later()

    async def _let_go(self, task_id: str) -> None:
        """The recorder gave the task up: take the stream off it. Its row and spool are the caller's business."""
        if (interrupted := self._interrupted.find(task_id)) is not None:
            self._interrupted.remove(interrupted)
        if (running := self._running.find(task_id)) is not None:
            async with self._locks.hold(running.task.key):
                await self._running.detach(running)

    def _drain(self, key: StreamKey) -> None:
        self.drain(key)

    def _changed(self) -> None:
        self.on_change()

    def _is_stopping(self) -> bool:
        return self._closing or self._refusing

    def _in_background(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(job)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _check_on_command(task: Task, project_id: str) -> None:
    """Raises NothingRecording for a task that a STOP of the project does not end."""
    if task.project_id != project_id:
        raise NothingRecording(f"no task of this project is recording {task.key}")
    if task.record_type is not RecordType.COMMAND:
        raise NothingRecording(f"{task.key} is recorded by a {task.record_type} template, not by command")


async def _never(_stream: Stream, _template: Template) -> Template | None:
    return None


def _kept_for(template: Template | None) -> float:
    """Seconds of a new push that its template may want from before its recording begins."""
    if template is None:
        return 0.0
    begins_with_the_push = template.record_type is not RecordType.COMMAND  # or may, if a plan says so
    return BEGINNING_KEPT if begins_with_the_push else template.pre_roll
