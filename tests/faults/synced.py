"""The livereel command in a process that notes what it brings to the disk: `python -m tests.faults.synced FILE serve`.

FILE gets a line for each file that was synced: how many of its bytes, and its path.
"""

import os
import sys
from pathlib import Path

from livereel.cli.main import main
from tests.faults.pulse import Pulse


def note_into(notes: Path) -> None:
    """Note every fdatasync of this process."""
    fdatasync = os.fdatasync
    out = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def noted(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        fdatasync(descriptor)
        os.write(out, f"{size} {os.readlink(f'/proc/self/fd/{descriptor}')}\n".encode())

    os.fdatasync = noted


def synced(notes: Path) -> list[tuple[Path, int]]:
    """(file, bytes of it) by the time of the sync."""
    lines = notes.read_text().split("\n")[:-1] if notes.exists() else []
    return [(Path(path), int(size)) for size, path in (line.split(" ", 1) for line in lines)]


if __name__ == "__main__":
    Pulse(Path(os.environ["LIVEREEL_DATA_DIR"]).with_name("pulse")).watch()
    note_into(Path(sys.argv.pop(1)))
    main()
