"""Pushes behind a live one: who takes over, with which tags, and what recordings are told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from livereel.domain.errors import PublishRefused
from livereel.domain.media import TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.streams.registry import StreamRegistry
from livereel.streams.standby import MARGIN, STANDBYS_MAX, TABLE, Role, Standby, Turn
from livereel.streams.stream import AUDIO_ONLY_AFTER, Stream
from tests.unit.media import HEADERS, KEY, NOW, PUBLISH, VIDEO_HEADER, audio, frame, gop, key_frame

SECOND = replace(PUBLISH, id="publish-2", client_ip="192.0.2.20")
THIRD = replace(PUBLISH, id="publish-3", client_ip="192.0.2.30")
OTHER_HEADERS = [tag._replace(payload=tag.payload + b"\0") if tag == VIDEO_HEADER else tag for tag in HEADERS]


class Sink:
    """Keeps what it gets."""

    congested = False

    def __init__(self) -> None:
        self.begun: list[tuple[list[Tag], float, str]] = []
        self.tags: list[Tag] = []

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        self.begun.append((list(headers), wall, publish))

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        assert self.begun
        self.tags += tags


class Pushes:
    """A live stream with a recording, and pushes behind it."""

    def __init__(self) -> None:
        self.registry = StreamRegistry()
        self.live = self.registry.open(KEY, PUBLISH, "project", NOW)
        self.sink = Sink()
        self.live.attach(self.sink, NOW)

    def behind(self, publish: object = SECOND) -> Standby:
        return self.registry.stand_by(self.live, publish, NOW)  # type: ignore[arg-type]


@pytest.fixture
def pushes() -> Pushes:
    return Pushes()


def seconds(first: int, last: int, *, offset: int = 0) -> list[list[Tag]]:
    """A group of pictures for each second, as tags stamped from `offset` (ms) on."""
    return [gop(offset + second * 1000) for second in range(first, last)]


def flat(groups: list[list[Tag]]) -> list[Tag]:
    return [tag for group in groups for tag in group]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("turn", list(Turn))
def test_every_role_with_every_turn(pushes: Pushes, role: Role, turn: Turn) -> None:
    standby = pushes.behind()
    standby.role = role
    act = standby.end if turn is Turn.END else lambda: standby.take_over(NOW)
    if turn in TABLE[role]:
        act()
        assert standby.role is TABLE[role][turn]
    else:
        with pytest.raises(KeyError):
            act()
        assert standby.role is role


def test_what_waits_is_not_recorded(pushes: Pushes) -> None:
    standby = pushes.behind()
    pushes.live.feed(HEADERS, NOW)
    standby.feed(OTHER_HEADERS, NOW)
    pushes.live.feed(gop(0), NOW + 1)
    standby.feed(gop(70_000), NOW + 1)
    assert pushes.sink.tags == gop(0)
    assert not standby.congested
    assert pushes.live.info(NOW + 1).client_ip == PUBLISH.client_ip


def test_another_encoder_goes_on_from_its_last_key_frame_before_the_break(pushes: Pushes) -> None:
    standby = pushes.behind()
    pushes.live.feed(HEADERS, NOW)
    standby.feed(OTHER_HEADERS, NOW)
    ours, others = seconds(0, 10), seconds(0, 10, offset=70_000)
    for second in range(10):
        if second < 5:
            pushes.live.feed(ours[second], NOW + second)
        standby.feed(others[second], NOW + second + 0.1)
    # The live push sent its last at NOW + 4; that is noticed much later.
    departure = pushes.registry.leave(pushes.live, NOW + 10)
    assert departure == (pushes.live, False, standby, False)
    assert (standby.role, pushes.registry.get(KEY)) == (Role.LIVE, pushes.live)
    begun_at = max(second for second in range(10) if second + 0.1 <= 4 - MARGIN)
    assert pushes.sink.tags == flat(ours[:5]) + flat(others[begun_at:])
    headers, wall, publish = pushes.sink.begun[1]
    assert headers == [tag._replace(timestamp=others[begun_at][0].timestamp) for tag in OTHER_HEADERS]
    assert (wall, publish) == (NOW + begun_at + 0.1, "publish-2")
    assert len(pushes.sink.begun) == 2

    standby.feed(gop(80_000), NOW + 10.5)  # from now on as any live stream
    assert pushes.sink.tags[-len(gop(0)) :] == gop(80_000)
    info = pushes.live.info(NOW + 10.5)
    assert (info.client_ip, info.started_at) == (SECOND.client_ip, SECOND.started_at)
    assert pushes.live.first_publish == PUBLISH


def test_the_same_tags_go_on_without_a_seam(pushes: Pushes) -> None:
    standby = pushes.behind()
    tags = [*HEADERS, *flat(seconds(0, 10))]
    half = len(tags) // 2 + 3  # within a group, video and audio cut at different times
    for start in range(0, len(tags), 7):
        pushes.live.feed(tags[start : min(start + 7, half)], NOW + start / 100)
        standby.feed(tags[start : start + 7], NOW + start / 100)
        if start + 7 >= half:
            break
    end = start + 7
    departure = pushes.registry.leave(pushes.live, NOW + 20)
    assert departure.seamless
    standby.feed(tags[end:], NOW + 21)
    assert pushes.sink.tags == tags[tags.index(key_frame(0)) :]
    assert len(pushes.sink.begun) == 1


def test_the_same_tags_that_come_later_go_on_without_a_seam(pushes: Pushes) -> None:
    standby = pushes.behind()
    tags = [*HEADERS, *flat(seconds(0, 10))]
    pushes.live.feed(tags[:60], NOW)
    standby.feed(tags[:50], NOW)
    assert pushes.registry.leave(pushes.live, NOW + 1).seamless
    for start in range(50, len(tags), 4):
        standby.feed(tags[start : start + 4], NOW + 2)
    assert pushes.sink.tags == tags[len(HEADERS) :]
    assert len(pushes.sink.begun) == 1


def test_the_same_stamps_do_not_make_the_same_tags(pushes: Pushes) -> None:
    standby = pushes.behind()
    tags = [*HEADERS, *flat(seconds(0, 10))]
    pushes.live.feed(tags, NOW)
    others = list(tags)
    last_key = max(at for at, tag in enumerate(tags) if tag.payload[:1] == b"\x17")
    others[last_key] = tags[last_key]._replace(payload=tags[last_key].payload + b"x")
    standby.feed(others, NOW)
    assert not pushes.registry.leave(pushes.live, NOW + 1).seamless
    assert pushes.sink.begun[1][2] == "publish-2"


def test_the_same_tags_over_the_end_of_the_clock(pushes: Pushes) -> None:
    standby = pushes.behind()
    tags = [tag._replace(timestamp=tag.timestamp % (1 << 32)) for tag in flat(seconds(0, 10, offset=(1 << 32) - 5000))]
    pushes.live.feed([*HEADERS, *tags[:52]], NOW)
    standby.feed([*HEADERS, *tags[:48]], NOW)
    assert pushes.registry.leave(pushes.live, NOW + 1).seamless
    standby.feed(tags[48:], NOW + 2)
    assert pushes.sink.tags == tags


def test_a_ring_reaches_back_to_the_silence_of_the_live_push_and_no_further(pushes: Pushes) -> None:
    standby = pushes.behind()
    pushes.live.feed(HEADERS, NOW)
    standby.feed(HEADERS, NOW)
    for second in range(20):
        pushes.live.feed(gop(second * 1000), NOW + second)
        standby.feed(gop(second * 1000 + 50), NOW + second)
    assert len(standby._own.groups()) <= 2 + MARGIN
    for second in range(20, 50):  # half a minute of silence, which is when a session times out
        standby.feed(gop(second * 1000 + 50), NOW + second)
    pushes.registry.leave(pushes.live, NOW + 50)
    keys = [tag.timestamp for tag in pushes.sink.tags if tag.payload[:1] == b"\x17" and tag.timestamp % 1000 == 50]
    assert keys == [second * 1000 + 50 for second in range(18, 50)]


def test_without_a_key_frame_recordings_wait_for_one(pushes: Pushes) -> None:
    standby = pushes.behind()
    waiting = Sink()
    pushes.live.feed(HEADERS, NOW)
    pushes.live.feed(gop(0), NOW + 1)
    standby.feed([*OTHER_HEADERS, frame(5), audio(6)], NOW + 1)
    pushes.registry.leave(pushes.live, NOW + 2)
    pushes.live.attach(waiting, NOW + 2)
    standby.feed([frame(45), key_frame(85), audio(90)], NOW + 3)
    assert pushes.sink.tags == [*gop(0), key_frame(85), audio(90)]
    assert waiting.tags == [key_frame(85), audio(90)]
    assert [publish for _, _, publish in pushes.sink.begun] == ["", "publish-2"]
    assert [publish for _, _, publish in waiting.begun] == [""]


def test_a_recording_that_waits_begins_with_the_ring_of_the_next(pushes: Pushes) -> None:
    waiting = Sink()
    standby = pushes.behind()
    pushes.live.feed([*HEADERS, frame(0)], NOW)
    pushes.live.attach(waiting, NOW)
    standby.feed([*HEADERS, *gop(1000)], NOW)
    pushes.registry.leave(pushes.live, NOW + 1)
    assert waiting.tags == gop(1000)
    assert waiting.begun[0][2] == ""


def test_without_a_recording_the_ring_goes_on() -> None:
    registry = StreamRegistry()
    live = registry.open(KEY, PUBLISH, "project", NOW)
    standby = registry.stand_by(live, SECOND, NOW)
    live.feed([*HEADERS, *gop(0)], NOW)
    standby.feed([*HEADERS, *gop(9000)], NOW)
    registry.leave(live, NOW + 1)
    standby.feed([frame(9400)], NOW + 2)
    sink = Sink()
    live.attach(sink, NOW + 3)
    assert sink.tags == [*gop(9000), frame(9400)]
    assert len(sink.begun) == 1


def test_taps_see_the_next_push(pushes: Pushes) -> None:
    tap = Sink()
    standby = pushes.behind()
    pushes.live.feed([*HEADERS, *gop(0)], NOW)
    pushes.live.tap(tap, NOW)
    pushes.live.feed(gop(200), NOW + 1)
    standby.feed([*HEADERS, *gop(9000)], NOW)
    pushes.registry.leave(pushes.live, NOW + 2)
    assert tap.tags == [*gop(200), *gop(9000)]


def test_audio_goes_on_too() -> None:
    registry = StreamRegistry()
    live = registry.open(KEY, PUBLISH, "project", NOW)
    sink = Sink()
    live.attach(sink, NOW)
    standby = registry.stand_by(live, SECOND, NOW)
    live.feed([HEADERS[2], audio(0)], NOW + AUDIO_ONLY_AFTER)
    standby.feed([HEADERS[2], audio(7)], NOW + AUDIO_ONLY_AFTER)
    registry.leave(live, NOW + 3)
    standby.feed([audio(30)], NOW + 3.1)
    assert sink.tags == [audio(0), audio(30)]


def test_pushes_take_over_in_order_of_arrival(pushes: Pushes) -> None:
    second, third = pushes.behind(SECOND), pushes.behind(THIRD)
    assert pushes.registry.leave(pushes.live, NOW + 1).successor is second
    fourth = pushes.behind(replace(PUBLISH, id="publish-4"))  # the first, which came back
    assert pushes.registry.leave(third, NOW + 2) == (pushes.live, False, None, False)  # left while it waited
    assert pushes.registry.leave(second, NOW + 3).successor is fourth
    assert pushes.registry.get(KEY) is pushes.live
    assert pushes.registry.leave(fourth, NOW + 4) == (pushes.live, True, None, False)
    assert pushes.registry.get(KEY) is None


def test_not_too_many_wait(pushes: Pushes) -> None:
    for _ in range(STANDBYS_MAX):
        pushes.behind()
    with pytest.raises(PublishRefused, match="wait behind"):
        pushes.behind()


def test_a_live_stream_alone_remembers_nothing() -> None:
    live = Stream(KEY, PUBLISH, "project", NOW)
    live.feed([*HEADERS, *gop(0)], NOW)
    assert not list(live.tail())


def test_script_data_does_not_stop_a_seamless_change(pushes: Pushes) -> None:
    standby = pushes.behind()
    cue = Tag(TAG_SCRIPT, 700, b"\x02\x00\x03cue\x05")
    tags = [*HEADERS, *gop(0), *gop(200), cue, *gop(400)]
    pushes.live.feed(tags[:-12], NOW)
    standby.feed(tags, NOW)
    assert pushes.registry.leave(pushes.live, NOW + 1).seamless
    assert [tag for tag in pushes.sink.tags if tag.kind == TAG_VIDEO] == [
        tag for tag in tags if tag.kind == TAG_VIDEO and tag != VIDEO_HEADER
    ]
