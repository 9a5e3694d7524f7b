"""Outgoing messages: stream-status notifications and recording callbacks, as rows of the outbox."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AUTH_SIGN_KEY_MIN, AUTH_SIGN_KEY_MAX = 32, 128  # characters, spec huawei-live-streams-domains.md section 1.1


@dataclass(frozen=True, slots=True)
class NotificationConfig:
    """Where stream-status notifications of a domain go (`notifications/publish`). Without `key` they are unsigned."""

    domain: str
    url: str
    key: str = ""
    call_back_area: str = ""


class PublishEvent(StrEnum):
    """Events of stream-status notifications."""

    PUBLISH = "PUBLISH"
    PUBLISH_DONE = "PUBLISH_DONE"


@dataclass(frozen=True, slots=True)
class Publish:
    """One push session: what a notification tells. `user_args` is the raw query string of the push URL."""

    id: str
    client_ip: str
    node_ip: str
    user_args: str
    started_at: float


class MessageState(StrEnum):
    """Where an outgoing message stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message to be POSTed at least once. Messages of one `channel` are delivered in order of `id`.

    `body` is the message without signature members: they carry an expiry and are added at each attempt.
    """

    id: int
    channel: str
    kind: str  # "notification" or "callback"
    event: str
    project_id: str
    domain: str
    url: str
    body: dict[str, Any]
    state: MessageState
    attempts: int
    created_at: float
    due_at: float
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a message. `status` is the HTTP status or None; durations are seconds."""

    message_id: int
    attempted_at: float
    duration: float
    status: int | None
    error: str | None
