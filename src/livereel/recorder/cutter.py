"""Where a record file ends and the next begins. Pure logic, one `Cutter` per format of a task.

Files begin with a key frame (without video: with any audio frame). The frame that opens file N + 1 is the first that
is not in file N. Packets come in order of time, so audio is cut by time too.
"""

from collections.abc import Callable
from enum import Enum, StrEnum, auto

from livereel.domain.media import AudioTrack, VideoTrack
from livereel.domain.templates import MERGE_FOREVER
from livereel.recorder.packets import Packet, Tracks


class Verdict(Enum):
    """What to do with a packet."""

    WRITE = auto()  #: it belongs to the open file
    OPEN = auto()  #: it opens a file; one that is open ends before it
    CLOSE = auto()  #: the open file ends before it, and it belongs to no file
    DROP = auto()  #: it belongs to no file


class CutReason(StrEnum):
    """Why a file ended."""

    CYCLE = "cycle"  #: it is as long as `record_cycle`
    PARAMETERS = "parameters"  #: codec, picture size, sample rate or the set of tracks changed
    INTERRUPTION = "interruption"  #: the push broke for longer than the merge window
    END = "end"  #: the task ended


class Cutter:
    """Decides packet by packet. `cycle` is seconds (0: no limit), `merge_window` seconds or MERGE_FOREVER."""

    def __init__(self, cycle: int, merge_window: int) -> None:
        self._cycle = cycle * 1000
        self._merge_window = merge_window
        self._start = 0
        self._publish = 0
        self._parameters_changed = False
        self.is_open = False
        self.video: VideoTrack | None = None  # tracks of the open file
        self.audio: AudioTrack | None = None
        self.reason = CutReason.END  # why the latest OPEN or CLOSE ended a file
        self.merged = False  # the packet just judged is the first of a publish that goes into the open file

    def opened(self, packet: Packet, tracks: Tracks) -> None:
        """A file with these tracks was begun with `packet`."""
        self.is_open = True
        self.video, self.audio = tracks
        self._start = packet.dts
        self._publish = packet.publish
        self._parameters_changed = False

    def closed(self) -> None:
        """The open file was ended."""
        self.is_open = False

    def judge(
        self, packet: Packet, opens: bool, publish_gap: float | None, tracks: Callable[[Packet], Tracks]
    ) -> Verdict:
        """What to do with `packet`; the answer OPEN is followed by `opened`, CLOSE by `closed`.

        `opens`: a file may begin with it, and `tracks` tells what it would hold. `publish_gap`: seconds between the
        packet's publish and the one before; None if it took over from that one without a break.
        """
        self.merged = False
        if not self.is_open:
            return Verdict.OPEN if opens else Verdict.DROP
        if packet.publish != self._publish:
            if not self._merges(publish_gap):
                self.reason = CutReason.INTERRUPTION
                return Verdict.OPEN if opens else Verdict.CLOSE
            self._publish = packet.publish
            self.merged = True
            if opens and not self._same(tracks(packet)):
                self._parameters_changed = True
        mine = self.video if packet.is_video else self.audio
        fits = packet.track is mine or self._adopt(packet, mine)
        if opens:
            if self._parameters_changed:
                self.reason = CutReason.PARAMETERS
                return Verdict.OPEN
            if self._cycle and packet.dts - self._start >= self._cycle:
                self.reason = CutReason.CYCLE
                return Verdict.OPEN
        return Verdict.WRITE if fits else Verdict.DROP

    def _merges(self, gap: float | None) -> bool:
        return gap is None or self._merge_window == MERGE_FOREVER or gap <= self._merge_window > 0

    def _same(self, tracks: Tracks) -> bool:
        return _alike(self.video, tracks.video) and _alike(self.audio, tracks.audio)

    def _adopt(self, packet: Packet, mine: VideoTrack | AudioTrack | None) -> bool:
        """Whether a packet of another track object fits all the same; if not, the next opener begins a new file."""
        track = packet.track
        if _alike(mine, track):
            if isinstance(track, VideoTrack):
                self.video = track
            else:
                self.audio = track
            return True
        self._parameters_changed = True
        return False


def _alike(one: VideoTrack | AudioTrack | None, other: VideoTrack | AudioTrack | None) -> bool:
    """Whether frames of both can go into one file."""
    if one is None or other is None:
        return one is other
    return one.codec is other.codec and one.header == other.header
