"""What is known of a record file beyond its bytes: counts, gaps, offsets; the `report` of FileFinished."""

from dataclasses import asdict
from typing import Any

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
    __slots__ = ("count", "first", "last", "size", "step")

    def __init__(self, kind: int) -> None:
        self.count = 0
        self.size = 0
        self.first = 0
        self.last = 0
        self.step = _DEFAULT_STEP[kind]

    def add(self, dts: int, size: int) -> None:
        if self.count == 0:
            self.first = dts
        elif 0 < dts - self.last < _MAX_STEP_MS:
            self.step = dts - self.last
        self.count += 1
        self.size += size
        self.last = dts

    @property
    def end(self) -> int:
        return self.last + self.step


class FileStats:
    """Counts of one record file. Times are milliseconds from its start."""

    def __init__(self) -> None:
        self._tracks = {TAG_VIDEO: _TrackStats(TAG_VIDEO), TAG_AUDIO: _TrackStats(TAG_AUDIO)}
        self._key_frames = 0
        self._repaired = 0
        self._dropped: dict[str, int] = {}
        self._gaps: list[Gap] = []
        self._high = 0

    def wrote(self, packet: Packet, dts: int) -> None:
        """A packet went into the file."""
        self._tracks[packet.kind].add(dts, packet.data_end - packet.data_start)
        if packet.is_key:
            self._key_frames += 1
        if packet.repaired:
            self._repaired += 1
        if dts > self._high:
            if dts - self._high > GAP_MS:
                self.gap(self._high, dts - self._high, "silence")
            self._high = dts

    def dropped(self, reason: str) -> None:
        """A packet that belongs into the file did not go into it."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def gap(self, at: int, milliseconds: float, reason: str) -> None:
        """Media is missing from `at` on."""
        if len(self._gaps) < MAX_GAPS:
            self._gaps.append(Gap(at / 1000, round(milliseconds / 1000, 3), reason))

    @property
    def end(self) -> int:
        """Where the last frame of either track ends."""
        return max((track.end for track in self._tracks.values() if track.count), default=0)

    @property
    def high(self) -> int:
        """The latest time written."""
        return self._high

    def report(self) -> dict[str, Any]:
        """Plain JSON values."""
        video, audio = self._tracks[TAG_VIDEO], self._tracks[TAG_AUDIO]
        both = video.count and audio.count
        return {
            "packets": {"video": video.count, "audio": audio.count},
            "bytes": {"video": video.size, "audio": audio.size},
            "key_frames": self._key_frames,
            "first_dts": {name: track.first / 1000 for name, track in self._named() if track.count},
            "last_dts": {name: track.last / 1000 for name, track in self._named() if track.count},
            "av_offset_ms": {"start": audio.first - video.first, "end": audio.end - video.end} if both else None,
            "gaps": [asdict(gap) for gap in self._gaps],
            "repaired": self._repaired,
            "dropped": self._dropped,
        }

    def _named(self) -> list[tuple[str, _TrackStats]]:
        return [("video", self._tracks[TAG_VIDEO]), ("audio", self._tracks[TAG_AUDIO])]
