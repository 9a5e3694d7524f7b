"""Files as libav reads them: hashed on the way, so that every byte is read from the disk once."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

#: One read; larger ones only cost memory.
_PIECE: Final = 256 * 1024

#: Called with the bytes read since the last call.
Progress = Callable[[int], None]


class Hashed(NamedTuple):
    """What an object is."""

    size: int
    sha256: str


class HashedFile:
    """A file object over `paths`, one behind the other, that hashes each of them.

    libav reads from it and may seek in it if there is one path only. `finish` hashes what was not read in order.
    """

    def __init__(self, paths: list[Path], progress: Progress) -> None:
        self._paths = paths
        self._progress = progress
        self._digests = [hashlib.sha256() for _ in paths]
        self._hashed = [0] * len(paths)  # bytes of each path that are in its digest
        self._starts: list[int] = []  # of each path opened so far
        self._index = -1
        self._descriptor = -1
        self._offset = 0  # in the open path
        self._position = 0  # in all
        self._next()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; empty at the end. Raises OSError."""
        size = _PIECE if size < 0 else size
        while self._descriptor >= 0:
            data = os.pread(self._descriptor, size, self._offset)
            if data:
                self._take(data)
                return data
            if self._index + 1 == len(self._paths):
                break
            self._next()
        return b""

    def close(self) -> None:
        """Close what is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def path_at(self, position: int) -> int:
        """The index of the path that holds the byte at `position`, of those read so far."""
        index = len(self._starts) - 1
        while index > 0 and self._starts[index] > position:
            index -= 1
        return index

    def begins_path(self, position: int, before: int) -> bool:
        """Whether a path begins after `before`, at or before `position`."""
        return before < 0 or self.path_at(position) != self.path_at(before)

    def finish(self) -> list[Hashed]:
        """Read what was left out; gives all objects. Raises OSError."""
        self.close()
        found = []
        for index, path in enumerate(self._paths):
            digest, at = self._digests[index], self._hashed[index]
            with path.open("rb", buffering=0) as file:
                file.seek(at)
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    at += len(piece)
                    self._progress(len(piece))
            found.append(Hashed(at, digest.hexdigest()))
        return found

    def _take(self, data: bytes) -> None:
        hashed = self._hashed[self._index]
        end = self._offset + len(data)
        # Parts of a file that are read out of order, such as an index at its end, are hashed when they are reached.
        if self._offset <= hashed < end:
            self._digests[self._index].update(memoryview(data)[hashed - self._offset :])
            self._hashed[self._index] = end
        self._offset = end
        self._position += len(data)
        self._progress(len(data))

    def _next(self) -> None:
        self.close()
        if self._index + 1 < len(self._paths):
            self._index += 1
            self._descriptor = os.open(self._paths[self._index], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._offset = 0
            self._starts.append(self._position)


class SeekableFile(HashedFile):
    """The same over one path, for containers that keep their index at the end."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__([path], progress)
        self._size = path.stat().st_size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        self._offset = self._position = max(0, base + offset)
        return self._offset

    def tell(self) -> int:
        """Where the next read begins."""
        return self._offset
