"""Outgoing messages: stream-status notifications and recording callbacks, as rows of the outbox."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import WILDCARD, StreamKey, check_app, check_domain
from livereel.domain.urls import check_url

#: Seconds between two attempts to send a message: after an outage of any length everything arrives within a quarter of
#: an hour.
LONGEST_PAUSE = 900.0
AUTH_SIGN_KEY_MIN, AUTH_SIGN_KEY_MAX = 32, 128  # characters, spec huawei-live-streams-domains.md section 1.1


def check_sign_key(member: str, key: str) -> str:
    """Return `key` if it can sign messages or is empty (then they are unsigned); raises InvalidParameter.

    For recording callbacks the spec names no upper bound; they take the one of notifications and snapshots.
    """
    if key and not AUTH_SIGN_KEY_MIN <= len(key) <= AUTH_SIGN_KEY_MAX:
        raise InvalidParameter(
            f"{member} must have {AUTH_SIGN_KEY_MIN} to {AUTH_SIGN_KEY_MAX} characters, not {len(key)}"
        )
    return key


@dataclass(frozen=True, slots=True)
class NotificationConfig:
    """Where stream-status notifications of a domain go (`notifications/publish`). Without `key` they are unsigned.

    The catalogue keeps `key` as plain text: signing needs the text itself, it opens nothing here, and the catalogue
    file is readable by the server's user alone.
    """

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


@dataclass(frozen=True, slots=True)
class AnnouncedPush:
    """A push whose PUBLISH was told, and whose PUBLISH_DONE is still to be told by the node that it goes to."""

    key: StreamKey
    project_id: str
    node: str
    publish: Publish


class CallbackEvent(StrEnum):
    """Events of recording callbacks (spec huawei-live-recording.md section 3.3), and one of our own."""

    RECORD_START = "RECORD_START"  #: a task began
    RECORD_NEW_FILE_START = "RECORD_NEW_FILE_START"  #: a file began
    RECORD_FILE_COMPLETE = "RECORD_FILE_COMPLETE"  #: a file is in the store
    RECORD_OVER = "RECORD_OVER"  #: a task ended
    RECORD_FAILED = "RECORD_FAILED"  #: a file could not be made or stored
    RECORD_FILE_VERIFIED = "RECORD_FILE_VERIFIED"  #: our own: a file that was "pending" when it was complete was read


class SignType(StrEnum):
    """How `auth_sign` of a recording callback is made."""

    MD5 = "MD5"
    HMACSHA256 = "HMACSHA256"


DEFAULT_CALLBACK_EVENTS = (CallbackEvent.RECORD_FILE_COMPLETE,)  # spec huawei-live-recording.md section 3.1


@dataclass(frozen=True, slots=True)
class CallbackConfig:
    """Where recording callbacks of an ingest domain go (`record/callbacks`); one per domain. Times are Unix seconds.

    `on_demand_url` is the tenant's service that ON_DEMAND_RECORD asks; empty if there is none. Without `key` messages
    are unsigned. `key` is plain text in the catalogue, for the reasons given at NotificationConfig.
    """

    id: str
    project_id: str
    domain: str
    app: str
    url: str
    created_at: float
    updated_at: float
    events: tuple[CallbackEvent, ...] = DEFAULT_CALLBACK_EVENTS
    sign_type: SignType = SignType.HMACSHA256
    key: str = ""
    on_demand_url: str = ""

    def __post_init__(self) -> None:
        check_domain(self.domain)
        check_app(self.app, wildcard=True)
        if not self.url and not self.on_demand_url:
            raise InvalidParameter("notify_callback_url is missing")
        if self.url:
            check_url("notify_callback_url", self.url, query=False)
        if self.on_demand_url:
            check_url("on_demand_callback_url", self.on_demand_url, query=False)
        if not self.events:
            raise InvalidParameter("notify_event_subscription must name at least one event")
        check_sign_key("key", self.key)

    def covers(self, key: StreamKey) -> bool:
        """True if this configuration is for the stream `key`."""
        return self.domain == key.domain and self.app in (key.app, WILDCARD)

    def wants(self, event: CallbackEvent, key: StreamKey) -> bool:
        """True if `event` of the stream `key` is to be told."""
        return self.covers(key) and bool(self.url) and event in self.events


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
    kind: str  # "notification", "callback", "snapshot" or "pull"
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
