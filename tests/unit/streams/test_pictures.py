"""Pictures out of a live stream: which frames are taken, and that nothing else notices."""

from livereel.domain.media import TAG_VIDEO, Tag, VideoCodec
from livereel.streams import pictures
from livereel.streams.pictures import CodedPicture, PictureTap
from livereel.streams.stream import Stream
from tests.unit.media import AUDIO_HEADER, HEADERS, KEY, NOW, PUBLISH, VIDEO_HEADER, audio, frame, gop, key_frame
from tests.unit.streams.test_stream import Sink


class Taker:
    """Takes one picture and lets go, as its user does."""

    def __init__(self, stream: Stream, after: int, now: float) -> None:
        self.found: list[CodedPicture | None] = []
        self._stream = stream
        self.tap = PictureTap(after, self._done)
        stream.tap(self.tap, now)

    def _done(self, picture: CodedPicture | None) -> None:
        self.found.append(picture)
        self._stream.untap(self.tap)


def new_stream() -> Stream:
    stream = Stream(KEY, PUBLISH, "project", NOW)
    stream.feed(HEADERS, NOW)
    return stream


def body(tag: Tag) -> bytes:
    return tag.payload[5:]


def test_the_last_key_frame_is_at_hand() -> None:
    stream = new_stream()
    stream.feed(gop(0), NOW)
    taker = Taker(stream, 0, NOW + 1)
    assert taker.found == [CodedPicture(VideoCodec.H264, VIDEO_HEADER.payload[5:], [body(key_frame(0))])]


def test_the_ring_stays_for_a_recording() -> None:
    stream = new_stream()
    stream.feed(gop(0), NOW)
    Taker(stream, 3, NOW + 1)
    sink = Sink()
    stream.attach(sink, NOW + 1)
    assert sink.tags == gop(0)


def test_while_it_is_recorded_the_next_key_frame_is_taken() -> None:
    stream = new_stream()
    stream.feed(gop(0), NOW)
    sink = Sink()
    stream.attach(sink, NOW)
    taker = Taker(stream, 0, NOW + 1)
    stream.feed([frame(300), audio(305)], NOW + 1)
    assert not taker.found
    stream.feed([frame(340), *gop(400), *gop(600)], NOW + 2)
    assert [found.frames for found in taker.found if found] == [[body(key_frame(400))]]
    assert sink.tags == [*gop(0), frame(300), audio(305), frame(340), *gop(400), *gop(600)]


def test_frames_after_the_key_frame() -> None:
    stream = new_stream()
    taker = Taker(stream, 2, NOW)
    stream.feed(gop(0, frames=2), NOW)
    assert not taker.found
    stream.feed([frame(80, 60), frame(120)], NOW + 1)
    assert taker.found[0] is not None
    assert [len(data) for data in taker.found[0].frames] == [95, 45, 55]
    assert len(taker.found) == 1


def test_a_short_group_gives_fewer_frames() -> None:
    stream = new_stream()
    taker = Taker(stream, 9, NOW)
    stream.feed([*gop(0, frames=3), *gop(200)], NOW)
    assert taker.found[0] is not None
    assert len(taker.found[0].frames) == 3


def test_a_new_header_ends_the_group() -> None:
    stream = new_stream()
    taker = Taker(stream, 9, NOW)
    stream.feed([*gop(0, frames=3), VIDEO_HEADER._replace(timestamp=200), key_frame(200)], NOW)
    assert taker.found[0] is not None
    assert len(taker.found[0].frames) == 3


def test_memory_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(pictures, "PICTURE_MAX_BYTES", 200)
    stream = new_stream()
    taker = Taker(stream, 9, NOW)
    stream.feed([key_frame(0, 105), frame(40, 105), frame(80, 105)], NOW)
    assert taker.found[0] is not None
    assert len(taker.found[0].frames) == 2
    huge = Taker(stream, 0, NOW)  # the ring's key frame fits
    assert huge.found[0] is not None
    stream.feed([key_frame(120, 300)], NOW)
    huge = Taker(stream, 0, NOW)
    assert huge.found == [None]


def test_video_that_cannot_be_read() -> None:
    stream = new_stream()
    stream.feed([Tag(TAG_VIDEO, 0, b"\x12unknown codec")], NOW)
    taker = Taker(stream, 0, NOW)
    assert taker.found == [None]


def test_audio_only_gives_nothing() -> None:
    stream = Stream(KEY, PUBLISH, "project", NOW)
    stream.feed([AUDIO_HEADER], NOW)
    taker = Taker(stream, 0, NOW)
    stream.feed([audio(0), audio(20)], NOW + 5)
    assert not taker.found
    stream.untap(taker.tap)


def test_many_taps_at_once() -> None:
    stream = new_stream()
    takers = [Taker(stream, after, NOW) for after in (0, 1, 2)]
    stream.feed(gop(0), NOW)
    assert [len(taker.found[0].frames) for taker in takers if taker.found[0]] == [1, 2, 3]
