"""Which streams are live on this node, and which pushes wait behind them."""

from typing import NamedTuple

from livereel.domain.errors import PublishRefused
from livereel.domain.keys import StreamKey
from livereel.domain.messages import Publish
from livereel.observe import metrics
from livereel.streams.standby import STANDBYS_MAX, Push, Role, Standby
from livereel.streams.stream import Stream


class Departure(NamedTuple):
    """What follows from the end of a push: whether its `stream` is over, else who took over, if it was live."""

    stream: Stream
    is_over: bool
    successor: Standby | None = None
    seamless: bool = False


class StreamRegistry:
    """At most one live stream per key, with pushes behind it in order of arrival."""

    def __init__(self) -> None:
        self._live: dict[StreamKey, Stream] = {}
        self._standbys: dict[StreamKey, list[Standby]] = {}

    def open(self, key: StreamKey, publish: Publish, project_id: str, now: float) -> Stream:
        """A new live stream. Raises PublishRefused when the key is live already."""
        other = self._live.get(key)
        if other is not None:
            raise PublishRefused(f"{key} is being pushed already, from {other.publish.client_ip}; stop that push first")
        stream = self._live[key] = Stream(key, publish, project_id, now)
        metrics.live_streams.set(len(self._live))
        return stream

    def stand_by(self, live: Stream, publish: Publish, now: float) -> Standby:
        """A place behind a live stream. Raises PublishRefused when too many wait."""
        others = self._standbys.setdefault(live.key, [])
        if len(others) >= STANDBYS_MAX:
            raise PublishRefused(f"{len(others)} encoders wait behind {live.key} already; stop one of them first")
        standby = Standby(live, publish, now)
        others.append(standby)
        return standby

    def leave(self, push: Push, now: float) -> Departure:
        """`push` is over: if it was live, the next in line takes over, or its stream is live no more."""
        if isinstance(push, Standby):
            stream, was_live = push.live, push.role is Role.LIVE
            push.end()
        elif isinstance(push, Stream):
            stream, was_live = push, True
        else:
            raise TypeError(f"not a push of this registry: {push!r}")
        waiting = self._standbys.get(stream.key, [])
        if not was_live:
            waiting[:] = [other for other in waiting if other is not push]
            return Departure(stream, is_over=False)
        if waiting:
            successor = waiting.pop(0)
            return Departure(stream, False, successor, successor.take_over(now))
        self.close(stream)
        return Departure(stream, is_over=True)

    def get(self, key: StreamKey) -> Stream | None:
        """The live stream of `key`."""
        return self._live.get(key)

    def close(self, stream: Stream) -> None:
        """`stream` is live no more; nothing happens when another has its key by now."""
        if self._live.get(stream.key) is stream:
            del self._live[stream.key]
            self._standbys.pop(stream.key, None)
            metrics.live_streams.set(len(self._live))

    def live(self) -> list[Stream]:
        """All live streams, the oldest first."""
        return list(self._live.values())
