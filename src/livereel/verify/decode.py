"""Trying frames: does the decoder take them? Only worker processes import this."""

from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from livereel.domain.verification import VerifyLevel

#: Larger pictures are refused before memory is taken for them: 8K is 7680 x 4320.
_MAX_PIXELS: Final = 8192 * 4352
#: Between key frames audio is tried this often (ms): a tenth of its packets tells broken codec data as well.
_AUDIO_EVERY: Final = 2_000
#: Codecs whose packets can be decoded each by itself. MP3 frames borrow bits from those before.
_INDEPENDENT_AUDIO: Final = frozenset(("aac", "opus"))
#: An error in a frame is an error: no concealment. Deblocking says nothing about the data and takes its time.
_STRICT: Final = {"err_detect": "explode+crccheck+bitstream+buffer", "max_pixels": str(_MAX_PIXELS)}
_FAST: Final = _STRICT | {"skip_loop_filter": "all"}


class VideoTrial:
    """Decodes key frames, or everything, of a video stream. `failures` counts packets that do not decode."""

    def __init__(self, stream: VideoStream, level: VerifyLevel) -> None:
        self.tried = 0
        self.failures = 0
        self.first_failure: float | None = None  # seconds
        self._full = level is VerifyLevel.FULL
        self._context = stream.codec_context
        self._key_pts: int | None = None
        self._leading = (
            True  # frames in front of the first key frame, by time of display, may refer to what is not here
        )
        self._context.thread_count = 1  # the pool decides how many cores this takes
        self._context.options = _STRICT if self._full else _FAST

    def take(self, packet: "Packet[Any]") -> None:
        """Try a packet if its turn has come."""
        if self._full:
            self._take_any(packet)
        elif packet.is_keyframe:
            self._take_key(packet)

    def finish(self) -> None:
        """No more packets."""
        if self._full:
            self._failed_if(self._decode(None) is None, None)

    def _take_key(self, packet: "Packet[Any]") -> None:
        """Alone: as a player that jumps there."""
        self.tried += 1
        frames = self._decode(packet)
        rest = self._decode(None) if frames is not None else None
        self._context.flush_buffers()
        self._failed_if(frames is None or rest is None or not [*frames, *rest], packet)

    def _take_any(self, packet: "Packet[Any]") -> None:
        if packet.is_keyframe:
            self._leading = self._key_pts is None
            self._key_pts = packet.pts
        elif self._leading and self._key_pts is not None and packet.pts is not None and packet.pts < self._key_pts:
            return
        self.tried += 1
        frames = self._decode(packet)
        self._failed_if(frames is None or any(frame.is_corrupt for frame in frames), packet)

    def _decode(self, packet: "Packet[Any] | None") -> list[VideoFrame] | None:
        try:
            return self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            return None

    def _failed_if(self, failed: bool, packet: "Packet[Any] | None") -> None:
        if failed:
            self.failures += 1
            if self.first_failure is None and packet is not None:
                self.first_failure = _seconds(packet)


class AudioTrial:
    """The same for audio."""

    def __init__(self, stream: AudioStream, level: VerifyLevel) -> None:
        self.tried = 0
        self.failures = 0
        self.first_failure: float | None = None
        self._context = stream.codec_context
        self._full = level is VerifyLevel.FULL
        self._samples = self._full or self._context.name in _INDEPENDENT_AUDIO
        self._due = 0.0
        self._context.thread_count = 1
        self._context.options = {"err_detect": "explode"}

    def take(self, packet: "Packet[Any]") -> None:
        """Try a packet if its turn has come."""
        at = _seconds(packet)
        if not self._samples or (not self._full and at < self._due):
            return
        self._due = at + _AUDIO_EVERY / 1000
        self.tried += 1
        try:
            self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            self.failures += 1
            if self.first_failure is None:
                self.first_failure = at

    def finish(self) -> None:
        """No more packets."""


def trial(stream: Stream, level: VerifyLevel) -> VideoTrial | AudioTrial | None:
    """What tries a stream's packets at this level; None if nothing does, or libav has no decoder."""
    if level in (VerifyLevel.OFF, VerifyLevel.PACKETS) or stream.codec_context is None:
        return None
    if isinstance(stream, VideoStream):
        return VideoTrial(stream, level)
    return AudioTrial(stream, level) if isinstance(stream, AudioStream) else None


def _seconds(packet: "Packet[Any]") -> float:
    return 0.0 if packet.dts is None else float(packet.dts * packet.time_base)
