import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livereel.amf import amf0
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv import marks
from livereel.flv.tags import encode_tags
from livereel.rtmp import messages, session
from livereel.rtmp.chunks import ChunkReader, ChunkWriter
from livereel.rtmp.events import Closed, Media, PublishEnded, PublishRequested
from livereel.rtmp.session import Session
from livereel.rtmp.states import State
from livereel.rtmp.url import PublishTarget
from livereel.testing.rtmp_client import PublisherBytes

pytestmark = pytest.mark.usefixtures("each_build")
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

TAGS = [
    Tag(TAG_SCRIPT, 0, amf0.encode("onMetaData", {"width": 2.0})),
    Tag(TAG_VIDEO, 0, b"\x17\x00\x00\x00\x00header"),
    Tag(TAG_AUDIO, 0, b"\xaf\x00\x12\x10"),
    Tag(TAG_VIDEO, 0, b"\x17\x01\x00\x00\x00" + b"k" * 9000),
    Tag(TAG_AUDIO, 23, b"\xaf\x01a"),
    Tag(TAG_VIDEO, 40, b"\x27\x01\x00\x00\x00p"),
    Tag(TAG_VIDEO, 0x01000000, b"\x27\x01\x00\x00\x00late"),
]


def publisher(**options):
    return PublisherBytes("live", "cam", tc_url="rtmp://push.example.com/live", **options)


class Answers:
    """Reads what the session sends, as a client does."""

    def __init__(self, session_: Session) -> None:
        self._session = session_
        self._reader = ChunkReader()
        self._handshake = 1 + 2 * 1536

    def messages(self):
        data = self._session.outgoing()
        skipped = min(self._handshake, len(data))
        self._handshake -= skipped
        return self._reader.feed(data[skipped:])

    def commands(self):
        return [amf0.decode(payload) for kind, _, _, payload in self.messages() if kind == messages.COMMAND]


def publishing(client=None):
    client = client or publisher()
    live = Session()
    live.receive(client.opening(), 0.0)
    live.accept_publish()
    live.outgoing()
    assert live.state is State.PUBLISHING
    return live, client


def said(live):
    """The commands among what a session that was connected long ago sends now."""
    reader = ChunkReader()
    reader.feed(ChunkWriter().write(2, (messages.SET_CHUNK_SIZE, 0, 0, session.CHUNK_SIZE.to_bytes(4, "big"))))
    return [amf0.decode(payload) for kind, _, _, payload in reader.feed(live.outgoing()) if kind == messages.COMMAND]


def codes(commands):
    return [value["code"] for command in commands for value in command if isinstance(value, dict) and "code" in value]


def media(events):
    return [tag for event in events if isinstance(event, Media) for tag in event.tags]


def test_a_whole_publish_with_every_answer():
    live, client = Session(), publisher()
    answers = Answers(live)
    assert live.receive(client.hello(), 0.0) == []
    handshake = live.outgoing()
    assert len(handshake) == 1 + 2 * 1536
    assert handshake[0] == 3
    assert handshake[1 + 4 : 1 + 8] == bytes(4), "a version of 0 tells clients that there is no digest"
    assert handshake[1 + 1536 :] == client.hello()[1:]
    answers._handshake = 0

    assert live.receive(client.echo() + client.connect(), 0.1) == []
    connected = answers.messages()
    assert [kind for kind, *_ in connected] == [
        messages.WINDOW_ACK_SIZE,
        messages.SET_PEER_BANDWIDTH,
        messages.COMMAND,
    ], "Set Chunk Size is obeyed by the reader"
    name, transaction, _, info = amf0.decode(connected[-1][3])
    assert (name, transaction, info["code"]) == ("_result", 1.0, "NetConnection.Connect.Success")

    assert live.receive(client.create_stream(), 0.2) == []
    assert answers.commands() == [
        ["_result", 2.0, None, None],
        ["_result", 3.0, None, None],
        ["_result", 4.0, None, 1.0],
    ]

    target = PublishTarget("push.example.com", "push.example.com", "live", "cam", "")
    assert live.receive(client.publish(), 0.3) == [PublishRequested(target)]
    assert live.outgoing() == b""
    live.accept_publish()
    began = answers.messages()
    assert (began[0][0], began[0][3]) == (messages.USER_CONTROL, b"\x00\x00\x00\x00\x00\x01")
    assert amf0.decode(began[-1][3])[0] == "onStatus"
    assert amf0.decode(began[-1][3])[3]["code"] == "NetStream.Publish.Start"
    assert began[-1][2] == 1

    assert live.receive(client.media(TAGS), 0.4) == [Media(TAGS)]
    assert live.receive(client.closing(), 0.5) == [PublishEnded("FCUnpublish")]
    assert "NetStream.Unpublish.Success" in codes(answers.commands())
    assert live.disconnect() == [Closed("the peer closed the connection")]
    assert live.state is State.CLOSED


