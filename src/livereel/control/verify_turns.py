"""When a closed file is read again: at once, or when it is stored and most of those are that were closed with it.

Reading a file takes several times the CPU of storing what is left of it after a STOP. Applications wait for files to be
stored; where nobody waits for the verdict, or many recordings end together, reading comes after that.
"""

import asyncio
import contextlib
from typing import Final

#: Files on their way into a store beside which others are read: two recordings in three formats.
BESIDE: Final = 6
#: Seconds that a reading is put off at most: by then the store is away or far, and reading costs it nothing.
PUT_OFF: Final = 30.0


class Turns:
    """Belongs to one event loop."""

    def __init__(self, *, put_off: float = PUT_OFF) -> None:
        self._put_off = put_off
        self._on_their_way: set[str] = set()
        self._changed = asyncio.Event()

    def closed(self, job_id: str) -> bool:
        """A file is complete and on its way; gives whether few others are."""
        self._on_their_way.add(job_id)
        return self._calm

    def arrived(self, job_id: str) -> None:
        """The store has it, or will not get it. May be repeated."""
        self._on_their_way.discard(job_id)
        self._changed.set()

    async def wait(self, job_id: str) -> None:
        """Return when the file is not on its way any more, and few others are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._put_off):
                while job_id in self._on_their_way or not self._calm:
                    self._changed.clear()
                    await self._changed.wait()

    @property
    def _calm(self) -> bool:
        return len(self._on_their_way) <= BESIDE
