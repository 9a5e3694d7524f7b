"""At start-up: every task that this node left open is ended where its spool ends, and its files are finished."""

import asyncio
from dataclasses import replace
from pathlib import Path

import structlog

from livereel.catalogue.port import Catalogue
from livereel.control.finishing import Finishing
from livereel.domain.clock import Clock
from livereel.domain.recordings import EndReason, Task
from livereel.domain.states import ACTIVE_TASK_STATES, TaskEvent, TaskState, next_task_state
from livereel.observe import metrics
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool import recovery

log = structlog.get_logger()


async def recover(
    *,
    catalogue: Catalogue,
    recorder: RecorderSupervisor,
    finishing: Finishing,
    clock: Clock,
    node: str,
    spool_dir: Path,
) -> int:
    """Hand every open task of `node` to the recorder again; returns how many. May be repeated at any time."""
    async with catalogue.read() as uow:
        tasks = await uow.tasks.open(node=node)
    for task in tasks:
        end = await asyncio.to_thread(recovery.recover, spool_dir, task.id)
        if end is None:
            await _fail(catalogue, task, clock, "nothing was in the spool when the server stopped")
            continue
        if task.state in ACTIVE_TASK_STATES:
            written_at = await asyncio.to_thread(recovery.last_written_at, spool_dir, task.id)
            ended = replace(
                task,
                state=next_task_state(task.state, TaskEvent.END),
                ended_at=written_at or clock.now(),
                end_reason=EndReason.RECOVERY,
                spool_end=end,
            )
        else:
            ended = replace(task, spool_end=end)
        async with catalogue.write() as uow:
            await uow.tasks.update(ended)
            files = await uow.files.of_task(task.id)
        recorder.record(finishing.spec(ended, files))
        recorder.finish(task.id, end)
        log.info("task_recovered", stream=str(task.key), task=task.id, was=str(task.state), files=len(files))
    return len(tasks)


async def _fail(catalogue: Catalogue, task: Task, clock: Clock, error: str) -> None:
    failed = replace(task, state=next_task_state(task.state, TaskEvent.FAIL), completed_at=clock.now(), error=error)
    async with catalogue.write() as uow:
        await uow.tasks.update(failed)
    metrics.tasks.labels(TaskState.FAILED).inc()
    log.error("task_failed", stream=str(task.key), task=task.id, error=error)
