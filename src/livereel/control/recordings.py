"""One recording as its owner sees it: shown, held, deleted. An extension of livereel; no cloud deletes recordings."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.errors import RecordingHeld, RecordingNotOver, ResourceNotFound
from livereel.domain.recordings import DeleteReason, RecordFile, Task
from livereel.domain.states import (
    OVER_TASK_STATES,
    FileEvent,
    FileState,
    TaskEvent,
    TaskState,
    next_file_state,
    next_task_state,
)

log = structlog.get_logger()

_GONE = (TaskState.DELETING, TaskState.DELETED)


@dataclass(frozen=True, slots=True)
class Recording:
    """A task, its files, and since when it is held (Unix seconds)."""

    task: Task
    files: list[RecordFile]
    held_since: float | None


class RecordingService:
    """Recordings of all projects; those of other projects are as good as absent. `by` is who the log will name."""

    def __init__(self, catalogue: Catalogue, clock: Clock, wake_eraser: Callable[[], None]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._wake_eraser = wake_eraser

    async def get(self, project_id: str, task_id: str) -> Recording:
        """Raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            task = await _found(uow, project_id, task_id)
            return Recording(task, await uow.files.of_task(task_id), await uow.holds.held_since(task_id))

    async def hold(self, project_id: str, task_id: str, *, by: str) -> None:
        """Keep a recording until it is released, whatever retention says. Raises ResourceNotFound, also if it is gone.

        Of a recording that retention has begun to delete, the files that are left are kept.
        """
        async with self._catalogue.write() as uow:
            task = await _found(uow, project_id, task_id)
            if task.state in _GONE:
                raise ResourceNotFound(f"recording {task_id} was deleted")
            await uow.holds.put(task_id, self._clock.now())
        _audit("recording_held", task, by)

    async def release(self, project_id: str, task_id: str, *, by: str) -> None:
        """End a hold; nothing happens if there is none. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            task = await _found(uow, project_id, task_id)
            await uow.holds.delete(task_id)
        _audit("recording_released", task, by)

    async def delete(self, project_id: str, task_id: str, *, by: str) -> None:
        """Delete a recording with all its objects: it is not listed any more, and the objects go in the background.

        One that is deleted already is as deleted as before. Raises ResourceNotFound, RecordingHeld, RecordingNotOver.
        """
        async with self._catalogue.write() as uow:
            task = await _found(uow, project_id, task_id)
            if task.state in _GONE:
                return
            if task.state not in OVER_TASK_STATES:
                raise RecordingNotOver(
                    f"recording {task_id} of {task.key} is {task.state}; delete it when it is over (RECORD_OVER)"
                )
            if await uow.holds.held_since(task_id) is not None:
                raise RecordingHeld(f"recording {task_id} of {task.key} is held; release it, then delete it")
            now = self._clock.now()
            for file in await uow.files.of_task(task_id):
                await _delete(uow, file, now)
            await uow.tasks.update(replace(task, state=next_task_state(task.state, TaskEvent.DELETE)))
        _audit("recording_deleted", task, by)
        self._wake_eraser()


def _audit(event: str, task: Task, by: str) -> None:
    """Who did what to whose recording: lines with `audit` are for those who have to account for it."""
    log.info(event, audit=True, by=by, project=task.project_id, stream=str(task.key), task=task.id)


async def _delete(uow: UnitOfWork, file: RecordFile, now: float) -> None:
    if file.state in (FileState.DELETING, FileState.DELETED):
        return
    if file.state in (FileState.WRITING, FileState.STORING):  # of a task that failed before they came to an end
        file = replace(file, state=next_file_state(file.state, FileEvent.FAIL))
    state = next_file_state(file.state, FileEvent.DELETE)
    await uow.files.update(replace(file, state=state, deleted_at=now, delete_reason=DeleteReason.API))


async def _found(uow: UnitOfWork, project_id: str, task_id: str) -> Task:
    task = await uow.tasks.get(task_id)
    if task is None or task.project_id != project_id:
        raise ResourceNotFound(f"there is no recording {task_id[:64]!r} in this project")
    return task