@RELAXED
@given(st.lists(st.integers(0, 40_000), max_size=12), st.sampled_from([128, 4096, 100_000]), st.booleans())
def test_any_split_gives_the_same_tags_and_events(cuts, chunk_size, eager):
    client = publisher(chunk_size=chunk_size)
    opening = client.opening()
    rest = client.media(TAGS) + client.closing()
    wire = opening + rest
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    if not eager:
        edges = sorted({*edges, len(opening)})
    live = Session()
    events = []
    for start, stop in itertools.pairwise(edges):
        for event in live.receive(wire[start:stop], 0.0):
            events.append(event)
            if isinstance(event, PublishRequested):
                live.accept_publish()
    if not eager:
        assert media(events) == TAGS
    others = [type(event) for event in events if not isinstance(event, Media)]
    assert others == [PublishRequested, PublishEnded]
    assert live.state is State.ENDED


def test_media_sent_ahead_of_the_answer_is_held():
    live, client = Session(), publisher()
    events = live.receive(client.opening() + client.media(TAGS[:3]), 0.0)
    assert [type(event) for event in events] == [PublishRequested]
    assert live.receive(client.media(TAGS[3:5]), 0.1) == []
    live.accept_publish()
    assert live.tick(0.2) == [Media(TAGS[:5])]
    assert live.receive(client.media(TAGS[5:]), 0.3) == [Media(TAGS[5:])]


def test_held_media_is_bounded():
    live, client = Session(), publisher()
    live.receive(client.opening(), 0.0)
    frame = Tag(TAG_VIDEO, 0, b"\x17\x01" + bytes(500_000))
    events = [event for _ in range(12) for event in live.receive(client.media([frame]), 0.1)]
    assert [type(event) for event in events] == [PublishEnded, Closed]
    assert "before the publish was accepted" in events[-1].reason


def test_a_refused_publish_says_why_and_closes():
    live = Session()
    answers = Answers(live)
    live.receive(publisher().opening(), 0.0)
    live.refuse_publish("no such domain")
    status = answers.commands()[-1]
    assert (status[0], status[3]["level"]) == ("onStatus", "error")
    assert (status[3]["code"], status[3]["description"]) == ("NetStream.Publish.BadName", "no such domain")
    assert live.tick(0.1) == [Closed("no such domain")]
    assert live.receive(b"more", 0.2) == []


def test_a_withdrawn_request_may_still_be_answered():
    for answer in (Session.accept_publish, lambda live: live.refuse_publish("late")):
        live, client = Session(), publisher()
        live.receive(client.opening(), 0.0)
        assert live.receive(client.closing(), 0.1) == [PublishEnded("FCUnpublish")]
        answer(live)
        assert live.state in (State.ENDED, State.CLOSED)
        gone = Session()
        gone.receive(client.opening(), 0.0)
        gone.disconnect()
        answer(gone)
        assert gone.state is State.CLOSED


@pytest.mark.parametrize("answer", [Session.accept_publish, lambda live: live.refuse_publish("no")])
def test_answering_what_nobody_asked_is_the_owners_bug(answer):
    with pytest.raises(RuntimeError):
        answer(Session())
    live, _ = publishing()
    with pytest.raises(RuntimeError):
        answer(live)


