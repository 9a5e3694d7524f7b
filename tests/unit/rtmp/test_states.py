"""Every state with everything that can happen in it."""

import pytest

from livereel.domain.media import TAG_VIDEO, Tag
from livereel.rtmp import messages
from livereel.rtmp.events import Closed, Media, PublishEnded, PublishRequested
from livereel.rtmp.session import IDLE_TIMEOUT, Session
from livereel.rtmp.states import HOLDS_PUBLISH, OVER, TABLE, Input, State
from livereel.testing.rtmp_client import PublisherBytes

FRAME = Tag(TAG_VIDEO, 0, b"\x17\x01\x00\x00\x00frame")


class Walk:
    """A session and its client, taken to a state and given an input."""

    def __init__(self) -> None:
        self.session = Session()
        self.client = PublisherBytes("live", "cam")

    def to(self, state: State) -> "Walk":
        for what in PATHS[state]:
            self.give(what)
        assert self.session.state is state
        self.session.outgoing()
        return self

    def give(self, what: Input):
        client, session = self.client, self.session
        if what is Input.ACCEPT:
            session.accept_publish()
            return session.tick(0.0)
        if what is Input.REFUSE:
            session.refuse_publish("refused")
            return session.tick(0.0)
        if what is Input.SHUTDOWN:
            return session.shutdown("shutdown")
        if what is Input.DISCONNECT:
            return session.disconnect()
        if what is Input.TIMEOUT:
            session.tick(0.0)
            return session.tick(IDLE_TIMEOUT + 1)
        wires = {
            Input.C1: client.hello,
            Input.C2: client.echo,
            Input.CONNECT: client.connect,
            Input.RELEASE_STREAM: lambda: client.command("releaseStream", 2, None, "cam"),
            Input.FC_PUBLISH: lambda: client.command("FCPublish", 3, None, "cam"),
            Input.CREATE_STREAM: lambda: client.command("createStream", 4, None),
            Input.PUBLISH: client.publish,
            Input.MEDIA: lambda: client.media([FRAME]),
            Input.FC_UNPUBLISH: lambda: client.command("FCUnpublish", 6, None, "cam"),
            Input.CLOSE_STREAM: lambda: client.command("closeStream", 0, None, stream_id=1),
            Input.DELETE_STREAM: lambda: client.command("deleteStream", 0, None, 1.0),
            Input.PLAY: lambda: client.command("play", 0, None, "cam"),
            Input.OTHER: lambda: client.command("somethingElse", 9, None),
            Input.FAULT: lambda: client.message(messages.COMMAND, b"\xff", chunk_stream=3),
        }
        return session.receive(wires[what](), 0.0)


PATHS = {
    State.HELLO: [],
    State.ECHO: [Input.C1],
    State.GREETED: [Input.C1, Input.C2],
    State.CONNECTED: [Input.C1, Input.C2, Input.CONNECT],
    State.READY: [Input.C1, Input.C2, Input.CONNECT, Input.CREATE_STREAM],
    State.REQUESTED: [Input.C1, Input.C2, Input.CONNECT, Input.CREATE_STREAM, Input.PUBLISH],
    State.PUBLISHING: [Input.C1, Input.C2, Input.CONNECT, Input.CREATE_STREAM, Input.PUBLISH, Input.ACCEPT],
    State.ENDED: [Input.C1, Input.C2, Input.CONNECT, Input.CREATE_STREAM, Input.PUBLISH, Input.FC_UNPUBLISH],
    State.CLOSED: [Input.SHUTDOWN],
    State.ERROR: [Input.C1, Input.C2, Input.CONNECT, Input.FAULT],
}
# During the handshake bytes have no meaning yet, so commands cannot be told from it.
UNTELLABLE = {
    State.HELLO: {Input.ACCEPT, Input.REFUSE, Input.C1, Input.SHUTDOWN, Input.DISCONNECT, Input.TIMEOUT},
    State.ECHO: {Input.ACCEPT, Input.REFUSE, Input.C2, Input.SHUTDOWN, Input.DISCONNECT, Input.TIMEOUT},
}
OWNERS = {Input.ACCEPT, Input.REFUSE}
HANDSHAKE = {Input.C1, Input.C2}
CASES = [
    (state, what)
    for state in State
    for what in Input
    if what in UNTELLABLE.get(state, set(Input)) and not (what in HANDSHAKE and state not in UNTELLABLE)
]


@pytest.mark.parametrize(("state", "what"), CASES, ids=lambda each: each.name)
def test_every_state_with_every_input(state, what):
    walk = Walk().to(state)
    expected = TABLE[state].get(what)
    if expected is None and what in OWNERS:
        with pytest.raises(RuntimeError):
            walk.give(what)
        assert walk.session.state is state
        return
    events = walk.give(what)
    if expected is None:
        expected = State.ERROR
    assert walk.session.state is expected

    kinds = [type(event) for event in events]
    assert kinds.count(Closed) == (expected in OVER and state not in OVER)
    assert (PublishRequested in kinds) == (expected is State.REQUESTED and what is Input.PUBLISH)
    leaves = state in HOLDS_PUBLISH and expected not in HOLDS_PUBLISH and what is not Input.REFUSE
    assert kinds.count(PublishEnded) == leaves
    assert (Media in kinds) == (state is State.PUBLISHING and what is Input.MEDIA)
    if Closed in kinds:
        assert kinds[-1] is Closed
    if expected is State.ERROR and what not in (Input.TIMEOUT, Input.FAULT) and state not in OVER:
        assert what.value in events[-1].reason
        assert state.value in events[-1].reason


def test_every_state_has_a_row_and_a_way_to_it():
    assert set(TABLE) == set(State) == set(PATHS)


def test_over_is_over():
    for state in OVER:
        assert set(TABLE[state].values()) == {state}


def test_every_state_can_end():
    for state in set(State) - OVER:
        for what in (Input.SHUTDOWN, Input.DISCONNECT, Input.TIMEOUT, Input.FAULT):
            assert TABLE[state][what] in OVER
