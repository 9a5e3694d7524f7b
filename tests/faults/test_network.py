"""What networks do to a push: cut, stall, half-close, trickle. What arrived is recorded, and the encoder comes back.

All of it happens at the same time to streams of one server; each test looks at one of them.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO
from livereel.flv.codecs import is_sequence_header
from livereel.rtmp.chunks import ChunkReader
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in
from tests.faults.proxy import Passage, Proxy

#: Seconds. Nobody who takes part may be held up for as long by the machine.
IDLE_TIMEOUT = 10
BEFORE, AFTER = 25, 25  # packets that arrive at least before the fault, and after the return
HANDSHAKE = 1 + 2 * 1536  # bytes of C0, C1 and C2


def cut(passage: Passage, _: Encoder) -> None:
    passage.cut(patience=PATIENCE)


def half_open(passage: Passage, _: Encoder) -> None:
    passage.blackhole()


def stall(_: Passage, encoder: Encoder) -> None:
    encoder.hold()
    wait_until(lambda: encoder.held, PATIENCE, "an encoder to hold")


def half_close(passage: Passage, _: Encoder) -> None:
    passage.half_close()


def inside_a_message(passage: Passage, _: Encoder) -> None:
    passage.cut_inside(700)


@dataclass(frozen=True)
class Fault:
    """What is done to a push, and why the server says that the push is over."""

    strike: Callable[[Passage, Encoder], None]
    reason: str


SILENCE = f"nothing received for {IDLE_TIMEOUT} s"
HUNG_UP = "the publisher closed the connection"
FAULTS = {
    "cut": Fault(cut, "the connection broke: Connection reset by peer"),
    "half-open": Fault(half_open, SILENCE),
    "stall": Fault(stall, SILENCE),
    "half-close": Fault(half_close, HUNG_UP),
    "inside-a-message": Fault(inside_a_message, HUNG_UP),
}
#: Streams whose encoder stays away for longer than the merge window: their recording ends.
WINDOWS = {"comes-back": 300, "stays-away": 1}


@dataclass
class Outcome:
    """How it went for one stream: the packets that got through, and those in the files, by format.

    `acknowledged` is the packet that was to be sent next when START had been answered, and `stopped` how many of the
    last push had got through when STOP was sent, if it was while the push went on.
    """

    arrived: list[range]
    acknowledged: int
    stopped: int
    returned: bool
    tasks: list[dict[str, Any]]
    files: dict[str, list[list[int]]]
    said: list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, crew: Crew, numbered: Media) -> Iterator[dict[str, Outcome]]:
    """All stories, told at once."""
    receiver = Receiver()
    server = Instance(tmp_path_factory.mktemp("network"), receiver, LIVEREEL_RTMP__IDLE_TIMEOUT=str(IDLE_TIMEOUT))
    proxy: dict[str, Proxy] = {}
    stories = [(f"{fault}-{window}", FAULTS[fault], WINDOWS[window]) for fault in FAULTS for window in WINDOWS]
    try:
        server.set_up()

        def tell(story: tuple[str, Fault, int]) -> Outcome:
            name, fault, window = story
            proxy[name] = Proxy(lambda: server.rtmp_port)
            return interrupted(server, crew, numbered, proxy[name], name, fault, window)

        def tell_of_trickle() -> Outcome:
            proxy["trickle"] = Proxy(lambda: server.rtmp_port)
            return trickled(server, crew, numbered, proxy["trickle"])

        with ThreadPoolExecutor(len(stories) + 1) as pool:
            slow = pool.submit(tell_of_trickle)
            told = dict(zip((name for name, *_ in stories), pool.map(tell, stories), strict=True))
            told["trickle"] = slow.result()
        yield told
        server.check_logs()
    finally:
        for each in proxy.values():
            each.close()
        server.clean_up()
        receiver.close()


def interrupted(
    server: Instance, crew: Crew, media: Media, proxy: Proxy, name: str, fault: Fault, window: int
) -> Outcome:
    """A push that is struck, and the encoder that comes back while nobody has told the server of the end."""
    server.template(name, merge=window)
    first = Encoder(crew, media, lambda: proxy.port, name).start()
    server.start_when_live(name)
    acknowledged = first.sent
    wait_until(lambda: len(arrived_of(first, proxy, media)) >= BEFORE, PATIENCE, "media")
    passage = proxy.passages[-1]
    fault.strike(passage, first)
    if window > 1:
        return comes_back(server, crew, media, proxy, name, first, passage, acknowledged)
    server.wait_for_state(name, "completed")
    return outcome(server, media, name, [arrived(passage, first.pushes[-1].first, media)], acknowledged)


def comes_back(
    server: Instance,
    crew: Crew,
    media: Media,
    proxy: Proxy,
    name: str,
    first: Encoder,
    passage: Passage,
    acknowledged: int,
) -> Outcome:
    """Another connection, while the first may still look alive."""
    second = Encoder(crew, media, lambda: proxy.port, name, first=media.key_from(first.sent + 20)).start()
    wait_until(lambda: second.publishing and len(arrived_of(second, proxy, media)) >= AFTER, PATIENCE, "the return")
    stopped = len(arrived_of(second, proxy, media))
    assert server.control("STOP", name).status == 200
    server.wait_for_state(name, "completed")
    second.leave()
    ranges = [arrived(passage, first.pushes[-1].first, media), arrived_of(second, proxy, media)]
    return outcome(server, media, name, ranges, acknowledged, stopped=stopped)


def trickled(server: Instance, crew: Crew, media: Media, proxy: Proxy) -> Outcome:
    """A line that is so slow that no message comes in one piece, for longer than the idle timeout."""
    server.template("trickle")
    encoder = Encoder(crew, media, lambda: proxy.port, "trickle").start()
    server.start_when_live("trickle")
    acknowledged = encoder.sent
    passage = proxy.passages[-1]
    passage.trickle(100, 0.02)
    time.sleep(IDLE_TIMEOUT + 3)
    encoder.hold()
    passage.trickle(4096, 0)
    encoder.leave()
    server.wait_for_state("trickle", "completed")
    range_ = arrived_of(encoder, proxy, media)
    assert range_.stop == encoder.pushes[0].end
    return outcome(server, media, "trickle", [range_], acknowledged)


def arrived_of(encoder: Encoder, proxy: Proxy, media: Media) -> range:
    """What has arrived of the newest push, which goes through the newest passage."""
    if not encoder.pushes:  # the server has accepted it, and the encoder has not heard of that yet
        return range(0)
    return arrived(proxy.passages[-1], encoder.pushes[-1].first, media)


def arrived(passage: Passage, first: int, media: Media) -> range:
    """The numbers of the packets that the server's kernel was given whole."""
    found = ChunkReader().feed(passage.arrived()[HANDSHAKE:])
    packets = [
        payload
        for kind, _, _, payload in found
        if kind in (TAG_AUDIO, TAG_VIDEO) and not is_sequence_header(kind, payload)
    ]
    sent = [packet.tag.payload for packet in media.packets[first : first + len(packets)]]
    assert packets == sent
    return range(first, first + len(packets))


