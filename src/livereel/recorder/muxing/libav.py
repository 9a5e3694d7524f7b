"""Feeding packets to a libav muxer, common to MP4 and MPEG-TS."""

import contextlib
from typing import Any

import av
from av.container import OutputContainer

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO
from livereel.recorder.muxing.port import BadPacket
from livereel.recorder.muxing.template import MILLISECONDS, add_streams
from livereel.recorder.packets import Packet, Tracks

# Packets arrive sorted, so a muxer need not hold one track back for the other for long (microseconds).
_MAX_INTERLEAVE = "1000000"
_USUAL_DURATION = {TAG_VIDEO: 40, TAG_AUDIO: 21}  # ms: 25 frames/s, AAC at 48 kHz
_LONGEST_DURATION = 1000  # ms; a longer step is a gap

av.logging.set_level(None)  # what goes wrong comes as an exception and is reported with the task


class Muxer:
    """An open libav muxer. `target` is a path or a file object."""

    def __init__(self, target: Any, container_format: str, tracks: Tracks, options: dict[str, str], **open_args: Any):
        options = options | {"max_interleave_delta": _MAX_INTERLEAVE}
        container = av.open(target, "w", format=container_format, options=options, **open_args)
        assert isinstance(container, OutputContainer)
        self._container = container
        self._steps: dict[int, tuple[int, int]] = {}  # latest time and duration by kind
        self._shown_until = 0  # ms; the end of the last picture in order of presentation
        try:
            self.streams = add_streams(container, tracks)
        except BaseException:
            self.abort()
            raise

    def tag_video(self, tag: str) -> None:
        """Have the container call the video codec `tag`; only before the first packet."""
        self.streams[TAG_VIDEO].codec_context.codec_tag = tag

    def write(self, packet: Packet, dts: int) -> None:
        """Mux one packet at `dts` (ms). Raises BadPacket or OSError."""
        muxed = av.Packet(packet.payload[packet.data_start : packet.data_end])
        muxed.stream = self.streams[packet.kind]
        muxed.time_base = MILLISECONDS
        muxed.dts = dts
        # A composition time before the decoding time (broken encoders) would make the muxer refuse the frame.
        muxed.pts = dts + packet.composition if packet.composition > 0 else dts
        # The duration counts only where no packet follows: at the end of a fragment and of the file.
        muxed.duration = self._duration(packet.kind, dts)
        if packet.kind == TAG_VIDEO:
            # libav takes the end of an MP4 from its last fragment alone. A picture before that, shown after all that is
            # in it, would be behind the end, and players would leave it out.
            self._shown_until = max(self._shown_until, muxed.pts + muxed.duration)
            if self._shown_until - muxed.pts < _LONGEST_DURATION:
                muxed.duration = self._shown_until - muxed.pts
        muxed.is_keyframe = packet.is_key or packet.kind != TAG_VIDEO
        try:
            self._container.mux_one(muxed)
        except OSError:
            raise
        except av.FFmpegError as error:
            raise BadPacket(str(error)) from error

    def _duration(self, kind: int, dts: int) -> int:
        """That of the packet before, or a usual one (ms)."""
        last, duration = self._steps.get(kind, (dts, _USUAL_DURATION[kind]))
        if 0 < dts - last < _LONGEST_DURATION:
            duration = dts - last
        self._steps[kind] = dts, duration
        return duration

    def close(self) -> None:
        """Write what is held back and the end of the file. Raises OSError."""
        try:
            self._container.close()
        except OSError:
            raise
        except av.FFmpegError as error:
            raise OSError(f"libav could not complete the file: {error}") from error

    def abort(self) -> None:
        """Let go of the muxer."""
        with contextlib.suppress(Exception):
            self._container.close()
