"""After a crash: cut what was half written, so that a spool ends with a whole tag again."""

import os
import shutil
from pathlib import Path

import structlog

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO
from livereel.domain.recordings import SpoolPosition
from livereel.flv.codecs import is_sequence_header
from livereel.flv.tags import TAG_HEADER_SIZE, TAG_OVERHEAD
from livereel.spool.format import HEADER_SIZE, segment_path, segments, task_directory

log = structlog.get_logger()

_KINDS = frozenset((TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT))
_TRAILER_SIZE = TAG_OVERHEAD - TAG_HEADER_SIZE
# Enough of a body to tell a sequence header from a frame, FourCC codecs included.
_PEEK = 8


def recover(directory: Path, task_id: str) -> SpoolPosition | None:
    """Cut every segment of a task after its last whole tag and say where the spool ends.

    Nobody may be writing the spool. Segments before the last are whole after a killed process, but need not be after a
    power cut, so all are walked. A segment without a whole tag is removed. None: there is no audio or video in the
    spool. Doing it again changes nothing. Raises SpoolError when the files cannot be read or cut.
    """
    task_dir = task_directory(directory, task_id)
    end: SpoolPosition | None = None
    media = False
    try:
        for segment in segments(task_dir):
            path = segment_path(task_dir, segment)
            whole, has_media = _cut(path)
            if whole <= HEADER_SIZE:
                path.unlink()
                continue
            end = SpoolPosition(segment, whole)
            media = media or has_media
    except OSError as error:
        raise SpoolError(f"spool {task_dir} cannot be recovered: {error}") from error
    return end if media else None


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

    The numbers of the rest stay, and so do all positions in them. Raises SpoolError.
    """
    task_dir = task_directory(directory, task_id)
    gone = [segment for segment in segments(task_dir) if segment < before]
    try:
        for segment in gone:
            segment_path(task_dir, segment).unlink(missing_ok=True)
    except OSError as error:
        raise SpoolError(f"spool {task_dir} cannot be trimmed: {error}") from error
    return len(gone)


def last_written_at(directory: Path, task_id: str) -> float | None:
    """Unix time at which the spool was last appended to, None when there is none. `recover` does not change it."""
    task_dir = task_directory(directory, task_id)
    present = segments(task_dir)
    return segment_path(task_dir, present[-1]).stat().st_mtime if present else None


def _cut(path: Path) -> tuple[int, bool]:
    fd = os.open(path, os.O_RDWR)
    try:
        before = os.fstat(fd)
        size = before.st_size
        whole, media = _walk(fd, 0)
        if whole < size:
            os.ftruncate(fd, whole)
            os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
            log.info("spool_cut", path=str(path), size=size, whole=whole)
        return whole, media
    finally:
        os.close(fd)


def last_whole_tag(fd: int, start: int) -> int:
    """Offset behind the last whole tag of a segment, walking from `start`: 0 or a place between two tags."""
    return _walk(fd, start)[0]


def _walk(fd: int, start: int) -> tuple[int, bool]:
    """(offset behind the last whole tag, whether audio or video frames were passed)."""
    position, media = start, False
    if position < HEADER_SIZE:
        head = os.pread(fd, HEADER_SIZE, 0)
        if len(head) < HEADER_SIZE or not head.startswith(b"FLV"):
            return 0, False
        position = HEADER_SIZE
    while True:
        head = os.pread(fd, TAG_HEADER_SIZE + _PEEK, position)
        if len(head) < TAG_HEADER_SIZE or head[0] not in _KINDS or head[8:11] != b"\0\0\0":
            return position, media
        size = int.from_bytes(head[1:4])
        trailer = os.pread(fd, _TRAILER_SIZE, position + TAG_HEADER_SIZE + size)
        if len(trailer) < _TRAILER_SIZE or int.from_bytes(trailer) != TAG_HEADER_SIZE + size:
            return position, media
        if not media and head[0] != TAG_SCRIPT and size:
            media = not is_sequence_header(head[0], head[TAG_HEADER_SIZE : TAG_HEADER_SIZE + size])
        position += TAG_OVERHEAD + size
