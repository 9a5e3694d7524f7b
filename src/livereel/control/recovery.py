"""At start-up: every task that this node left open goes on or is ended where its spool ends.

A task whose merge window is still open waits for its stream again; the files of all others are finished. Every step
may be repeated: a server that is killed here does the same again at its next start.
"""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import structlog

from livereel.catalogue.port import Catalogue
from livereel.control.announcer import Announcer
from livereel.control.finishing import Finishing
from livereel.control.owner import Owner
from livereel.domain.clock import Clock
from livereel.domain.errors import SpoolError
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import EndReason, RecordFile, Task
from livereel.domain.states import (
    ACTIVE_TASK_STATES,
    FileEvent,
    FileState,
    TaskEvent,
    TaskState,
    next_file_state,
    next_task_state,
)
from livereel.observe import metrics
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool import recovery

log = structlog.get_logger()

#: Seconds of a spool that nobody knows. A task's first row does not wait for the disk, so a START that was not answered
#: yet may leave nothing but a spool, with so many seconds in it at most. A longer one was in a catalogue once: perhaps
#: this one is an older copy.
UNANSWERED_MAX = 30.0


async def recover(
    *,
    catalogue: Catalogue,
    recorder: RecorderSupervisor,
    finishing: Finishing,
    owner: Owner,
    announcer: Announcer,
    clock: Clock,
    node: str,
    spool_dir: Path,
) -> int:
    """Hand every open task of `node` to the recorder again; returns how many. May be repeated as long as nobody pushes.

    A task whose spool cannot be read stays open for the next start: the disk may be back then.
    """
    await _clear(catalogue, spool_dir)
    await _end_pushes(announcer, node)
    async with catalogue.read() as uow:
        tasks = await uow.tasks.open(node=node)
    for found in tasks:
        try:
            end = await asyncio.to_thread(recovery.recover, spool_dir, found.id)
            if end is None:
                await asyncio.to_thread(recovery.remove, spool_dir, found.id)  # of use to nobody
        except SpoolError as error:
            log.error("task_not_recovered", stream=str(found.key), task=found.id, error=error.detail)  # noqa: TRY400
            continue
        if end is None and found.armed and found.state in (TaskState.ARMED, TaskState.STARTING):
            await owner.adopt_armed(found)
            continue
        async with catalogue.read() as uow:
            files = await uow.files.of_task(found.id)
        if end is None:
            await _fail(announcer, found, files, clock, "nothing was in the spool when the server stopped")
            continue
        written_at = await asyncio.to_thread(recovery.last_written_at, spool_dir, found.id)
        ended_at = min(found.ended_at or written_at or clock.now(), clock.now())  # the clock may have been set back
        task = replace(found, spool_end=end, ended_at=ended_at)
        if task.state is TaskState.STARTING:
            task = await _began(announcer, task)
        recorder.record(finishing.spec(task, files))
        if task.state is TaskState.RECORDING:
            task = replace(task, state=next_task_state(task.state, TaskEvent.INTERRUPT))
        if task.state is TaskState.INTERRUPTED and await owner.adopt(task):
            await _save(catalogue, task)
            log.info("task_waits_for_its_stream", stream=str(task.key), task=task.id)
            continue
        if task.state in ACTIVE_TASK_STATES:
            reason = EndReason.MERGE_WINDOW if task.template.merge_seconds else EndReason.RECOVERY
            await owner.end_recovered(task, reason)
        else:
            await _save(catalogue, task)
            finishing.finish(task)
        log.info("task_recovered", stream=str(task.key), task=task.id, files=len(files))
    return len(tasks)


async def _clear(catalogue: Catalogue, spool_dir: Path) -> None:
    """Remove the spools of tasks that are over: the server was killed between writing that down and removing them.

    And those of tasks that never were, as far as anybody has been told.
    """
    for task_id in await asyncio.to_thread(_spools, spool_dir):
        async with catalogue.read() as uow:
            task = await uow.tasks.get(task_id)
            files = await uow.files.of_task(task_id)
        if task is None:
            await asyncio.to_thread(_clear_unknown, spool_dir, task_id)
        elif task.state is TaskState.COMPLETED or (task.state is TaskState.FAILED and _whole_format(files)):
            with contextlib.suppress(SpoolError):  # it is in nobody's way
                await asyncio.to_thread(recovery.remove, spool_dir, task_id)
                log.info("spool_cleared", stream=str(task.key), task=task_id)


async def _end_pushes(announcer: Announcer, node: str) -> None:
    """Tell of the pushes whose end the server did not live to tell."""
    async with announcer.change() as change:
        for push in await change.uow.announced_pushes.list(node=node):
            await change.tell_publish_done(push)
            await change.uow.announced_pushes.delete(push.key)
            log.info("publish_done", stream=str(push.key), publish=push.publish.id, reason="the server died")


def _clear_unknown(spool_dir: Path, task_id: str) -> None:
    try:
        seconds = 0.0
        if recovery.recover(spool_dir, task_id) is not None:
            began_at, ended_at = recovery.began_at(spool_dir, task_id), recovery.last_written_at(spool_dir, task_id)
            seconds = ended_at - began_at if began_at is not None and ended_at is not None else float("inf")
        if seconds <= UNANSWERED_MAX:
            recovery.remove(spool_dir, task_id)
            log.info("spool_of_unanswered_start_cleared", task=task_id, seconds=round(seconds, 1))
        else:
            log.warning("spool_of_unknown_task", task=task_id)
    except SpoolError as error:
        log.warning("spool_of_unknown_task", task=task_id, error=error.detail)


def _spools(spool_dir: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in spool_dir.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []


def _whole_format(files: list[RecordFile]) -> bool:
    """Whether all that was received is stored in one format at least; else the spool is the only copy of it."""
    stored = {file.format for file in files if file.state is FileState.STORED}
    return bool(stored - {file.format for file in files if file.state is not FileState.STORED})


async def _save(catalogue: Catalogue, task: Task) -> None:
    async with catalogue.write() as uow:
        await uow.tasks.update(task)


async def _began(announcer: Announcer, task: Task) -> Task:
    """What is in the spool of a task that was just beginning will become files: it did begin."""
    task = replace(task, state=next_task_state(task.state, TaskEvent.SPOOLED))
    async with announcer.change() as change:
        await change.uow.tasks.update(task)
        await change.tell(CallbackEvent.RECORD_START, task)
    return task


async def _fail(announcer: Announcer, task: Task, files: list[RecordFile], clock: Clock, error: str) -> None:
    failed = replace(task, state=next_task_state(task.state, TaskEvent.FAIL), completed_at=clock.now(), error=error)
    unfinished = [file for file in files if file.state not in (FileState.STORED, FileState.FAILED)]
    async with announcer.change() as change:
        for file in unfinished:
            lost = replace(file, state=next_file_state(file.state, FileEvent.FAIL), error=error)
            await change.uow.files.update(lost)
            await change.tell(CallbackEvent.RECORD_FAILED, failed, file=lost, error=error)
        await change.uow.tasks.update(failed)
        if not unfinished:
            await change.tell(CallbackEvent.RECORD_FAILED, failed, error=error)
        if task.state is not TaskState.STARTING:
            await change.tell(CallbackEvent.RECORD_OVER, failed)
    metrics.tasks.labels(TaskState.FAILED).inc()
    log.error("task_failed", stream=str(task.key), task=task.id, error=error)
