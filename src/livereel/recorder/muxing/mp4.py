"""MP4 that survives SIGKILL while it grows and is an ordinary MP4 once it is closed.

`hybrid_fragmented` writes fragments and turns them into one movie at close, without moving data. `delay_moov` waits for
the first fragment before it writes the track headers, so that they hold the true start of each track (an edit list);
without it the first sample of the later track is stretched to the start of the file.
"""

from pathlib import Path
from typing import Final

from livereel.domain.media import AudioCodec, VideoCodec
from livereel.recorder.muxing.libav import Muxer
from livereel.recorder.muxing.port import BadPacket, CannotMux, Written
from livereel.recorder.packets import Packet, Tracks

# A dead process loses at most this much of the file (the spool has it all the same).
_FRAGMENT_MICROSECONDS: Final = "2000000"
_OPTIONS: Final = {
    "movflags": "hybrid_fragmented+delay_moov",
    "frag_duration": _FRAGMENT_MICROSECONDS,
    # Each fragment to the disk at once: libav keeps 256 KiB back else, which is half a minute of a slow stream.
    "flush_packets": "1",
}
_VIDEO: Final = frozenset((VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1, VideoCodec.VP9))
_AUDIO: Final = frozenset((AudioCodec.AAC, AudioCodec.MP3, AudioCodec.OPUS))


class Mp4Writer:
    """A `FileWriter` for MP4."""

    def __init__(self, path: Path, tracks: Tracks) -> None:
        if tracks.video is not None and tracks.video.codec not in _VIDEO:
            raise CannotMux(f"MP4 is not written with video codec {tracks.video.codec}")
        if tracks.audio is not None and tracks.audio.codec not in _AUDIO:
            raise CannotMux(f"MP4 is not written with audio codec {tracks.audio.codec}")
        self._path = path
        self._muxer = Muxer(str(path), "mp4", tracks, _OPTIONS)
        if tracks.video is not None and tracks.video.codec is VideoCodec.H265:
            # Apple players want the parameter sets in the sample description, which this tag promises.
            self._muxer.tag_video("hvc1")

    def write(self, packet: Packet, dts: int) -> None:
        """See `FileWriter`."""
        if dts < 0:
            raise BadPacket(f"{dts} ms before the start of the file")
        self._muxer.write(packet, dts)

    def stable_end(self) -> int:
        """See `FileWriter`. libav goes back only at the end, to the header of the box around all fragments."""
        return self._path.stat().st_size

    def close(self, end: int) -> Written:
        """See `FileWriter`."""
        self._muxer.close()
        return Written(self._path, self._path.stat().st_size)

    def abort(self) -> None:
        """See `FileWriter`."""
        self._muxer.abort()
