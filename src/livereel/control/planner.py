"""Carries plans out: begins a recording when the stream is there within the interval, ends it when that is over.

What has to happen follows from the rows of the plans and from what this node records, so it is the same after a
restart. The planner looks whenever something changes and when the next plan begins or ends.
"""

import asyncio
import contextlib
from dataclasses import replace

import structlog

from livereel.catalogue.port import Catalogue
from livereel.control.owner import Owner
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError, ResourceNotFound, StreamNotLive
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask

log = structlog.get_logger()

LOOK_LONGEST = 60.0  # seconds between looks; the wall clock may have been stepped meanwhile
# After a recording could not be begun (full disk, deleted template): soon enough for whom waits, rare enough to log.
RETRY_AFTER = 5.0


class Planner:
    """`start` it when the owner works, `stop` it before."""

    def __init__(self, catalogue: Catalogue, owner: Owner, clock: Clock) -> None:
        self._catalogue = catalogue
        self._owner = owner
        self._clock = clock
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        #: Recordings being begun, one at most per stream. They may wait for a key frame for long.
        self._attempts: dict[StreamKey, asyncio.Task[None]] = {}
        #: Recordings being ended, by plan id. They may wait for a START of the same stream.
        self._endings: dict[str, asyncio.Task[None]] = {}
        self._retry_at: dict[str, float] = {}  # by plan id, monotonic seconds

    def start(self) -> None:
        """Begin to carry plans out."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Begin and end nothing more; what is being recorded stays with the owner."""
        jobs = [*self._attempts.values(), *self._endings.values(), *([self._loop] if self._loop is not None else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def wake(self) -> None:
        """Something changed: a plan, a push, a recording."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self._look()
            except Exception:
                log.exception("planner_failed")
                pause = RETRY_AFTER
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _look(self) -> float:
        """Do what is due; returns the seconds until something will be."""
        async with self._catalogue.read() as uow:
            plans = await uow.plan_tasks.open()
        now = self._clock.now()
        to_come = {plan.id: plan for plan in plans if plan.end_at > now}
        for plan in plans:
            if plan.id not in to_come:
                await self._over(plan)
        # Also what a plan that was deleted left behind, should its end have failed or the server stopped before it.
        for task in self._owner.planned():
            if task.plan_id is not None and task.plan_id not in to_come:
                self._end(task.key, task.plan_id)
        due = [plan.start_at if plan.start_at > now else plan.end_at for plan in to_come.values()]
        pauses = [at - now for at in due]
        self._retry_at = {plan_id: at for plan_id, at in self._retry_at.items() if plan_id in to_come}
        for plan in to_come.values():
            if plan.start_at > now or plan.key in self._attempts or not self._owner.is_free(plan.key, plan.project_id):
                continue
            if (wait := self._retry_at.get(plan.id, 0.0) - self._clock.monotonic()) > 0:
                pauses.append(wait)
            else:
                self._attempts[plan.key] = asyncio.create_task(self._begin(plan))
        return min([LOOK_LONGEST, *pauses])

    async def _over(self, plan: PlanTask) -> None:
        """The interval of a plan has passed."""
        async with self._catalogue.write() as uow:
            current = await uow.plan_tasks.get(plan.project_id, plan.id)
            if current is not None and current.stop_at is None:
                await uow.plan_tasks.update(replace(current, stop_at=current.end_at))
        log.info("plan_over", stream=str(plan.key), plan=plan.id)
        self._end(plan.key, plan.id)

    def _end(self, key: StreamKey, plan_id: str) -> None:
        async def end() -> None:
            try:
                await self._owner.end_planned(key, plan_id)
            except Exception:
                log.exception("plan_not_ended", stream=str(key), plan=plan_id)
            finally:
                del self._endings[plan_id]

        if plan_id not in self._endings:
            self._endings[plan_id] = asyncio.create_task(end())

    async def _begin(self, plan: PlanTask) -> None:
        try:
            async with self._catalogue.read() as uow:
                template = await uow.templates.get(plan.project_id, plan.template_id)
            if template is None:
                raise ResourceNotFound(f"there is no recording template {plan.template_id} any more")
            task = await self._owner.begin_planned(plan, template)
            log.info("plan_records", stream=str(plan.key), plan=plan.id, task=task.id)
        except StreamNotLive as gone:  # it comes again with a new push
            log.info("plan_not_begun", stream=str(plan.key), plan=plan.id, reason=gone.detail)
        except LivereelError as refused:
            self._retry_at[plan.id] = self._clock.monotonic() + RETRY_AFTER
            log.warning("plan_not_begun", stream=str(plan.key), plan=plan.id, reason=refused.detail)
        except Exception:
            self._retry_at[plan.id] = self._clock.monotonic() + RETRY_AFTER
            log.exception("plan_failed", stream=str(plan.key), plan=plan.id)
        finally:
            del self._attempts[plan.key]
            self.wake()
