"""Forbidden streams, snapshots and pull tasks."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from livereel.catalogue import tables
from livereel.catalogue.port import Page
from livereel.catalogue.repositories.base import Repository, equal, of_stream
from livereel.domain.keys import StreamKey
from livereel.domain.streams import (
    OPEN_PULL_STATES,
    PullEvent,
    PullSource,
    PullState,
    PullTask,
    RefreshType,
    SnapshotConfig,
    SnapshotMode,
    StreamBlock,
    WriteMode,
)
from livereel.domain.templates import ObsAddress


class SqlStreamBlocks(Repository):
    """`port.StreamBlocks`."""

    async def put(self, block: StreamBlock) -> bool:
        return await self._put(tables.stream_blocks, asdict(block))

    async def get(self, key: StreamKey) -> StreamBlock | None:
        row = await self._row(tables.stream_blocks, **of_stream(key))
        return StreamBlock(**row) if row else None

    async def delete(self, key: StreamKey) -> bool:
        return await self._remove(tables.stream_blocks, **of_stream(key))

    async def delete_expired(self, now: float) -> None:
        await self._delete_many(tables.stream_blocks, tables.stream_blocks.c.resume_at <= now)

    async def list(
        self,
        project_id: str,
        *,
        domain: str,
        app: str | None = None,
        stream: str | None = None,
        now: float | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[StreamBlock]:
        c = tables.stream_blocks.c
        where = [c.project_id == project_id, *equal((c.domain, domain), (c.app, app), (c.stream, stream))]
        if now is not None:
            where.append(c.resume_at > now)
        total, rows = await self._page(tables.stream_blocks, where, c.app, c.stream, offset=offset, limit=limit)
        return Page(total, [StreamBlock(**row) for row in rows])


class SqlSnapshots(Repository):
    """`port.Snapshots`."""

    async def put(self, config: SnapshotConfig) -> bool:
        return await self._put(tables.snapshots, asdict(config))

    async def get(self, domain: str, app: str) -> SnapshotConfig | None:
        row = await self._row(tables.snapshots, domain=domain, app=app)
        return _snapshot(row) if row else None

    async def delete(self, domain: str, app: str) -> bool:
        return await self._remove(tables.snapshots, domain=domain, app=app)

    async def list(
        self, project_id: str, *, domain: str | None = None, app: str | None = None, offset: int = 0, limit: int = 10
    ) -> Page[SnapshotConfig]:
        c = tables.snapshots.c
        where = [c.project_id == project_id, *equal((c.domain, domain), (c.app, app))]
        total, rows = await self._page(tables.snapshots, where, c.domain, c.app, offset=offset, limit=limit)
        return Page(total, [_snapshot(row) for row in rows])


class SqlPullTasks(Repository):
    """`port.PullTasks`."""

    async def add(self, task: PullTask) -> None:
        await self._insert(tables.pull_tasks, asdict(task), f"pull task {task.id} exists already")

    async def get(self, project_id: str, task_id: str) -> PullTask | None:
        row = await self._row_to_change(tables.pull_tasks, project_id=project_id, id=task_id)
        return _pull(row) if row else None

    async def update(self, task: PullTask) -> None:
        key = {"project_id": task.project_id, "id": task.id}
        await self._update(tables.pull_tasks, key, asdict(task), missing=f"there is no pull task {task.id}")

    async def delete(self, project_id: str, task_id: str) -> bool:
        return await self._remove(tables.pull_tasks, project_id=project_id, id=task_id)

    async def open(self) -> list[PullTask]:
        c = tables.pull_tasks.c
        statement = select(tables.pull_tasks).where(c.state.in_(sorted(OPEN_PULL_STATES)))
        return [_pull(row) for row in await self._all(statement.order_by(c.start_at, c.id))]

    async def list(
        self,
        project_id: str,
        *,
        region: str | None = None,
        task_id: str | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[PullTask]:
        c = tables.pull_tasks.c
        where = [c.project_id == project_id, *equal((c.region, region), (c.id, task_id))]
        total, rows = await self._page(tables.pull_tasks, where, c.created_at, c.id, offset=offset, limit=limit)
        return Page(total, [_pull(row) for row in rows])


def _snapshot(row: Mapping[Any, Any]) -> SnapshotConfig:
    values = dict(row) | {
        "write_mode": WriteMode(row["write_mode"]),
        "mode": SnapshotMode(row["mode"]),
        "address": ObsAddress(**row["address"]),
    }
    return SnapshotConfig(**values)


def _pull(row: Mapping[Any, Any]) -> PullTask:
    backup = row["backup_source_type"]
    values = dict(row) | {
        "source_type": PullSource(row["source_type"]),
        "source_urls": tuple(row["source_urls"]),
        "callback_events": tuple(map(PullEvent, row["callback_events"])),
        "refresh_type": RefreshType(row["refresh_type"]),
        "backup_source_type": PullSource(backup) if backup else None,
        "backup_source_urls": tuple(row["backup_source_urls"]),
        "state": PullState(row["state"]),
    }
    return PullTask(**values)