def outcome(
    server: Instance, media: Media, name: str, ranges: list[range], acknowledged: int, *, stopped: int = 0
) -> Outcome:
    tasks = server.tasks(name)
    files: dict[str, list[list[int]]] = {}
    for task in tasks:
        for file in server.files(task["id"]):
            files.setdefault(file["format"], []).append(sorted(numbers_in(server.path(file), media)))
    said = [event for event in server.events() if event.get("stream") == f"publish.example.com/live/{name}"]
    return Outcome(ranges, acknowledged, stopped, len(ranges) > 1, tasks, files, said)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("fault", FAULTS)
def test_everything_that_arrived_is_recorded(outcomes: dict[str, Outcome], fault: str, window: str) -> None:
    told = outcomes[f"{fault}-{window}"]
    assert set(told.files) == {"HLS", "FLV", "MP4"}
    first, *others = told.arrived
    for files in told.files.values():
        [numbers] = files  # one file: the window was honoured, or there was nothing more to come
        begin = numbers[0]
        assert begin in first
        assert begin <= max(told.acknowledged, first.start)
        of_first = [number for number in numbers if number in first]
        assert of_first == list(range(begin, first.stop))
        for other in others:
            rest = numbers[len(of_first) :]
            # STOP came while it was going on, and what had come by then was taken.
            assert rest == list(range(other.start, other.start + len(rest)))
            assert len(rest) >= told.stopped >= AFTER
    assert [task["state"] for task in told.tasks] == ["completed"]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_end_is_noticed_and_nobody_publishes_twice(outcomes: dict[str, Outcome], fault: str) -> None:
    for window in WINDOWS:
        told = outcomes[f"{fault}-{window}"]
        story = [event["event"] for event in told.said if event["event"] in ("publish", "publish_done")]
        assert story[: 2 + told.returned] == ["publish", "publish_done", "publish"][: 2 + told.returned], story
        ends = [event["reason"] for event in told.said if event["event"] == "publish_done"]
        assert ends[0] == FAULTS[fault].reason


def test_a_trickle_is_no_silence(outcomes: dict[str, Outcome]) -> None:
    told = outcomes["trickle"]
    [arrived_range] = told.arrived
    for files in told.files.values():
        [numbers] = files
        assert numbers == list(range(numbers[0], arrived_range.stop))
    assert [event["reason"] for event in told.said if event["event"] == "publish_done"] == ["FCUnpublish"]
