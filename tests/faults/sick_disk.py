"""The livereel command in a process whose spools lie on a sick disk: `python -m tests.faults.sick_disk FILE serve`.

FILE holds a JSON object: for each task id what is wrong with the disk under its spool. The name of an error
(`ENOSPC`, `EIO`, `EDQUOT`) lets half of a write through and refuses the rest; with `fsync ` before it, writes go well
and cannot be brought to the disk; `hang` is no answer until the file says something else; a number is a disk that
takes so many seconds for a write.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livereel.cli.main import main


class SickDisk:
    """Stands between the spool and the system."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writev: Callable[..., int] = os.writev
        self._write: Callable[..., int] = os.write
        self._fdatasync: Callable[..., None] = os.fdatasync
        os.writev, os.write, os.fdatasync = self.writev, self.write, self.fdatasync

    def _trouble(self, descriptor: int) -> Any:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.suffix != ".flv":
            return None
        while (trouble := self._says().get(path.parent.name)) == "hang":
            time.sleep(0.02)
        if isinstance(trouble, int | float):
            time.sleep(trouble)
        return trouble

    def _says(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return {}

    def writev(self, descriptor: int, pieces: list[bytes]) -> int:
        data = b"".join(pieces)
        if _is_error(self._trouble(descriptor)):
            return self._write(descriptor, data[: len(data) // 2])
        return self._writev(descriptor, pieces)

    def write(self, descriptor: int, data: Any) -> int:
        if _is_error(trouble := self._trouble(descriptor)):
            raise _error(trouble)
        return self._write(descriptor, data)

    def fdatasync(self, descriptor: int) -> None:
        trouble = self._trouble(descriptor)
        if isinstance(trouble, str) and trouble.startswith("fsync "):
            raise _error(trouble.removeprefix("fsync "))
        self._fdatasync(descriptor)


def _is_error(trouble: Any) -> bool:
    return isinstance(trouble, str) and trouble.isupper()


def _error(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


if __name__ == "__main__":
    SickDisk(Path(sys.argv.pop(1)))
    main()
