"""livereel/uploads: what is on its way into stores. An extension of ours; no cloud has it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.services import ApiServices
from livereel.domain.uploads import BucketBacklog, Upload

_Short = Annotated[str, Field(max_length=requests.TEXT_MAX)]
BucketFilter = Annotated[_Short | None, BeforeValidator(requests.empty_is_absent)]


class UploadListQuery(requests.Query):
    bucket: BucketFilter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT


def reply(upload: Upload) -> dict[str, Any]:
    """A record file on its way. Members without a value are left out."""
    shown = {
        "job_id": upload.job_id,
        "task_id": upload.task_id,
        "state": upload.state.value,
        "bucket": upload.bucket,
        "object": upload.object_key,
        "size": upload.size,
        "sent": upload.sent,
        "waiting_since": None if upload.waiting_since is None else time_text(upload.waiting_since),
        "attempts": upload.attempts,
        "last_error": upload.last_error,
        "next_attempt_time": None if upload.next_retry_at is None else time_text(upload.next_retry_at),
        "create_time": time_text(upload.created_at),
        "update_time": time_text(upload.updated_at),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _backlog(backlog: BucketBacklog) -> dict[str, Any]:
    shown = {
        "bucket": backlog.bucket,
        "files": backlog.files,
        "bytes": backlog.bytes,
        "waiting_since": None if backlog.waiting_since is None else time_text(backlog.waiting_since),
        "last_error": backlog.last_error,
    }
    return {name: value for name, value in shown.items() if value is not None}


def add(routes: APIRouter, services: ApiServices) -> None:
    """The route of livereel/uploads."""

    @routes.get("/livereel/uploads", operation_id="ListUploads", tags=["recordings"])
    async def list_uploads(project_id: str, query: Annotated[UploadListQuery, Query()]) -> Response:
        """List record files that their stores have not confirmed yet, oldest first. An extension of livereel."""
        async with services.catalogue.read() as uow:
            backlog = await uow.uploads.backlog(project_id=project_id)
            page = await uow.uploads.list(
                project_id=project_id, bucket=query.bucket, offset=query.offset, limit=query.limit
            )
        return JSONResponse(
            {
                "total": page.total,
                "backlog": [_backlog(each) for each in backlog if query.bucket in (None, each.bucket)],
                "uploads": [reply(upload) for upload in page.items],
            }
        )
