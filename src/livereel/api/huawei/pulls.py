"""pull/stream/task: sources that are pulled and pushed into streams (spec huawei-live-streams-domains.md section 6)."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, Field

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.responses import REQUEST_ID_KEY
from livereel.api.services import ApiServices
from livereel.control.pulls import NewPullTask, PullChange
from livereel.domain.errors import InvalidParameter
from livereel.domain.streams import (
    LOOP_FOREVER,
    PULL_URLS_MAX,
    PUSH_ARGS_MAX_LENGTH,
    PullEvent,
    PullSource,
    PullTask,
    RefreshType,
)

_LOOPS = re.compile(r"-1|\d{1,9}")


def _loops(text: str) -> str:
    if text and not _LOOPS.fullmatch(text):
        raise ValueError("String should be -1 or a whole number")
    return text


Url = Annotated[requests.Text, Field(max_length=requests.URL_MAX)]
Urls = Annotated[list[Url], Field(max_length=PULL_URLS_MAX)]
Name = Annotated[requests.Text, Field(max_length=requests.STREAM_MAX_LENGTH)]
SourceType = Literal["PullLivePushLive", "PullVodPushLive"]
Loops = Annotated[str, AfterValidator(_loops)]
Refresh = Literal["", "immediate_new_source", "continue_from_file_start", "continue_from_break_point"]
Events = Annotated[
    list[Literal["TaskStart", "TaskExit", "VodSourceFileStart", "VodSourceFileFinish", "ResetTaskConfig", "TaskAlarm"]],
    Field(max_length=len(PullEvent) * 2),
]
Index = Annotated[int, Field(ge=0, lt=PULL_URLS_MAX)]
Seconds = Annotated[int, Field(ge=0, le=365 * 86_400)]
OptionalTime = Literal[""] | requests.Time


class PullBody(requests.Body):
    source_type: SourceType
    source_urls: Annotated[Urls, Field(min_length=1)]
    region: Annotated[requests.Text | None, Field(max_length=requests.TEXT_MAX)] = None
    domain: Name | None = None
    app_name: Name | None = None
    stream_name: Name | None = None
    destination_url: Url | None = None
    push_args: Annotated[requests.Text | None, Field(max_length=PUSH_ARGS_MAX_LENGTH)] = None
    start_time: OptionalTime | None = None
    end_time: OptionalTime | None = None
    callback_url: Url | None = None
    callback_events: Events | None = None
    vod_loop_time: Loops | None = None
    vod_refresh_type: Refresh | None = None
    vod_start_video_index: Index | None = None
    vod_start_video_time: Seconds | None = None
    backup_source_type: Literal["", "PullLivePushLive", "PullVodPushLive"] | None = None
    backup_source_urls: Urls | None = None

    def task(self) -> NewPullTask:
        """The task that this asks for."""
        return NewPullTask(
            source_type=PullSource(self.source_type),
            source_urls=tuple(self.source_urls),
            region=self.region or "",
            domain=self.domain or "",
            app=self.app_name or "",
            stream=self.stream_name or "",
            destination_url=self.destination_url or "",
            push_args=self.push_args or "",
            start_at=_time(self.start_time),
            end_at=_time(self.end_time),
            callback_url=self.callback_url or "",
            callback_events=_events(self.callback_events) or tuple(PullEvent),
            loop_time=int(self.vod_loop_time or LOOP_FOREVER),
            refresh_type=RefreshType(self.vod_refresh_type or RefreshType.IMMEDIATE),
            start_index=self.vod_start_video_index or 0,
            start_time=float(self.vod_start_video_time or 0),
            backup_source_type=PullSource(self.backup_source_type) if self.backup_source_type else None,
            backup_source_urls=tuple(self.backup_source_urls or ()),
        )


class PullChangeBody(requests.Body):
    task_id: Annotated[requests.Text, Field(min_length=1, max_length=requests.TEXT_MAX)]
    status: Literal["", "pause", "enable"] | None = None
    source_urls: Urls | None = None
    vod_loop_time: Loops | None = None
    vod_refresh_type: Refresh | None = None
    vod_start_video_index: Index | None = None
    vod_start_video_time: Seconds | None = None
    start_time: OptionalTime | None = None
    end_time: OptionalTime | None = None
    callback_events: Events | None = None

    def change(self) -> PullChange:
        """The change that this asks for; empty members change nothing."""
        seconds = self.vod_start_video_time
        return PullChange(
            enabled=self.status == "enable" if self.status else None,
            source_urls=tuple(self.source_urls) if self.source_urls else None,
            loop_time=int(self.vod_loop_time) if self.vod_loop_time else None,
            refresh_type=RefreshType(self.vod_refresh_type) if self.vod_refresh_type else None,
            start_index=self.vod_start_video_index,
            start_time=None if seconds is None else float(seconds),
            start_at=_time(self.start_time),
            end_at=_time(self.end_time),
            callback_events=_events(self.callback_events),
        )


class PullListQuery(requests.Query):
    region: requests.Filter = None
    task_id: requests.Filter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT


class PullQuery(requests.Query):
    task_id: Annotated[requests.Text, Field(min_length=1, max_length=requests.TEXT_MAX)]
    region: requests.Filter = None


def reply(task: PullTask) -> dict[str, Any]:
    """The task as clients see it. `error_message` is ours."""
    shown: dict[str, Any] = {
        "task_id": task.id,
        "status": task.state.value,
        "create_time": time_text(task.created_at),
        "region": task.region,
        "source_type": task.source_type.value,
        "source_urls": list(task.source_urls),
        "domain": task.domain,
        "app_name": task.app,
        "stream_name": task.stream,
        "start_time": time_text(task.start_at),
        "end_time": time_text(task.end_at),
        "callback_events": [event.value for event in task.callback_events],
    }
    if task.source_type is PullSource.VOD:
        shown |= {
            "vod_loop_time": str(task.loop_time),
            "vod_start_video_index": task.start_index,
            "vod_start_video_time": int(task.start_time),
            "vod_refresh_type": task.refresh_type.value,
        }
    optional: dict[str, Any] = {
        "push_args": task.push_args,
        "destination_url": task.destination_url,
        "callback_url": task.callback_url,
        "backup_source_type": task.backup_source_type.value if task.backup_source_type else "",
        "backup_source_urls": list(task.backup_source_urls),
        "error_message": task.error,
    }
    return shown | {name: value for name, value in optional.items() if value}


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of pull/stream/task."""
    path = "/pull/stream/task"

    @routes.post(path, operation_id="CreatePullTask", tags=["pull tasks"])
    async def create_task(request: Request, project_id: str, body: PullBody) -> Response:
        """Pull a live source or a loop of files and push it into a stream, or to another server."""
        task = await services.pulls.create(project_id, body.task())
        return _answer(request, {"task_id": task.id})

    @routes.put(path, operation_id="ModifyPullTask", tags=["pull tasks"])
    async def modify_task(request: Request, project_id: str, body: PullChangeBody) -> Response:
        """Change a loop of files, pause it or let it go on."""
        await services.pulls.modify(project_id, body.task_id, body.change())
        return _answer(request, {"task_id": body.task_id})

    @routes.get(path, operation_id="ListPullTasks", tags=["pull tasks"])
    async def list_tasks(request: Request, project_id: str, query: Annotated[PullListQuery, Query()]) -> Response:
        """List pull tasks, those that are over among them."""
        page = await services.pulls.list(
            project_id, region=query.region, task_id=query.task_id, offset=query.offset, limit=query.limit
        )
        return _answer(request, {"task_infos": [reply(item) for item in page.items], "total": page.total})

    @routes.delete(path, operation_id="DeletePullTask", tags=["pull tasks"])
    async def delete_task(request: Request, project_id: str, query: Annotated[PullQuery, Query()]) -> Response:
        """End a pull task and forget it."""
        await services.pulls.delete(project_id, query.task_id)
        return _answer(request, {"task_id": query.task_id})


def _answer(request: Request, body: dict[str, Any]) -> Response:
    return JSONResponse(body | {"request_id": str(request.scope[REQUEST_ID_KEY])})


def _time(text: str | None) -> float | None:
    return requests.parse_time(text) if text else None


def _events(names: list[Any] | None) -> tuple[PullEvent, ...] | None:
    if names is None:
        return None
    if not names:
        raise InvalidParameter("callback_events (body): leave it out for all events")
    return tuple(map(PullEvent, dict.fromkeys(names)))
