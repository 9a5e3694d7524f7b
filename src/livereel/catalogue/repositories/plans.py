"""Planned recordings."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, select

from livereel.catalogue import tables
from livereel.catalogue.port import Page
from livereel.catalogue.repositories.base import Repository, equal, of_stream
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask


class SqlPlanTasks(Repository):
    """`port.PlanTasks`."""

    async def add(self, plan: PlanTask) -> None:
        await self._insert(tables.plan_tasks, _row(plan), f"plan {plan.id} exists already")

    async def get(self, project_id: str, plan_id: str) -> PlanTask | None:
        row = await self._row_to_change(tables.plan_tasks, project_id=project_id, id=plan_id)
        return _plan(row) if row else None

    async def update(self, plan: PlanTask) -> None:
        key = {"project_id": plan.project_id, "id": plan.id}
        await self._update(tables.plan_tasks, key, _row(plan), missing=f"there is no plan {plan.id}")

    async def in_force(self, now: float, *, key: StreamKey | None = None) -> list[PlanTask]:
        c = tables.plan_tasks.c
        where = [c.start_at <= now, c.end_at > now]
        if key is not None:
            where += equal((c.domain, key.domain), (c.app, key.app), (c.stream, key.stream))
        return await self._open(*where)

    async def delete_over(self, before: float, *, limit: int) -> int:
        c = tables.plan_tasks.c
        over = select(c.id).where(c.end_at < before, c.stop_at.is_not(None)).limit(limit)
        return await self._delete_many(tables.plan_tasks, c.id.in_(over))

    async def open(self) -> list[PlanTask]:
        return await self._open()

    async def _open(self, *where: ColumnElement[bool]) -> list[PlanTask]:
        c = tables.plan_tasks.c
        statement = select(tables.plan_tasks).where(c.stop_at.is_(None), *where).order_by(c.start_at, c.id)
        return [_plan(row) for row in await self._all(statement)]

    async def list(
        self,
        project_id: str,
        *,
        start: float | None = None,
        end: float | None = None,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        plan_id: str | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[PlanTask]:
        c = tables.plan_tasks.c
        where = [c.project_id == project_id]
        where += equal((c.domain, domain), (c.app, app), (c.stream, stream), (c.id, plan_id))
        if start is not None:
            where.append(c.start_at >= start)
        if end is not None:
            where.append(c.end_at <= end)
        total, rows = await self._page(tables.plan_tasks, where, c.start_at, c.id, offset=offset, limit=limit)
        return Page(total, [_plan(row) for row in rows])


# Members that are columns of the same name and type.
_PLAIN = ("id", "project_id", "start_at", "end_at", "template_id", "created_at", "stop_at", "recording_task_id")


def _row(plan: PlanTask) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in _PLAIN} | of_stream(plan.key)


def _plan(row: Mapping[Any, Any]) -> PlanTask:
    key = StreamKey(row["domain"], row["app"], row["stream"])
    return PlanTask(key=key, **{name: row[name] for name in _PLAIN})
