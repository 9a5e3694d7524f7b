"""Pushes that are to be recorded as soon as the disk has room: refused above the high-water mark, or ended below it."""

from livereel.domain.keys import StreamKey
from livereel.domain.templates import Template
from livereel.streams.stream import Stream


class WaitingForRoom:
    """By stream. Whom it concerns is told once for each push or plan, however often it is tried."""

    def __init__(self) -> None:
        self._waiting: dict[StreamKey, tuple[Stream, Template | None]] = {}
        self._told: dict[StreamKey, str] = {}

    def add(self, stream: Stream, template: Template | None) -> None:
        """Record the push by `template` when there is room."""
        self._waiting[stream.key] = (stream, template)

    def is_news(self, key: StreamKey, of: str) -> bool:
        """True if nobody was told yet that `of` (id of a push or a plan) is not recorded; from now on somebody is."""
        told, self._told[key] = self._told.get(key), of
        return told != of

    def take(self) -> list[tuple[Stream, Template | None]]:
        """All that wait, to be tried now."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken

    def begun(self, key: StreamKey) -> None:
        """The stream is recorded."""
        self._waiting.pop(key, None)
        self._told.pop(key, None)

    def gone(self, stream: Stream) -> None:
        """The push is over."""
        if (found := self._waiting.get(stream.key)) is not None and found[0] is stream:
            del self._waiting[stream.key]
        if self._told.get(stream.key) == stream.publish.id:
            del self._told[stream.key]
