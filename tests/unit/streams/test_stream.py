"""Streams: where recordings begin, what the ring holds, what the statistics say."""

import itertools
from collections.abc import Sequence

import pytest

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, AudioCodec, Tag, VideoCodec
from livereel.flv.codecs import is_sequence_header, is_video_keyframe
from livereel.flv.marks import encode_mark
from livereel.streams import ring as ring_module
from livereel.streams.headers import notable
from livereel.streams.stream import AUDIO_ONLY_AFTER, Stream
from tests.unit.media import (
    AUDIO_HEADER,
    HEADERS,
    KEY,
    METADATA,
    NOW,
    PUBLISH,
    VIDEO_HEADER,
    audio,
    frame,
    gop,
    key_frame,
)


class Sink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.congested = False
        self.begun: list[tuple[list[Tag], float]] = []
        self.tags: list[Tag] = []
        self.walls: list[float] = []

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        self.begun.append((list(headers), wall))

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        assert self.begun
        assert tags
        self.tags += tags
        self.walls.append(wall)


@pytest.fixture
def stream() -> Stream:
    return Stream(KEY, PUBLISH, "project", NOW)


def test_a_sink_begins_with_the_last_key_frame(stream: Stream) -> None:
    stream.feed(HEADERS, NOW)
    stream.feed(gop(0), NOW + 1)
    second = gop(200)
    stream.feed(second[:4], NOW + 2)
    stream.feed(second[4:], NOW + 3)
    sink = Sink()
    stream.attach(sink, NOW + 3.5)
    headers, wall = sink.begun[0]
    assert headers == [tag._replace(timestamp=200) for tag in HEADERS]
    assert wall == NOW + 2
    assert sink.tags == second
    stream.feed(gop(400), NOW + 4)
    assert sink.tags == second + gop(400)
    assert len(sink.begun) == 1


def test_without_a_key_frame_a_sink_waits_for_one(stream: Stream) -> None:
    stream.feed([*HEADERS, frame(0), audio(5)], NOW)
    sink = Sink()
    stream.attach(sink, NOW)
    stream.feed([frame(40), audio(45)], NOW + 10)
    assert not sink.begun
    stream.feed([frame(80), key_frame(120), audio(125)], NOW + 11)
    assert sink.begun == [([tag._replace(timestamp=120) for tag in HEADERS], NOW + 11)]
    assert sink.tags == [key_frame(120), audio(125)]


def test_headers_are_those_in_force_at_the_key_frame(stream: Stream) -> None:
    changed = VIDEO_HEADER._replace(payload=VIDEO_HEADER.payload + b"\0")
    stream.feed([*HEADERS, key_frame(0), changed._replace(timestamp=20)], NOW)
    sink = Sink()
    stream.attach(sink, NOW)
    assert sink.begun[0][0][1].payload == VIDEO_HEADER.payload
    assert sink.tags == [key_frame(0), changed._replace(timestamp=20)]


def test_a_header_right_before_the_key_frame_counts(stream: Stream) -> None:
    changed = VIDEO_HEADER._replace(payload=VIDEO_HEADER.payload + b"\0", timestamp=40)
    stream.feed([*HEADERS, key_frame(0), changed, key_frame(40)], NOW)
    sink = Sink()
    stream.attach(sink, NOW)
    assert sink.begun[0][0][1] == changed
    assert sink.tags == [key_frame(40)]


def test_audio_only_is_known_after_two_seconds_and_begins_with_its_first_audio(stream: Stream) -> None:
    stream.feed([AUDIO_HEADER, audio(0)], NOW)
    sink = Sink()
    stream.attach(sink, NOW + 0.1)
    stream.feed([audio(23)], NOW + 0.3)
    assert not sink.begun
    stream.feed([AUDIO_HEADER, audio(46), audio(69)], NOW + AUDIO_ONLY_AFTER)
    assert sink.begun == [([AUDIO_HEADER], NOW)]
    assert sink.tags == [audio(0), audio(23), AUDIO_HEADER, audio(46), audio(69)]
    late = Sink()
    stream.attach(late, NOW + 5)
    stream.feed([audio(92)], NOW + 5.1)
    assert late.tags == [audio(92)]
    assert sink.tags[-1] == audio(92)


def test_video_without_key_frame_never_counts_as_audio_only(stream: Stream) -> None:
    sink = Sink()
    stream.attach(sink, NOW)
    stream.feed([AUDIO_HEADER, frame(0), audio(0)], NOW)
    stream.feed([audio(5000)], NOW + 5)
    assert not sink.begun


def test_the_ring_is_bounded_in_bytes(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "RING_MAX_BYTES", 1000)
    stream.feed([*HEADERS, key_frame(0, 600), frame(40, 600), frame(80, 10)], NOW)
    stream.feed([frame(120, 10)], NOW + 1)
    sink = Sink()
    stream.attach(sink, NOW + 1)
    assert not sink.begun
    stream.feed([key_frame(160)], NOW + 2)
    assert sink.tags == [key_frame(160)]


def test_the_ring_is_bounded_in_seconds(stream: Stream) -> None:
    stream.feed([*HEADERS, key_frame(0)], NOW)
    stream.feed([frame(40)], NOW + ring_module.RING_MAX_SECONDS + 0.1)
    sink = Sink()
    stream.attach(sink, NOW + 21)
    assert not sink.begun


