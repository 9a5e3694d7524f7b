"""Going through a segment tag by tag without reading the bodies: where it ends, and what can be said about that."""

import os
from dataclasses import dataclass, field

from isal import isal_zlib

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO
from livereel.flv.codecs import is_sequence_header
from livereel.flv.marks import CHECK_TAG_SIZE, CHECK_UNCOVERED, Check, boot_of, parse_check
from livereel.flv.tags import TAG_HEADER_SIZE, TAG_OVERHEAD
from livereel.spool.format import HEADER_SIZE

_KINDS = frozenset((TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT))
_TRAILER_SIZE = TAG_OVERHEAD - TAG_HEADER_SIZE
# Enough of a body to tell a sequence header from a frame, FourCC codecs included.
_PEEK = 8
# Bytes read at once to sum them up.
_PIECE = 1024 * 1024


@dataclass(slots=True)
class Checked:
    """A check in a segment and the bytes it is about: [start, end), itself included."""

    start: int
    end: int
    check: Check


@dataclass(slots=True)
class Walked:
    """What a walk from the beginning of a segment found. Offsets in bytes."""

    size: int
    #: Behind the last whole tag; 0 when not even the file header is there.
    whole: int = 0
    #: Behind the first audio or video frame; None if there is none.
    media: int | None = None
    #: The run of the operating system that took the tags; "" if the segment does not say.
    boot: str = ""
    checks: list[Checked] = field(default_factory=list)


def walk(descriptor: int) -> Walked:
    """Go through a segment as far as its tags are whole. Raises OSError."""
    found = Walked(os.fstat(descriptor).st_size)
    _walk(descriptor, 0, found)
    return found


def last_whole_tag(descriptor: int, start: int) -> int:
    """Offset behind the last whole tag of a segment, walking from `start`: 0 or a place between two tags."""
    found = Walked(0)
    _walk(descriptor, start, found)
    return found.whole


def is_right(descriptor: int, checked: Checked) -> bool:
    """True if the bytes before a check are those that were written. Raises OSError."""
    total, position, end = checked.check.before, checked.start, checked.end - CHECK_UNCOVERED
    while position < end:
        piece = os.pread(descriptor, min(_PIECE, end - position), position)
        if not piece:
            return False
        total = isal_zlib.crc32(piece, total)
        position += len(piece)
    return total == checked.check.sum


def _walk(descriptor: int, start: int, found: Walked) -> None:
    position = checked = start
    if position < HEADER_SIZE:
        head = os.pread(descriptor, HEADER_SIZE, 0)
        if len(head) < HEADER_SIZE or not head.startswith(b"FLV"):
            return
        position = HEADER_SIZE
    while True:
        found.whole = position
        head = os.pread(descriptor, TAG_HEADER_SIZE + _PEEK, position)
        if len(head) < TAG_HEADER_SIZE or head[0] not in _KINDS or head[8:11] != b"\0\0\0":
            return
        size = int.from_bytes(head[1:4])
        trailer = os.pread(descriptor, _TRAILER_SIZE, position + TAG_HEADER_SIZE + size)
        if len(trailer) < _TRAILER_SIZE or int.from_bytes(trailer) != TAG_HEADER_SIZE + size:
            return
        after = position + TAG_OVERHEAD + size
        if head[0] == TAG_SCRIPT:
            if position == HEADER_SIZE:
                found.boot = boot_of(os.pread(descriptor, size, position + TAG_HEADER_SIZE))
            elif size + TAG_OVERHEAD == CHECK_TAG_SIZE:
                check = parse_check(os.pread(descriptor, size, position + TAG_HEADER_SIZE))
                if check is not None:
                    found.checks.append(Checked(checked, after, check))
                    checked = after
        elif found.media is None and size and not is_sequence_header(head[0], head[TAG_HEADER_SIZE:][:size]):
            found.media = after
        position = after
