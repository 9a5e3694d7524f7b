"""Running pull tasks: the catalogue says what should run, the supervisor runs it, events become states and messages.

The catalogue is the queue: after a restart open tasks go on. How far a loop of files has come is noted beside it in a
file per task; a note that is lost costs the place only.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from livereel.callbacks.pulls import pull_callback
from livereel.catalogue.port import Catalogue
from livereel.domain.clock import Clock
from livereel.domain.streams import PullEvent, PullSource, PullState, PullTask
from livereel.iam.url_signing import CheckLevel, signed_queries
from livereel.pulls.events import (
    Alarm,
    Failed,
    FileFinished,
    FileStarted,
    Finished,
    Position,
    Progress,
    PullEventMessage,
    Started,
)
from livereel.pulls.net import place, rtmp_names
from livereel.pulls.supervisor import Destination, NoDestination, PullPlan, PullSupervisor, Source

log = structlog.get_logger()

TICK = 1.0  # seconds between looks at the catalogue: start and end times are whole seconds
NOTE_EVERY = 5  # progress events (10 s) between notes of a task's place


class ExitReason(StrEnum):
    """Why a task stopped: `reason` of a TaskExit. Ours."""

    END_TIME = "end_time"
    FINISHED = "finished"
    FAILED = "failed"
    PAUSED = "paused"
    DELETED = "deleted"


class PullRunner:
    """Keeps what runs in step with the catalogue."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        clock: Clock,
        notes: Path,
        ingest: Callable[[], str],
        wake_dispatcher: Callable[[], None],
        allow_private: tuple[str, ...] = (),
    ) -> None:
        """`ingest` gives host:port of our own RTMP server, `notes` is a directory for places in loops of files."""
        self._catalogue = catalogue
        self._clock = clock
        self._notes = notes
        self._ingest = ingest
        self._wake_dispatcher = wake_dispatcher
        self.supervisor = PullSupervisor(self._handle, clock, allow_private=allow_private)
        self._tasks: dict[str, PullTask] = {}  # what runs, as it was started
        self._positions: dict[str, Position] = {}
        self._since_note: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with what an earlier run left."""
        await asyncio.to_thread(self._notes.mkdir, parents=True, exist_ok=True)
        self._positions = await asyncio.to_thread(self._read_notes)
        self._loop = asyncio.create_task(self._run(), name="pull-tasks")

    async def stop(self) -> None:
        """End all pushes; the tasks stay open and go on at the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        await self.supervisor.stop_all()
        for task_id in list(self._tasks):
            await self._note(task_id)

    def wake(self) -> None:
        """A task was changed: look now."""
        self._woken.set()
        self._wake_dispatcher()

    def position(self, task_id: str) -> Position | None:
        """How far a task has come; None if it has not begun."""
        return self._positions.get(task_id)

    @contextlib.asynccontextmanager
    async def held(self, task_id: str) -> AsyncIterator[None]:
        """Within, the task does not run and is not started."""
        async with self._locks.setdefault(task_id, asyncio.Lock()):
            await self.supervisor.stop(task_id)
            self._tasks.pop(task_id, None)
            yield

    async def reposition(self, task_id: str, position: Position | None) -> None:
        """Have a task that does not run begin somewhere else; None forgets it."""
        if position is None:
            self._positions.pop(task_id, None)
            self._since_note.pop(task_id, None)
            await asyncio.to_thread(self._note_of(task_id).unlink, missing_ok=True)
        else:
            self._positions[task_id] = position
            await self._note(task_id)

    async def look(self) -> None:
        """Start and end what the catalogue and the time say."""
        async with self._catalogue.read() as uow:
            wanted = {task.id: task for task in await uow.pull_tasks.open()}
        for task_id in [task_id for task_id in self._tasks if task_id not in wanted]:
            async with self.held(task_id):
                pass
        running = self.supervisor.running()
        for task in wanted.values():
            now = self._clock.now()
            if now >= task.end_at:
                await self._end(task.id, task.project_id, PullState.ENDED, ExitReason.END_TIME)
            elif task.state is not PullState.PAUSED and now >= task.start_at and task.id not in running:
                await self._begin(task.id, task.project_id)
        for task_id in [task_id for task_id in self._locks if task_id not in wanted]:
            if not self._locks[task_id].locked():
                del self._locks[task_id]

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.look()
            except Exception:  # the catalogue may be away for a while
                log.exception("pull_tasks_not_looked_at")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._woken.wait()

    async def _begin(self, task_id: str, project_id: str) -> None:
        async with self._locks.setdefault(task_id, asyncio.Lock()):
            async with self._catalogue.write() as uow:
                task = await uow.pull_tasks.get(project_id, task_id)
                if task is None or task.state not in (PullState.PENDING, PullState.RUNNING):
                    return
                if task.state is PullState.PENDING:
                    task = replace(task, state=PullState.RUNNING)
                    await uow.pull_tasks.update(task)
            if task_id in self.supervisor.running():
                return
            position = self._positions.setdefault(task_id, Position(task.start_index, task.start_time))
            self._tasks[task_id] = task
            backup = None
            if task.backup_source_type is not None and task.backup_source_urls:
                backup = Source(task.backup_source_type is PullSource.LIVE, task.backup_source_urls)
            self.supervisor.run(
                PullPlan(
                    task_id=task_id,
                    source=Source(task.source_type is PullSource.LIVE, task.source_urls),
                    backup=backup,
                    destination=lambda: self._destination(task),
                    loop_time=task.loop_time,
                    position=position,
                )
            )
        log.info("pull_task_running", task=task_id, source_type=task.source_type.value)

    async def _destination(self, task: PullTask) -> Destination:
        """Where to push now. Pushes into our own domains that check URLs are signed, unless the tenant did it.

        Raises NoDestination.
        """
        query = task.push_args
        if task.destination_url:
            joint = "&" if "?" in task.destination_url else "?"
            url = f"{task.destination_url}{joint}{query}" if query else task.destination_url
            where = place(task.destination_url)
            return Destination(url, f"{where.scheme}://{where.authority}/{rtmp_names(where)[0]}", trusted=False)
        async with self._catalogue.read() as uow:
            domain = await uow.domains.get(task.domain)
            chain = await uow.key_chains.get(task.domain)
        if domain is not None and domain.project_id != task.project_id:
            raise NoDestination(f"{task.domain} belongs to another project now")
        if chain is not None and not query:
            now, level = self._clock.now(), CheckLevel.STREAM_AND_TIME
            query = signed_queries(chain, task.app, task.stream, now, level=level, extensions=("",))[0]
        url = f"rtmp://{self._ingest()}/{task.app}/{task.stream}{'?' + query if query else ''}"
        return Destination(url, f"rtmp://{task.domain}/{task.app}", trusted=True)

    async def _handle(self, task_id: str, event: PullEventMessage) -> None:
        task = self._tasks.get(task_id)
        if task is None:
            return
        match event:
            case Started():
                log.info("pull_task_pushes", task=task_id)
                await self._tell(task, PullEvent.TASK_START)
            case Progress():
                self._positions[task_id] = event.position
                count = self._since_note[task_id] = self._since_note.get(task_id, 0) + 1
                if count % NOTE_EVERY == 0:
                    await self._note(task_id)
            case FileStarted():
                # A file may be in the list that no progress has been made in: it is where a restart goes on.
                self._positions[task_id] = Position(
                    event.index, max(0.0, self._resumed_at(task_id, event)), event.loops
                )
                await self._tell(task, PullEvent.VOD_SOURCE_FILE_START, **_about(event))
            case FileFinished():
                await self._tell(task, PullEvent.VOD_SOURCE_FILE_FINISH, **_about(event))
            case Alarm():
                log.warning("pull_task_alarm", task=task_id, reason=event.error)
                await self._tell(task, PullEvent.TASK_ALARM, error_message=event.error)
            case Finished():
                await self._settle(task, PullState.ENDED, ExitReason.FINISHED)
            case Failed():
                await self._settle(task, PullState.FAILED, ExitReason.FAILED, event.error)

    def _resumed_at(self, task_id: str, event: FileStarted) -> float:
        """Seconds into the file at which it was begun: not 0 for the first one after a pause or a restart."""
        known = self._positions.get(task_id, Position())
        return known.seconds if (known.index, known.loops) == (event.index, event.loops) else 0.0

    async def _tell(self, task: PullTask, event: PullEvent, **about: Any) -> None:
        if not task.callback_url or event not in task.callback_events:
            return
        async with self._catalogue.write() as uow:
            await uow.outbox.add(pull_callback(task, event, self._clock.now(), **about))
        self._wake_dispatcher()

    async def _end(self, task_id: str, project_id: str, state: PullState, reason: ExitReason) -> None:
        async with self.held(task_id):
            async with self._catalogue.read() as uow:
                task = await uow.pull_tasks.get(project_id, task_id)
            if task is not None:
                await self._settle(task, state, reason)

    async def _settle(self, task: PullTask, state: PullState, reason: ExitReason, error: str | None = None) -> None:
        """Write a task's last state and tell it."""
        async with self._catalogue.write() as uow:
            current = await uow.pull_tasks.get(task.project_id, task.id)
            if current is None:
                return
            await uow.pull_tasks.update(replace(current, state=state, error=error))
            if current.callback_url and PullEvent.TASK_EXIT in current.callback_events:
                about: dict[str, Any] = {"reason": reason.value} | ({"error_message": error} if error else {})
                await uow.outbox.add(pull_callback(current, PullEvent.TASK_EXIT, self._clock.now(), **about))
        self._tasks.pop(task.id, None)
        await self.reposition(task.id, None)
        self._wake_dispatcher()
        log.info("pull_task_over", task=task.id, state=state.value, reason=reason.value, error=error)

    def _note_of(self, task_id: str) -> Path:
        return self._notes / f"{task_id}.json"

    async def _note(self, task_id: str) -> None:
        position = self._positions.get(task_id)
        if position is not None:
            await asyncio.to_thread(_write, self._note_of(task_id), json.dumps(asdict(position)))

    def _read_notes(self) -> dict[str, Position]:
        found = {}
        for path in self._notes.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                found[path.stem] = Position(**json.loads(path.read_text()))
        return found


def _write(path: Path, text: str) -> None:
    """Replace a small file in one step; a note is not worth an fsync."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _about(event: FileStarted | FileFinished) -> dict[str, Any]:
    return {"source_url": event.url, "vod_video_index": event.index, "loop": event.loops}
