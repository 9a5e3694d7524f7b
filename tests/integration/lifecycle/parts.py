"""What the life-cycle test puts in the place of processes: a recorder in this one, and a catalogue that can die."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.recorder.events import RecorderEvent, TaskSpec, from_json, to_json
from livereel.recorder.task import TaskRecorder


class Dead(BaseException):
    """The process is no more. Not an Exception: nothing that handles errors may go on."""


class MortalCatalogue:
    """A catalogue whose process dies before the transaction that `writes_left` leaves no room for."""

    def __init__(self, inner: Catalogue) -> None:
        self._inner = inner
        self.writes_left: int | None = None
        self.dead = False

    @asynccontextmanager
    async def read(self, *, latest: bool = True) -> AsyncIterator[UnitOfWork]:
        if self.dead:
            raise Dead
        async with self._inner.read(latest=latest) as uow:
            yield uow

    @asynccontextmanager
    async def write(self, *, durable: bool = True, patient: bool = False) -> AsyncIterator[UnitOfWork]:
        if self.writes_left is not None:
            self.dead = self.dead or self.writes_left == 0
            self.writes_left -= 1
        if self.dead:
            raise Dead
        async with self._inner.write(durable=durable, patient=patient) as uow:
            yield uow

    async def close(self) -> None:
        raise AssertionError("the test closes the catalogue itself")


class Recorder:
    """`RecorderSupervisor` as far as `control` uses it, with the workers' own code, run when the test says so."""

    def __init__(self, clock: Clock, on_event: Callable[[RecorderEvent], Awaitable[None]]) -> None:
        self._clock = clock
        self._on_event = on_event
        self._tasks: dict[str, TaskRecorder] = {}
        self._events: list[RecorderEvent] = []

    def record(self, spec: TaskSpec) -> None:
        if spec.task_id in self._tasks:
            raise ValueError(f"task {spec.task_id} is being recorded already")
        sent = TaskSpec.from_json(json.loads(json.dumps(spec.to_json())))
        self._tasks[spec.task_id] = TaskRecorder(sent, self._clock.monotonic())

    def finish(self, task_id: str, end: SpoolPosition) -> None:
        if (task := self._tasks.get(task_id)) is not None:
            task.finish_at(end, self._clock.monotonic())

    def interrupt(self, task_id: str, at: SpoolPosition, formats: Collection[RecordFormat]) -> None:
        if (task := self._tasks.get(task_id)) is not None:
            task.interrupt_at(at, frozenset(formats))

    def forget(self, task_id: str) -> None:
        if (task := self._tasks.pop(task_id, None)) is not None:
            task.abort()

    async def run(self, events: int | None = None) -> bool:
        """Read what the spools hold, then deal with so many events (None: until nothing is left). True if any."""
        dealt = 0
        while events is None or dealt < events:
            if not self._events and not self._read():
                break
            await self._on_event(self._events.pop(0))
            dealt += 1
        return dealt > 0

    def die(self) -> None:
        """Unfinished files stay as they are."""
        for task in self._tasks.values():
            task.abort()
        self._tasks.clear()
        self._events.clear()

    def _read(self) -> bool:
        for task in list(self._tasks.values()):
            while task.step(self._clock.monotonic()):
                pass
            self._events += [from_json(to_json(event).encode()) for event in task.events()]
        return bool(self._events)
