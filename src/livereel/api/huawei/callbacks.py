"""record/callbacks: where messages about recordings go (spec huawei-live-recording.md section 3.1)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.services import ApiServices
from livereel.control.callbacks import NewCallbackConfig
from livereel.domain.messages import (
    AUTH_SIGN_KEY_MAX,
    DEFAULT_CALLBACK_EVENTS,
    CallbackConfig,
    CallbackEvent,
    SignType,
)

Url = Annotated[requests.Text, Field(max_length=requests.URL_MAX)]
EventName = Literal[
    "RECORD_START",
    "RECORD_NEW_FILE_START",
    "RECORD_FILE_COMPLETE",
    "RECORD_OVER",
    "RECORD_FAILED",
    "RECORD_FILE_VERIFIED",  # not of the cloud's
]


class CallbackBody(requests.Body):
    publish_domain: requests.DomainName
    app: requests.AppNames
    notify_callback_url: Url | None = None
    notify_event_subscription: Annotated[list[EventName] | None, Field(max_length=len(CallbackEvent) * 2)] = None
    sign_type: Literal["MD5", "HMACSHA256"] | None = None
    key: Annotated[requests.Text | None, Field(max_length=AUTH_SIGN_KEY_MAX)] = None
    on_demand_callback_url: Url | None = None

    def config(self) -> NewCallbackConfig:
        """The configuration that this asks for."""
        subscribed = self.notify_event_subscription
        events = DEFAULT_CALLBACK_EVENTS if subscribed is None else tuple(map(CallbackEvent, dict.fromkeys(subscribed)))
        return NewCallbackConfig(
            domain=self.publish_domain,
            app=self.app,
            url=self.notify_callback_url or "",
            events=events,
            sign_type=SignType(self.sign_type or SignType.HMACSHA256),
            key=self.key,
            on_demand_url=self.on_demand_callback_url or "",
        )


class CallbackListQuery(requests.Query):
    publish_domain: requests.Filter = None
    app: requests.Filter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT


def reply(config: CallbackConfig) -> dict[str, Any]:
    """The configuration as clients see it: never its key."""
    shown: dict[str, Any] = {
        "id": config.id,
        "publish_domain": config.domain,
        "app": config.app,
        "notify_callback_url": config.url,
        "notify_event_subscription": [event.value for event in config.events],
        "sign_type": config.sign_type.value,
        "create_time": time_text(config.created_at),
        "update_time": time_text(config.updated_at),
    }
    return shown | ({"on_demand_callback_url": config.on_demand_url} if config.on_demand_url else {})


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of record/callbacks."""
    path = "/record/callbacks"

    @routes.post(path, status_code=201, operation_id="CreateRecordCallbackConfig", tags=["callbacks"])
    async def create_callbacks(project_id: str, body: CallbackBody) -> Response:
        """Say where messages about recordings of an ingest domain go."""
        return JSONResponse(reply(await services.callbacks.create(project_id, body.config())), 201)

    @routes.get(path, operation_id="ListRecordCallbackConfigs", tags=["callbacks"])
    async def list_callbacks(project_id: str, query: Annotated[CallbackListQuery, Query()]) -> Response:
        """List callback configurations; filters compare exactly."""
        page = await services.callbacks.list(
            project_id, domain=query.publish_domain, app=query.app, offset=query.offset, limit=query.limit
        )
        return JSONResponse({"total": page.total, "callback_config": [reply(item) for item in page.items]})

    @routes.get(path + "/{id}", operation_id="ShowRecordCallbackConfig", tags=["callbacks"])
    async def show_callbacks(project_id: str, id: str) -> Response:
        """Show a callback configuration."""
        return JSONResponse(reply(await services.callbacks.get(project_id, id)))

    @routes.put(path + "/{id}", operation_id="UpdateRecordCallbackConfig", tags=["callbacks"])
    async def update_callbacks(project_id: str, id: str, body: CallbackBody) -> Response:
        """Replace a callback configuration; without `key` the key stays."""
        return JSONResponse(reply(await services.callbacks.update(project_id, id, body.config())))

    @routes.delete(path + "/{id}", status_code=204, operation_id="DeleteRecordCallbackConfig", tags=["callbacks"])
    async def delete_callbacks(project_id: str, id: str) -> Response:
        """Send no more messages about recordings; those that wait are given up."""
        await services.callbacks.delete(project_id, id)
        return Response(status_code=204)
