"""The one timeline normaliser in front of all muxers.

Encoders send 32-bit millisecond stamps that wrap, jump, step back, repeat and restart. What comes out is one clock per
recording: every track strictly increasing, the distance between tracks kept, true gaps kept, everything that is no
time (a jump of hours, a restart at 0) replaced by a step of one frame and reported.

Sans-IO: stamps go in, milliseconds come out. The state fits into JSON, so that a file can be made again from its
first tag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from livereel.domain.media import TAG_VIDEO

#: A forward step of up to this is taken for time in which nothing was sent. Longer ones are taken for a broken clock
#: unless the wall clock confirms them. Encoders that pause do so for a few seconds; frame rates below 0.1 do not occur.
MAX_FORWARD_MS = 10_000
#: A back-step of up to this is absorbed (stamps creep until the clock has caught up); beyond it the clock was set.
MAX_BACK_MS = 500
#: Steps assumed until two stamps of a track have been seen: 25 frames/s, AAC at 48 kHz.
_DEFAULT_STEP = {True: 40, False: 21}
#: Steps outside this range say nothing about the frame rate.
_MAX_STEP_MS = 1_000
#: Slack when the wall clock is asked: arrival is measured per read, not per tag.
_WALL_SLACK_MS = 2_000

_WRAP = 1 << 32
_HALF = 1 << 31


class RepairKind(StrEnum):
    """What was done to a stamp."""

    EQUAL = "equal"  #: it repeated the one before; moved by 1 ms
    BACK = "back"  #: it was a little earlier than the one before; moved behind it
    JUMP = "jump"  #: the clock was set; the timeline goes on one step later
    PUBLISH = "publish"  #: first stamp of a new publish; the timeline goes on one step later


class Repair(NamedTuple):
    """`amount` is how far (ms) the stamp was from where the timeline put it; positive: it was too late."""

    kind: RepairKind
    amount: int


@dataclass(slots=True)
class _Track:
    offset: int  # added to stamps
    last_in: int  # unwrapped stamp of the last tag
    last_out: int
    step: int


class Timeline:
    """Places tags of one task on one timeline, in order of arrival."""

    def __init__(self) -> None:
        self._tracks: dict[bool, _Track] = {}  # keyed by "is video"
        self._high = 0  # latest stamp given out
        self._restart = False
        self._confirmed = 0
        self._floor: dict[bool, int] = {}  # last stamps of the publishes before

    def begin(self) -> None:
        """A new publish begins: its clock has nothing to do with the one before."""
        self._restart = bool(self._tracks)

    def confirm(self, milliseconds: float) -> None:
        """The wall clock says that the next tag arrived this long after the last: a step of that size is time."""
        self._confirmed = int(milliseconds) + _WALL_SLACK_MS

    @property
    def end(self) -> int:
        """Where the timeline would go on: one step behind the latest stamp."""
        return max((track.last_out + track.step for track in self._tracks.values()), default=0)

    def place(self, kind: int, timestamp: int) -> tuple[int, Repair | None]:
        """Milliseconds on the timeline of a tag of `kind` (TAG_VIDEO or TAG_AUDIO) with its 32-bit `timestamp`.

        The first tag of all is at 0; a tag of the other track that was stamped earlier may be below.
        """
        video = kind == TAG_VIDEO
        track = self._tracks.get(video)
        if track is None or self._restart:
            return self._enter(video, timestamp)
        stamp = track.last_in + ((timestamp - track.last_in + _HALF) % _WRAP - _HALF)
        track.last_in = stamp
        out = stamp + track.offset
        step = out - track.last_out
        if step > 0:
            if out <= self._high + MAX_FORWARD_MS or out <= self._high + self._confirmed:
                if step < _MAX_STEP_MS:
                    track.step = step
                return self._done(track, out), None
        elif step > -MAX_BACK_MS:
            moved = track.last_out + 1
            kind_of_repair = RepairKind.BACK if step else RepairKind.EQUAL
            return self._done(track, moved), Repair(kind_of_repair, out - moved)
        return self._jump(video, track, stamp, out)

    def to_json(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        tracks = {
            "video" if video else "audio": [track.offset, track.last_in, track.last_out, track.step]
            for video, track in self._tracks.items()
        }
        return {
            "tracks": tracks,
            "high": self._high,
            "restart": self._restart,
            "confirmed": self._confirmed,
            "floor": {"video" if video else "audio": last for video, last in self._floor.items()},
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "Timeline":
        """The inverse of `to_json`."""
        timeline = cls()
        timeline._tracks = {name == "video": _Track(*numbers) for name, numbers in state["tracks"].items()}
        timeline._high = state["high"]
        timeline._restart = state["restart"]
        timeline._confirmed = state["confirmed"]
        timeline._floor = {name == "video": last for name, last in state["floor"].items()}
        return timeline

    def _enter(self, video: bool, timestamp: int) -> tuple[int, Repair | None]:
        """First tag of a track, or of a publish."""
        if self._restart:
            self._restart = False
            base = self.end
            self._floor |= {which: track.last_out for which, track in self._tracks.items()}
            before = self._tracks.get(video)
            self._tracks.clear()
            track = _Track(base - timestamp, timestamp, base, before.step if before else _DEFAULT_STEP[video])
            self._tracks[video] = track
            return self._done(track, base), Repair(RepairKind.PUBLISH, 0)
        other = self._tracks.get(not video)
        if other is None:
            self._tracks[video] = _Track(-timestamp, timestamp, 0, _DEFAULT_STEP[video])
            return 0, None
        stamp = other.last_in + ((timestamp - other.last_in + _HALF) % _WRAP - _HALF)
        out = stamp + other.offset
        repair = None
        if abs(out - self._high) > MAX_FORWARD_MS:
            repair = Repair(RepairKind.JUMP, out - self._high)
            out = self._high
        track = _Track(out - stamp, stamp, out, _DEFAULT_STEP[video])
        if out <= (floor := self._floor.get(video, out - 1)):
            repair = Repair(RepairKind.BACK, out - floor - 1)
            out = floor + 1
        self._tracks[video] = track
        return self._done(track, out), repair

    def _jump(self, video: bool, track: _Track, stamp: int, out: int) -> tuple[int, Repair]:
        """The clock was set. If the other track has gone through the same jump already, go where it went."""
        other = self._tracks.get(not video)
        if other is not None and other.offset != track.offset:
            along = stamp + other.offset
            if track.last_out - MAX_BACK_MS < along <= self._high + MAX_FORWARD_MS:
                track.offset = other.offset
                placed = max(along, track.last_out + 1)
                return self._done(track, placed), Repair(RepairKind.JUMP, out - placed)
        base = self.end
        track.offset = base - stamp
        return self._done(track, base), Repair(RepairKind.JUMP, out - base)

    def _done(self, track: _Track, out: int) -> int:
        track.last_out = out
        self._high = max(self._high, out)
        self._confirmed = 0
        return out
