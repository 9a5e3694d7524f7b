"""When a closed file is read again: at once, or when most of those that were closed with it are stored.

Reading a file takes several times the CPU of storing what is left of it after a STOP. When many recordings end
together, applications wait for their files to be stored, and nobody needs the verdicts meanwhile.
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
        self._calm = asyncio.Event()
        self._calm.set()

    def closed(self, job_id: str) -> bool:
        """A file is complete and on its way; gives whether it is to be read at once."""
        self._on_their_way.add(job_id)
        self._look()
        return self._calm.is_set()

    def arrived(self, job_id: str) -> None:
        """The store has it, or will not get it. May be repeated."""
        self._on_their_way.discard(job_id)
        self._look()

    async def wait(self) -> None:
        """Return when few files are on their way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._put_off):
                await self._calm.wait()

    def _look(self) -> None:
        if len(self._on_their_way) <= BESIDE:
            self._calm.set()
        else:
            self._calm.clear()
