"""Which stores are away and since when, and whether a bucket's second one takes over."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError
from livereel.storage.config import Second
from livereel.storage.port import Stores

log = structlog.get_logger()

#: Seconds between looks at a store that is away and has a second one. The look costs three small requests.
PROBE_EVERY: Final = 15.0


class Outages:
    """Told of every success and failure. A bucket is away from its first failure to its next success."""

    def __init__(self, stores: Stores, clock: Clock, seconds: Mapping[str, Second]) -> None:
        self._stores = stores
        self._clock = clock
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._errors: dict[str, str] = {}

    def succeeded(self, bucket: str) -> None:
        """The store of the bucket did something."""
        self._errors.pop(bucket, None)
        since = self._since.pop(bucket, None)
        if since is not None:
            log.info("store_is_back", bucket=bucket, away_seconds=round(self._clock.monotonic() - since, 1))

    def failed(self, bucket: str, error: str) -> None:
        """It did not."""
        self._since.setdefault(bucket, self._clock.monotonic())
        self._errors[bucket] = error

    def last_error(self, bucket: str) -> str | None:
        """Why the bucket is away; None if it is not."""
        return self._errors.get(bucket)

    def choose(self, first: str, current: str) -> str:
        """Where a file goes that belongs into `first` and is on its way to `current`.

        To the second once the first has been away long enough. It stays there, unless the second fails while the first
        works.
        """
        second = self._seconds.get(first)
        if second is None:
            return first
        if current == first:
            return second.bucket if self._away(first) >= second.after else first
        return first if second.bucket in self._since and first not in self._since else current

    async def probe(self) -> None:
        """Look whether buckets with a second are back, for ever: what is new goes there again then."""
        while True:
            await asyncio.sleep(PROBE_EVERY)
            for bucket in [bucket for bucket in self._since if bucket in self._seconds]:
                try:
                    await self._stores.get(bucket).check()
                except LivereelError as error:
                    self.failed(bucket, error.detail)
                else:
                    self.succeeded(bucket)

    def _away(self, bucket: str) -> float:
        since = self._since.get(bucket)
        return -1.0 if since is None else self._clock.monotonic() - since
