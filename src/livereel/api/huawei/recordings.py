"""livereel/recordings: one recording shown, held, deleted. An extension of ours; no cloud has it."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from livereel.api.auth.middleware import PRINCIPAL_KEY
from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.services import ApiServices
from livereel.control.recordings import Recording
from livereel.domain.recordings import RecordFile
from livereel.domain.tenancy import Principal

RecordingId = Annotated[str, Path(max_length=requests.TEXT_MAX)]


def reply(recording: Recording) -> dict[str, Any]:
    """A recording with its files. Members without a value are left out."""
    task = recording.task
    shown = {
        "task_id": task.id,
        "publish_domain": task.key.domain,
        "app": task.key.app,
        "stream": task.key.stream,
        "record_type": task.record_type.value,
        "state": task.state.value,
        "start_time": time_text(task.started_at),
        "end_time": None if task.ended_at is None else time_text(task.ended_at),
        "end_reason": None if task.end_reason is None else task.end_reason.value,
        "error_message": task.error,
        "held": recording.held_since is not None,
        "held_since": None if recording.held_since is None else time_text(recording.held_since),
        "files": [_file(file) for file in recording.files],
    }
    return {name: value for name, value in shown.items() if value is not None}


def _file(file: RecordFile) -> dict[str, Any]:
    shown = {
        "job_id": file.job_id,
        "record_format": file.format.value,
        "state": file.state.value,
        "obs_addr": {"bucket": file.bucket, "location": file.location, "object": file.object_key},
        "file_size": file.size,
        "start_time": time_text(file.started_at),
        "end_time": None if file.ended_at is None else time_text(file.ended_at),
        "error_message": file.error,
        "delete_time": None if file.deleted_at is None else time_text(file.deleted_at),
        "delete_reason": None if file.delete_reason is None else file.delete_reason.value,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _user(request: Request) -> str:
    return cast(Principal, request.scope[PRINCIPAL_KEY]).user_name


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of livereel/recordings."""
    path = "/livereel/recordings/{id}"

    @routes.get(path, operation_id="ShowRecording", tags=["recordings"])
    async def show_recording(project_id: str, id: RecordingId) -> Response:
        """Show a recording, one that was deleted too, with its files. An extension of livereel."""
        return JSONResponse(reply(await services.recordings.get(project_id, id)))

    @routes.delete(path, status_code=204, operation_id="DeleteRecording", tags=["recordings"])
    async def delete_recording(project_id: str, id: RecordingId, request: Request) -> Response:
        """Delete a recording that is over with all its objects, in the background. An extension of livereel."""
        await services.recordings.delete(project_id, id, by=_user(request))
        return Response(status_code=204)

    @routes.put(path + "/hold", status_code=204, operation_id="HoldRecording", tags=["recordings"])
    async def hold_recording(project_id: str, id: RecordingId, request: Request) -> Response:
        """Keep a recording from being deleted until it is released. An extension of livereel."""
        await services.recordings.hold(project_id, id, by=_user(request))
        return Response(status_code=204)

    @routes.delete(path + "/hold", status_code=204, operation_id="ReleaseRecording", tags=["recordings"])
    async def release_recording(project_id: str, id: RecordingId, request: Request) -> Response:
        """End a hold. An extension of livereel."""
        await services.recordings.release(project_id, id, by=_user(request))
        return Response(status_code=204)
