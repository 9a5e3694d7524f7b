"""Planned recordings as the API sees them (`schedule/record/tasks`): create, list, delete."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from livereel.catalogue.port import Catalogue, Page, UnitOfWork
from livereel.control.domains import owned
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask, Task, check_plan_end, plan_list_window
from livereel.domain.tenancy import DomainType

#: Ends what a plan records: stream, plan id.
EndPlanned = Callable[[StreamKey, str], Awaitable[Task | None]]


@dataclass(frozen=True, slots=True)
class PlanFilter:
    """Which plans to list. Times are Unix seconds; without `start` the longest time that may be asked for."""

    end: float
    start: float | None = None
    domain: str | None = None
    app: str | None = None
    stream: str | None = None
    plan_id: str | None = None

    def __post_init__(self) -> None:
        if self.app is not None and self.domain is None:
            raise InvalidParameter("app (query): works with domain only")
        if self.stream is not None and (self.app is None or self.domain is None):
            raise InvalidParameter("stream (query): works with domain and app only")


class PlanService:
    """Plans of a project. `planner` is told of each change, so that it looks at once."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        end_planned: EndPlanned,
        wake_planner: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id
        self._end_planned = end_planned
        self._wake_planner = wake_planner

    async def create(
        self, project_id: str, key: StreamKey, template_id: str, *, start_at: float | None, end_at: float
    ) -> PlanTask:
        """Plan a recording of `key` with a template of the project; without `start_at` from now on.

        Raises InvalidParameter (UnknownDomain among them) for times out of range and for an unknown template.
        """
        now = self._clock.now()
        plan = PlanTask(
            id=self._new_id(),
            project_id=project_id,
            key=key,
            start_at=math.floor(now) if start_at is None else start_at,
            end_at=check_plan_end(end_at, now),
            template_id=template_id,
            created_at=now,
        )
        async with self._catalogue.write() as uow:
            await _check_domain(uow, plan)
            if await uow.templates.get(project_id, template_id) is None:
                raise InvalidParameter(f"template_id: there is no recording template {template_id[:64]!r}")
            await uow.plan_tasks.add(plan)
        self._wake_planner()
        return plan

    async def list(self, project_id: str, wanted: PlanFilter, *, offset: int, limit: int) -> Page[PlanTask]:
        """Plans that lie wholly in the time asked for, those that are over among them. Raises InvalidParameter."""
        start, end = plan_list_window(wanted.start, wanted.end, self._clock.now())
        async with self._catalogue.read() as uow:
            return await uow.plan_tasks.list(
                project_id,
                start=start,
                end=end,
                domain=wanted.domain,
                app=wanted.app,
                stream=wanted.stream,
                plan_id=wanted.plan_id,
                offset=offset,
                limit=limit,
            )

    async def delete(self, project_id: str, plan_id: str) -> None:
        """Stop a plan and end what it records; its files are finished in the background.

        A plan that is over already stays as it is. Raises ResourceNotFound.
        """
        async with self._catalogue.write() as uow:
            plan = await uow.plan_tasks.get(project_id, plan_id)
            if plan is None:
                raise ResourceNotFound(f"there is no planned recording {plan_id[:64]!r} in this project")
            if plan.stop_at is None:
                await uow.plan_tasks.update(replace(plan, stop_at=self._clock.now()))
        # Should this fail, the planner ends it: a plan that is over has no recording.
        self._wake_planner()
        await self._end_planned(plan.key, plan.id)


async def _check_domain(uow: UnitOfWork, plan: PlanTask) -> None:
    try:
        domain = owned(await uow.domains.get(plan.key.domain), plan.project_id, plan.key.domain)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None
    if domain.type is not DomainType.PUSH:
        raise InvalidParameter(f"{plan.key.domain} is a streaming domain; plans want an ingest domain")
