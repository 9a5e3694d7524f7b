"""Where a task's spool lies and what is in it.

    <spool directory>/<task id>/000001.flv, 000002.flv, ...

Each segment is a plain FLV file that any player opens:

    FLV header, mark, header tags, then audio, video and script tags with timestamps and bodies as received

Header tags are the newest onMetaData and the sequence headers, with the timestamp of the tag that follows them. A mark
is a script tag `onLivereelMark` (see `flv.marks`) that tells when, by the wall clock, the tag after it arrived:

- `begin` opens the first segment of a publish, and tells how long the push was away if a task goes on with it;
- `takeover` does so too, for a publish that waited behind the one before (`streams.standby`): its first tags may have
  arrived before the last tags of that one;
- `segment` opens a segment that goes on where the one before ended: no tag is missing and none comes twice;
- `time` stands before a key frame every few seconds, so that wall-clock times need no reading from the start.

Behind the tags of every write there is a check (see `flv.marks`): the sum of what was written since the check before,
and how far the spool was on disk by then. After a power cut recovery keeps what was on disk and what has the right sum.

Positions are `domain.recordings.SpoolPosition`: segment number from 1 and byte offset, always between two whole tags.
"""

import re
import uuid
from functools import cache
from pathlib import Path

from livereel.domain.errors import SpoolError
from livereel.flv.tags import FLV_HEADER

#: A segment ends at the first key frame beyond this size. Small enough that recovery and a new worker read little,
#: large enough that an hour of 2.66 Mbit/s is 18 files.
SEGMENT_MAX_BYTES = 64 * 1024 * 1024
#: A key frame gets a time mark when the last mark is at least this old: with key frames at most this far apart, marks
#: are never more than twice as far apart.
TIME_MARK_SECONDS = 5.0

#: Where the first tag of a segment stands.
HEADER_SIZE = len(FLV_HEADER)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SEGMENT_NAME = re.compile(r"([0-9]{6,})\.flv")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]+")


@cache
def boot_id() -> str:
    """Names this run of the operating system. Where that cannot be known every process gets a name of its own."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return uuid.uuid4().hex


def task_directory(directory: Path, task_id: str) -> Path:
    """The directory of a task's spool. Raises SpoolError for an id that is no plain name."""
    if not _TASK_ID.fullmatch(task_id):
        raise SpoolError(f"not a task id: {task_id[:64]!r}")
    return directory / task_id


def segment_path(task_dir: Path, segment: int) -> Path:
    """The file of segment `segment` (from 1)."""
    return task_dir / f"{segment:06d}.flv"


def segments(task_dir: Path) -> list[int]:
    """Numbers of the segments on disk, in order; empty when the directory does not exist."""
    try:
        names = [entry.name for entry in task_dir.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(_SEGMENT_NAME.fullmatch, names) if match)
