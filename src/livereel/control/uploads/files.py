"""FLV and MP4: one object, in parts while the file grows where the store can do that, or whole when it is complete.

The first part is held back until the file is closed, since muxers rewrite its head then. Every part is compared with
what the file holds now before it counts: a worker or server that died makes the file again, and what is in the store
already does not go up a second time.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from livereel.catalogue.port import UnitOfWork
from livereel.control.uploads.carrier import Carrier, Shared
from livereel.domain.errors import LivereelError, StoreError
from livereel.domain.recordings import RecordFile
from livereel.domain.uploads import Upload, UploadPart
from livereel.storage import leftovers
from livereel.storage.port import Part, PartUploads
from livereel.storage.source import SourceUnreadable, read_piece

#: Parts of one file that go up at once. More files than one share the bucket's turns (`service.PARTS_AT_ONCE`).
FILE_PARTS_AT_ONCE: Final = 3
#: Parts of a file that outgrew its upload are so many times larger in the next one.
_LARGER: Final = 4
#: A file that grows is brought to the disk every so many bytes, so that its last sync does not take long.
_SYNC_BYTES: Final = 32 << 20


class FileCarrier(Carrier):
    """A `Carrier` for one file."""

    def __init__(self, shared: Shared, file: RecordFile, first: str) -> None:
        super().__init__(shared, file, first)
        self._path: Path | None = None
        self._end = 0  # of what is final, but for the first part
        self._life = 0  # counts the times that the file was begun
        self._sent: dict[int, Part] = {}
        self._right: set[int] = set()  # those that are known to be what the file holds now
        self._present: dict[int, tuple[int, str]] | None = None  # what the store says it has; None: to be asked
        self._whole = False
        self._synced = 0
        self._unheard = False  # whether the store may begin an upload that nobody awaits any more

    def resume(self, row: Upload, parts: list[UploadPart]) -> None:
        """Go on where an earlier life stopped."""
        self.row, self.kept = row, True
        self._unheard = row.part_size > 0 and row.upload_id is None
        self._sent = {part.number: Part(*part) for part in parts}

    def begun_again(self) -> None:
        """The file is made again from its start, with the same bytes as far as anybody knows."""
        self._life += 1
        self._path, self._end, self._synced = None, 0, 0
        self._right.clear()

    def grown(self, path: Path, end: int) -> None:
        """The first `end` bytes at `path` are final, but for the first part."""
        self._path, self._end = path, max(end, self._end)
        self.wake()

    def close(self, path: Path, size: int) -> None:
        """The file is complete."""
        self._path, self._end, self.closed = path, size, True
        self.wake(hurry=True)

    def waiting(self) -> int:
        """See `Carrier`."""
        if self.closed:
            return 0 if self._whole else self._end - self.sent()
        return sum(self._size_of(number) for number in self._due()) if self._in_parts else 0

    def sent(self) -> int:
        """See `Carrier`."""
        if self._whole:
            return self._end
        return sum(self._sent[number].size for number in self._right if number in self._sent)

    async def work(self) -> bool:
        """See `Carrier`."""
        if self._path is None:
            return False
        uploads = self.store.parts
        if uploads is None or (self.closed and self._end <= self._part_size and self.row.upload_id is None):
            return await self._put_whole(self._path)
        if not self.closed and not self._due():
            return False
        closed, end = self.closed, self._end
        if self.row.upload_id is not None and self._present is None:
            self._present = await uploads.present(self.row.object_key, self.row.upload_id)
            if self._present is not None:
                await self._forget([n for n, part in self._sent.items() if not self._is_present(part)])
            elif await self._may_be_complete():
                if not closed:
                    return False  # its end will show
                if await self._is_complete(uploads):
                    self._done()
                    return True
            if self._present is None:
                await self._forget(list(self._sent))
                await self.keep(upload_id=None)
        await self._begin(uploads, end)
        await self._send(uploads, self._due())
        if not closed:
            if self._due():
                self.wake()
            return False
        numbers = range(1, self._count(end) + 1)
        assert self.row.upload_id is not None
        await uploads.complete(self.row.object_key, self.row.upload_id, [self._sent[number] for number in numbers])
        if self._unheard:
            await leftovers.abort_all(uploads, self.row.object_key)
        self._done()
        return True

    async def moved(self, uow: UnitOfWork) -> list[str]:
        """See `Carrier`."""
        self._sent.clear()
        self._right.clear()
        self._present = None
        self._life += 1
        return []

    def interrupted(self) -> None:
        """See `Carrier`."""
        self._present = None

    async def _put_whole(self, path: Path) -> bool:
        if not self.closed:
            if self._end - self._synced >= _SYNC_BYTES:
                self._synced = self._end
                await asyncio.to_thread(_sync, path)
            return False
        self.row = replace(self.row, put_keys=[self.row.object_key])
        if not self.kept and not self.store.near and self._end > _SYNC_BYTES:
            await self.keep()  # it may take hours: then it is shown
        await self.store.put_file(self.row.object_key, path, final=True)
        self._done()
        return True

    def _done(self) -> None:
        self._whole = True
        self.succeeded(self.row.object_key)

    def _is_present(self, part: Part) -> bool:
        return (self._present or {}).get(part.number) == (part.size, part.etag)

    async def _may_be_complete(self) -> bool:
        """The store knows no such upload: it was lost, or completed by a life that did not learn of it."""
        if 1 not in self._sent:  # goes last
            return False
        found = await self.store.stat(self.row.object_key)
        return found is not None and found.size == sum(part.size for part in self._sent.values())

    async def _is_complete(self, uploads: PartUploads) -> bool:
        numbers = range(1, self._count(self._end) + 1)
        if any(number not in self._sent for number in numbers):
            return False
        for number in numbers:
            if not await self._is_right(number, await self._read(number)):
                return False
        try:
            await uploads.confirm(self.row.object_key, [self._sent[number] for number in numbers])
        except StoreError:
            return False
        return True

    async def _begin(self, uploads: PartUploads, end: int) -> None:
        if self.row.upload_id is not None and self._count(end) > uploads.parts_max:
            await uploads.abort(self.row.object_key, self.row.upload_id)
            await self._forget(list(self._sent))
            await self.keep(upload_id=None, part_size=self.row.part_size * _LARGER)
        if self.row.upload_id is not None:
            return
        size = self._part_size
        while end > size * uploads.parts_max:
            size *= _LARGER
        # The row comes first: should we die before we learn the id, a later life looks for it by the key.
        await self.keep(part_size=size)
        for upload_id in await uploads.unfinished(self.row.object_key):
            await uploads.abort(self.row.object_key, upload_id)
        self._unheard, unheard = True, self._unheard
        upload_id = await uploads.begin(self.row.object_key)
        self._unheard, self._present = unheard, {}
        await self.keep(upload_id=upload_id, put_keys=[self.row.object_key])

    async def _send(self, uploads: PartUploads, numbers: Iterable[int]) -> None:
        todo = iter(list(numbers))

        async def some() -> None:
            for number in todo:
                await self._send_part(uploads, number)

        # All go on to their end when one fails: what the others have sent need not be sent again.
        results = await asyncio.gather(*(some() for _ in range(FILE_PARTS_AT_ONCE)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send_part(self, uploads: PartUploads, number: int) -> None:
        life, upload_id = self._life, self.row.upload_id
        assert upload_id is not None
        async with self.shared.slots(self.row.bucket).hold(urgent=self.closed):
            data = await self._read(number)
            if not await self._is_right(number, data):
                part = await uploads.put(self.row.object_key, upload_id, number, data)
                self._sent[number] = part
                self.succeeded(self.row.object_key, number)
        if life == self._life:
            self._right.add(number)
        self.count(attempts=0, last_error=None, next_retry_at=None)
        async with self.shared.catalogue.write(patient=True) as uow:
            await uow.uploads.put(self.row)
            await uow.uploads.put_part(self.row.id, UploadPart(*self._sent[number]))

    async def _is_right(self, number: int, data: bytes) -> bool:
        """Whether the store has the part with these bytes already."""
        if number not in self._sent and number not in (self._present or {}):
            return False
        digest = await asyncio.to_thread(_md5, data)
        if (sent := self._sent.get(number)) is not None:
            return (sent.size, sent.md5) == (len(data), digest)
        # Sent by a life that died before it could write that down.
        size, etag = (self._present or {})[number]
        if (size, etag) != (len(data), digest):
            return False
        self._sent[number] = Part(number, size, digest, etag)
        return True

    async def _read(self, number: int) -> bytes:
        path, size = self._path, self._size_of(number)
        if path is None or size <= 0:
            raise SourceUnreadable(f"record file {self.job_id} is being made again")
        return await asyncio.to_thread(read_piece, path, (number - 1) * self._part_size, size)

    async def _forget(self, numbers: list[int]) -> None:
        if numbers:
            for number in numbers:
                del self._sent[number]
            self._right.difference_update(numbers)
            async with self.shared.catalogue.write(patient=True) as uow:
                await uow.uploads.delete_parts(self.row.id, numbers)

    def _due(self) -> list[int]:
        """Parts that are final and not known to be in the store, the first one last: it is the newest."""
        if self.closed:
            numbers = [*range(2, self._count(self._end) + 1), 1]
        else:
            numbers = list(range(2, self._end // self._part_size + 1))
        return [number for number in numbers if number not in self._right]

    @property
    def _in_parts(self) -> bool:
        with contextlib.suppress(LivereelError):  # the bucket is not there: an attempt will say so
            return self.store.parts is not None
        return False

    @property
    def _part_size(self) -> int:
        if self.row.part_size:
            return self.row.part_size
        uploads = self.store.parts if self._in_parts else None
        return uploads.part_size if uploads is not None else _SYNC_BYTES

    def _count(self, size: int) -> int:
        return max(1, -(-size // self._part_size))

    def _size_of(self, number: int) -> int:
        return min(self._part_size, self._end - (number - 1) * self._part_size)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
