"""Keeps recorder workers alive and gives them their tasks. Never imports libav.

A worker is one process with one thread (many muxing threads in one process wait for each other). A worker that dies
is started again and its tasks go on from their last finished file: the spool has everything since. The supervisor
keeps those places from the workers' own events.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from livereel.domain.clock import Clock
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.observe import children, metrics
from livereel.observe.logging import worker_arguments
from livereel.recorder import busy
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileStarted,
    OutOfRoom,
    Progress,
    RecorderEvent,
    Resume,
    TaskFailed,
    TaskFinished,
    TaskSpec,
    from_json,
)

log = structlog.get_logger()

EventHandler = Callable[[RecorderEvent], Awaitable[None]]

# One event can be large: a finished HLS file lists its slices (43 200 s / 2 s = 21 600 of them, about 150 bytes each).
MAX_EVENT_BYTES = 64 * 1024 * 1024
# A crash in libav repeats at the same place; more than three tries only cost the worker's other tasks time.
CRASHES_BEFORE_GIVING_UP = 3
# SIGKILL comes from outside (operator, out-of-memory killer) and mostly has nothing to do with the task at hand.
KILLS_BEFORE_GIVING_UP = 10
RESTART_DELAY_FIRST, RESTART_DELAY_LONGEST = 0.1, 10.0  # seconds; doubles with each death
HEALTHY_AFTER = 30.0  # seconds; a worker that lived this long has its restart delay forgotten
# A catalogue that is away or has no room for a row comes back; what workers report is not lost meanwhile.
AGAIN_FIRST, AGAIN_LONGEST = 0.5, 30.0  # seconds
# A full disk has room again when somebody makes some. Every try begins the open files anew, so tries get rarer.
ROOM_RETRY_FIRST, ROOM_RETRY_LONGEST = 2.0, 60.0  # seconds
STOP_GRACE = 5.0  # seconds; a worker ends at once when its stdin closes unless a muxer call is under way
KILL_GRACE = 5.0  # seconds; a process that was killed ends at once unless it waits for a disk that hangs


@dataclass(slots=True)
class _Task:
    spec: TaskSpec
    worker: "_Worker"
    events: asyncio.Queue[RecorderEvent | None]
    consumer: asyncio.Task[None]
    end: SpoolPosition | None = None
    interruption: tuple[SpoolPosition, frozenset[RecordFormat]] | None = None
    done: bool = False
    crashed_at: SpoolPosition | None = None
    crashes: int = 0
    kills: int = 0
    lag: int = 0
    waits_for_room: bool = False
    room_retry: float = ROOM_RETRY_FIRST


@dataclass(slots=True)
class _Worker:
    number: int
    note: Path
    tasks: dict[str, _Task] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    def send(self, message: dict[str, Any]) -> None:
        if self.process is not None and self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


class RecorderSupervisor:
    """`record` a task, later `finish` it where its spool ends, `forget` it when its last event was dealt with.

    `on_event` is awaited for one event of a task at a time, in order; tasks do not wait for each other. All methods
    must be called on the event loop. An event whose handling ends with one of the errors `again_after`, which pass, is
    handed over again; the task's other events wait.
    """

    def __init__(
        self,
        *,
        workers: int,
        spool_dir: Path,
        work_dir: Path,
        on_event: EventHandler,
        clock: Clock,
        again_after: tuple[type[Exception], ...] = (),
    ) -> None:
        if workers < 1:
            raise ValueError(f"a recorder needs at least one worker, not {workers}")
        self._spool_dir = spool_dir
        self._work_dir = work_dir
        self._on_event = on_event
        self._again_after = again_after
        self._clock = clock
        self._workers = [_Worker(number, work_dir / f"worker-{number}.busy") for number in range(workers)]
        self._tasks: dict[str, _Task] = {}
        self._lives: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        #: Called when the disk has no room for a file; set by whoever can make some.
        self.on_out_of_room: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Start the worker processes. Tasks may be handed over before."""
        self._stopping.clear()
        await asyncio.to_thread(self._work_dir.mkdir, parents=True, exist_ok=True)
        self._lives = [asyncio.create_task(self._live(worker)) for worker in self._workers]

    async def stop(self) -> None:
        """End the workers. Unfinished files stay unfinished; hand their tasks over again at the next start."""
        self._stopping.set()
        for worker in self._workers:
            if worker.process is not None and worker.process.stdin is not None:
                worker.process.stdin.close()
        if self._lives:
            _, hanging = await asyncio.wait(self._lives, timeout=STOP_GRACE)
            if hanging:
                for worker in self._workers:
                    _kill(worker.process)
                _, hanging = await asyncio.wait(hanging, timeout=KILL_GRACE)
            for life in hanging:
                life.cancel()
            await asyncio.gather(*self._lives, return_exceptions=True)
        self._lives = []
        for task_id in list(self._tasks):
            self._tasks[task_id].consumer.cancel()
            self.forget(task_id)

    def record(self, spec: TaskSpec) -> None:
        """Make the files of a task from its spool, which may still grow."""
        if spec.task_id in self._tasks:
            raise ValueError(f"task {spec.task_id} is being recorded already")
        worker = min(self._workers, key=lambda worker: len(worker.tasks))
        queue: asyncio.Queue[RecorderEvent | None] = asyncio.Queue()
        consumer = asyncio.create_task(self._consume(spec, queue))
        task = _Task(spec, worker, queue, consumer)
        self._tasks[spec.task_id] = worker.tasks[spec.task_id] = task
        worker.send({"command": "record", "spec": spec.to_json()})

    def finish(self, task_id: str, end: SpoolPosition) -> None:
        """No tag at or after `end` belongs to the task: finish its files there."""
        if (task := self._tasks.get(task_id)) is not None:
            task.end = end
            task.worker.send({"command": "finish", "task_id": task_id, "end": list(end)})

    def interrupt(self, task_id: str, at: SpoolPosition, formats: Collection[RecordFormat]) -> None:
        """The push broke at `at`: complete the open files of these formats, whose merge window has passed.

        Does nothing once the spool goes on behind `at`. May be called again for further formats.
        """
        if (task := self._tasks.get(task_id)) is None:
            return
        before = task.interruption[1] if task.interruption is not None and task.interruption[0] == at else frozenset()
        task.interruption = (at, before | frozenset(formats))
        self._send_interruption(task)

    @staticmethod
    def _send_interruption(task: "_Task") -> None:
        if task.interruption is not None:
            at, formats = task.interruption
            names = sorted(record_format.value for record_format in formats)
            message = {"command": "interrupt", "task_id": task.spec.task_id, "at": list(at), "formats": names}
            task.worker.send(message)

    def forget(self, task_id: str) -> None:
        """The task is over. Safe to call from `on_event`."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        task.worker.tasks.pop(task_id, None)
        task.events.put_nowait(None)
        if not task.done:
            task.worker.send({"command": "forget", "task_id": task_id})
        self._report_lag()

    def under_way(self) -> list[tuple[int, int]]:
        """Of each task with files to be finished: how many formats, and bytes of its spool not read yet."""
        return [(len(task.spec.formats), task.lag) for task in self._tasks.values() if not task.done]

    def room_again(self) -> None:
        """The disk has room: go on at once with tasks that wait for it."""
        for task in self._tasks.values():
            self._begin_again(task)

    def processes(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    async def _live(self, worker: _Worker) -> None:
        """All lives of one worker."""
        delay = RESTART_DELAY_FIRST
        while True:
            born = self._clock.monotonic()
            try:
                code = await self._one_life(worker)
            except OSError as error:
                code = 1
                log.error("worker_not_started", worker=worker.number, error=str(error))  # noqa: TRY400 - the reason is enough
            worker.process = None
            if self._stopping.is_set():
                return
            metrics.worker_restarts.inc()
            blamed = self._blame(worker, code)
            log.error("worker_died", worker=worker.number, code=code, tasks=len(worker.tasks), blamed=blamed)
            if self._clock.monotonic() - born > HEALTHY_AFTER:
                delay = RESTART_DELAY_FIRST
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
                return
            delay = min(delay * 2, RESTART_DELAY_LONGEST)

    async def _one_life(self, worker: _Worker) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "livereel.recorder.worker",
            str(worker.note),
            *worker_arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_EVENT_BYTES,
        )
        worker.process = process
        try:
            if self._stopping.is_set():  # it was being started when the others were told
                _kill(process)
            for task in worker.tasks.values():
                if not task.done:
                    self._hand_over(task)
            assert process.stdout is not None
            with contextlib.suppress(ConnectionError):
                while line := await process.stdout.readline():
                    if line.endswith(b"\n"):  # a dying worker may leave half a line
                        self._take(worker, from_json(line))
        except Exception:
            log.exception("worker_output_unreadable", worker=worker.number)
            return await children.kill(process)
        except asyncio.CancelledError:
            _kill(process)
            raise
        return await process.wait()

    def _hand_over(self, task: _Task) -> None:
        task.waits_for_room = False
        task.worker.send({"command": "record", "spec": task.spec.to_json()})
        self._send_interruption(task)
        if task.end is not None:
            task.worker.send({"command": "finish", "task_id": task.spec.task_id, "end": list(task.end)})

    def _out_of_room(self, task: _Task, error: str) -> None:
        """A worker has let go of a task; its spool has everything since the last finished files."""
        metrics.recorder_out_of_room.inc()
        log.error("recorder_out_of_room", task=task.spec.task_id, error=error, retry_in=task.room_retry)
        task.waits_for_room = True
        asyncio.get_running_loop().call_later(task.room_retry, self._begin_again, task)
        task.room_retry = min(task.room_retry * 2, ROOM_RETRY_LONGEST)
        self.on_out_of_room()

    def _begin_again(self, task: _Task) -> None:
        if task.waits_for_room and not task.done and self._tasks.get(task.spec.task_id) is task:
            self._hand_over(task)

    def _take(self, worker: _Worker, event: RecorderEvent) -> None:
        task = worker.tasks.get(event.task_id)
        if task is None or task.done:
            return
        if isinstance(event, OutOfRoom):
            self._out_of_room(task, event.error)
            return
        spec = task.spec
        match event:
            case FileStarted():
                resume = Resume(event.sequence, event.start, event.checkpoint)
                task.spec = replace(spec, resume=spec.resume | {event.format: resume})
            case FileFinished() if event.resume is not None:
                task.spec = replace(spec, resume=spec.resume | {event.format: event.resume})
            case FileFailed():
                formats = {name: config for name, config in spec.formats.items() if name is not event.format}
                task.spec = replace(spec, formats=formats)
            case TaskFinished() | TaskFailed():
                task.done = True
            case Progress():
                task.lag, task.room_retry = event.lag_bytes, ROOM_RETRY_FIRST
                self._report_lag()
            case _:
                pass
        task.events.put_nowait(event)

    def _blame(self, worker: _Worker, code: int) -> str | None:
        """Hold the death of a worker against the task it was busy with; the third time that task fails."""
        at = busy.read(worker.note)
        task = worker.tasks.get(at.task_id) if at is not None else None
        if at is None or task is None or task.done:
            return None
        if task.crashed_at != at.position:
            task.crashed_at, task.crashes, task.kills = at.position, 0, 0
        if code == -signal.SIGKILL:
            task.kills += 1
        else:
            task.crashes += 1
        if task.crashes >= CRASHES_BEFORE_GIVING_UP or task.kills >= KILLS_BEFORE_GIVING_UP:
            deaths = task.crashes + task.kills
            where = f"segment {at.position.segment}, byte {at.position.offset}"
            error = f"a recorder worker died {deaths} times on this task's spool at or after {where}; the spool is kept"
            task.done = True
            task.events.put_nowait(TaskFailed(at.task_id, error))
        return at.task_id

    def _report_lag(self) -> None:
        metrics.recorder_lag_bytes.set(sum(task.lag for task in self._tasks.values()))

    async def _consume(self, spec: TaskSpec, events: asyncio.Queue[RecorderEvent | None]) -> None:
        # On every line that is logged on behalf of this task: whatever follows from its events begins here.
        structlog.contextvars.bind_contextvars(**spec.about, task=spec.task_id)
        while (event := await events.get()) is not None:
            delay = AGAIN_FIRST
            while not await self._handled(event, delay):
                await asyncio.sleep(delay)
                delay = min(delay * 2, AGAIN_LONGEST)

    async def _handled(self, event: RecorderEvent, delay: float) -> bool:
        """False if the event has to be handed over once more, after `delay`."""
        kind = type(event).__name__
        try:
            await self._on_event(event)
        except self._again_after as error:
            log.error(  # noqa: TRY400 - the reason is enough
                "recorder_event_delayed", task=event.task_id, kind=kind, error=str(error), retry_in=delay
            )
            return False
        except Exception:
            log.exception("recorder_event_not_handled", task=event.task_id, kind=kind)
        return True


def _kill(process: asyncio.subprocess.Process | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
