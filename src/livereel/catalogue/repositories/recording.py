"""Recording tasks, record files and slices."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, exists, func, or_, select, update

from livereel.catalogue import tables
from livereel.catalogue.port import Page, StoredSize
from livereel.catalogue.repositories.base import Repository, equal, of_stream
from livereel.catalogue.repositories.statements import change, insert, key_parameters
from livereel.catalogue.repositories.templates import template_of, template_row
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import DeleteReason, EndReason, RecordFile, Slice, SpoolPosition, Task
from livereel.domain.states import ACTIVE_TASK_STATES, OPEN_TASK_STATES, OVER_TASK_STATES, FileState, TaskState
from livereel.domain.templates import RecordFormat, RecordType
from livereel.domain.verification import Damage, Verdict, Verification


class SqlTasks(Repository):
    """`port.Tasks`."""

    async def add(self, task: Task) -> None:
        await self._insert(tables.tasks, _task_row(task), f"a task is recording {task.key} already")

    async def get(self, task_id: str) -> Task | None:
        row = await self._row_to_change(tables.tasks, id=task_id)
        return _task(row) if row else None

    async def update(self, task: Task) -> None:
        await self._update(
            tables.tasks,
            {"id": task.id},
            _task_changes(task),
            missing=f"there is no task {task.id}",
            taken=f"another task is recording {task.key}",
        )

    async def active(self, key: StreamKey) -> Task | None:
        row = await self._row_to_change(tables.tasks, active_key=str(key))
        return _task(row) if row else None

    async def last_stopped_at(self, key: StreamKey) -> float | None:
        stopped: float | None = (await self._execute(_LAST_STOP, of_stream(key))).scalar_one()
        return stopped

    async def open(self, *, node: str) -> list[Task]:
        c = tables.tasks.c
        statement = select(tables.tasks).where(c.node == node, c.state.in_(sorted(OPEN_TASK_STATES)))
        return [_task(row) for row in await self._all(statement.order_by(c.started_at, c.id))]

    async def interrupted(self, *, node: str) -> list[Task]:
        c = tables.tasks.c
        statement = select(tables.tasks).where(c.node == node, c.state == TaskState.INTERRUPTED)
        return [_task(row) for row in await self._all(statement.order_by(c.started_at, c.id))]

    async def armed(self, key: StreamKey) -> Task | None:
        task = await self.active(key)
        return task if task and task.armed else None

    async def to_delete(self) -> list[str]:
        f, t = tables.files.c, tables.tasks.c
        since = func.min(f.deleted_at).label("since")
        files = select(f.task_id, since).where(f.state == FileState.DELETING).group_by(f.task_id)
        found = {row["task_id"]: row["since"] or 0.0 for row in await self._all(files)}
        for row in await self._all(select(t.id).where(t.state == TaskState.DELETING)):
            found.setdefault(row["id"], 0.0)
        return sorted(found, key=lambda task_id: (found[task_id], task_id))

    async def list(self, *, project_id: str | None = None, offset: int = 0, limit: int = 100) -> Page[Task]:
        c = tables.tasks.c
        where = equal((c.project_id, project_id))
        newest_first = (c.started_at.desc(), c.id.desc())
        total, rows = await self._page(tables.tasks, where, *newest_first, offset=offset, limit=limit)
        return Page(total, [_task(row) for row in rows])


class SqlFiles(Repository):
    """`port.Files`."""

    async def add(self, file: RecordFile) -> None:
        await self._insert(tables.files, _file_row(file), _same_object(file))

    async def get(self, job_id: str) -> RecordFile | None:
        row = await self._row_to_change(tables.files, job_id=job_id)
        return _file(row) if row else None

    async def update(self, file: RecordFile) -> None:
        await self._update(
            tables.files,
            {"job_id": file.job_id},
            _file_row(file),
            missing=f"there is no record file {file.job_id}",
            taken=_same_object(file),
        )

    async def set_verdict(self, job_id: str, verdict: Verdict, now: float) -> bool:
        values = {
            "verification": verdict.verification,
            "damages": _damage_rows(verdict.damages),
            "verified_at": now,
        } | ({"sha256": verdict.sha256} if verdict.sha256 else {})
        key = {"job_id": job_id, "state": FileState.STORED}
        changed = await self._execute(change(tables.files, tuple(key)), {**values, **key_parameters(key)})
        return changed.rowcount > 0

    async def of_task(self, task_id: str) -> list[RecordFile]:
        return [_file(row) for row in await self._rows(tables.files, "format", "sequence", task_id=task_id)]

    async def by_key(self, bucket: str, object_key: str) -> RecordFile | None:
        row = await self._row(tables.files, bucket=bucket, object_key=object_key)
        return _file(row) if row else None

    async def playlists_beside(self, file: RecordFile, *, ended_after: float | None = None) -> list[RecordFile]:
        c = tables.files.c
        directory = file.object_key.rpartition("/")[0]
        # What sorts between the directory's slash and the character after it: a range that the index answers.
        where = [c.object_key > f"{directory}/", c.object_key < f"{directory}0"] if directory else []
        where += [c.bucket == file.bucket, c.format == RecordFormat.HLS, c.job_id != file.job_id]
        where.append(c.state != FileState.DELETED)
        if ended_after is not None:
            where.append(or_(c.ended_at > ended_after, c.ended_at.is_(None)))
        rows = await self._all(select(tables.files).where(*where))
        return [_file(row) for row in rows if row["object_key"].rpartition("/")[0] == directory]

    async def deletable(
        self,
        *,
        templates: Sequence[str] | None = None,
        other_than: Sequence[str] = (),
        ended_before: float | None = None,
        buckets: Sequence[str] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> list[RecordFile]:
        c, of = tables.files.c, tables.tasks.c.template_id
        where = [*_DELETABLE, tables.tasks.c.id == c.task_id]
        where += [of.in_(templates)] if templates is not None else [of.not_in(other_than)]
        if ended_before is not None:
            where.append(c.ended_at < ended_before)
        if buckets is not None:
            where.append(c.bucket.in_(buckets))
        statement = select(tables.files).where(*where).order_by(c.ended_at, c.job_id).offset(offset).limit(limit)
        return [_file(row) for row in await self._all(statement)]

    async def stored_sizes(self) -> list[StoredSize]:
        c, of = tables.files.c, tables.tasks.c.template_id
        size = func.coalesce(c.size, 0)
        stored = func.sum(case((c.state == FileState.STORED, size), else_=0)).label("stored")
        deleting = func.sum(case((c.state == FileState.DELETING, size), else_=0)).label("deleting")
        statement = select(of, c.bucket, stored, deleting).where(tables.tasks.c.id == c.task_id)
        statement = statement.where(c.state.in_((FileState.STORED, FileState.DELETING))).group_by(of, c.bucket)
        rows = await self._all(statement)
        return [StoredSize(row["template_id"], row["bucket"], int(row["stored"]), int(row["deleting"])) for row in rows]

    async def mark_deleting(self, job_id: str, reason: DeleteReason, now: float) -> bool:
        c = tables.files.c
        of_task = exists().where(tables.tasks.c.id == c.task_id)
        statement = update(tables.files).where(c.job_id == job_id, *_DELETABLE[:2], of_task.where(_DELETABLE[2]))
        statement = statement.values(state=FileState.DELETING, deleted_at=now, delete_reason=reason)
        return (await self._execute(statement)).rowcount > 0

    async def of_stream_in_window(
        self, project_id: str, key: StreamKey, start: float, end: float, *, record_format: RecordFormat | None = None
    ) -> list[RecordFile]:
        c = tables.files.c
        where = [*_files_in_window(project_id, key, start, end), *equal((c.format, record_format))]
        rows = await self._all(select(tables.files).where(*where).order_by(c.started_at, c.job_id))
        return [_file(row) for row in rows]

    async def list(
        self,
        project_id: str,
        *,
        started_from: float | None = None,
        started_to: float | None = None,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        record_type: RecordType | None = None,
        state: FileState | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[RecordFile]:
        c = tables.files.c
        where = [c.project_id == project_id, *equal((c.domain, domain), (c.app, app), (c.stream, stream))]
        where += equal((c.record_type, record_type), (c.state, state))
        if started_from is not None:
            where.append(c.started_at >= started_from)
        if started_to is not None:
            where.append(c.started_at < started_to)
        newest_first = (c.started_at.desc(), c.job_id.desc())
        # The page is cut from the index alone; only its rows are then read from the table.
        page = select(c.job_id).where(*where).order_by(*newest_first).offset(offset).limit(limit)
        rows = await self._all(select(tables.files).where(c.job_id.in_(page)).order_by(*newest_first))
        total = await self._total(tables.files, where, offset=offset, limit=limit, found=len(rows))
        return Page(total, [_file(row) for row in rows])


class SqlSlices(Repository):
    """`port.Slices`."""

    async def add_many(self, slices: Sequence[Slice]) -> None:
        if not slices:
            return
        statement = insert(tables.slices, self._connection.dialect.name)
        values = {name: statement.excluded[name] for name in _SLICE_VALUES}
        statement = statement.on_conflict_do_update(index_elements=["job_id", "sequence"], set_=values)
        await self._execute(statement, [asdict(piece) for piece in slices])

    async def in_window(self, project_id: str, key: StreamKey, start: float, end: float) -> list[Slice]:
        c = tables.slices.c
        files = _files_in_window(project_id, key, start, end)
        statement = select(tables.slices).join(tables.files).where(*files, c.started_at < end, c.ended_at > start)
        rows = await self._all(statement.order_by(c.started_at, c.job_id, c.sequence))
        return [Slice(**row) for row in rows]

    async def of_file(self, job_id: str) -> list[Slice]:
        return [Slice(**row) for row in await self._rows(tables.slices, "sequence", job_id=job_id)]

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        await self._delete_many(tables.slices, tables.slices.c.job_id.in_(job_ids))

    async def files_ended(self, before: float, *, limit: int) -> list[str]:
        c = tables.files.c
        has_slices = exists().where(tables.slices.c.job_id == c.job_id)
        statement = select(c.job_id).where(c.ended_at < before, has_slices).limit(limit)
        return [row["job_id"] for row in await self._all(statement)]


_SLICE_VALUES = ("object_key", "started_at", "ended_at", "duration", "size")

#: When a recording of a stream was last stopped.
_LAST_STOP = select(func.max(tables.tasks.c.ended_at)).where(
    *(tables.tasks.c[name] == bindparam(name) for name in ("domain", "app", "stream")),
    tables.tasks.c.end_reason == EndReason.STOP,
)


#: Of files: stored, not held, of a task that is over (the last one wants the task's row).
_DELETABLE: tuple[ColumnElement[bool], ...] = (
    tables.files.c.state == FileState.STORED,
    ~exists().where(tables.holds.c.task_id == tables.files.c.task_id),
    tables.tasks.c.state.in_(sorted(OVER_TASK_STATES)),
)
_GOING = (FileState.DELETING, FileState.DELETED)


def _files_in_window(project_id: str, key: StreamKey, start: float, end: float) -> list[ColumnElement[bool]]:
    c = tables.files.c
    of_stream = equal((c.project_id, project_id), (c.domain, key.domain), (c.app, key.app), (c.stream, key.stream))
    return [*of_stream, c.started_at < end, c.ended_at.is_(None) | (c.ended_at > start), c.state.not_in(_GOING)]


def _same_object(file: RecordFile) -> str:
    return f"record file {file.job_id} or the object {file.bucket}/{file.object_key} exists already"


def _task_row(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "project_id": task.project_id,
        **of_stream(task.key),
        "record_type": task.record_type,
        "template": template_row(task.template),
        "template_id": task.template.id,
    } | _task_changes(task)


def _task_changes(task: Task) -> dict[str, Any]:
    """What of a row changes in the course of a recording."""
    return {
        "state": task.state,
        "node": task.node,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "end_reason": task.end_reason,
        "spool_end_segment": task.spool_end.segment if task.spool_end else None,
        "spool_end_offset": task.spool_end.offset if task.spool_end else None,
        "completed_at": task.completed_at,
        "error": task.error,
        "armed": task.armed,
        "pre_roll": task.pre_roll,
        "deadline": task.deadline,
        "plan_id": task.plan_id,
        "active_key": str(task.key) if task.state in ACTIVE_TASK_STATES else None,
    }


def _task(row: Mapping[Any, Any]) -> Task:
    segment = row["spool_end_segment"]
    return Task(
        id=row["id"],
        project_id=row["project_id"],
        key=_key(row),
        record_type=RecordType(row["record_type"]),
        template=template_of(row["template"]),
        state=TaskState(row["state"]),
        node=row["node"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        end_reason=EndReason(row["end_reason"]) if row["end_reason"] else None,
        spool_end=None if segment is None else SpoolPosition(segment, row["spool_end_offset"]),
        completed_at=row["completed_at"],
        error=row["error"],
        armed=row["armed"],
        pre_roll=row["pre_roll"],
        deadline=row["deadline"],
        plan_id=row["plan_id"],
    )


# Members of a record file that are columns of the same name and type.
_PLAIN_FILE_COLUMNS = (
    *("job_id", "asset_id", "task_id", "project_id", "sequence", "bucket", "location", "object_key", "started_at"),
    *("checkpoint", "ended_at", "size", "duration", "width", "height", "video_codec", "audio_codec", "sha256"),
    *("report", "error", "deleted_at", "verified_at"),
)


def _file_row(file: RecordFile) -> dict[str, Any]:
    return {name: getattr(file, name) for name in _PLAIN_FILE_COLUMNS} | {
        **of_stream(file.key),
        "record_type": file.record_type,
        "format": file.format,
        "state": file.state,
        "delete_reason": file.delete_reason,
        "verification": file.verification,
        "damages": _damage_rows(file.damages),
        "start_segment": file.start.segment,
        "start_offset": file.start.offset,
    }


def _file(row: Mapping[Any, Any]) -> RecordFile:
    return RecordFile(
        key=_key(row),
        record_type=RecordType(row["record_type"]),
        format=RecordFormat(row["format"]),
        state=FileState(row["state"]),
        start=SpoolPosition(row["start_segment"], row["start_offset"]),
        delete_reason=DeleteReason(row["delete_reason"]) if row["delete_reason"] else None,
        verification=Verification(row["verification"]) if row["verification"] else None,
        damages=tuple(Damage.from_json(damage) for damage in row["damages"] or ()),
        **{name: row[name] for name in _PLAIN_FILE_COLUMNS},
    )


def _damage_rows(damages: Sequence[Damage]) -> list[dict[str, str]] | None:
    return [damage.to_json() for damage in damages] or None


def _key(row: Mapping[Any, Any]) -> StreamKey:
    return StreamKey(row["domain"], row["app"], row["stream"])
