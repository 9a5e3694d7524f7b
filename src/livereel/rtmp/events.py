"""What a session tells its owner."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from livereel.domain.media import Tag
from livereel.rtmp.url import PublishTarget


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The peer wants to push to `target`: answer with `accept_publish()` or `refuse_publish()`."""

    target: PublishTarget


class Media(NamedTuple):
    """Tags of the accepted publish, in order of arrival; never empty."""

    tags: list[Tag]


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """The publish is over: no Media follows. Comes once for each PublishRequested that was not refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over: send what `outgoing()` still holds and close the connection. The last event."""

    reason: str


Event: TypeAlias = PublishRequested | Media | PublishEnded | Closed
