"""Recordings that begin in the past: how far the ring reaches back, and what bounds it."""

import pytest

from livereel.streams import ring as ring_module
from livereel.streams.stream import Stream
from tests.unit.media import HEADERS, KEY, NOW, PUBLISH, frame, key_frame
from tests.unit.streams.test_stream import Sink


@pytest.fixture
def stream() -> Stream:
    """Ten groups of 2 s, the newest 1 s old at NOW + 20 - 1."""
    stream = Stream(KEY, PUBLISH, "project", NOW)
    stream.keep(6)
    stream.feed(HEADERS, NOW)
    for second in range(0, 20, 2):
        stream.feed([key_frame(second * 1000), frame(second * 1000 + 40)], NOW + second)
    return stream


@pytest.mark.parametrize(("pre_roll", "first"), [(0, 18), (0.5, 18), (1, 18), (1.5, 16), (3, 16), (6, 12), (60, 12)])
def test_it_begins_with_the_key_frame_at_or_before_the_wanted_time(stream: Stream, pre_roll: float, first: int) -> None:
    sink = Sink()
    stream.attach(sink, NOW + 19, pre_roll)
    headers, wall = sink.begun[0]
    assert wall == NOW + first
    assert headers[0].timestamp == first * 1000
    assert sink.tags[0] == key_frame(first * 1000)
    assert [tag.timestamp for tag in sink.tags] == [s * 1000 + d for s in range(first, 20, 2) for d in (0, 40)]
    assert sink.walls == [NOW + second for second in range(first, 20, 2)]


def test_bytes_bound_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "RING_MAX_BYTES", 2500)
    stream = Stream(KEY, PUBLISH, "project", NOW)
    stream.keep(60)
    stream.feed(HEADERS, NOW)
    for second in range(0, 20, 2):
        stream.feed([key_frame(second * 1000, 1000)], NOW + second)
    sink = Sink()
    stream.attach(sink, NOW + 19, 60)
    assert [tag.timestamp for tag in sink.tags] == [16_000, 18_000]
