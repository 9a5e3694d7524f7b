"""From packets to a push: libav's FLV writer into memory, its tags over RTMP. Only worker processes import this."""

import contextlib
from fractions import Fraction
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream

from livereel.callbacks.guard import TargetGuard
from livereel.domain.media import Tag
from livereel.flv.tags import FlvError, TagReader
from livereel.pulls.net import place, rtmp_names
from livereel.pulls.publisher import Publisher, PushFailed
from livereel.pulls.source import SourcePacket, SourceTrack

_MILLISECONDS: Final = Fraction(1, 1000)


class _Tags:
    """A file for the FLV writer that gives back tags."""

    def __init__(self) -> None:
        self._reader = TagReader()
        self._tags: list[Tag] = []

    def write(self, data: bytes) -> int:
        self._tags += self._reader.feed(bytes(data))
        return len(data)

    def take(self) -> list[Tag]:
        tags, self._tags = self._tags, []
        return tags


class Output:
    """A push to one destination. Another set of codec parameters begins another push, as FLV has them once in front."""

    def __init__(self, destination: str, tc_url: str, guard: TargetGuard | None) -> None:
        self._where = place(destination)
        self._tc_url = tc_url
        self._guard = guard
        self._signature: list[Any] = []
        self._publisher: Publisher | None = None
        self._container: OutputContainer | None = None
        self._streams: dict[str, Stream] = {}
        self._tags = _Tags()
        self._begun_at: int | None = None

    def begin(self, tracks: dict[str, SourceTrack]) -> None:
        """Packets of these tracks come next. Raises PushFailed."""
        signature = [(name, *track.signature) for name, track in tracks.items()]
        if self._publisher is not None and signature == self._signature:
            return
        self.close()
        self._signature = signature
        app, stream = rtmp_names(self._where)
        if not app or not stream.partition("?")[0]:
            raise PushFailed("the destination needs an app and a stream name")
        try:
            self._publisher = Publisher(self._where, self._guard, app=app, stream=stream, tc_url=self._tc_url)
            self._tags = _Tags()
            self._container = self._open(tracks)
        except PushFailed:
            raise
        except (OSError, ValueError, av.FFmpegError) as error:
            raise PushFailed(f"cannot push: {error}") from error
        self._begun_at = None

    def write(self, packet: SourcePacket, at: int) -> None:
        """Push one packet at `at` (ms). Raises PushFailed."""
        assert self._container is not None
        assert self._publisher is not None
        if self._begun_at is None:
            self._begun_at = at
        copied = packet.packet
        copied.stream = self._streams[packet.track]
        copied.time_base = _MILLISECONDS
        copied.dts = at - self._begun_at
        copied.pts = copied.dts + packet.pts - packet.dts
        copied.duration = packet.duration
        copied.is_keyframe = packet.is_key
        try:
            self._container.mux_one(copied)
            tags = self._tags.take()
        except (FlvError, ValueError, av.FFmpegError) as error:
            raise PushFailed(f"cannot write FLV: {error}") from error
        if tags:
            self._publisher.push(tags)

    def close(self) -> None:
        """End the push in order; what is left in the writer is sent."""
        container, publisher = self._container, self._publisher
        self._container = self._publisher = None
        if container is not None:
            with contextlib.suppress(Exception):
                container.close()
        if publisher is not None:
            with contextlib.suppress(OSError):
                publisher.push(self._tags.take())
            publisher.close()

    def _open(self, tracks: dict[str, SourceTrack]) -> OutputContainer:
        options = {"flvflags": "no_duration_filesize+no_metadata", "flush_packets": "1"}
        container = av.open(self._tags, "w", format="flv", options={**options, "max_interleave_delta": "1000000"})
        assert isinstance(container, OutputContainer)
        for name, track in tracks.items():
            stream = container.add_stream_from_template(track.stream, opaque=True)
            stream.time_base = _MILLISECONDS
            stream.codec_context.codec_tag = "\0\0\0\0"
            if track.header is not None:
                stream.codec_context.extradata = track.header
            if isinstance(stream, AudioStream) and isinstance(track.stream, AudioStream):
                stream.codec_context.sample_rate = track.stream.codec_context.sample_rate
            self._streams[name] = stream
        return container
