"""Files and directories that are still there after a power cut."""

import errno
import os
import threading
from pathlib import Path
from typing import Final

#: Directories remembered at most: some 100 bytes each. Forgetting one costs a sync.
REMEMBERED_MAX: Final = 20_000
# Directories above ours that we may not open or that cannot be synced were not made by us.
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS})


def fsync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Bring what is in a file to the disk, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def make_durable(path: Path) -> None:
    """Make a directory and those above it that are missing, and bring the names of all to the disk. Raises OSError.

    Also of those that are there: whoever made them may have died before it could.
    """
    every = [path, *path.parents][:-1]
    missing = every[: next((index for index, directory in enumerate(every) if directory.exists()), len(every))]
    path.mkdir(parents=True, exist_ok=True)
    for directory in reversed(every):
        try:
            fsync_directory(directory.parent)
        except OSError as error:
            if directory in missing or error.errno not in _NOT_OURS:
                raise


class DurableNames:
    """Directories whose own names are known to be on disk, by device and inode. Used by several threads.

    Somebody else may have made a directory and not synced its name yet, or have died before it could: what has the
    name from us may be relied on, so the first use of each directory brings its name to the disk.
    """

    def __init__(self) -> None:
        self._known: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def __contains__(self, directory: object) -> bool:
        """Whether the name of this open directory is known to be on disk."""
        assert isinstance(directory, int)
        with self._lock:
            return _identity(directory) in self._known

    def add(self, directory: int) -> None:
        """The name of this open directory is on disk."""
        with self._lock:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known.add(_identity(directory))

    def remove(self, name: str, parent: int) -> None:
        """Remove an empty directory, and forget it: the next one may have its inode. Raises OSError."""
        with self._lock:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            os.rmdir(name, dir_fd=parent)
            self._known.discard((found.st_dev, found.st_ino))


def _identity(directory: int) -> tuple[int, int]:
    found = os.fstat(directory)
    return found.st_dev, found.st_ino
