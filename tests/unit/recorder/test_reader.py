"""The reader set up from a checkpoint goes on as if nothing had happened, wherever the checkpoint was taken."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import encode_mark
from livereel.flv.script import encode_script
from livereel.recorder.packets import Packet
from livereel.recorder.reader import TaskReader

AVC_HEADER = b"\x17\x00\x00\x00\x00\x01\x42\xc0\x0d\xff\xe0\x00"
AAC_HEADER = b"\xaf\x00\x11\x90"
HEADERS = [Tag(TAG_VIDEO, 0, AVC_HEADER), Tag(TAG_AUDIO, 0, AAC_HEADER)]
WALL = 1_784_614_528.0

Feed = list[tuple[SpoolPosition, Tag]]


def placed(tags: list[Tag]) -> Feed:
    feed, offset = [], 13
    for tag in tags:
        feed.append((SpoolPosition(1, offset), tag))
        offset += 15 + len(tag.payload)
    return feed


def frame(timestamp: int, *, key: bool = False, composition: int = 0) -> Tag:
    head = (b"\x17" if key else b"\x27") + b"\x01" + composition.to_bytes(3, signed=True)
    return Tag(TAG_VIDEO, timestamp, head + b"frame %d" % timestamp)


def sound(timestamp: int) -> Tag:
    return Tag(TAG_AUDIO, timestamp, b"\xaf\x01sound %d" % timestamp)


def begin(wall: float = WALL, name: str = "p1") -> Tag:
    return encode_mark(wall, name, "begin")


def read(tags: list[Tag]) -> tuple[TaskReader, list[Packet]]:
    reader = TaskReader()
    packets = [packet for position, tag in placed(tags) for packet in reader.feed(position, tag)]
    return reader, packets + list(reader.finish())


def test_frames_become_packets() -> None:
    reader, packets = read([begin(), *HEADERS, frame(1000, key=True, composition=67), sound(1010), frame(1033)])
    assert [(packet.kind, packet.dts, packet.composition, packet.is_key) for packet in packets] == [
        (TAG_VIDEO, 0, 67, True),
        (TAG_AUDIO, 10, 0, False),
        (TAG_VIDEO, 33, 0, False),
    ]
    assert packets[0].payload[packets[0].data_start : packets[0].data_end] == b"frame 1000"
    assert packets[1].payload[packets[1].data_start : packets[1].data_end] == b"sound 1010"
    assert reader.has_video
    assert reader.wall(33, 1) == pytest.approx(WALL + 0.033)


def test_frames_without_their_header_are_dropped_and_counted() -> None:
    reader, packets = read([begin(), frame(0, key=True), sound(5), HEADERS[0], frame(33, key=True)])
    assert [packet.dts for packet in packets] == [0]
    assert reader.counts.dropped == {
        "video before its sequence header": 1,
        "audio before its sequence header": 1,
    }


def test_unreadable_tags_are_counted() -> None:
    reader, packets = read([begin(), *HEADERS, Tag(TAG_VIDEO, 0, b""), Tag(TAG_SCRIPT, 0, b"\x99"), frame(0, key=True)])
    assert len(packets) == 1
    assert reader.counts.dropped == {"unreadable": 2}


def test_other_script_data_goes_with_the_next_frame() -> None:
    cue = Tag(TAG_SCRIPT, 33, encode_script("onCuePoint", {"name": "goal"}))
    _, packets = read([begin(), *HEADERS, frame(0, key=True), cue, frame(33)])
    assert [[tag for _, tag in packet.extras] for packet in packets] == [[], [cue]]


def test_new_publish_forgets_the_tracks_and_knows_the_gap() -> None:
    reader, packets = read(
        [begin(), *HEADERS, frame(0, key=True), frame(40), begin(WALL + 10, "p2"), HEADERS[0], frame(5, key=True)]
    )
    assert [(packet.publish, packet.dts) for packet in packets] == [(1, 0), (1, 40), (2, 80)]
    assert reader.publish_gap == pytest.approx(9.92)
    assert reader.track(TAG_AUDIO) is None
    assert reader.wall(80, 2) == pytest.approx(WALL + 10)
    assert reader.wall(40, 1) == pytest.approx(WALL + 0.04)


def test_wall_clock_is_followed_again_when_it_drifts_away() -> None:
    tags = [begin(), *HEADERS, frame(0, key=True)]
    for second in range(1, 40):
        # The encoder's clock loses a tenth of every second.
        tags += [encode_mark(WALL + second, "p1", "time"), frame(second * 900, key=True)]
    reader, _ = read(tags)
    assert reader.wall(39 * 900, 1) == pytest.approx(WALL + 39, abs=2.01)
    assert abs(reader.counts.wall_drift) > 1


tags_of_all_sorts = st.lists(
    st.one_of(
        st.builds(frame, st.integers(0, 5000), key=st.booleans(), composition=st.integers(-100, 200)),
        st.builds(sound, st.integers(0, 5000)),
        st.just(begin(WALL + 60, "p2")),
        st.just(encode_mark(WALL + 5, "p1", "time")),
        st.sampled_from(HEADERS),
        st.just(Tag(TAG_AUDIO, 0, b"\xaf\x00\x12\x10")),
        st.just(Tag(TAG_SCRIPT, 7, encode_script("onCuePoint", {"name": "x"}))),
        st.just(Tag(TAG_VIDEO, 7, b"\x57\x00")),
        st.just(Tag(TAG_VIDEO, 7, b"\xd4hvc1meta")),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(tags_of_all_sorts, st.integers(0, 1000))
def test_checkpoint_anywhere_changes_nothing(tags: list[Tag], seed: int) -> None:
    feed = placed([begin(), *HEADERS, *tags])
    straight = TaskReader()
    expected: list[tuple[Packet, int, bool, float]] = []
    checkpoints = []

    def note(reader: TaskReader, packet: Packet) -> tuple[Packet, int, bool, float]:
        return packet, reader.publish, reader.has_video, reader.wall(packet.dts, packet.publish)

    for position, tag in feed:
        for packet in straight.feed(position, tag):
            checkpoints.append((len(expected), *straight.checkpoint(packet)))
            expected.append(note(straight, packet))
    for packet in straight.finish():
        checkpoints.append((len(expected), *straight.checkpoint(packet)))
        expected.append(note(straight, packet))

    for index, start, state in random.Random(seed).sample(checkpoints, min(5, len(checkpoints))):
        reader = TaskReader.from_checkpoint(json.loads(json.dumps(state)))
        again = [
            note(reader, packet)
            for position, tag in feed
            if start is None or position >= start
            for packet in reader.feed(position, tag)
        ]
        again += [note(reader, packet) for packet in reader.finish()]
        assert again == expected[index:]
        assert reader.counts == straight.counts
