"""HLS: slices go up as they are made, a few at a time; the playlist names only what is there.

A file that moves to a second bucket moves as a whole: its slices lie on this machine until all of it is stored, and a
playlist cannot name slices of another bucket.
"""

import asyncio
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from livereel.catalogue.port import UnitOfWork
from livereel.control.uploads.carrier import Carrier, Shared
from livereel.domain.recordings import RecordFile, Slice
from livereel.domain.uploads import Upload
from livereel.recorder.events import SliceReady
from livereel.recorder.muxing.playlist import count_slices, with_first

#: Slices of one file that go up at once.
SLICES_AT_ONCE: Final = 3
#: A growing playlist is put again when so many times its own size in slices went up since: a tenth more traffic at most
#: (put after each of the 10 800 slices of 2 s in 6 hours, it would be more than the media).
PLAYLIST_SHARE: Final = 10


class _Piece(NamedTuple):
    """A slice on this machine; about 300 bytes of memory while it waits."""

    slice: Slice
    path: Path


class SliceCarrier(Carrier):
    """A `Carrier` for a playlist and its slices."""

    def __init__(self, shared: Shared, file: RecordFile, first: str) -> None:
        super().__init__(shared, file, first)
        self._waiting: dict[int, _Piece] = {}
        self._there: dict[int, tuple[str, int]] = {}  # key and size of slices that the store has confirmed, by number
        self._unbroken = 0  # that many from the first on are there
        self._sent = 0
        self._directory: Path | None = None
        self._playlist: Path | None = None
        self._playlist_size = 0
        self._since_playlist = 0
        self._named = 0  # slices that the playlist in the store names

    def resume(self, row: Upload | None, slices: list[Slice]) -> None:
        """Go on where an earlier life stopped; `slices` are those that the catalogue has."""
        if row is not None:
            self.row, self.kept = row, True
        self._there = {piece.sequence: (piece.object_key, piece.size) for piece in slices}
        self._named = len(slices)

    def begun_again(self) -> None:
        """A worker makes the file again: its slices come once more."""
        self._waiting.clear()
        self._playlist = None
        self._unbroken = self._sent = 0

    def slice_ready(self, event: SliceReady) -> None:
        """A slice is complete."""
        self._directory = event.path.parent
        self._waiting[event.number] = _Piece(
            Slice(
                job_id=self.job_id,
                sequence=event.number,
                object_key=self._beside(event.name),
                started_at=event.started_at,
                ended_at=event.ended_at,
                duration=event.duration,
                size=event.size,
            ),
            event.path,
        )
        self.wake()

    def playlist_ready(self, path: Path) -> None:
        """There is a playlist, or a longer one."""
        self._playlist = path
        self._changed.set()

    def close(self, path: Path) -> None:
        """The playlist is complete, and every slice was reported."""
        self._playlist, self.closed = path, True
        self.wake(hurry=True)

    def waiting(self) -> int:
        """See `Carrier`. A playlist alone counts as one byte: its size changes until it goes."""
        return sum(piece.slice.size for piece in self._waiting.values()) or int(self.closed and not self.stored.done())

    def sent(self) -> int:
        """See `Carrier`."""
        return self._sent

    async def work(self) -> bool:
        """See `Carrier`."""
        while self._waiting:
            batch = [self._waiting[number] for number in sorted(self._waiting)[:SLICES_AT_ONCE]]
            results = await asyncio.gather(*map(self._store, batch), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            if self._waiting:
                await self._put_growing()
        if self._playlist is None:
            return False
        if not self.closed:
            await self._put_growing()
            return False
        await self.store.put_file(self.row.object_key, self._playlist, final=True)
        self.succeeded(self.row.object_key)
        return True

    def interrupted(self) -> None:
        """See `Carrier`. Slices that are not confirmed are put again."""

    async def moved(self, uow: UnitOfWork) -> list[str]:
        """See `Carrier`."""
        stored = await uow.slices.of_file(self.job_id)
        await uow.slices.delete_of([self.job_id])
        if self._directory is not None:
            for piece in stored:
                path = self._directory / PurePosixPath(piece.object_key).name
                self._waiting.setdefault(piece.sequence, _Piece(piece, path))
        keys = [piece.slice.object_key for piece in self._waiting.values()]
        keys += [key for key, _ in self._there.values()]
        self._there.clear()
        self._unbroken = self._sent = self._named = self._since_playlist = 0
        return [*keys, self.row.object_key]

    async def _store(self, piece: _Piece) -> None:
        key, size, number = piece.slice.object_key, piece.slice.size, piece.slice.sequence
        if self._there.get(number) != (key, size) or not await self.store.holds(key, piece.path):
            async with self.shared.slots(self.row.bucket).hold(urgent=self.closed):
                await self.store.put_file(key, piece.path, final=True)
            self.succeeded(key)
        # Each by itself: a store in trouble may take one and keep the others waiting, and nobody else knows of it.
        async with self.shared.catalogue.write(patient=True) as uow:
            await uow.slices.add_many([piece.slice])
        self._there[number] = key, size
        if self._waiting.get(number) is piece:
            del self._waiting[number]
        self._sent += size
        self._since_playlist += size
        while self._unbroken in self._there and self._unbroken not in self._waiting:
            self._unbroken += 1

    async def _put_growing(self) -> None:
        """Put the playlist as far as its slices are there, unless that would be most of the traffic."""
        if self._playlist is None or self._unbroken <= self._named:
            return
        if self._since_playlist < PLAYLIST_SHARE * self._playlist_size:
            return
        text = await asyncio.to_thread(self._playlist.read_text)
        named = min(self._unbroken, count_slices(text))
        if named <= self._named:  # the file is made again and has not caught up
            return
        data = with_first(named, text).encode()
        await self.store.put_bytes(self.row.object_key, data)
        self._playlist_size, self._since_playlist, self._named = len(data), 0, named
        self.succeeded(self.row.object_key)

    def _beside(self, name: str) -> str:
        return str(PurePosixPath(self.row.object_key).parent / name)
