"""One lock per stream, for as long as somebody uses it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from livereel.domain.keys import StreamKey


class StreamLocks:
    """One START, STOP or end of push at a time per stream; a lock goes with its last user.

    `released` is called whenever a stream has no user any more.
    """

    def __init__(self, released: Callable[[], None]) -> None:
        self._released = released
        self._locks: dict[StreamKey, tuple[asyncio.Lock, int]] = {}

    def __contains__(self, key: object) -> bool:
        """Whether somebody holds the stream or waits for it."""
        return key in self._locks

    @contextlib.asynccontextmanager
    async def hold(self, key: StreamKey) -> AsyncIterator[None]:
        """Be the only one who changes what records the stream."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)
            else:
                self._released()