def test_the_same_connection_may_publish_again():
    live, client = publishing()
    assert [type(event) for event in live.receive(client.media(TAGS) + client.closing(), 1.0)] == [Media, PublishEnded]
    assert live.receive(client.media(TAGS), 1.1) == [], "media between publishes belongs to none"
    events = live.receive(client.create_stream() + client.publish(), 1.2)
    assert [type(event) for event in events] == [PublishRequested]
    live.accept_publish()
    assert live.receive(client.media(TAGS[3:5]), 1.3) == [Media(TAGS[3:5])]


def test_metadata_loses_its_envelope_and_marks_are_not_taken_from_outside():
    live, client = publishing()
    amf3_data = client.message(
        messages.DATA_AMF3, b"\x00" + amf0.encode("onTextData", {}), chunk_stream=5, timestamp=7, stream_id=1
    )
    forged = marks.encode_mark(1.0, "forged", marks.BEGIN)
    forget = client.message(messages.DATA, amf0.encode("@clearDataFrame", "onMetaData"), chunk_stream=5)
    assert live.receive(client.media([TAGS[0], forged]) + amf3_data + forget, 0.1) == [
        Media([TAGS[0], Tag(TAG_SCRIPT, 7, amf0.encode("onTextData", {}))])
    ]


def test_aggregates_are_taken_apart():
    live, client = publishing()
    inner = [
        Tag(TAG_AUDIO, 1000, b"\xaf\x01a"),
        Tag(TAG_VIDEO, 1010, b"\x27\x01v"),
        Tag(TAG_SCRIPT, 1020, b"\x02\x00\x01x"),
    ]
    aggregate = client.message(messages.AGGREGATE, encode_tags(inner), chunk_stream=6, timestamp=5000, stream_id=1)
    events = live.receive(aggregate, 0.1)
    assert [(tag.timestamp, tag.payload) for tag in media(events)] == [
        (5000, b"\xaf\x01a"),
        (5010, b"\x27\x01v"),
        (5020, b"\x02\x00\x01x"),
    ]
    torn = client.message(messages.AGGREGATE, encode_tags(inner)[:-8], chunk_stream=6, stream_id=1)
    assert [type(event) for event in live.receive(torn, 0.2)] == [PublishEnded, Closed]


def test_empty_media_messages_are_dropped():
    live, client = publishing()
    empty = [Tag(TAG_VIDEO, 0, b""), Tag(TAG_AUDIO, 0, b"")]
    assert live.receive(client.media(empty), 0.1) == []


def test_pings_are_answered():
    live, client = publishing()
    live.receive(client.message(messages.USER_CONTROL, b"\x00\x06\x01\x02\x03\x04", chunk_stream=2), 0.1)
    assert ChunkReader().feed(live.outgoing()) == [(messages.USER_CONTROL, 0, 0, b"\x00\x07\x01\x02\x03\x04")]
    live.receive(
        client.message(messages.USER_CONTROL, b"\x00\x03\x00\x00\x00\x01\x00\x00\x00\x05", chunk_stream=2), 0.1
    )
    live.receive(client.message(messages.USER_CONTROL, b"\x00", chunk_stream=2), 0.1)
    assert live.outgoing() == b""


def test_bytes_are_acknowledged_as_the_window_asks():
    live, client = publishing()
    live.receive(client.message(messages.WINDOW_ACK_SIZE, (10_000).to_bytes(4, "big"), chunk_stream=2), 0.1)
    live.outgoing()
    frame = client.media([Tag(TAG_VIDEO, 0, b"\x27\x01" + bytes(4000))])
    sent = 0
    acknowledged = []
    for _ in range(10):
        live.receive(frame, 0.2)
        sent += len(frame)
        acknowledged += [payload for kind, _, _, payload in ChunkReader().feed(live.outgoing()) if kind == 3]
    assert sent // 10_000 - 1 <= len(acknowledged) <= sent // 10_000 + 1
    numbers = [int.from_bytes(each, "big") for each in acknowledged]
    assert numbers == sorted(numbers)


