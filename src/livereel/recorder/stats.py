"""The account of a record file: what the spool held for it, what was left out, what is missing. It is the `report` of
FileFinished, and what the file is held against when it is read again.

It is kept from the packets as the reader gives them, never from what a muxer made of them.
"""

from dataclasses import asdict
from typing import Any

from isal import isal_zlib

from livereel.domain.clock import rfc3339
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO
from livereel.domain.recordings import Gap
from livereel.recorder.packets import Packet

#: Silence on both tracks longer than this is reported as a gap. Slide shows send a frame a second.
GAP_MS = 2_000
#: A stream of nothing but gaps must not fill the report.
MAX_GAPS = 1_000
_DEFAULT_STEP = {TAG_VIDEO: 40, TAG_AUDIO: 21}
_MAX_STEP_MS = 1_000


class _TrackStats:
    __slots__ = ("content", "count", "first", "last", "size", "spooled", "step")

    def __init__(self, kind: int) -> None:
        self.spooled = 0
        self.count = 0
        self.size = 0
        self.content = 0  # CRC-32 of all codec data
        self.first = 0
        self.last = 0
        self.step = _DEFAULT_STEP[kind]

    def add(self, dts: int, packet: Packet) -> None:
        if self.count == 0:
            self.first = dts
        elif 0 < dts - self.last < _MAX_STEP_MS:
            self.step = dts - self.last
        self.count += 1
        self.size += packet.data_end - packet.data_start
        self.content = isal_zlib.crc32(memoryview(packet.payload)[packet.data_start : packet.data_end], self.content)
        self.last = dts

    @property
    def end(self) -> int:
        return self.last + self.step


class FileStats:
    """Counts of one record file. Times are milliseconds from its start.

    Every packet of the spool that belongs into the file is `spooled`; then it is `kept` or `dropped`.
    """

    def __init__(self) -> None:
        self._tracks = {TAG_VIDEO: _TrackStats(TAG_VIDEO), TAG_AUDIO: _TrackStats(TAG_AUDIO)}
        self._key_frames = 0
        self._repaired = 0
        self._dropped: dict[str, int] = {}
        self._gaps: list[Gap] = []
        self._high = 0

    def spooled(self, packet: Packet) -> None:
        """The spool holds a packet for the file."""
        self._tracks[packet.kind].spooled += 1

    def kept(self, packet: Packet, dts: int) -> int:
        """The packet has to be in the file. Gives the silence (ms) before it, 0 if that is no gap."""
        self._tracks[packet.kind].add(dts, packet)
        if packet.is_key:
            self._key_frames += 1
        if packet.repaired:
            self._repaired += 1
        silence = dts - self._high
        if silence > 0:
            self._high = dts
        return silence if silence > GAP_MS else 0

    def dropped(self, reason: str) -> None:
        """The packet is left out on purpose."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def gap(self, gap: Gap) -> None:
        """Media is missing."""
        if len(self._gaps) < MAX_GAPS:
            self._gaps.append(gap)

    @property
    def end(self) -> int:
        """Where the last frame of either track ends."""
        return max((track.end for track in self._tracks.values() if track.count), default=0)

    @property
    def high(self) -> int:
        """The latest time of a packet in the file."""
        return self._high

    def report(self) -> dict[str, Any]:
        """Plain JSON values."""
        video, audio = self._tracks[TAG_VIDEO], self._tracks[TAG_AUDIO]
        both = video.count and audio.count
        return {
            "spooled": {"video": video.spooled, "audio": audio.spooled},
            "packets": {"video": video.count, "audio": audio.count},
            "bytes": {"video": video.size, "audio": audio.size},
            "content_crc32": {name: f"{track.content:08x}" for name, track in self._named() if track.count},
            "key_frames": self._key_frames,
            "first_dts": {name: track.first / 1000 for name, track in self._named() if track.count},
            "last_dts": {name: track.last / 1000 for name, track in self._named() if track.count},
            "av_offset_ms": {"start": audio.first - video.first, "end": audio.end - video.end} if both else None,
            "gaps": [_gap(gap) for gap in self._gaps],
            "repaired": self._repaired,
            "dropped": self._dropped,
        }

    def _named(self) -> list[tuple[str, _TrackStats]]:
        return [("video", self._tracks[TAG_VIDEO]), ("audio", self._tracks[TAG_AUDIO])]


def _gap(gap: Gap) -> dict[str, Any]:
    return asdict(gap) | {
        "duration": None if gap.duration is None else round(gap.duration, 3),
        "wall_start": rfc3339(gap.wall_start),
        "wall_end": None if gap.wall_end is None else rfc3339(gap.wall_end),
    }
