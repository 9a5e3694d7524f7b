"""Local files on their way into a store."""

import os
import stat
from pathlib import Path

from livereel.domain.errors import StoreError

_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_source(path: Path) -> int:
    """A descriptor to read the file; raises StoreError if it is none or cannot be read."""
    try:
        descriptor = os.open(path, _SOURCE)
    except OSError as error:
        raise StoreError(f"cannot read {path} to store it: {error.strerror}") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise StoreError(f"{path} is not a regular file")