def test_the_ring_is_empty_while_a_sink_takes_the_tags_and_fills_again_after(stream: Stream) -> None:
    stream.feed([*HEADERS, key_frame(0)], NOW)
    first, second, third = Sink(), Sink(), Sink()
    stream.attach(first, NOW)
    stream.feed(gop(40), NOW)
    stream.attach(second, NOW)
    assert not second.begun  # nothing is kept twice: it begins with the next key frame
    stream.detach(first)
    stream.feed([frame(220), key_frame(240)], NOW)
    assert second.tags == [key_frame(240)]
    assert frame(220) not in first.tags
    stream.detach(second)
    stream.detach(second)
    stream.feed([frame(280), key_frame(320), frame(360)], NOW)
    stream.attach(third, NOW)
    assert third.tags == [key_frame(320), frame(360)]


def test_two_sinks_get_the_same(stream: Stream) -> None:
    one, two = Sink(), Sink()
    stream.attach(one, NOW)
    stream.attach(two, NOW)
    stream.feed([*HEADERS, *gop(0)], NOW)
    assert one.tags == two.tags == gop(0)
    two.congested = True
    assert stream.congested
    stream.detach(two)
    assert not stream.congested


def test_what_a_batch_holds_does_not_depend_on_where_it_is_split(stream: Stream) -> None:
    tags = [*HEADERS, frame(0), *gop(40), *gop(240), METADATA, *gop(440)]
    for split in range(len(tags) + 1):
        one = Stream(KEY, PUBLISH, "project", NOW)
        sink = Sink()
        one.attach(sink, NOW)
        one.feed(tags[:split], NOW)
        one.feed(tags[split:], NOW)
        assert sink.tags == tags[4:]
        assert one.stats.key_frames == 3


def test_empty_messages_and_forged_marks_are_dropped(stream: Stream) -> None:
    sink = Sink()
    stream.attach(sink, NOW)
    forged = encode_mark(0.0, "publish-2", "begin", 10)
    stream.feed([*HEADERS, key_frame(0), Tag(TAG_VIDEO, 5, b""), Tag(TAG_AUDIO, 5, b""), forged, frame(40)], NOW)
    assert sink.tags == [key_frame(0), frame(40)]


def test_tracks_and_metadata(stream: Stream) -> None:
    stream.feed([*HEADERS, *gop(0)], NOW)
    assert stream.video is not None
    assert stream.video.codec is VideoCodec.H264
    assert stream.video.header == VIDEO_HEADER.payload
    assert stream.audio is not None
    assert (stream.audio.codec, stream.audio.sample_rate, stream.audio.channels) == (AudioCodec.AAC, 48000, 2)
    assert stream.metadata["framerate"] == 30.0


def test_a_codec_without_header_is_known_from_its_first_tag(stream: Stream) -> None:
    stream.feed([Tag(TAG_AUDIO, 0, b"\x2f" + b"\xff\xfb\x90\x64" + bytes(100))], NOW)
    assert stream.audio is not None
    assert stream.audio.codec is AudioCodec.MP3


def test_headers_that_cannot_be_read_do_not_stop_the_stream(stream: Stream) -> None:
    broken = [
        Tag(TAG_VIDEO, 0, b"\x17\x00"),
        Tag(TAG_AUDIO, 0, b"\xaf\x00"),
        Tag(TAG_SCRIPT, 0, b"\x02\x00\x0aonMetaData\x03"),
    ]
    sink = Sink()
    stream.attach(sink, NOW)
    stream.feed([*broken, key_frame(0)], NOW)
    assert sink.tags == [key_frame(0)]


def test_rates(stream: Stream) -> None:
    # 25 frames/s of 5000 bytes is 1000 kbit/s, 50 audio frames/s of 200 bytes is 80 kbit/s.
    stream.feed(HEADERS, NOW)
    for second in range(10):
        tags = [frame(index * 40, 5000) for index in range(25)] + [audio(index * 20, 200) for index in range(50)]
        stream.feed(tags, NOW + 1 + second)
    info = stream.info(NOW + 10.2)
    assert (info.video_bitrate, info.audio_bitrate) == (1000, 80)
    assert (round(info.frame_rate), round(info.audio_frame_rate)) == (25, 50)
    assert (info.video_codec, info.audio_codec) == ("H264", "AAC")
    assert stream.stats.last_media_at == NOW + 10
    stalled = stream.info(NOW + 30)
    assert (stalled.video_bitrate, stalled.frame_rate) == (0, 0)


def test_notable_leaves_out_no_header_and_no_key_frame() -> None:
    for kind in (TAG_AUDIO, TAG_VIDEO):
        for first, second in itertools.product(range(256), range(256)):
            body = bytes((first, second)) + b"vc1\0\0\0\0"
            if is_sequence_header(kind, body) or (kind == TAG_VIDEO and is_video_keyframe(body)):
                assert notable([Tag(kind, 0, body)]) == [0], body


def test_notable_leaves_out_ordinary_frames_only() -> None:
    enhanced = [Tag(TAG_VIDEO, 0, b"\x90hvc1"), Tag(TAG_VIDEO, 0, b"\x91hvc1...."), Tag(TAG_VIDEO, 0, b"\xa1hvc1....")]
    tags = [*HEADERS, key_frame(0), frame(0), audio(0), Tag(TAG_VIDEO, 0, b""), Tag(TAG_AUDIO, 0, b""), *enhanced]
    assert notable(tags) == [0, 1, 2, 3, 6, 7, 8, 9]
    assert notable([Tag(TAG_AUDIO, 0, b"\x90mp4a"), Tag(TAG_AUDIO, 0, b"\x91mp4a"), Tag(TAG_SCRIPT, 0, b"\x02")]) == [
        0,
        2,
    ]
