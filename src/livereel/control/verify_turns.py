"""When a closed file is read again: at once, or when all that were closed with it are stored.

Reading a file takes several times the CPU of storing what is left of it after a STOP. Applications wait for files to be
stored; where nobody waits for the verdict, or many recordings end together, reading comes after that. Each bucket has
turns of its own: one that is away must not put off what goes into another.
"""

import asyncio
import contextlib
from typing import Final

#: Files on their way into a bucket beside which others are read: two recordings in three formats.
BESIDE: Final = 6
#: Seconds that a reading is put off at most: by then the store is away or far, and reading costs it nothing.
PUT_OFF: Final = 30.0


class Turns:
    """Belongs to one event loop."""

    def __init__(self, *, put_off: float = PUT_OFF) -> None:
        self._put_off = put_off
        self._on_their_way: dict[str, str] = {}  # job id to bucket
        self._changed = asyncio.Event()

    def closed(self, job_id: str, bucket: str) -> bool:
        """A file is complete and on its way into the bucket; gives whether few others are."""
        self._on_their_way[job_id] = bucket
        return sum(other == bucket for other in self._on_their_way.values()) <= BESIDE

    def arrived(self, job_id: str) -> None:
        """The store has it, or will not get it. May be repeated."""
        self._on_their_way.pop(job_id, None)
        self._changed.set()

    async def wait(self, bucket: str) -> None:
        """Return when no file is on its way into the bucket any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._put_off):
                while bucket in self._on_their_way.values():
                    self._changed.clear()
                    await self._changed.wait()
