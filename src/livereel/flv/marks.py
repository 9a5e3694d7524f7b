"""Marks: script tags of our own in a spool.

Most say when, in wall time, and in which publish the next tag arrived. A check says that the bytes before it are those
that were written, and how much of the spool was on disk by then.
"""

import struct
from typing import Final, NamedTuple

from isal import isal_zlib

from livereel.amf import amf0
from livereel.amf.values import Value
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.flv.script import encode_script, parse_script
from livereel.flv.tags import TAG_HEADER_SIZE, TAG_OVERHEAD, FlvError

MARK_NAME: Final = "onLivereelMark"
BEGIN, SEGMENT, TIME = "begin", "segment", "time"  # a publish begins; a spool segment begins; a point in time
TAKEOVER = "takeover"  # a publish begins that was waiting behind the one before

_PREFIX: Final = amf0.encode(MARK_NAME)
# A check is an ECMA array like the marks, but always of the same layout, so that it costs next to nothing: members
# `segment`, `offset`, `before` and `sum`, each a double (AMF0 specification 2.2, 2.10).
_CHECK_NAMES: Final = tuple(
    len(name).to_bytes(2) + name + b"\x00" for name in (b"segment", b"offset", b"before", b"sum")
)
_CHECK_START: Final = _PREFIX + b"\x08" + len(_CHECK_NAMES).to_bytes(4) + _CHECK_NAMES[0]
_CHECK_END: Final = b"\0\0\x09"
_CHECK_SIZE: Final = len(_CHECK_START) + sum(8 + len(name) for name in _CHECK_NAMES[1:]) + 8 + len(_CHECK_END)
_CHECK_HEADER: Final = (TAG_SCRIPT << 24 | _CHECK_SIZE).to_bytes(4)
_DOUBLE: Final = struct.Struct(">d")
#: Bytes a check takes in a file.
CHECK_TAG_SIZE: Final = _CHECK_SIZE + TAG_OVERHEAD
#: Bytes at its end that its sum does not cover: the sum itself and what is the same in every check.
CHECK_UNCOVERED: Final = 8 + len(_CHECK_END) + TAG_OVERHEAD - TAG_HEADER_SIZE


class Mark(NamedTuple):
    """`wall` is the Unix time in seconds at which the next tag arrived, `publish` the id of its publish.

    `gap`: seconds since the publish before broke, by a clock that nobody sets; None if only the wall clock can tell.
    """

    wall: float
    publish: str
    reason: str
    gap: float | None = None


class Check(NamedTuple):
    """What a check says: before `segment` and `offset` everything was on disk when it was made.

    `sum` is the CRC-32 of the bytes since the check before it (or since the beginning of the file), its own first
    members included, going on from `before`, the sum of that check: so that nothing is missing between two checks.
    """

    segment: int
    offset: int
    before: int
    sum: int


def encode_mark(
    wall: float, publish: str, reason: str, timestamp: int = 0, *, boot: str = "", gap: float | None = None
) -> Tag:
    """A mark as a tag. `timestamp` is that of the next tag, so that players see time go forward.

    `boot` names the run of the operating system that takes the tags that follow.
    """
    values: dict[str, Value] = {"wall": wall, "publish": publish, "reason": reason}
    if gap is not None:
        values["gap"] = gap
    return Tag(TAG_SCRIPT, timestamp, encode_script(MARK_NAME, values | ({"boot": boot} if boot else {})))


def encode_check(data: bytes, segment: int, offset: int, before: int) -> tuple[bytes, int]:
    """A check, as it stands in a file behind `data` (whole tags, behind a file header perhaps), and its sum.

    `segment` and `offset` are a place before which all is on disk, `before` is the sum of the check before. The check
    has the time of the last tag of `data`.
    """
    last = len(data) - 4 - int.from_bytes(data[-4:])
    parts = [_CHECK_HEADER, data[last + 4 : last + TAG_HEADER_SIZE], _CHECK_START, _DOUBLE.pack(segment)]
    for name, value in zip(_CHECK_NAMES[1:], (offset, before), strict=False):
        parts += (name, _DOUBLE.pack(value))
    parts.append(_CHECK_NAMES[-1])
    covered = b"".join(parts)
    total = isal_zlib.crc32(covered, isal_zlib.crc32(data, before))
    return b"".join((covered, _DOUBLE.pack(total), _CHECK_END, (_CHECK_SIZE + TAG_HEADER_SIZE).to_bytes(4))), total


def is_check(body: bytes) -> bool:
    """True for the body of a script tag that is a check."""
    return len(body) == _CHECK_SIZE and body.startswith(_CHECK_START)


def parse_check(body: bytes) -> Check | None:
    """What the body of a check says; None if it is none, or damaged."""
    if not is_check(body):
        return None
    at = len(_CHECK_START)
    values: list[float] = []
    for name in (*_CHECK_NAMES[1:], b""):
        values += _DOUBLE.unpack_from(body, at)
        at += 8 + len(name)
    if not all(0 <= value < 1 << 53 and value.is_integer() for value in values):
        return None
    return Check(*map(int, values))


def is_mark(tag: Tag) -> bool:
    """True for a tag that claims to be a mark."""
    return tag.kind == TAG_SCRIPT and tag.payload.startswith(_PREFIX)


def parse_mark(tag: Tag) -> Mark | None:
    """The mark that `tag` is, or None if it is anything else."""
    if not is_mark(tag):
        return None
    try:
        _, values = parse_script(tag.payload)
    except FlvError:
        return None
    wall, publish, reason = values.get("wall"), values.get("publish"), values.get("reason")
    if not isinstance(wall, float) or not isinstance(publish, str) or not isinstance(reason, str):
        return None
    gap = values.get("gap")
    return Mark(wall, publish, reason, gap if isinstance(gap, float) and gap >= 0 else None)


def boot_of(body: bytes) -> str:
    """Which run of the operating system a mark names; "" for a mark that names none, and for anything else."""
    if not body.startswith(_PREFIX):
        return ""
    try:
        boot = parse_script(body)[1].get("boot")
    except FlvError:
        return ""
    return boot if isinstance(boot, str) else ""
