"""Bodies of outgoing messages, without the members that expire: each attempt makes those anew (see `targets`)."""

from datetime import UTC, datetime
from typing import Any

from livereel.domain.keys import StreamKey
from livereel.domain.messages import (
    CallbackConfig,
    CallbackEvent,
    MessageState,
    NotificationConfig,
    OutboxMessage,
    Publish,
    PublishEvent,
)
from livereel.domain.recordings import EndReason, RecordFile, Task
from livereel.domain.verification import Verification, reasons

NOTIFICATION, CALLBACK = "notification", "callback"  # kinds of messages


def publish_notification(  # noqa: PLR0917  all of them are nouns of different types
    config: NotificationConfig, key: StreamKey, publish: Publish, event: PublishEvent, project_id: str, now: float
) -> OutboxMessage:
    """The message that a push began or ended (Huawei Live User Guide, Stream Status Notification), for the outbox.

    Both messages of a push carry the same `publish_timestamp`, a string of Unix seconds. Notifications of one stream
    share a channel: a receiver never sees a PUBLISH_DONE before its PUBLISH.
    """
    body = {
        "domain": key.domain,
        "app": key.app,
        "stream": key.stream,
        "user_args": publish.user_args,
        "client_ip": publish.client_ip,
        "node_ip": publish.node_ip,
        "publish_timestamp": str(int(publish.started_at)),
        "event": event.value,
    }
    return OutboxMessage(
        id=0,
        channel=f"{NOTIFICATION}/{key}",
        kind=NOTIFICATION,
        event=event.value,
        project_id=project_id,
        domain=key.domain,
        url=config.url,
        body=body,
        state=MessageState.PENDING,
        attempts=0,
        created_at=now,
        due_at=now,
    )


def recording_callback(
    config: CallbackConfig,
    event: CallbackEvent,
    task: Task,
    now: float,
    *,
    file: RecordFile | None = None,
    error: str = "",
) -> OutboxMessage:
    """The message about a recording (Huawei Live User Guide, Configuring a Recording Callback), for the outbox.

    `file` is the file that the event is about, `error` the cause of a RECORD_FAILED. Callbacks of one task share a
    channel, so that they arrive in the order of what they tell.
    """
    body: dict[str, Any] = {"project_id": task.project_id}
    if file is not None:
        body["job_id"] = file.job_id
    body |= {
        "task_id": task.id,
        "event_type": event.value,
        "publish_domain": task.key.domain,
        "app": task.key.app,
        "stream": task.key.stream,
    }
    if file is not None:
        body["record_format"] = file.format.value
    if file is not None and event in (CallbackEvent.RECORD_FILE_COMPLETE, CallbackEvent.RECORD_FILE_VERIFIED):
        body |= _stored(file) | _verification(file)
    if event is CallbackEvent.RECORD_FAILED:
        body["error_message"] = error
    if event is CallbackEvent.RECORD_OVER and task.end_reason is EndReason.DISK:
        body["end_reason"] = task.end_reason.value  # ours: nobody asked for this end
    return OutboxMessage(
        id=0,
        channel=f"{CALLBACK}/{task.id}",
        kind=CALLBACK,
        event=event.value,
        project_id=task.project_id,
        domain=task.key.domain,
        url=config.url,
        body=body,
        state=MessageState.PENDING,
        attempts=0,
        created_at=now,
        due_at=now,
    )


def _stored(file: RecordFile) -> dict[str, Any]:
    ended_at = file.started_at if file.ended_at is None else file.ended_at
    return {
        "download_url": "",  # a link that expires
        "asset_id": file.asset_id,
        "file_size": file.size or 0,
        "record_duration": round(file.duration or 0),
        "start_time": _time_text(file.started_at),
        "end_time": _time_text(ended_at),
        "width": file.width or 0,
        "height": file.height or 0,
        "obs_location": file.location,
        "obs_bucket": file.bucket,
        "obs_object": file.object_key,
    }


def _verification(file: RecordFile) -> dict[str, Any]:
    """Members of our own (docs/topics/verification.md)."""
    if file.verification in (None, Verification.OFF):
        return {}
    members: dict[str, Any] = {"verification": file.verification}
    return members | ({"verification_reasons": reasons(file.damages)} if file.damages else {})


def _time_text(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
