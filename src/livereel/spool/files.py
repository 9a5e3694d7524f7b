"""One publish on disk: the segment files it goes into, and the plain system calls on them.

Two threads at most use it at a time: one that writes, in order, and one that brings to the disk what was written. Only
the second closes files, so that it never works on a descriptor that has become another file.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import CHECK_TAG_SIZE, Check, encode_check, parse_check
from livereel.flv.tags import TAG_HEADER_SIZE, TAG_OVERHEAD
from livereel.spool.directories import fsync_directory, fsync_file
from livereel.spool.format import HEADER_SIZE, segment_path, segments
from livereel.spool.walk import last_whole_tag

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(slots=True, eq=False)
class _Segment:
    number: int
    descriptor: int
    end: int = 0  # behind the last whole tag
    checked: int = 0  # behind the last check
    synced: int = 0  # what is on disk for certain
    finished: bool = False


class SegmentFiles:
    """The segments of one publish. Their numbers go on from what is in the directory; `write` counts them from 1.

    `syncs`: somebody calls `sync` from time to time, also once after `finish`.
    """

    def __init__(self, task_dir: Path, *, syncs: bool) -> None:
        #: The task's directory.
        self.directory = task_dir
        self._syncs = syncs
        self._lock = threading.Lock()
        self._before: list[int] | None = None  # segments that were there; None until the directory was looked at
        self._begun_at = SpoolPosition(1, 0)
        self._sum = 0  # of the newest check
        self._current: _Segment | None = None
        self._open: list[_Segment] = []
        self._names = 1  # counts changes of the directory
        self._names_synced = 0
        self._written = self._brought = 0
        #: End of what is in the files; always between two whole tags. Before the first write the end of the publish
        #: before this one.
        self.position = SpoolPosition(1, 0)
        #: Everything before this is on disk.
        self.synced = SpoolPosition(1, 0)

    @property
    def written(self) -> int:
        """Bytes put into files."""
        return self._written

    @property
    def unsynced(self) -> int:
        """Bytes in the files that may not be on disk yet."""
        return self._written - self._brought

    # On the thread that writes.

    def prepare(self) -> None:
        """Make the directory and see what is in it. Raises OSError."""
        if self._before is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            before = segments(self.directory)
            if before:
                size, check = _last_check(segment_path(self.directory, before[-1]))
                self.position = self._begun_at = SpoolPosition(before[-1], size)
                if check is not None:
                    self._sum, self.synced = check.sum, SpoolPosition(check.segment, check.offset)
            self._before = before

    def write(self, segment: int, data: bytes) -> None:
        """Append whole tags to segment `segment` of this publish, making the file when it is a new one.

        Raises OSError. What did go in by then is cut after the last whole tag before.
        """
        self.prepare()
        number = (self._before[-1] if self._before else 0) + segment
        current = self._current
        if current is None or current.number != number:
            current = self._begin(number)
        # Checks are written with the tags they are about: recovery finds each write whole or cuts it.
        check, total = encode_check(data, *self.synced, self._sum)
        try:
            _write_all(current.descriptor, [data, check])
        except OSError:
            self._cut(current)
            raise
        with self._lock:
            current.end += len(data) + len(check)
            current.checked = current.end
            self._written += len(data) + len(check)
            self._sum = total
            self.position = SpoolPosition(number, current.end)

    def finish(self) -> None:
        """Nothing more will be written. Raises OSError (a write error that a network file system tells late)."""
        with self._lock:
            if self._current is not None:
                self._current.finished = True
                self._current = None
        if not self._syncs:
            self._close_finished()

    def cut_to_synced(self) -> None:
        """The disk has lost something that was written: keep what is on it for certain. Never raises."""
        with self._lock:
            for segment in self._open:
                segment.finished = True
            doomed, self._current = list(self._open), None
            self.position = max(self.synced, self._begun_at)
            self._brought = self._written
        for segment in doomed:
            # The data may be readable still, but what the kernel has not brought to the disk it may drop at any time.
            with contextlib.suppress(OSError):
                if segment.synced:
                    os.ftruncate(segment.descriptor, segment.synced)
                else:
                    segment_path(self.directory, segment.number).unlink()

    def _begin(self, number: int) -> _Segment:
        self.finish()
        descriptor = os.open(segment_path(self.directory, number), _NEW_FILE, 0o640)
        with self._lock:
            self._current = _Segment(number, descriptor)
            self._open.append(self._current)
            self._names += 1
            return self._current

    def _cut(self, segment: _Segment) -> None:
        """A reader may have seen whole tags of a write that failed half way, so those stay."""
        whole = last_whole_tag(segment.descriptor, segment.end)
        with self._lock:
            if whole > HEADER_SIZE:
                os.ftruncate(segment.descriptor, whole)
                segment.end = whole
                self.position = SpoolPosition(segment.number, whole)
            else:
                segment_path(self.directory, segment.number).unlink()
                self._names += 1

    # On the thread that syncs.

    def sync(self, sync_parent: Callable[[], None]) -> bool:
        """Bring all that is written to the disk; `synced` moves up. `sync_parent` does so for the directory's name.

        False if there was nothing to be done.

        Raises OSError. After that nothing may be written any more, and no later call is to be trusted: the kernel
        tells of lost data once and then calls the file clean.
        """
        with self._lock:
            todo = [(segment, segment.checked) for segment in self._open]
            names = self._names
        if not todo:
            return False
        first = self._names_synced == 0
        if first:
            # Those of a process that was killed: its last bytes are in the kernel only, if they are.
            for number in self._before or ():
                with contextlib.suppress(FileNotFoundError):  # trimmed by now
                    fsync_file(segment_path(self.directory, number))
        for segment, checked in todo:
            if checked > segment.synced:
                os.fdatasync(segment.descriptor)
        if names != self._names_synced:
            with contextlib.suppress(FileNotFoundError):  # removed: nobody wants it any more
                fsync_directory(self.directory)
            if first:
                sync_parent()
            self._names_synced = names
        with self._lock:
            for segment, checked in todo:
                self._brought += checked - segment.synced
                segment.synced = checked
            self.synced = max(self.synced, SpoolPosition(todo[-1][0].number, todo[-1][1]))
        self._close_finished()
        return True

    def _close_finished(self) -> None:
        with self._lock:
            done = [segment for segment in self._open if segment.finished]
            done = [segment for segment in done if not self._syncs or segment.synced == segment.checked]
            self._open = [segment for segment in self._open if segment not in done]
        for segment in done:
            os.close(segment.descriptor)

    def close(self) -> None:
        """After `cut_to_synced`, when no call of `sync` is under way: let go of the files."""
        with self._lock:
            doomed, self._open = self._open, []
        for segment in doomed:
            with contextlib.suppress(OSError):
                os.close(segment.descriptor)


def _write_all(descriptor: int, pieces: list[bytes]) -> None:
    size = sum(map(len, pieces))
    done = os.writev(descriptor, pieces)
    if done < size:
        view = memoryview(b"".join(pieces))
        while done < size:
            done += os.write(descriptor, view[done:])


def _last_check(path: Path) -> tuple[int, Check | None]:
    """Size of a segment and the check it ends with, None if it ends with none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - CHECK_TAG_SIZE))
        return size, parse_check(file.read()[TAG_HEADER_SIZE : TAG_HEADER_SIZE - TAG_OVERHEAD])
