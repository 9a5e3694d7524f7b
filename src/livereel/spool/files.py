"""The writer thread's half of a spool: one task's segment files and the plain system calls on them."""

import os
from pathlib import Path

from livereel.domain.recordings import SpoolPosition
from livereel.spool.format import segment_path
from livereel.spool.recovery import last_whole_tag


class SegmentFiles:
    """Writes the segments of one publish, in order. Used by one thread; raises OSError."""

    def __init__(self, task_dir: Path, position: SpoolPosition) -> None:
        #: The task's directory.
        self.directory = task_dir
        self._fd = -1
        #: End of what is in the files; always between two whole tags.
        self.position = position

    def write(self, segment: int, data: bytes) -> None:
        """Append whole tags to `segment`, making the file when it is a new one.

        When that fails, what did go in is cut after the last whole tag before the error is raised.
        """
        if segment != self.position.segment or self._fd < 0:
            self.close()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(segment_path(self.directory, segment), flags, 0o640)
            start = 0
        else:
            start = self.position.offset
        try:
            _write_all(self._fd, data)
        except OSError:
            self._cut(segment, start)
            raise
        self.position = SpoolPosition(segment, start + len(data))

    def close(self) -> None:
        """Close the open file, if any."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _cut(self, segment: int, start: int) -> None:
        """A reader may have seen whole tags of a write that failed half way, so those stay."""
        whole = last_whole_tag(self._fd, start)
        if whole:
            os.ftruncate(self._fd, whole)
            self.position = SpoolPosition(segment, whole)
        else:
            segment_path(self.directory, segment).unlink()


def _write_all(fd: int, data: bytes) -> None:
    done = os.write(fd, data)
    if done < len(data):
        view = memoryview(data)
        while done < len(data):
            done += os.write(fd, view[done:])
