"""Packets: tags with a place on the task's timeline, sorted over both tracks."""

from collections import deque
from typing import Any, NamedTuple

from livereel.domain.media import TAG_VIDEO, AudioTrack, Tag, VideoTrack
from livereel.domain.recordings import SpoolPosition

#: How long (ms of media) packets wait for a track that has not shown up in this publish. Encoders send both sequence
#: headers within the first messages; some send the second track up to a second later.
WAIT_FOR_NEW_TRACK_MS = 1_000
#: How long (ms of media) they wait for a track that has stopped. Sources with audio seconds away from the picture
#: occur, and a cut needs both sides of it; a track silent for longer is waited for again when it is back.
WAIT_FOR_KNOWN_TRACK_MS = 10_000


class Packet(NamedTuple):
    """A frame on the timeline. `dts` is milliseconds; the frame is shown `composition` ms later.

    Codec data is payload[data_start:data_end]. `extras` are tags that are no frames and belong right before this one.
    `publish` counts the publishes of the task. `lost` is how many seconds of media are missing before it, for the wall
    clock went on and the stamps did not.
    """

    kind: int
    dts: int
    composition: int
    is_key: bool
    track: VideoTrack | AudioTrack
    publish: int
    position: SpoolPosition
    payload: bytes
    data_start: int
    data_end: int
    repaired: bool = False
    extras: tuple[tuple[SpoolPosition, Tag], ...] = ()
    lost: float = 0.0

    @property
    def is_video(self) -> bool:
        """Video, else audio."""
        return self.kind == TAG_VIDEO


class Tracks(NamedTuple):
    """What a file holds; one of the two may be missing."""

    video: VideoTrack | None
    audio: AudioTrack | None


class _Queue:
    """The packets of one track that wait. `last` is the newest time ever queued, None before the first."""

    __slots__ = ("last", "missing", "packets")

    def __init__(self) -> None:
        self.packets: deque[Packet] = deque()
        self.last: int | None = None
        self.missing = False  # given up waiting for

    def reset(self) -> None:
        self.last = None
        self.missing = False


class Interleaver:
    """Sorts the packets of two tracks by time. Within a track nothing changes places.

    Call `push`, then `pop` until it returns None.
    """

    def __init__(self) -> None:
        self._video = _Queue()
        self._audio = _Queue()
        self._flushing = False

    def push(self, packet: Packet) -> None:
        """Take the next packet of its track."""
        queue = self._video if packet.kind == TAG_VIDEO else self._audio
        queue.packets.append(packet)
        queue.last = packet.dts
        queue.missing = False

    def pop(self) -> Packet | None:
        """The next packet in order of time, or None when a packet of the other track may still come before it."""
        video, audio = self._video.packets, self._audio.packets
        if video and audio:
            # At equal times video goes first: a key frame that opens a file takes the audio of its time along.
            return video.popleft() if video[0].dts <= audio[0].dts else audio.popleft()
        if video:
            return self._pop_alone(video, self._audio)
        if audio:
            return self._pop_alone(audio, self._video)
        self._flushing = False
        return None

    def flush(self) -> None:
        """The publish is over: let `pop` return everything, then expect new tracks."""
        self._flushing = True
        self._video.reset()
        self._audio.reset()

    def waiting(self) -> list[Packet]:
        """What has been pushed and not popped, per track in order."""
        return [*self._video.packets, *self._audio.packets]

    def next_track(self, kind: int) -> VideoTrack | AudioTrack | None:
        """The track of the next waiting packet of `kind`, or None."""
        packets = self._video.packets if kind == TAG_VIDEO else self._audio.packets
        return packets[0].track if packets else None

    def to_json(self) -> dict[str, Any]:
        """The state without the packets, as plain JSON values."""
        return {
            "video": [self._video.last, self._video.missing],
            "audio": [self._audio.last, self._audio.missing],
            "flushing": self._flushing,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any], packets: list[Packet]) -> "Interleaver":
        """The inverse of `to_json` and `waiting`."""
        interleaver = cls()
        for packet in packets:
            interleaver.push(packet)
        for queue, name in ((interleaver._video, "video"), (interleaver._audio, "audio")):
            queue.last, queue.missing = state[name]
        interleaver._flushing = state["flushing"]
        return interleaver

    def _pop_alone(self, packets: deque[Packet], other: _Queue) -> Packet | None:
        """The head of `packets` if nothing of the `other` track can come before it, or it has waited enough."""
        first = packets[0].dts
        if not self._flushing and not other.missing and (other.last is None or other.last < first):
            patience = WAIT_FOR_NEW_TRACK_MS if other.last is None else WAIT_FOR_KNOWN_TRACK_MS
            if packets[-1].dts - first < patience:
                return None
            other.missing = True
        return packets.popleft()
