"""Which task a worker process is busy with, kept where it outlives the process.

A worker that dies cannot say why. It notes in a small mapped file which task and which place of its spool it is
working on, and clears the note when it idles; the supervisor reads the note of a dead worker.
"""

import mmap
from pathlib import Path
from typing import NamedTuple

from livereel.domain.recordings import SpoolPosition

_SIZE = 128  # a task id and two numbers


class Busy(NamedTuple):
    """A task and the place in its spool from which a worker was reading."""

    task_id: str
    position: SpoolPosition


class BusyNote:
    """The worker's side: write and clear, each one copy into memory."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)

    def set(self, task_id: str, position: SpoolPosition) -> None:
        """From here on `task_id` is being worked on."""
        self._map[:] = f"{task_id} {position.segment} {position.offset}".encode().ljust(_SIZE, b"\0")[:_SIZE]

    def clear(self) -> None:
        """Nothing is being worked on."""
        self._map[0:1] = b"\0"


def read(path: Path) -> Busy | None:
    """What the note says, or None."""
    try:
        text = path.read_bytes().rstrip(b"\0").decode()
        task_id, segment, offset = text.split(" ")
        return Busy(task_id, SpoolPosition(int(segment), int(offset))) if not text.startswith("\0") else None
    except (OSError, ValueError):
        return None