def test_play_is_refused_and_the_publish_goes_on():
    live, client = publishing()
    live.receive(client.command("play", 0, None, "cam"), 0.1)
    assert codes(said(live)) == ["NetStream.Play.Failed"]
    assert live.state is State.PUBLISHING


def test_unknown_commands_get_an_empty_result_but_answers_get_none():
    live, client = publishing()
    live.receive(client.command("_checkbw", 9, None) + client.command("getStreamLength", 0, None), 0.1)
    assert said(live) == [["_result", 9.0, None, None]]
    live.receive(client.command("_result", 9, None) + client.command("_error", 9, None), 0.1)
    assert live.outgoing() == b""


def test_deleting_another_stream_ends_nothing():
    live, client = publishing()
    assert live.receive(client.command("deleteStream", 0, None, 7.0), 0.1) == []
    assert live.state is State.PUBLISHING
    assert live.receive(client.command("deleteStream", 0, None, 1.0), 0.1) == [PublishEnded("deleteStream")]


def test_commands_in_amf3_messages():
    live, client = Session(), publisher()
    connect = b"\x00" + amf0.encode("connect", 1.0, {"app": "live", "tcUrl": "rtmp://h/live"})
    live.receive(client.hello() + client.echo() + client.message(messages.COMMAND_AMF3, connect, chunk_stream=3), 0.0)
    assert live.state is State.CONNECTED


def test_unknown_message_types_are_skipped():
    live, client = publishing()
    odd = b"".join(client.message(kind, b"whatever", chunk_stream=7) for kind in (3, 6, 7, 16, 19, 99))
    assert live.receive(odd + client.media(TAGS), 0.1) == [Media(TAGS)]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "not RTMP"),
        (b"\x16\x03\x01", "not RTMP"),  # TLS
        (b"\x06" + bytes(10), "not RTMP"),  # RTMPE
    ],
)
def test_other_protocols_are_told_by_their_first_byte(wire, reason):
    live = Session()
    (closed,) = live.receive(wire, 0.0)
    assert isinstance(closed, Closed)
    assert reason in closed.reason
    assert live.outgoing() == b""
    assert live.state is State.ERROR


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        amf0.encode(5.0),
        amf0.encode("connect", "one"),
        b"\x02\x00\xff",
        b"\x0a\x00\x00\x00\x01" * 100,
        amf0.encode("connect", 1) + b"\x05" * 1001,
    ],
)
def test_bad_commands_end_the_session(payload):
    live, client = publishing()
    events = live.receive(client.media(TAGS) + client.message(messages.COMMAND, payload, chunk_stream=3), 0.1)
    assert [type(event) for event in events] == [Media, PublishEnded, Closed], "nothing before the fault is lost"
    assert media(events) == TAGS
    assert live.state is State.ERROR
    assert live.receive(client.media(TAGS), 0.2) == []
    assert live.tick(1000) == []
    assert live.disconnect() == []
    assert live.shutdown("x") == []


def test_a_fault_in_the_chunks_delivers_what_came_before():
    live, client = publishing()
    events = live.receive(client.media(TAGS) + b"\xff\xff\xff", 0.1)
    assert [type(event) for event in events] == [Media, PublishEnded, Closed]


@RELAXED
@given(st.binary(max_size=400), st.sampled_from(["handshake", "connect", "publish", "media"]), st.integers(0, 500))
def test_random_bytes_never_raise(data, after, cut):
    client = publisher()
    live = Session()
    if after != "handshake":
        live.receive(client.hello() + client.echo(), 0.0)
    if after in ("publish", "media"):
        live.receive(client.connect() + client.create_stream() + client.publish(), 0.0)
    if after == "media":
        live.accept_publish()
    events = live.receive(data[:cut], 0.1) + live.receive(data[cut:], 0.2)
    closed = [event for event in events if isinstance(event, Closed)]
    assert len(closed) == (live.state is State.ERROR)


