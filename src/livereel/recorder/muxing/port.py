"""What a record file is written with."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from livereel.domain.media import AudioTrack, VideoTrack
from livereel.recorder.packets import Packet


class CannotMux(Exception):
    """The container does not carry these codecs."""


class BadPacket(Exception):
    """The muxer refused one packet; it can go on with the next."""


class Tracks(NamedTuple):
    """What goes into a file; one of the two may be missing."""

    video: VideoTrack | None
    audio: AudioTrack | None


@dataclass(frozen=True, slots=True)
class Written:
    """A complete file. `size` (bytes) counts all parts; `sha256` is None when it was not computed on the way."""

    path: Path
    size: int
    sha256: str | None = None
    report: dict[str, Any] = field(default_factory=dict)


class FileWriter(Protocol):
    """One record file being written. Times are milliseconds from the start of the file."""

    def write(self, packet: Packet, dts: int) -> None:
        """Append a packet. Raises BadPacket for one that cannot be muxed, OSError when the disk refuses."""
        ...

    def close(self, end: int) -> Written:
        """Complete the file, whose last frame ends at `end`. Raises OSError."""
        ...

    def abort(self) -> None:
        """Give up; what is on disk may stay. Never raises."""
        ...
