"""Files and directories that are still there after a power cut."""

import os
from pathlib import Path


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
    """Make a directory and those above it that are missing, and bring their names to the disk. Raises OSError."""
    missing = [path, *path.parents]
    missing = missing[: next(index for index, directory in enumerate(missing) if directory.exists())]
    path.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        fsync_directory(made.parent)
