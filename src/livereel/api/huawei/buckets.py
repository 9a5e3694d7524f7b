"""obs/authority: which buckets may be recorded into (spec huawei-live-recording.md section 6)."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from livereel.api.huawei import requests
from livereel.api.services import ApiServices


class AuthorityBody(requests.Body):
    bucket: Annotated[requests.Text, Field(min_length=1, max_length=requests.TEXT_MAX)]
    operation: Annotated[int, Field(ge=0, le=1)]


def add(routes: APIRouter, services: ApiServices) -> None:
    """The route of obs/authority."""

    @routes.put("/obs/authority", operation_id="UpdateObsBucketAuthorityPublic", tags=["templates"])
    async def update_authority(project_id: str, body: AuthorityBody) -> Response:
        """Authorise a bucket (1) or cancel that (0). The first authorisation closes all other buckets."""
        if body.operation == 1:
            await services.buckets.authorise(project_id, body.bucket)
        else:
            await services.buckets.cancel(project_id, body.bucket)
        return Response(status_code=200)
