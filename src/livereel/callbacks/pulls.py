"""Messages about pull tasks. The documents name their events only; the bodies are ours (docs/api/pull-tasks.md)."""

from datetime import UTC, datetime
from typing import Any

from livereel.domain.messages import MessageState, OutboxMessage
from livereel.domain.streams import PullEvent, PullTask

PULL = "pull"  # kind of the message


def pull_callback(task: PullTask, event: PullEvent, now: float, **about: Any) -> OutboxMessage:
    """The message that `event` happened to `task`, for the outbox; `about` are further members of its body.

    Messages of one task share a channel. They are unsigned: the API has no key for them.
    """
    body: dict[str, Any] = {
        "event": event.value,
        "event_time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "project_id": task.project_id,
        "task_id": task.id,
        "source_type": task.source_type.value,
    }
    if task.destination_url:
        body["destination_url"] = task.destination_url
    else:
        body |= {"domain": task.domain, "app": task.app, "stream_name": task.stream}
    return OutboxMessage(
        id=0,
        channel=f"{PULL}/{task.id}",
        kind=PULL,
        event=event.value,
        project_id=task.project_id,
        domain=task.domain,
        url=task.callback_url,
        body=body | about,
        state=MessageState.PENDING,
        attempts=0,
        created_at=now,
        due_at=now,
    )
