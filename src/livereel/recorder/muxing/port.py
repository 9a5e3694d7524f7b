"""What a record file is written with."""

import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from livereel.recorder.packets import Packet

#: Bytes at the start of a file that completing it may rewrite: metadata with an index in FLV (7 KiB), the header of the
#: box around all media in MP4 (52 bytes). Everything behind is written once.
HEAD_MAX: Final = 64 * 1024


class CannotMux(Exception):
    """The container does not carry these codecs."""


class BadPacket(Exception):
    """The muxer refused one packet; it can go on with the next."""


class NoRoom(Exception):
    """The disk is full. Nothing is wrong with the task: it is begun again when there is room."""


#: What a full disk or quota answers.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Written:
    """A complete file. `size` (bytes) counts all parts."""

    path: Path
    size: int
    report: dict[str, Any] = field(default_factory=dict)


class FileWriter(Protocol):
    """One record file being written. Times are milliseconds from the start of the file."""

    def write(self, packet: Packet, dts: int) -> None:
        """Append a packet. Raises BadPacket for one that cannot be muxed, OSError when the disk refuses."""
        ...

    def stable_end(self) -> int:
        """How many bytes of the file are on disk and final, but for the head (HEAD_MAX). 0 for what is no one file."""
        ...

    def close(self, end: int) -> Written:
        """Complete the file, whose last frame ends at `end`. Raises OSError."""
        ...

    def abort(self) -> None:
        """Give up; what is on disk may stay. Never raises."""
        ...
