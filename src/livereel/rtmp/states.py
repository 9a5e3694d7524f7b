"""The states of a session, what can happen to it, and the table of what follows.

A missing entry is a protocol error. The commands are those of RTMP specification 1.0, section 7.2; FCPublish,
FCUnpublish and releaseStream are not in it, but every encoder sends them.
"""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a session stands."""

    HELLO = "waits for C0 and C1"
    ECHO = "waits for C2"
    GREETED = "waits for connect"
    CONNECTED = "waits for createStream"
    READY = "waits for publish"
    REQUESTED = "waits for the answer to publish"
    PUBLISHING = "is publishing"
    ENDED = "has ended its publish"
    CLOSED = "is closed"
    ERROR = "has failed"


class Input(StrEnum):
    """What can happen to a session. Commands have the names they have on the wire."""

    C1 = "C0 and C1"
    C2 = "C2"
    CONNECT = "connect"
    RELEASE_STREAM = "releaseStream"
    FC_PUBLISH = "FCPublish"
    CREATE_STREAM = "createStream"
    PUBLISH = "publish"
    MEDIA = "media"
    FC_UNPUBLISH = "FCUnpublish"
    CLOSE_STREAM = "closeStream"
    DELETE_STREAM = "deleteStream"
    PLAY = "play"
    OTHER = "another command"
    ACCEPT = "acceptance"  # by our owner, as is
    REFUSE = "refusal"
    SHUTDOWN = "shutdown"
    DISCONNECT = "disconnect"  # the connection is gone
    TIMEOUT = "timeout"
    FAULT = "fault"


_ALWAYS: Final = {
    Input.SHUTDOWN: State.CLOSED,
    Input.DISCONNECT: State.CLOSED,
    Input.TIMEOUT: State.ERROR,
    Input.FAULT: State.ERROR,
}


def _stays(state: State) -> dict[Input, State]:
    """What a connected session takes at any time without going anywhere."""
    same = (
        Input.RELEASE_STREAM,
        Input.FC_PUBLISH,
        Input.MEDIA,
        Input.FC_UNPUBLISH,
        Input.CLOSE_STREAM,
        Input.DELETE_STREAM,
        Input.PLAY,
        Input.OTHER,
    )
    return dict.fromkeys(same, state) | _ALWAYS


_UNPUBLISH: Final = dict.fromkeys((Input.FC_UNPUBLISH, Input.CLOSE_STREAM, Input.DELETE_STREAM), State.ENDED)

TABLE: Final[dict[State, dict[Input, State]]] = {
    State.HELLO: {Input.C1: State.ECHO, **_ALWAYS},
    State.ECHO: {Input.C2: State.GREETED, **_ALWAYS},
    State.GREETED: {Input.CONNECT: State.CONNECTED, Input.OTHER: State.GREETED, **_ALWAYS},
    State.CONNECTED: {**_stays(State.CONNECTED), Input.CREATE_STREAM: State.READY},
    State.READY: {
        **_stays(State.READY),
        Input.CREATE_STREAM: State.READY,
        Input.PUBLISH: State.REQUESTED,
        Input.DELETE_STREAM: State.CONNECTED,
    },
    State.REQUESTED: {
        **_stays(State.REQUESTED),
        Input.CREATE_STREAM: State.REQUESTED,
        Input.ACCEPT: State.PUBLISHING,
        Input.REFUSE: State.CLOSED,
        **_UNPUBLISH,
    },
    State.PUBLISHING: {**_stays(State.PUBLISHING), Input.CREATE_STREAM: State.PUBLISHING, **_UNPUBLISH},
    State.ENDED: {
        **_stays(State.ENDED),
        Input.CREATE_STREAM: State.READY,
        Input.PUBLISH: State.REQUESTED,
        # The owner may answer a request that the peer has withdrawn meanwhile.
        Input.ACCEPT: State.ENDED,
        Input.REFUSE: State.CLOSED,
    },
    # Nothing is a fault any more: what comes late is ignored.
    State.CLOSED: dict.fromkeys(Input, State.CLOSED),
    State.ERROR: dict.fromkeys(Input, State.ERROR),
}

OVER: Final = frozenset((State.CLOSED, State.ERROR))
HOLDS_PUBLISH: Final = frozenset((State.REQUESTED, State.PUBLISHING))
SHAKING_HANDS: Final = frozenset((State.HELLO, State.ECHO))
BEFORE_PUBLISH: Final = frozenset((State.HELLO, State.ECHO, State.GREETED, State.CONNECTED, State.READY))
COMMANDS: Final = {
    each.value: each
    for each in (
        Input.CONNECT,
        Input.RELEASE_STREAM,
        Input.FC_PUBLISH,
        Input.CREATE_STREAM,
        Input.PUBLISH,
        Input.FC_UNPUBLISH,
        Input.CLOSE_STREAM,
        Input.DELETE_STREAM,
        Input.PLAY,
    )
}
