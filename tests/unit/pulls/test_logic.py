"""The parts of pull workers that need neither sockets nor libav."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.pulls import events
from livereel.pulls.events import Alarm, Failed, FileStarted, Finished, Position, Progress, PullSpec, Started
from livereel.pulls.net import place, redacted, rtmp_names
from livereel.pulls.relay import RedirectRefused, RtspAnswers
from livereel.pulls.timeline import STEP, OutputClock


def test_pieces_follow_each_other() -> None:
    clock = OutputClock()
    assert [clock.place("video", dts) for dts in (5000, 5040, 5080)] == [0, 40, 80]
    assert clock.place("audio", 4990) == 0  # earlier than the first key frame: not before the beginning
    assert clock.end == 120
    clock.new_piece()
    assert [clock.place("video", dts) for dts in (0, 40)] == [120, 160]
    assert clock.place("audio", 10) == 130


def test_a_jump_of_the_source_is_no_gap() -> None:
    clock = OutputClock()
    assert [clock.place("video", dts) for dts in (0, 40, 90_000_000, 90_000_040)] == [0, 40, 80, 120]
    assert clock.place("video", 7) == 160  # and back again


def test_small_steps_are_kept() -> None:
    clock = OutputClock()
    assert [clock.place("video", dts) for dts in (0, 3000, 2990, 3040)] == [0, 3000, 3000, 3040]


def test_one_frame_lasts_as_long_as_it_says() -> None:
    clock = OutputClock()
    clock.place("video", 0, 33)
    assert clock.end == 33
    clock = OutputClock()
    clock.place("video", 0)
    assert clock.end == STEP


@given(
    st.lists(st.tuples(st.sampled_from(["video", "audio"]), st.integers(-(2**40), 2**40), st.booleans()), max_size=60)
)
def test_output_times_never_go_back(packets: list[tuple[str, int, bool]]) -> None:
    clock = OutputClock()
    last: dict[str, int] = {}
    for track, dts, new in packets:
        if new:
            clock.new_piece()
        at = clock.place(track, dts)
        assert at >= last.get(track, 0)
        last[track] = at


@pytest.mark.parametrize(
    "event",
    [
        Started(),
        FileStarted(1, "https://h/a.mp4", 2),
        Progress(Position(1, 2.5, 3), 10.0),
        Alarm("why"),
        Finished(),
        Failed("why", "destination", fatal=True),
    ],
)
def test_events_travel(event: events.PullEventMessage) -> None:
    assert events.from_json(events.to_json(event)) == event


def test_specs_travel() -> None:
    spec = PullSpec("t", False, ("https://h/a",), "rtmp://h/a/s", "rtmp://d/a", True, 3, Position(1, 2.0, 1), ("::1",))
    assert PullSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"kind":"Nonsense"}', '{"kind":"Progress"}', '{"kind":"Failed"}'])
def test_nonsense_is_no_event(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        events.from_json(line)


def test_places() -> None:
    where = place("rtmp://us%40er:pw@Example.com/live/a/cam?k=a/b&c")
    assert (where.scheme, where.host, where.port, where.authority) == ("rtmp", "example.com", 1935, "Example.com")
    assert (where.user, where.password, where.tls) == ("us@er", "pw", False)
    assert rtmp_names(where) == ("live/a", "cam?k=a/b&c")
    assert place("https://h").target == "/"
    assert place("rtmps://h:8443/a/s").port == 8443
    assert place("http://[::1]:80/x").host == "::1"
    assert redacted("https://user:pw@h:1/a/b?secret=1") == "https://h:1/a/b"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "concat:a|b", "tcp://h:1", "http://", "pipe:0", "crypto+http://h/a"]
)
def test_other_protocols(url: str) -> None:
    with pytest.raises(ValueError, match=r"protocol|host"):
        place(url)


RTSP = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nv=0\n"
FRAME = b"$\x00\x00\x0aRTSP/1.0 3"


@given(st.lists(st.integers(1, 200), max_size=20))
def test_rtsp_answers_and_media_pass(cuts: list[int]) -> None:
    data, answers = (RTSP + FRAME) * 4, RtspAnswers()
    at = 0
    for cut in [*cuts, len(data)]:
        answers.check(data[at : at + cut])
        at += cut


@given(st.integers(1, 80))
def test_rtsp_redirects_are_found(step: int) -> None:
    data = RTSP + FRAME + b"RTSP/1.0 302 Found\r\nLocation: rtsp://10.0.0.1/\r\n\r\n"
    answers = RtspAnswers()
    with pytest.raises(RedirectRefused, match="302"):
        for at in range(0, len(data), step):
            answers.check(data[at : at + step])


def test_what_is_not_rtsp() -> None:
    with pytest.raises(RedirectRefused, match="does not speak"):
        RtspAnswers().check(b"x" * 70_000)
