"""One publisher's connection, from the first byte to the last.

Theory of operation: what arrives is an `Input` (a handshake part, a command, media, a call of our owner, a timeout).
`states.TABLE` says for every state which inputs are allowed and which state follows; an input that is missing there
is a protocol error, and nothing but `_step` changes the state. What a command makes us answer stands in `_ANSWERS`.
Any fault leads to ERROR, where the session stays.

The owner calls `receive` and `tick`, acts on the events they return, and sends what `outgoing` returns.
No exception leaves these calls because of anything the peer sends.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from livereel.amf import amf0
from livereel.amf.values import AmfError, Value
from livereel.domain.media import Tag
from livereel.rtmp import handshake, messages
from livereel.rtmp.chunks import BUFFER_MAX, ChunkWriter, Message
from livereel.rtmp.demuxer import ChunkReader
from livereel.rtmp.errors import ProtocolError
from livereel.rtmp.events import Closed, Event, Media, PublishEnded, PublishRequested
from livereel.rtmp.payloads import Command, aggregate_messages, parse_command, script_tag
from livereel.rtmp.states import BEFORE_PUBLISH, COMMANDS, HOLDS_PUBLISH, OVER, SHAKING_HANDS, TABLE, Input, State
from livereel.rtmp.url import PublishTarget

HANDSHAKE_TIMEOUT: Final = 10.0  # seconds from the first byte to C2; two round trips, 1-2 s on bad mobile links
SETUP_TIMEOUT: Final = 30.0  # seconds from the first byte to publish: bounds peers that drip a byte at a time
IDLE_TIMEOUT: Final = 30.0  # seconds without a byte; encoders send audio every 20-40 ms


class Timeouts(NamedTuple):
    """Seconds that a peer may take: for the handshake, until publish, and without a byte."""

    handshake: float = HANDSHAKE_TIMEOUT
    setup: float = SETUP_TIMEOUT
    idle: float = IDLE_TIMEOUT


TIMEOUTS: Final = Timeouts()
SETUP_BYTES_MAX: Final = 256 * 1024  # before publish; real clients send 4-5 KiB, handshake included
SETUP_BUFFER_MAX: Final = 1024 * 1024  # unfinished messages before the publish is accepted
HELD_BYTES_MAX: Final = 4 * 1024 * 1024  # media sent ahead of the answer to publish: a few seconds of it
ANSWER_BYTES_MAX: Final = 64 * 1024  # not yet fetched by the owner: a peer that asks faster than we can tell
CHUNK_SIZE: Final = 60_000  # of what we send. ffmpeg takes it over for what it sends; SRS has sent this value for years
WINDOW: Final = 2_500_000  # bytes between acknowledgements until the peer says otherwise; common among servers
SERVER_VERSION: Final = "FMS/3,5,0,0"  # some hardware encoders parse it; the form is Adobe's

# For the hot path: local names are found faster than members, and this makes a Tag without a Python call.
_MEDIA: Final = frozenset((messages.AUDIO, messages.VIDEO))
_PUBLISHING: Final = State.PUBLISHING
_new_tag: Final = tuple.__new__

_CONTROL_STREAM: Final = 0
_SUCCESS: Final = "status"
_FAILURE: Final = "error"


class Session:
    """A publisher's session. Create it when the connection is accepted.

    Times are seconds of any clock that never goes back. `state` is for reading only.
    """

    def __init__(self, timeouts: Timeouts = TIMEOUTS) -> None:
        self.state = State.HELLO
        self._timeouts = timeouts
        self._reader = ChunkReader(SETUP_BUFFER_MAX)
        self._writer = ChunkWriter()
        self._outgoing = bytearray()
        self._events: list[Event] = []
        self._tags: list[Tag] = []
        self._held_bytes = 0
        self._hands = bytearray()
        self._started: float | None = None
        self._heard = 0.0
        self._received = 0
        self._acknowledged = 0
        self._window = WINDOW
        self._app = ""
        self._tc_url = ""
        self._stream_name = ""
        self._streams_created = 0
        self._stream_id = 0

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes that arrived at `now`. At most one Media event between other events, with all tags of `data`."""
        if self.state not in OVER:
            self._listen(now)
            self._received += len(data)
            try:
                if self.state in SHAKING_HANDS:
                    data = self._shake_hands(data)
                self._handle(self._reader.feed(data))
                if self._reader.failure is not None:
                    raise self._reader.failure
                self._check_budgets()
            except (ProtocolError, AmfError) as error:
                self._close(Input.FAULT, str(error))
            if self._received - self._acknowledged >= self._window:
                self._acknowledge()
        return self._collect()

    def tick(self, now: float) -> list[Event]:
        """Look at the time. Call it about once a second."""
        if self.state not in OVER:
            limits = self._timeouts
            started = self._started if self._started is not None else self._listen(now)
            if self.state in SHAKING_HANDS and now - started > limits.handshake:
                self._close(Input.TIMEOUT, f"no handshake within {limits.handshake:g} s")
            elif self.state in BEFORE_PUBLISH and now - started > limits.setup:
                self._close(Input.TIMEOUT, f"no publish within {limits.setup:g} s")
            elif now - self._heard > limits.idle:
                self._close(Input.TIMEOUT, f"nothing received for {limits.idle:g} s")
        return self._collect()

    def outgoing(self) -> bytes:
        """The bytes to send now; they are handed out once."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def accept_publish(self) -> None:
        """Let the publish begin. Media sent ahead of it comes with the next `receive` or `tick`.

        Does nothing if the request is gone by now. Raises RuntimeError if nothing was requested.
        """
        self._answer_publish(Input.ACCEPT)
        if self.state is not State.PUBLISHING:
            return
        self._reader.buffer_limit = BUFFER_MAX
        self._held_bytes = 0
        self._user_control(messages.STREAM_BEGIN, self._stream_id)
        self._invoke(_CONTROL_STREAM, "onFCPublish", 0, None, _info(_SUCCESS, "NetStream.Publish.Start", "publishing"))
        self._status(_SUCCESS, "NetStream.Publish.Start", f"{self._stream_name} is now published")

    def refuse_publish(self, reason: str) -> None:
        """Tell the encoder `reason` and close. Closed comes with the next `receive` or `tick`.

        Raises RuntimeError if nothing was requested.
        """
        if self.state not in OVER:
            self._answer_publish(Input.REFUSE)
            self._status(_FAILURE, "NetStream.Publish.BadName", reason)
            self._events.append(Closed(reason))

    def cut(self, reason: str) -> list[Event]:
        """End the publish against the encoder's will, tell it why, and close."""
        return self._hang_up("NetStream.Publish.Denied", reason)

    def shutdown(self, reason: str) -> list[Event]:
        """Tell the peer that we close, and why."""
        return self._hang_up("NetConnection.Connect.Closed", reason)

    def disconnect(self, reason: str = "the peer closed the connection") -> list[Event]:
        """The connection is gone; whatever was read from it has been passed to `receive` before."""
        if self.state not in OVER:
            self._close(Input.DISCONNECT, reason)
        return self._collect()

    # --- the machine

    def _hang_up(self, code: str, reason: str) -> list[Event]:
        if self.state not in OVER:
            if self.state not in SHAKING_HANDS:
                self._status(_FAILURE, code, reason)
            self._close(Input.SHUTDOWN, reason)
        return self._collect()

    def _step(self, what: Input, reason: str) -> None:
        previous = self.state
        following = TABLE[previous].get(what)
        if following is None:
            raise ProtocolError(f"{what} while the session {previous}")
        self.state = following
        if previous in HOLDS_PUBLISH and following not in HOLDS_PUBLISH and what is not Input.REFUSE:
            if previous is State.PUBLISHING:
                self._flush()
            self._tags = []
            self._held_bytes = 0
            self._events.append(PublishEnded(reason))

    def _close(self, what: Input, reason: str) -> None:
        self._step(what, reason)
        self._events.append(Closed(reason))

    def _answer_publish(self, what: Input) -> None:
        if what not in TABLE[self.state]:
            raise RuntimeError(f"{what} of a publish while the session {self.state}")
        self._step(what, "refused")

    def _flush(self) -> None:
        if self._tags:
            self._events.append(Media(self._tags))
            self._tags = []

    def _collect(self) -> list[Event]:
        if self._tags and self.state is State.PUBLISHING:
            self._flush()
        events, self._events = self._events, []
        return events

    def _listen(self, now: float) -> float:
        self._heard = now
        if self._started is None:
            self._started = now
        return self._started

    def _check_budgets(self) -> None:
        if self.state in BEFORE_PUBLISH and self._received > SETUP_BYTES_MAX:
            raise ProtocolError(f"{self._received} bytes without a publish")
        if len(self._outgoing) > ANSWER_BYTES_MAX:
            raise ProtocolError("too many questions at once")

    # --- what arrives

    def _shake_hands(self, data: bytes) -> bytes:
        """Take the handshake's part of `data` and return what follows it."""
        hands = self._hands
        hands += data
        if self.state is State.HELLO:
            if hands:
                handshake.check_version(hands[0])
            if len(hands) < handshake.C0_C1_SIZE:
                return b""
            self._step(Input.C1, "")
            self._outgoing += handshake.answer(bytes(hands[: handshake.C0_C1_SIZE]))
            del hands[: handshake.C0_C1_SIZE]
        if len(hands) < handshake.C2_SIZE:
            return b""
        self._step(Input.C2, "")
        rest = bytes(hands[handshake.C2_SIZE :])
        hands.clear()
        return rest

    def _handle(self, received: list[Message]) -> None:
        for message in received:
            kind, timestamp, _, payload = message
            if kind in _MEDIA:
                if self.state is _PUBLISHING:
                    if payload:
                        self._tags.append(_new_tag(Tag, (kind, timestamp, payload)))
                else:
                    self._early_media(Tag(kind, timestamp, payload))
            else:
                handle = _HANDLERS.get(kind)
                if handle is not None:
                    handle(self, message)

    def _early_media(self, tag: Tag) -> None:
        self._step(Input.MEDIA, "")
        if self.state is State.REQUESTED and tag.payload:
            self._held_bytes += len(tag.payload)
            if self._held_bytes > HELD_BYTES_MAX:
                raise ProtocolError(f"more than {HELD_BYTES_MAX} bytes of media before the publish was accepted")
            self._tags.append(tag)

    def _script(self, message: Message) -> None:
        tag = script_tag(message[0], message[1], message[3])
        if tag is None:
            return
        if self.state is State.PUBLISHING:
            self._tags.append(tag)
        else:
            self._early_media(tag)

    def _aggregate(self, message: Message) -> None:
        self._handle(aggregate_messages(*message[1:]))

    def _user_control_message(self, message: Message) -> None:
        payload = message[3]
        if len(payload) >= 6 and int.from_bytes(payload[:2], "big") == messages.PING_REQUEST:
            self._user_control(messages.PING_RESPONSE, int.from_bytes(payload[2:6], "big"))

    def _window_message(self, message: Message) -> None:
        window = int.from_bytes(message[3][:4], "big")
        if window:
            self._window = window

    def _command_message(self, message: Message) -> None:
        command = parse_command(message[0], message[2], message[3])
        what = COMMANDS.get(command.name, Input.OTHER)
        if what is Input.DELETE_STREAM and self.state in HOLDS_PUBLISH and not self._names_published_stream(command):
            what = Input.OTHER
        before = self.state
        self._step(what, what.value)
        answer = _ANSWERS.get(what)
        if answer is not None:
            answer(self, command, before)

    def _names_published_stream(self, command: Command) -> bool:
        return not command.arguments or command.arguments[0] == self._stream_id

    # --- what is answered

    def _on_connect(self, command: Command, _before: State) -> None:
        self._app = command.member("app")
        self._tc_url = command.member("tcUrl")
        self._control(messages.WINDOW_ACK_SIZE, WINDOW.to_bytes(4, "big"))
        self._control(messages.SET_PEER_BANDWIDTH, WINDOW.to_bytes(4, "big") + b"\x02")
        self._control(messages.SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4, "big"))
        self._writer.chunk_size = CHUNK_SIZE
        info = _info(_SUCCESS, "NetConnection.Connect.Success", "Connection succeeded.")
        properties: dict[str, Value] = {"fmsVer": SERVER_VERSION, "capabilities": 31.0, "mode": 1.0}
        self._result(command, properties, {**info, "objectEncoding": 0.0})

    def _on_create_stream(self, command: Command, _before: State) -> None:
        self._streams_created += 1
        self._result(command, None, float(self._streams_created))

    def _on_publish(self, command: Command, _before: State) -> None:
        self._stream_id = command.stream_id
        self._stream_name = command.text(0)
        target = PublishTarget.parse(self._app, self._tc_url, self._stream_name)
        self._events.append(PublishRequested(target))

    def _on_unpublish(self, command: Command, before: State) -> None:
        if before in HOLDS_PUBLISH:
            self._reader.buffer_limit = SETUP_BUFFER_MAX
            self._invoke(_CONTROL_STREAM, "onFCUnpublish", 0, None, _info(_SUCCESS, "NetStream.Unpublish.Success", ""))
            self._status(_SUCCESS, "NetStream.Unpublish.Success", f"{self._stream_name} is now unpublished")
        if command.transaction:
            self._result(command, None, None)

    def _on_play(self, command: Command, _before: State) -> None:
        info = _info(_FAILURE, "NetStream.Play.Failed", "livereel records streams, it does not play them")
        self._invoke(command.stream_id, "onStatus", 0, None, info)

    def _on_other(self, command: Command, _before: State) -> None:
        # Answers to questions we never asked must not be answered in turn.
        if command.transaction and command.name not in ("_result", "_error"):
            self._result(command, None, None)

    def _result(self, command: Command, *values: Value) -> None:
        self._invoke(_CONTROL_STREAM, "_result", command.transaction, *values)

    def _status(self, level: str, code: str, description: str) -> None:
        self._invoke(self._stream_id, "onStatus", 0, None, _info(level, code, description))

    def _invoke(self, stream_id: int, name: str, transaction: float, *values: Value) -> None:
        chunk_stream = messages.STATUS_CHUNK_STREAM if stream_id else messages.COMMAND_CHUNK_STREAM
        message = (messages.COMMAND, 0, stream_id, amf0.encode(name, transaction, *values))
        self._outgoing += self._writer.write(chunk_stream, message)

    def _control(self, kind: int, payload: bytes) -> None:
        self._outgoing += self._writer.write(messages.CONTROL_CHUNK_STREAM, (kind, 0, 0, payload))

    def _user_control(self, event: int, number: int) -> None:
        self._control(messages.USER_CONTROL, event.to_bytes(2, "big") + number.to_bytes(4, "big"))

    def _acknowledge(self) -> None:
        self._acknowledged = self._received
        self._control(messages.ACKNOWLEDGEMENT, (self._received & 0xFFFFFFFF).to_bytes(4, "big"))


def _info(level: str, code: str, description: str) -> dict[str, Value]:
    return {"level": level, "code": code, "description": description}


_HANDLERS: Final[dict[int, Callable[[Session, Message], None]]] = {
    messages.USER_CONTROL: Session._user_control_message,
    messages.WINDOW_ACK_SIZE: Session._window_message,
    messages.DATA: Session._script,
    messages.DATA_AMF3: Session._script,
    messages.COMMAND: Session._command_message,
    messages.COMMAND_AMF3: Session._command_message,
    messages.AGGREGATE: Session._aggregate,
}

_ANSWERS: Final[dict[Input, Callable[[Session, Command, State], None]]] = {
    Input.CONNECT: Session._on_connect,
    Input.RELEASE_STREAM: Session._on_other,
    Input.FC_PUBLISH: Session._on_other,
    Input.CREATE_STREAM: Session._on_create_stream,
    Input.PUBLISH: Session._on_publish,
    Input.FC_UNPUBLISH: Session._on_unpublish,
    Input.CLOSE_STREAM: Session._on_unpublish,
    Input.DELETE_STREAM: Session._on_unpublish,
    Input.PLAY: Session._on_play,
    Input.OTHER: Session._on_other,
}
