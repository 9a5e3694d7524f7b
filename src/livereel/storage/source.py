"""Local files on their way into a store."""

import os
import stat
from pathlib import Path

from livereel.domain.errors import StoreError

_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class SourceUnreadable(StoreError):
    """The local file is not what was promised: the store has nothing to do with it."""


def open_source(path: Path) -> int:
    """A descriptor to read the file; raises SourceUnreadable if it is none or cannot be read."""
    try:
        descriptor = os.open(path, _SOURCE)
    except OSError as error:
        raise SourceUnreadable(f"cannot read {path} to store it: {error.strerror}") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise SourceUnreadable(f"{path} is not a regular file")


def read_piece(path: Path, start: int, size: int) -> bytes:
    """Exactly these bytes of the file; raises SourceUnreadable."""
    source = open_source(path)
    try:
        return read_open(source, path, start, size)
    finally:
        os.close(source)


def read_open(source: int, path: Path, start: int, size: int) -> bytes:
    """The same from an open file; `path` is for the error."""
    try:
        data = os.pread(source, size, start)
        while 0 < len(data) < size and (more := os.pread(source, size - len(data), start + len(data))):
            data += more
    except OSError as error:
        raise SourceUnreadable(f"cannot read {path} to store it: {error.strerror}") from error
    if len(data) != size:
        raise SourceUnreadable(f"{path} became shorter while it was stored")
    return data
