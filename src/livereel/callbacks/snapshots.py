"""The message that a snapshot was stored: body and signature (spec huawei-live-streams-domains.md section 5)."""

import hashlib
import hmac
from typing import Any

from livereel.domain.keys import StreamKey
from livereel.domain.messages import MessageState, OutboxMessage
from livereel.domain.streams import SnapshotConfig

SNAPSHOT = "snapshot"  # kind of the message
SNAPSHOT_STORED = "SNAPSHOT"  # its event; ours, the message itself does not name one

#: Seconds from an attempt to the expiry that its signature bears, as for all messages.
_SIGNATURE_LIFETIME = 60


def snapshot_callback(  # noqa: PLR0917  they are what the message says
    config: SnapshotConfig, key: StreamKey, object_key: str, width: int, height: int, now: float
) -> OutboxMessage:
    """The message for the outbox. `snapshot_url` is filled in for each attempt: it may be a link that expires.

    Sizes are strings, as in the documented sample. Messages of one stream share a channel.
    """
    body = {
        "domain": key.domain,
        "app": key.app,
        "stream_name": key.stream,
        "snapshot_url": "",
        "width": str(width),
        "height": str(height),
        "obs_addr": {
            "bucket": config.address.bucket,
            "location": config.address.location,
            "object": object_key,
        },
    }
    return OutboxMessage(
        id=0,
        channel=f"{SNAPSHOT}/{key}",
        kind=SNAPSHOT,
        event=SNAPSHOT_STORED,
        project_id=config.project_id,
        domain=key.domain,
        url=config.callback_url,
        body=body,
        state=MessageState.PENDING,
        attempts=0,
        created_at=now,
        due_at=now,
    )


def snapshot_sign(key: str, body: dict[str, Any], auth_timestamp: int) -> str:
    """`auth_sign` of a snapshot message, lower-case hex.

    The documents name the member and no formula. Ours is that of recording callbacks: HMAC-SHA-256 over
    `auth_timestamp`, `domain`, `app`, `stream_name` and `snapshot_url`, joined without separator.
    """
    covered = "".join(str(body[member]) for member in ("domain", "app", "stream_name", "snapshot_url"))
    return hmac.new(key.encode(), f"{auth_timestamp}{covered}".encode(), hashlib.sha256).hexdigest()


def signed_snapshot(body: dict[str, Any], key: str, now: float) -> dict[str, Any]:
    """`body` with `auth_timestamp` (Unix second of expiry, a number) and `auth_sign`; unchanged if `key` is empty."""
    if not key:
        return body
    expires = int(now) + _SIGNATURE_LIFETIME
    return body | {"auth_timestamp": expires, "auth_sign": snapshot_sign(key, body, expires)}
