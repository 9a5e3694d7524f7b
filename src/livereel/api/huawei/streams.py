"""realtime/streams, stream/blocks and stream/block-once (spec huawei-live-streams-domains.md section 2)."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.request_id import RequestId
from livereel.api.responses import REQUEST_ID_KEY
from livereel.api.services import ApiServices
from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import StreamInfo
from livereel.domain.streams import StreamBlock


class OnlineQuery(requests.Query):
    publish_domain: requests.DomainName
    app: requests.Filter = None
    stream: requests.Filter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT


class CutBody(requests.Body):
    domain: requests.DomainName
    app_name: requests.AppName
    stream_name: requests.StreamName

    def key(self) -> StreamKey:
        """The stream; raises InvalidName."""
        return StreamKey.parse(self.domain, self.app_name, self.stream_name)


class BlockBody(CutBody):
    resume_time: Annotated[requests.Time | None, BeforeValidator(requests.empty_is_absent)] = None

    def resume_at(self) -> float | None:
        """`resume_time` in Unix seconds."""
        return requests.parse_time(self.resume_time) if self.resume_time else None


class BlockQuery(requests.Query):
    domain: requests.DomainName
    app_name: requests.AppName
    stream_name: requests.StreamName


class BlockListQuery(requests.Query):
    domain: requests.DomainName
    app_name: requests.Filter = None
    stream_name: requests.Filter = None
    page: requests.Offset = 0
    size: requests.Limit = requests.LIMIT_DEFAULT


def online(info: StreamInfo) -> dict[str, Any]:
    """A stream being pushed. Numbers that are not known (yet) are left out."""
    numbers = {
        "video_frame_rate": round(info.frame_rate),
        "audio_frame_rate": round(info.audio_frame_rate),
        "video_bitrate": info.video_bitrate,
        "audio_bitrate": info.audio_bitrate,
    }
    return {
        "publish_domain": info.key.domain,
        "app": info.key.app,
        "stream": info.key.stream,
        "video_codec": info.video_codec,
        "audio_codec": info.audio_codec,
        **{name: number for name, number in numbers.items() if number},
        **({"resolution": f"{info.width}x{info.height}"} if info.width and info.height else {}),
        "client_ip": info.client_ip,
        "start_time": time_text(info.started_at),
    }


def block(block: StreamBlock) -> dict[str, Any]:
    """A block of a listing."""
    return {"app_name": block.app, "stream_name": block.stream, "resume_time": time_text(block.resume_at)}


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of live streams."""
    _online(routes, services)
    _blocks(routes, services)

    @routes.post("/stream/block-once", status_code=204, operation_id="CreateStreamForbiddenOnce", tags=["live streams"])
    async def cut_once(project_id: str, body: CutBody) -> Response:
        """End the running push of a stream; the encoder may come back at once."""
        await services.streams.cut_once(project_id, body.key())
        return Response(status_code=204)


def _online(routes: APIRouter, services: ApiServices) -> None:
    @routes.get("/realtime/streams", operation_id="ListLiveStreamsOnline", tags=["live streams"])
    async def list_online(project_id: str, query: Annotated[OnlineQuery, Query()], request: Request) -> Response:
        """List the streams being pushed to an ingest domain, with what they are made of."""
        if query.stream is not None and query.app is None:
            raise InvalidParameter("app (query): is wanted together with stream")
        page = await services.streams.online(
            project_id,
            query.publish_domain,
            app=query.app,
            stream=query.stream,
            offset=query.offset,
            limit=query.limit,
        )
        reply = {
            "total_page": -(-page.total // query.limit),
            "total_num": page.total,
            "offset": query.offset,
            "limit": query.limit,
            "request_id": str(cast(RequestId, request.scope[REQUEST_ID_KEY]).uuid),
            "streams": [online(info) for info in page.items],
        }
        return JSONResponse(reply)


def _blocks(routes: APIRouter, services: ApiServices) -> None:
    path = "/stream/blocks"

    @routes.post(path, status_code=204, operation_id="CreateStreamForbidden", tags=["live streams"])
    async def forbid(project_id: str, body: BlockBody) -> Response:
        """Forbid the pushing of a stream until `resume_time`, and end the running push."""
        await services.streams.block(project_id, body.key(), body.resume_at())
        return Response(status_code=204)

    @routes.put(path, status_code=204, operation_id="UpdateStreamForbidden", tags=["live streams"])
    async def change(project_id: str, body: BlockBody) -> Response:
        """Change until when a stream is forbidden."""
        await services.streams.change_block(project_id, body.key(), body.resume_at())
        return Response(status_code=204)

    @routes.delete(path, status_code=204, operation_id="DeleteStreamForbidden", tags=["live streams"])
    async def allow(project_id: str, query: Annotated[BlockQuery, Query()]) -> Response:
        """Allow the pushing of a stream again, at once."""
        key = StreamKey.parse(query.domain, query.app_name, query.stream_name)
        await services.streams.unblock(project_id, key)
        return Response(status_code=204)

    @routes.get(path, operation_id="ListStreamForbidden", tags=["live streams"])
    async def list_blocks(project_id: str, query: Annotated[BlockListQuery, Query()]) -> Response:
        """List the forbidden streams of an ingest domain; `page` counts from 0."""
        page = await services.streams.blocks(
            project_id,
            query.domain,
            app=query.app_name,
            stream=query.stream_name,
            offset=query.page * query.size,
            limit=query.size,
        )
        return JSONResponse({"total": page.total, "blocks": [block(item) for item in page.items]})
