"""Handshake, chunks and sessions."""

from typing import Any

from livereel.amf import amf0
from livereel.amf.values import AmfError
from livereel.domain.media import Tag
from livereel.flv.marks import parse_mark
from livereel.rtmp import demuxer
from livereel.rtmp.chunks import BUFFER_MAX, CHUNK_STREAMS_MAX, MESSAGE_MAX, ChunkWriter
from livereel.rtmp.chunks import ChunkReader as PythonReader
from livereel.rtmp.errors import ProtocolError
from livereel.rtmp.events import Closed, Event, Media, PublishEnded, PublishRequested
from livereel.rtmp.handshake import C0_C1_SIZE, C2_SIZE
from livereel.rtmp.payloads import aggregate_messages, parse_command, script_tag
from livereel.rtmp.session import HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, SETUP_TIMEOUT, Session
from livereel.rtmp.states import OVER, State
from tests.fuzz.pieces import cuts

_HANDS = b"\x03" + bytes(C0_C1_SIZE - 1) + bytes(C2_SIZE)
_QUESTIONS = "too many questions"  # the one limit that depends on when answers are fetched


def handshake(data: bytes) -> None:
    """A connection from its first byte: the state and the answer are the same however the bytes arrive.

    Acknowledgements are not compared: they come once for each read that passes the window.
    """
    seen = []
    for pieces in cuts(data):
        session = Session()
        answers = bytearray()
        for piece in pieces:
            session.receive(piece, 1.0)
            answers += session.outgoing()
        if session.state in (State.HELLO, State.ECHO):
            assert len(session._hands) < max(C0_C1_SIZE, C2_SIZE)
        seen.append((session.state, bytes(answers[: C0_C1_SIZE + C2_SIZE])))
        session.tick(1.0)
        session.tick(2.0 + max(HANDSHAKE_TIMEOUT, SETUP_TIMEOUT, IDLE_TIMEOUT))
        assert session.state in OVER
    assert all(each == seen[0] for each in seen)


def _readers() -> list[Any]:
    try:
        return [PythonReader, demuxer.load("compiled")[1]]
    except ValueError:
        return [PythonReader]


_READERS = _readers()


def chunks(data: bytes) -> None:
    """Chunks to messages: the same for any cut and in both builds, within limits, and writable again."""
    seen = []
    for reader_class in _READERS:
        for pieces in cuts(data):
            reader = reader_class()
            messages = []
            for piece in pieces:
                if reader.failure is None:
                    messages += reader.feed(piece)
            seen.append((messages, str(reader.failure)))
            if reader_class is PythonReader:
                _check_reader(reader, len(data))
    assert all(each == seen[0] for each in seen)
    for message in seen[0][0]:
        assert len(message[3]) <= MESSAGE_MAX
    written = PythonReader()
    for chunk_stream in (3, 70, 400):
        writer = ChunkWriter()
        wire = b"".join(writer.write(chunk_stream, message) for message in seen[0][0])
        assert written.feed(wire) == seen[0][0], written.failure


def _check_reader(reader: PythonReader, fed: int) -> None:
    assert len(reader._streams) <= CHUNK_STREAMS_MAX
    if reader.failure is None:
        held = sum(len(stream.body) for stream in reader._streams.values())
        assert reader._buffered == held <= min(fed, BUFFER_MAX)
        assert len(reader._rest) < 18 + 4
    else:
        try:
            reader.feed(b"")
        except ProtocolError:
            pass
        else:
            raise AssertionError("a failed reader goes on")


def session(data: bytes) -> None:
    """What follows a handshake. The first byte of the input says whether a publish is admitted and how often it ticks.

    Up to the first request to publish, and after the answer to it, events do not depend on how the bytes arrive.
    """
    if not data:
        return
    admits, ticks, data = bool(data[0] & 1), data[0] >> 1 & 3, data[1:]
    first, consumed = _until_request(data)
    rest = data[consumed:]
    seen = []
    for pieces in cuts(rest) if rest else [[]]:
        subject = Session()
        events = subject.receive(_HANDS, 1.0)
        events += subject.receive(data[:consumed], 1.0)
        if any(isinstance(event, PublishRequested) for event in events):
            if admits:
                subject.accept_publish()
            else:
                subject.refuse_publish("no")
            events += subject.tick(1.0)
        for number, piece in enumerate(pieces):
            events += subject.receive(piece, 2.0)
            subject.outgoing()
            if ticks and number % ticks == 0:
                events += subject.tick(2.0)
        events += subject.disconnect("over")
        _check_events(events, subject)
        seen.append(_flat(events))
    assert all(each[:1] == first[:1] or first == [] for each in seen)
    requests = sum(1 for each in seen[0] if isinstance(each, PublishRequested))
    if requests < 2 and not any(_QUESTIONS in str(each) for some in seen for each in some):
        assert all(each == seen[0] for each in seen), seen


def _until_request(data: bytes) -> tuple[list[object], int]:
    """The events up to a publish request, and how many bytes it takes to get there (all, if none comes)."""
    subject = Session()
    events = subject.receive(_HANDS, 1.0)
    for at in range(0, len(data), 16):
        events += subject.receive(data[at : at + 16], 1.0)
        subject.outgoing()
        if any(isinstance(event, PublishRequested) for event in events):
            return _flat(events)[:1], min(at + 16, len(data))
    return [], 0


def _flat(events: list[Event]) -> list[object]:
    """Events with tags one by one, since those of one read come together."""
    flat: list[object] = []
    for event in events:
        flat += event.tags if isinstance(event, Media) else [event]
    return flat


def _check_events(events: list[Event], subject: Session) -> None:
    open_publish = False
    for number, event in enumerate(events):
        match event:
            case PublishRequested():
                assert not open_publish
                open_publish = True
            case Media():
                assert open_publish
                assert event.tags
                assert all(tag.payload for tag in event.tags)
                assert not any(parse_mark(tag) for tag in event.tags), "a stranger made a mark"
            case PublishEnded():
                assert open_publish
                open_publish = False
            case Closed():
                assert number == len(events) - 1, "something follows the end"
    assert sum(isinstance(event, Closed) for event in events) == 1
    assert subject.state in OVER


def payloads(data: bytes) -> None:
    """Commands, script data and aggregates, whatever message they come in."""
    for kind in (17, 20):
        try:
            command = parse_command(kind, 1, data)
        except (ProtocolError, AmfError):
            continue
        command.text(0), command.member("app")
        assert isinstance(command.transaction, float)
    for kind in (15, 18):
        tag = script_tag(kind, 5, data)
        assert tag is None or (tag.payload and parse_mark(Tag(tag.kind, tag.timestamp, tag.payload)) is None)
    try:
        found = aggregate_messages(7, 1, data)
    except ProtocolError:
        return
    assert sum(len(message[3]) + 15 for message in found) <= len(data) + 4
    assert all(message[0] in (8, 9, 18) and 0 <= message[1] < 1 << 32 for message in found)
    assert amf0.encode("name")
