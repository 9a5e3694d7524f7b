"""What a media file really holds, as libav reads it. For checks after the fact; nothing of the server waits for it."""

from dataclasses import dataclass, field
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream


@dataclass(slots=True)
class TrackFacts:
    """One track. Times are seconds on the file's own clock; `keys` are the indexes of key frames."""

    codec: str
    tag: str
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    dts: list[float] = field(default_factory=list)
    pts: list[float] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    @property
    def packets(self) -> int:
        """How many packets there are."""
        return len(self.dts)


@dataclass(slots=True)
class FileFacts:
    """A file. `duration` is seconds by its header, 0 when it does not say."""

    format: str
    duration: float
    video: TrackFacts | None = None
    audio: TrackFacts | None = None


def probe(path: Path | str, *, payloads: bool = False) -> FileFacts:
    """Read every packet of a file; with `payloads` keep their bytes. Raises OSError or ValueError."""
    with av.open(str(path)) as container:
        facts = FileFacts(container.format.name, (container.duration or 0) / 1_000_000)
        tracks: dict[int, TrackFacts] = {}
        for stream in container.streams:
            if stream.type not in ("video", "audio"):
                continue
            context = stream.codec_context
            track = TrackFacts(context.name, context.codec_tag.strip("\0"))
            if isinstance(stream, VideoStream):
                track.width, track.height = stream.width, stream.height
                facts.video = facts.video or track
            elif isinstance(stream, AudioStream):
                track.sample_rate = stream.codec_context.sample_rate or 0
                facts.audio = facts.audio or track
            tracks[stream.index] = track
        for packet in container.demux():
            if packet.dts is None or (found := tracks.get(packet.stream_index)) is None:
                continue
            base = packet.time_base
            seconds = base.numerator / base.denominator
            if packet.is_keyframe:
                found.keys.append(found.packets)
            found.dts.append(packet.dts * seconds)
            found.pts.append((packet.pts if packet.pts is not None else packet.dts) * seconds)
            if payloads:
                found.payloads.append(bytes(packet))
        return facts
