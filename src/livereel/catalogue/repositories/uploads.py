"""Files on their way into stores, and the parts of them that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, select

from livereel.catalogue import tables
from livereel.catalogue.port import Page
from livereel.catalogue.repositories.base import Repository, equal
from livereel.domain.uploads import BucketBacklog, Upload, UploadPart, UploadState


class SqlUploads(Repository):
    """`port.Uploads`."""

    async def put(self, upload: Upload) -> bool:
        return await self._put(tables.uploads, asdict(upload))

    async def delete(self, upload_id: str) -> bool:
        return await self._remove(tables.uploads, id=upload_id)

    async def of_job(self, job_id: str) -> list[Upload]:
        return [_upload(row) for row in await self._rows(tables.uploads, "created_at", "id", job_id=job_id)]

    async def of_node(self, node: str) -> list[Upload]:
        return [_upload(row) for row in await self._rows(tables.uploads, "created_at", "id", node=node)]

    async def backlog(self, *, project_id: str | None = None) -> Sequence[BucketBacklog]:
        c = tables.uploads.c
        where = [c.state == UploadState.SENDING, c.size > c.sent, *equal((c.project_id, project_id))]
        statement = select(
            c.bucket,
            func.count().label("files"),
            func.sum(c.size - c.sent).label("bytes"),
            func.min(c.waiting_since).label("waiting_since"),
            func.max(c.last_error).label("last_error"),
        )
        rows = await self._all(statement.where(*where).group_by(c.bucket).order_by(c.bucket))
        return [BucketBacklog(**dict(row) | {"bytes": int(row["bytes"])}) for row in rows]

    async def put_part(self, upload_id: str, part: UploadPart) -> None:
        await self._put(tables.upload_parts, {"upload": upload_id, **part._asdict()})

    async def parts(self, upload_id: str) -> list[UploadPart]:
        rows = await self._rows(tables.upload_parts, "number", upload=upload_id)
        return [UploadPart(row["number"], row["size"], row["md5"], row["etag"]) for row in rows]

    async def delete_parts(self, upload_id: str, numbers: Sequence[int]) -> None:
        c = tables.upload_parts.c
        if numbers:
            await self._execute(delete(tables.upload_parts).where(c.upload == upload_id, c.number.in_(numbers)))

    async def list(
        self, *, project_id: str | None = None, bucket: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Upload]:
        c = tables.uploads.c
        where = equal((c.project_id, project_id), (c.bucket, bucket))
        oldest_first = (c.created_at, c.id)
        total, rows = await self._page(tables.uploads, where, *oldest_first, offset=offset, limit=limit)
        return Page(total, [_upload(row) for row in rows])


def _upload(row: Mapping[Any, Any]) -> Upload:
    return Upload(**dict(row) | {"state": UploadState(row["state"])})
