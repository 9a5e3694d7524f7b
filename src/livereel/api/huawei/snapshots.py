"""stream/snapshot: pictures of live streams (spec huawei-live-streams-domains.md section 5)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from livereel.api.huawei import requests
from livereel.api.services import ApiServices
from livereel.domain.messages import AUTH_SIGN_KEY_MAX
from livereel.domain.streams import (
    SNAPSHOT_INTERVAL_MAX,
    SNAPSHOT_INTERVAL_MIN,
    SnapshotConfig,
    SnapshotMode,
    WriteMode,
)
from livereel.domain.templates import PREFIX_MAX_LENGTH, ObsAddress

Url = Annotated[requests.Text, Field(max_length=requests.URL_MAX)]


_INTERVAL = requests.Documented(minimum=SNAPSHOT_INTERVAL_MIN, maximum=SNAPSHOT_INTERVAL_MAX)


class SnapshotBody(requests.Body):
    domain: requests.DomainName
    app_name: requests.AppName
    time_interval: Annotated[int, _INTERVAL]
    object_write_mode: Literal[0, 1]
    obs_location: requests.ObsAddr
    auth_key: Annotated[requests.Text | None, Field(max_length=AUTH_SIGN_KEY_MAX)] = None
    call_back_enable: Literal["on", "off"] | None = None
    call_back_url: Url | None = None
    snapshot_mode: Literal["keyframe", "nokeyframe", "random"] | None = None
    image_object_format: Annotated[requests.Text | None, Field(max_length=PREFIX_MAX_LENGTH)] = None
    image_access_protocol: Literal["", "http", "https"] | None = None
    image_access_domain: Annotated[requests.Text | None, Field(max_length=requests.TEXT_MAX)] = None

    def config(self, project_id: str) -> SnapshotConfig:
        """The configuration that this asks for. Raises InvalidParameter."""
        location = self.obs_location
        return SnapshotConfig(
            domain=self.domain,
            app=self.app_name,
            project_id=project_id,
            interval=self.time_interval,
            write_mode=WriteMode(self.object_write_mode),
            address=ObsAddress(location.bucket, location.location, location.object or ""),
            auth_key=self.auth_key or "",
            callback_on=self.call_back_enable == "on",
            callback_url=self.call_back_url or "",
            mode=SnapshotMode(self.snapshot_mode or SnapshotMode.KEYFRAME),
            object_format=self.image_object_format or "",
            access_protocol=self.image_access_protocol or "",
            access_domain=self.image_access_domain or "",
        )


class SnapshotListQuery(requests.Query):
    domain: requests.DomainName
    app_name: requests.Filter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT


class SnapshotQuery(requests.Query):
    domain: requests.DomainName
    app_name: requests.AppName


def reply(config: SnapshotConfig) -> dict[str, Any]:
    """The configuration as clients see it: never its key."""
    shown: dict[str, Any] = {
        "domain": config.domain,
        "app_name": config.app,
        "time_interval": config.interval,
        "object_write_mode": config.write_mode.value,
        "obs_location": {
            "bucket": config.address.bucket,
            "location": config.address.location,
            "object": config.address.object,
        },
        "call_back_enable": "on" if config.callback_on else "off",
        "snapshot_mode": config.mode.value,
    }
    optional = {
        "call_back_url": config.callback_url,
        "image_object_format": config.object_format,
        "image_access_protocol": config.access_protocol,
        "image_access_domain": config.access_domain,
    }
    return shown | {name: value for name, value in optional.items() if value}


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of stream/snapshot."""
    path = "/stream/snapshot"

    @routes.post(path, operation_id="CreateSnapshotConfig", tags=["snapshots"])
    async def create_snapshots(project_id: str, body: SnapshotBody) -> Response:
        """Have pictures taken of all live streams of an app."""
        await services.snapshots.create(body.config(project_id))
        return Response(status_code=200)

    @routes.put(path, operation_id="UpdateSnapshotConfig", tags=["snapshots"])
    async def update_snapshots(project_id: str, body: SnapshotBody) -> Response:
        """Replace what is configured for an app; without `auth_key` the key stays."""
        await services.snapshots.update(body.config(project_id), keep_key=body.auth_key is None)
        return Response(status_code=200)

    @routes.get(path, operation_id="ListSnapshotConfigs", tags=["snapshots"])
    async def list_snapshots(project_id: str, query: Annotated[SnapshotListQuery, Query()]) -> Response:
        """List what is configured for an ingest domain."""
        page = await services.snapshots.list(
            project_id, domain=query.domain, app=query.app_name, offset=query.offset, limit=query.limit
        )
        items = [reply(item) for item in page.items]
        return JSONResponse(
            {"total": page.total, "snapshot_config_list": items, "limit": query.limit, "offset": query.offset}
        )

    @routes.delete(path, status_code=204, operation_id="DeleteSnapshotConfig", tags=["snapshots"])
    async def delete_snapshots(project_id: str, query: Annotated[SnapshotQuery, Query()]) -> Response:
        """Take no more pictures of an app's streams; stored ones stay."""
        await services.snapshots.delete(project_id, query.domain, query.app_name)
        return Response(status_code=204)
