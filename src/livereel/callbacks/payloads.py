"""Bodies of outgoing messages, without the signature members that each attempt adds (see `signing`)."""

from livereel.domain.keys import StreamKey
from livereel.domain.messages import MessageState, NotificationConfig, OutboxMessage, Publish, PublishEvent

NOTIFICATION = "notification"


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
