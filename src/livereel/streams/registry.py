"""Which streams are live on this node."""

from livereel.domain.errors import PublishRefused
from livereel.domain.keys import StreamKey
from livereel.domain.messages import Publish
from livereel.observe import metrics
from livereel.streams.stream import Stream


class StreamRegistry:
    """At most one live stream per key."""

    def __init__(self) -> None:
        self._live: dict[StreamKey, Stream] = {}

    def open(self, key: StreamKey, publish: Publish, project_id: str, now: float) -> Stream:
        """A new live stream. Raises PublishRefused when the key is live already."""
        other = self._live.get(key)
        if other is not None:
            raise PublishRefused(f"{key} is being pushed already, from {other.publish.client_ip}; stop that push first")
        stream = self._live[key] = Stream(key, publish, project_id, now)
        metrics.live_streams.set(len(self._live))
        return stream

    def get(self, key: StreamKey) -> Stream | None:
        """The live stream of `key`."""
        return self._live.get(key)

    def close(self, stream: Stream) -> None:
        """`stream` is live no more; nothing happens when another has its key by now."""
        if self._live.get(stream.key) is stream:
            del self._live[stream.key]
            metrics.live_streams.set(len(self._live))

    def live(self) -> list[Stream]:
        """All live streams, the oldest first."""
        return list(self._live.values())