@RELAXED
@given(st.data())
def test_damaged_conversations_never_raise(data):
    client = publisher()
    wire = bytearray(client.opening() + client.media(TAGS) + client.closing())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(3073, len(wire) - 1))
        what = data.draw(st.sampled_from(["change", "remove", "repeat"]))
        if what == "change":
            wire[at] = data.draw(st.integers(0, 255))
        elif what == "remove":
            del wire[at : at + data.draw(st.integers(1, 40))]
        else:
            wire[at:at] = wire[at : at + data.draw(st.integers(1, 40))]
    live = Session()
    for start in range(0, len(wire), 700):
        for event in live.receive(bytes(wire[start : start + 700]), 0.0):
            if isinstance(event, PublishRequested) and live.state is State.REQUESTED:
                live.accept_publish()
    live.tick(1.0)


def test_handshake_setup_and_idle_have_deadlines():
    silent = Session()
    assert silent.tick(100.0) == []
    assert silent.tick(109.9) == []
    assert [event.reason for event in silent.tick(110.1)] == ["no handshake within 10 s"]

    slow, client = Session(), publisher()
    slow.receive(client.hello() + client.echo(), 0.0)
    for second in range(1, 30):
        assert slow.receive(b"", float(second)) == []
        assert slow.tick(float(second)) == []
    assert [event.reason for event in slow.tick(30.1)] == ["no publish within 30 s"]

    live, client = publishing()
    assert live.receive(client.media(TAGS), 100.0) == [Media(TAGS)]
    assert live.tick(129.9) == []
    ended, closed = live.tick(130.1)
    assert isinstance(ended, PublishEnded)
    assert closed == Closed("nothing received for 30 s")
    assert live.state is State.ERROR


def test_bytes_before_publish_are_bounded():
    live, client = Session(), publisher()
    live.receive(client.hello() + client.echo() + client.connect(), 0.0)
    noise = client.message(99, bytes(4000), chunk_stream=7)
    events = [event for _ in range(100) for event in live.receive(noise, 0.1)]
    assert [type(event) for event in events] == [Closed]
    assert "without a publish" in events[0].reason


def test_questions_faster_than_the_owner_sends_answers_are_a_fault():
    live, client = publishing()
    ping = client.message(messages.USER_CONTROL, b"\x00\x06\x00\x00\x00\x00", chunk_stream=2)
    events = live.receive(ping * 5000, 0.1)
    assert [type(event) for event in events] == [PublishEnded, Closed]


def test_shutdown_tells_the_peer():
    live, client = publishing()
    live.receive(client.media(TAGS[:1]), 0.1)
    assert live.shutdown("the server is stopping") == [
        PublishEnded("the server is stopping"),
        Closed("the server is stopping"),
    ]
    (status,) = said(live)
    assert (status[3]["code"], status[3]["description"]) == ("NetConnection.Connect.Closed", "the server is stopping")
    fresh = Session()
    assert fresh.shutdown("bye") == [Closed("bye")]
    assert fresh.outgoing() == b""


def test_a_cut_publish_ends_with_a_status_of_its_stream():
    live, client = publishing()
    live.receive(client.media(TAGS[:1]), 0.1)
    reason = "the stream may not be pushed before 2026-08-01T00:00:00Z"
    assert live.cut(reason) == [PublishEnded(reason), Closed(reason)]
    (status,) = said(live)
    assert status[0] == "onStatus"
    assert status[3] == {"level": "error", "code": "NetStream.Publish.Denied", "description": reason}
    assert live.cut(reason) == []


def test_a_peer_that_announces_tiny_chunks_is_served():
    live, client = publishing(publisher(chunk_size=1))
    assert media(live.receive(client.media(TAGS), 0.1)) == TAGS


def test_the_answers_fit_the_chunk_size_we_announce():
    reader, live = ChunkReader(), Session()
    live.receive(publisher().opening(), 0.0)
    live.accept_publish()
    reader.feed(live.outgoing()[1 + 2 * 1536 :])
    assert reader.failure is None
    assert session.CHUNK_SIZE >= 4096
    assert ChunkWriter().chunk_size == 128
