"""record/indexes: a playlist over what was received in some time (spec huawei-live-recording.md section 5).

Statuses and the texts of refusals: Live API Reference, "Creating a Video Recording Index" (2024-07-19).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.services import ApiServices
from livereel.control.indexes import Index
from livereel.domain.keys import StreamKey
from livereel.domain.templates import PREFIX_MAX_LENGTH

_Prefix = Annotated[requests.Text, Field(max_length=PREFIX_MAX_LENGTH)]
Target = Annotated[_Prefix | None, BeforeValidator(requests.empty_is_absent)]


class IndexBody(requests.Body):
    publish_domain: requests.DomainName
    app: requests.AppName
    stream: requests.StreamName
    start_time: requests.Time
    end_time: requests.Time
    object: Target = None


def reply(index: Index, url: str) -> dict[str, Any]:
    """What was indexed and where the playlist is."""
    return {
        "index_url": url,
        "publish_domain": index.key.domain,
        "app": index.key.app,
        "stream": index.key.stream,
        "start_time": time_text(index.started_at),
        "end_time": time_text(index.ended_at),
        "duration": round(index.duration),
        "width": index.width,
        "height": index.height,
        "location": index.location,
        "bucket": index.bucket,
        "object": index.object_key,
    }


def add(routes: APIRouter, services: ApiServices) -> None:
    """The route of record/indexes."""

    @routes.post("/record/indexes", status_code=201, operation_id="CreateRecordIndex", tags=["recording"])
    async def create_index(project_id: str, body: IndexBody) -> Response:
        """Make a playlist of the slices that were received in some time; its link works for a short time."""
        index = await services.indexes.create(
            project_id,
            StreamKey.parse(body.publish_domain, body.app, body.stream),
            requests.parse_time(body.start_time),
            requests.parse_time(body.end_time),
            target=body.object,
        )
        now = services.clock.now()
        url = services.download_urls.sign(index.bucket, index.object_key, now, services.download_lifetime)
        return JSONResponse(reply(index, url), 201)
