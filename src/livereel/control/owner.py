"""The owner's side of recording: begins and ends tasks on the streams of this node.

A task begins when its stream is attached to a spool and counts as recording when the first key frame is on disk.
It ends when the stream is detached; what follows (files, store, recording.json) is `finishing`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from livereel.catalogue.port import Catalogue
from livereel.cluster.port import Action, Answer, Command
from livereel.control.finishing import Finishing
from livereel.domain.clock import Clock
from livereel.domain.errors import (
    NoKeyFrame,
    NothingRecording,
    ResourceExists,
    ShuttingDown,
    SpoolError,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP, EndReason, Task
from livereel.domain.states import TaskEvent, TaskState, next_task_state
from livereel.domain.templates import RecordType, Template
from livereel.observe import metrics
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool import recovery
from livereel.spool.writer import SpoolPool, SpoolWriter
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream

log = structlog.get_logger()


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
        clock: Clock,
        new_id: Callable[[], str],
        node: str,
        spool_dir: Path,
        key_frame_timeout: float,
    ) -> None:
        self._catalogue = catalogue
        self._registry = registry
        self._spools = spools
        self._recorder = recorder
        self._finishing = finishing
        self._clock = clock
        self._new_id = new_id
        self._node = node
        self._spool_dir = spool_dir
        self._key_frame_timeout = key_frame_timeout
        self._running: dict[StreamKey, Running] = {}
        self._locks: dict[StreamKey, tuple[asyncio.Lock, int]] = {}
        self._gone: dict[StreamKey, asyncio.Event] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False
        #: Reads what is in a publisher's socket now; set by the composition root, since ingest lies above.
        self.drain: Callable[[StreamKey], None] = lambda _key: None
        finishing.on_task_failed = self._let_go

    async def handle(self, command: Command) -> Answer:
        """Carry out a command for a stream of this node; raises domain errors."""
        if command.action is Action.START:
            if command.template is None:
                raise ValueError("START carries the template that decides over the stream")
            task = await self._start(command.project_id, command.key, command.template)
        else:
            task = await self._stop(command.key)
        return Answer(task.id)

    def publish_began(self, stream: Stream, template: Template | None) -> None:
        """A stream is live. A CONTINUOUS template starts recording it at once."""
        self._gone[stream.key] = asyncio.Event()
        if template is not None and template.record_type is RecordType.CONTINUOUS and not self._closing:
            job = asyncio.create_task(self._record_continuously(stream, template))
            self._background.add(job)
            job.add_done_callback(self._background.discard)

    async def publish_ended(self, stream: Stream) -> None:
        """A stream has ended and its last tags were fed: end what records it."""
        if gone := self._gone.pop(stream.key, None):
            gone.set()
        async with self._exclusive(stream.key):
            running = self._running.get(stream.key)
            if running is not None and running.stream is stream:
                await self._end(running, EndReason.SHUTDOWN if self._closing else EndReason.PUBLISH_DONE)

    def running(self) -> list[Task]:
        """The tasks that take tags now."""
        return [running.task for running in self._running.values()]

    async def close(self) -> None:
        """Begin nothing more and end what is running."""
        self._closing = True
        for running in list(self._running.values()):
            async with self._exclusive(running.stream.key):
                await self._end(running, EndReason.SHUTDOWN)
        for job in list(self._background):
            job.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _start(self, project_id: str, key: StreamKey, template: Template) -> Task:
        async with self._exclusive(key):
            if self._closing:
                raise ShuttingDown("the server is stopping; send START again when it is back")
            stream = self._registry.get(key)
            if stream is None:
                raise StreamNotLive(f"{key} is not being pushed; START after the PUBLISH notification")
            if key in self._running:
                raise TaskExists(f"task {self._running[key].task.id} is recording {key} already")
            await self._check_pause(key)
            return await self._begin(project_id, stream, template, self._key_frame_timeout)

    async def _record_continuously(self, stream: Stream, template: Template) -> None:
        try:
            async with self._exclusive(stream.key):
                await self._begin(template.project_id, stream, template, None)
        except (StreamNotLive, TaskExists) as refused:
            log.info("continuous_recording_not_begun", stream=str(stream.key), reason=refused.detail)
        except Exception:
            log.exception("continuous_recording_failed", stream=str(stream.key))

    async def _check_pause(self, key: StreamKey) -> None:
        async with self._catalogue.read() as uow:
            stopped_at = await uow.tasks.last_stopped_at(key)
        if stopped_at is not None and (pause := self._clock.now() - stopped_at) < MIN_PAUSE_AFTER_STOP:
            raise TaskExists(
                f"{key} was stopped {max(pause, 0):.1f} s ago; leave {MIN_PAUSE_AFTER_STOP:.0f} s before the next START"
            )

    async def _begin(self, project_id: str, stream: Stream, template: Template, timeout: float | None) -> Task:
        key = stream.key
        gone = self._gone.get(key)
        if gone is None:
            raise StreamNotLive(f"{key} is just beginning or ending; START after the PUBLISH notification")
        task = Task(
            id=self._new_id(),
            project_id=project_id,
            key=key,
            record_type=template.record_type,
            template=template,
            state=TaskState.STARTING,
            node=self._node,
            started_at=self._clock.now(),
        )
        try:
            async with self._catalogue.write() as uow:
                await uow.tasks.add(task)
        except ResourceExists:
            raise TaskExists(f"a task is recording {key} already") from None
        try:
            writer = self._spools.open(task.id, stream.publish.id)
        except SpoolError as error:
            await self._fail(task, error.detail)
            raise
        running = Running(task, stream, writer)
        refused = asyncio.Event()
        writer.on_failure = lambda _error: refused.set()
        self.drain(key)
        stream.attach(writer, self._clock.now())
        self._spools.flush()
        try:
            spooled = await _wait(writer.first_keyframe_written, timeout, unless=(gone, refused))
        except BaseException:
            await self._give_up(running, "cancelled before the first key frame")
            raise
        if not spooled:
            await self._give_up(running, writer.failed.detail if writer.failed else "no key frame arrived")
            if writer.failed is not None:
                raise writer.failed
            if gone.is_set():
                raise StreamNotLive(f"{key} ended before its first key frame arrived")
            raise NoKeyFrame(
                f"{key} is live but sent no key frame within {timeout:.0f} s; shorten the encoder's key-frame interval"
            )
        running.task = replace(task, state=next_task_state(task.state, TaskEvent.SPOOLED))
        async with self._catalogue.write() as uow:
            await uow.tasks.update(running.task)
        self._running[key] = running
        metrics.active_tasks.inc()
        self._recorder.record(self._finishing.spec(running.task))
        log.info("task_recording", stream=str(key), task=task.id, record_type=str(task.record_type))
        writer.on_failure = lambda error: self._spool_failed(running, error.detail)
        if writer.failed is not None:
            self._spool_failed(running, writer.failed.detail)
        return running.task

    async def _give_up(self, running: Running, error: str) -> None:
        running.stream.detach(running.writer)
        await running.writer.close()
        await self._fail(running.task, error)

    async def _fail(self, task: Task, error: str) -> None:
        failed = replace(
            task,
            state=next_task_state(task.state, TaskEvent.FAIL),
            ended_at=self._clock.now(),
            completed_at=self._clock.now(),
            error=error,
        )
        async with self._catalogue.write() as uow:
            await uow.tasks.update(failed)
        metrics.tasks.labels(TaskState.FAILED).inc()
        await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)
        log.warning("task_not_begun", stream=str(task.key), task=task.id, error=error)

    async def _stop(self, key: StreamKey) -> Task:
        async with self._exclusive(key):
            running = self._running.get(key)
            if running is None:
                raise NothingRecording(f"no task is recording {key}")
            if running.task.record_type is not RecordType.COMMAND:
                raise NothingRecording(f"{key} is recorded by a {running.task.record_type} template, not by command")
            return await self._end(running, EndReason.STOP)

    async def _end(self, running: Running, reason: EndReason) -> Task:
        """Detach, close the spool, hand the task over to `finishing`. The caller holds the stream's lock."""
        task = running.task
        if self._running.get(task.key) is not running:
            return task
        self.drain(task.key)
        running.stream.detach(running.writer)
        stopped_at = self._clock.now()
        end = await running.writer.close()
        del self._running[task.key]
        metrics.active_tasks.dec()
        task = running.task = replace(
            task,
            state=next_task_state(task.state, TaskEvent.END),
            ended_at=stopped_at,
            end_reason=reason,
            spool_end=end,
        )
        async with self._catalogue.write() as uow:
            await uow.tasks.update(task)
        self._recorder.finish(task.id, end)
        log.info("task_ended", stream=str(task.key), task=task.id, reason=str(reason))
        return task

    def _spool_failed(self, running: Running, error: str) -> None:
        log.error("spool_failed", stream=str(running.task.key), task=running.task.id, error=error)
        job = asyncio.create_task(self._end_failed(running))
        self._background.add(job)
        job.add_done_callback(self._background.discard)

    async def _let_go(self, task_id: str) -> None:
        """The recorder gave the task up: take the stream off it. Its row and spool are the caller's business."""
        for running in [running for running in self._running.values() if running.task.id == task_id]:
            async with self._exclusive(running.task.key):
                running.stream.detach(running.writer)
                await running.writer.close()
                if self._running.pop(running.task.key, None) is not None:
                    metrics.active_tasks.dec()

    async def _end_failed(self, running: Running) -> None:
        async with self._exclusive(running.task.key):
            await self._end(running, EndReason.SPOOL_FAILED)

    @contextlib.asynccontextmanager
    async def _exclusive(self, key: StreamKey) -> AsyncIterator[None]:
        """One START, STOP or end of push at a time per stream; the lock goes with its last user."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)


async def _wait(wanted: asyncio.Event, timeout: float | None, *, unless: tuple[asyncio.Event, ...]) -> bool:
    """Wait for `wanted`, one of `unless` or the timeout (seconds); True if `wanted` is set."""
    waiters = [asyncio.create_task(event.wait()) for event in (wanted, *unless)]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
    return wanted.is_set()
