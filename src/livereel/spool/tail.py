"""Reading a task's spool while it is written. Plain blocking reads, made for the recorder's worker processes."""

import os
from pathlib import Path

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import is_check
from livereel.flv.tags import TAG_OVERHEAD, FlvError, TagReader
from livereel.spool.format import HEADER_SIZE, segment_path, segments, task_directory

# One read call; larger ones only cost memory.
_READ_BYTES = 256 * 1024


class SpoolTail:
    """Yields every tag from `start` (the beginning when None) on, as far as the spool has been written; no checks.

    A half-written tag at the end is waited for. The next segment is opened when it exists and the current one is
    exhausted: the writer finishes a segment before it makes the next.
    """

    def __init__(self, directory: Path, task_id: str, start: SpoolPosition | None = None) -> None:
        self._task_dir = task_directory(directory, task_id)
        self._segment, self._offset = start or SpoolPosition(1, 0)
        self._fd = -1
        self._reader = TagReader()
        self._damage: SpoolError | None = None

    @property
    def position(self) -> SpoolPosition:
        """Where the next tag starts: behind all tags that `read` has returned."""
        return SpoolPosition(self._segment, self._offset)

    def read(self, max_bytes: int = 1024 * 1024) -> list[tuple[SpoolPosition, Tag]]:
        """Tags that came since the last call, each with the position where it starts; reads about `max_bytes` at most.

        Empty when there is nothing new. Raises SpoolError when the spool cannot be read or is damaged; tags in front of
        the damage are returned first.
        """
        if self._damage is not None:
            raise self._damage
        found: list[tuple[SpoolPosition, Tag]] = []
        while max_bytes > 0:
            if self._fd < 0 and not self._open():
                break
            # Looked up before the read: if the next segment exists, this one cannot grow any more.
            finished = segment_path(self._task_dir, self._segment + 1).exists()
            data = self._read_some(min(max_bytes, _READ_BYTES))
            if data:
                max_bytes -= len(data)
                try:
                    self._take(data, found)
                except SpoolError as error:
                    self._damage = error
                    if found:
                        break
                    raise
            elif finished:
                self._close_segment()
                self._segment, self._offset = self._segment + 1, 0
            else:
                break
        return found

    def lag(self) -> int:
        """Bytes on disk that `read` has not returned yet."""
        sizes = 0
        for segment in segments(self._task_dir):
            if segment >= self._segment:
                try:
                    sizes += segment_path(self._task_dir, segment).stat().st_size
                except FileNotFoundError:
                    continue
        return max(0, sizes - self._offset)

    def close(self) -> None:
        """Close the file; the tail may be read again afterwards."""
        self._close_segment()

    def _open(self) -> bool:
        path = segment_path(self._task_dir, self._segment)
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SpoolError(f"spool segment {path} cannot be read: {error}") from error
        if self._offset < HEADER_SIZE:
            self._offset = 0
        self._reader = TagReader(self._offset)
        os.lseek(self._fd, self._offset, os.SEEK_SET)
        return True

    def _read_some(self, size: int) -> bytes:
        try:
            return os.read(self._fd, size)
        except OSError as error:
            raise SpoolError(f"spool segment {self._segment} in {self._task_dir} cannot be read: {error}") from error

    def _take(self, data: bytes, found: list[tuple[SpoolPosition, Tag]]) -> None:
        try:
            tags = self._reader.feed(data)
        except FlvError as error:
            raise SpoolError(f"spool {self._task_dir} is damaged near {self.position}: {error}") from error
        if tags and self._offset < HEADER_SIZE:
            self._offset = HEADER_SIZE
        for tag in tags:
            if tag.kind != TAG_SCRIPT or not is_check(tag.payload):
                found.append((SpoolPosition(self._segment, self._offset), tag))
            self._offset += TAG_OVERHEAD + len(tag.payload)

    def _close_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
