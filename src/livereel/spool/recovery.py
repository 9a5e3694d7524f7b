"""After a crash: cut what was half written, so that a spool ends with a whole tag again.

A process that was killed leaves whole what the kernel took: all whole tags stay. After a power cut any of the bytes
that were not on disk yet may be missing, in any order, and nothing but their sum tells: then what was written last is
kept only as far as the checks (see `flv.marks`) say that it is what was written.
"""

import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from livereel.domain.errors import SpoolError
from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import parse_mark
from livereel.spool.directories import fsync_directory, fsync_file
from livereel.spool.format import HEADER_SIZE, boot_id, segment_path, segments, task_directory
from livereel.spool.tail import SpoolTail
from livereel.spool.walk import Checked, Walked, is_right, walk

log = structlog.get_logger()


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    descriptor: int
    walked: Walked
    keep: int  # bytes that stay


def recover(directory: Path, task_id: str, boot: str | None = None) -> SpoolPosition | None:
    """Cut a task's spool where it is not what was written any more and say where it ends.

    Nobody may be writing the spool. A segment of which nothing is left is removed. None: there is no audio or video in
    the spool. `boot` is `format.boot_id`. Doing it again changes nothing, also after it was killed half way. Raises
    SpoolError when the files cannot be read or cut.
    """
    task_dir = task_directory(directory, task_id)
    try:
        with ExitStack() as stack:
            found = [_open(task_dir, number, stack) for number in segments(task_dir)]
            # All whole tags stay if the kernel that took them still runs; what older kernels left was cut when the
            # first process that wrote under this one began.
            if (boot or boot_id()) != next((one.walked.boot for one in reversed(found) if one.walked.boot), ""):
                _keep_what_is_right(found)
            # From the end, since it is by the bytes behind it that a place to cut is known.
            for segment in reversed(found):
                _cut(segment)
    except OSError as error:
        raise SpoolError(f"spool {task_dir} cannot be recovered: {error}") from error
    kept = [segment for segment in found if segment.keep]
    media = any(segment.walked.media is not None and segment.walked.media <= segment.keep for segment in kept)
    return SpoolPosition(kept[-1].number, kept[-1].keep) if media else None


def _open(task_dir: Path, number: int, stack: ExitStack) -> _Segment:
    path = segment_path(task_dir, number)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    walked = walk(descriptor)
    return _Segment(number, path, descriptor, walked, walked.whole if walked.whole > HEADER_SIZE else 0)


def _keep_what_is_right(found: list[_Segment]) -> None:
    certain = _on_disk_for_certain(found)
    before: _Segment | None = None
    for index, segment in enumerate(found):
        if segment.walked.boot and segment.number >= certain.segment:
            good = certain.offset if segment.number == certain.segment else 0
            if before is not None and before.number < segment.number - 1:
                right = 0  # a segment is missing
            else:
                right = _right_until(segment, before, good)
            if right < segment.walked.size:
                segment.keep = min(right, segment.keep)
                # What was written after it is not a continuation of anything.
                for later in found[index + 1 :]:
                    later.keep = 0
                return
        before = segment


def _on_disk_for_certain(found: list[_Segment]) -> SpoolPosition:
    """What the newest check that is right says."""
    for segment in reversed(found):
        for checked in reversed(segment.walked.checks):
            if is_right(segment.descriptor, checked):
                return SpoolPosition(checked.check.segment, checked.check.offset)
    return SpoolPosition(0, 0)


def _right_until(segment: _Segment, before: _Segment | None, good: int) -> int:
    """Offset up to which a segment is what was written; `good` of it is on disk for certain."""
    if segment.walked.whole < good:
        return segment.walked.size  # a disk that lost what it had: no reason to drop what follows
    expected = _sum_at_end(before) if before is not None else None  # None: the one before was stored, and trimmed
    for checked in segment.walked.checks:
        if checked.end > good:
            if expected not in (None, checked.check.before) or not is_right(segment.descriptor, checked):
                return checked.start
            good = checked.end
        expected = checked.check.sum
    return good


def _sum_at_end(segment: _Segment) -> int:
    last: Checked | None = segment.walked.checks[-1] if segment.walked.checks else None
    return last.check.sum if last is not None and last.end == segment.walked.size else 0


def _cut(segment: _Segment) -> None:
    if not segment.keep:
        segment.path.unlink()
    elif segment.keep < segment.walked.size:
        before = os.fstat(segment.descriptor)
        os.ftruncate(segment.descriptor, segment.keep)
        os.utime(segment.descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        log.info("spool_cut", path=str(segment.path), size=segment.walked.size, whole=segment.keep)


def remove(directory: Path, task_id: str) -> None:
    """Delete a task's spool; nothing happens when there is none. Raises SpoolError."""
    task_dir = task_directory(directory, task_id)
    try:
        shutil.rmtree(task_dir)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpoolError(f"spool {task_dir} cannot be removed: {error}") from error


def trim(directory: Path, task_id: str, before: int) -> int:
    """Delete the segments with a number below `before`: what was made of them is stored. Returns how many went.

    The numbers of the rest stay, and so do all positions in them. What has been written of the rest is on disk before
    anything goes, so that a power cut does not take both. Raises SpoolError.
    """
    task_dir = task_directory(directory, task_id)
    present = segments(task_dir)
    gone = [segment for segment in present if segment < before]
    try:
        if gone:
            for segment in present[len(gone) :]:
                fsync_file(segment_path(task_dir, segment))
            fsync_directory(task_dir)
        for segment in gone:
            segment_path(task_dir, segment).unlink(missing_ok=True)
    except OSError as error:
        raise SpoolError(f"spool {task_dir} cannot be trimmed: {error}") from error
    return len(gone)


def began_at(directory: Path, task_id: str) -> float | None:
    """Unix time at which the first tag of a spool came in, None when it does not say. Raises SpoolError."""
    with closing(SpoolTail(directory, task_id)) as tail:
        marks = (parse_mark(tag) for _, tag in tail.read())
        return next((mark.wall for mark in marks if mark is not None), None)


def last_written_at(directory: Path, task_id: str) -> float | None:
    """Unix time at which the spool was last appended to, None when there is none. `recover` does not change it."""
    task_dir = task_directory(directory, task_id)
    present = segments(task_dir)
    return segment_path(task_dir, present[-1]).stat().st_mtime if present else None
