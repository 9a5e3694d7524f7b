"""Telling the tenant what becomes of a recording, in the very transaction that makes it so.

A message that is written with the change it tells about is sent exactly for the changes that happened: not for one
that was rolled back, and not twice for a file that is made again after a crash.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from livereel.callbacks.payloads import publish_notification, recording_callback
from livereel.catalogue.port import Catalogue, CatalogueError, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.messages import AnnouncedPush, CallbackEvent, PublishEvent
from livereel.domain.recordings import RecordFile, Task

log = structlog.get_logger()

#: Seconds between attempts to write to a catalogue that refuses.
WRITE_AGAIN: Final = 0.5

T = TypeVar("T")


@dataclass(slots=True)
class Change:
    """One transaction: change rows through `uow`, then `tell` what that means."""

    uow: UnitOfWork
    now: float
    told: int = 0

    async def tell(self, event: CallbackEvent, task: Task, *, file: RecordFile | None = None, error: str = "") -> None:
        """Queue a recording callback if the tenant subscribed to it; `error` is the cause of a RECORD_FAILED."""
        config = await self.uow.callbacks.by_domain(task.key.domain)
        if config is None or config.project_id != task.project_id or not config.wants(event, task.key):
            return
        message = recording_callback(config, event, task, self.now, file=file, error=error)
        await self.uow.outbox.add(message)
        self.told += 1

    async def tell_publish_done(self, push: AnnouncedPush) -> None:
        """Queue the notification that a push is over, if the tenant still wants any."""
        config = await self.uow.notifications.get(push.key.domain)
        domain = await self.uow.domains.get(push.key.domain)
        if config is None or not config.url or domain is None or domain.project_id != push.project_id:
            return
        done = PublishEvent.PUBLISH_DONE
        await self.uow.outbox.add(publish_notification(config, push.key, push.publish, done, push.project_id, self.now))
        self.told += 1


class Announcer:
    """Opens changes; wakes the dispatcher after those that told something."""

    def __init__(self, catalogue: Catalogue, clock: Clock, wake_dispatcher: Callable[[], None]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._wake_dispatcher = wake_dispatcher

    @contextlib.asynccontextmanager
    async def change(self, *, durable: bool = True, patient: bool = False) -> AsyncIterator[Change]:
        """A unit of work that writes; leaving it commits, an exception rolls back rows and messages alike.

        `durable` and `patient` are the catalogue's.
        """
        async with self._catalogue.write(durable=durable, patient=patient) as uow:
            change = Change(uow, self._clock.now())
            yield change
        if change.told:
            self._wake_dispatcher()

    async def insist(self, write: Callable[[Change], Awaitable[T]], *, unless: Callable[[], bool]) -> T:
        """Write what has happened already, until the catalogue takes it: it may be away, or the disk full.

        `unless` the server stops, which leaves it to its next start; that looks at the spools. Raises CatalogueError
        then.
        """
        while True:
            try:
                async with self.change() as change:
                    return await write(change)
            except CatalogueError as error:
                if unless():
                    raise
                log.error("not_written", error=error.detail, retry_in=WRITE_AGAIN)  # noqa: TRY400 - the reason is enough
                await asyncio.sleep(WRITE_AGAIN)
