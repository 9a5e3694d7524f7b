"""Marks: script tags of our own in a spool that say when, in wall time, and in which publish the next tag arrived."""

from typing import Final, NamedTuple

from livereel.amf import amf0
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.flv.script import encode_script, parse_script
from livereel.flv.tags import FlvError

MARK_NAME: Final = "onLivereelMark"
BEGIN, SEGMENT, TIME = "begin", "segment", "time"  # a publish begins; a spool segment begins; a point in time
TAKEOVER = "takeover"  # a publish begins that was waiting behind the one before

_PREFIX: Final = amf0.encode(MARK_NAME)


class Mark(NamedTuple):
    """`wall` is the Unix time in seconds at which the next tag arrived, `publish` the id of its publish."""

    wall: float
    publish: str
    reason: str


def encode_mark(wall: float, publish: str, reason: str, timestamp: int = 0) -> Tag:
    """A mark as a tag. `timestamp` is that of the next tag, so that players see time go forward."""
    return Tag(TAG_SCRIPT, timestamp, encode_script(MARK_NAME, {"wall": wall, "publish": publish, "reason": reason}))


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
    return Mark(wall, publish, reason)
