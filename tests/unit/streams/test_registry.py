"""One live stream per key."""

from dataclasses import replace

import pytest

from livereel.domain.errors import PublishRefused
from livereel.domain.keys import StreamKey
from livereel.streams.registry import StreamRegistry
from tests.unit.media import KEY, NOW, PUBLISH


def test_a_second_publisher_is_refused_with_a_reason() -> None:
    registry = StreamRegistry()
    stream = registry.open(KEY, PUBLISH, "project", NOW)
    with pytest.raises(PublishRefused, match=r"live/camera1 is being pushed already, from 192\.0\.2\.10"):
        registry.open(KEY, replace(PUBLISH, id="publish-2"), "project", NOW)
    assert registry.get(KEY) is stream


def test_the_key_is_free_after_close() -> None:
    registry = StreamRegistry()
    old = registry.open(KEY, PUBLISH, "project", NOW)
    registry.close(old)
    assert registry.get(KEY) is None
    new = registry.open(KEY, PUBLISH, "project", NOW)
    registry.close(old)
    assert registry.get(KEY) is new


def test_live_lists_all() -> None:
    registry = StreamRegistry()
    keys = [KEY, StreamKey("a.example", "live", "x")]
    streams = [registry.open(key, PUBLISH, "project", NOW) for key in keys]
    assert registry.live() == streams
