"""What all carriers share: one asyncio task per record file that tries until the store has all of it.

A carrier's row (`domain.uploads.Upload`) is written when something is begun that a later life must know of, when an
attempt fails or takes long, and when a part is confirmed; a file that goes up at once and in one request has none.
"""

import asyncio
import contextlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.uploads.backoff import Backoff
from livereel.control.uploads.outages import Outages
from livereel.control.uploads.slots import Slots
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError, StoreError
from livereel.domain.recordings import RecordFile
from livereel.domain.uploads import Upload, UploadState
from livereel.observe import metrics
from livereel.storage.port import Store, Stores
from livereel.storage.source import SourceUnreadable

log = structlog.get_logger()

#: Seconds after which an attempt is shown in lists. A store that hangs takes a minute to fail one.
SHOWN_AFTER: Final = 5.0


class Relocate(Protocol):
    """Has the catalogue say that a record file belongs into another bucket."""

    async def __call__(self, job_id: str, bucket: str, also: Callable[[UnitOfWork, str], Awaitable[None]]) -> str:
        """Gives the object key there. `also` is called with it in the same transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What carriers work with. `slots` gives the turns of a bucket at requests with much in them."""

    catalogue: Catalogue
    stores: Stores
    clock: Clock
    node: str
    outages: Outages
    slots: Callable[[str], Slots]
    relocate: Relocate
    discard: Callable[[Upload], None]


class Carrier(ABC):
    """Takes one record file into its bucket. `first` is the bucket that its template names."""

    def __init__(self, shared: Shared, file: RecordFile, first: str) -> None:
        self.shared = shared
        self.job_id = file.job_id
        self.first = first
        #: What is kept in the catalogue; `bucket` and `object_key` are where the file is going.
        self.row = _new_row(shared, file, file.bucket, file.object_key)
        #: Done when the store has confirmed all of the file.
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.kept = False  # the row is in the catalogue
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._backoff = Backoff()
        self._working: asyncio.Task[None] | None = None
        self._idle = False  # all that was known at the last look is sent

    @property
    def store(self) -> Store:
        """Where the file is going now."""
        return self.shared.stores.get(self.row.bucket)

    @property
    def busy(self) -> bool:
        """Whether there is something to do now."""
        ended = self._working is None or self._working.done()
        return not ended and (self._changed.is_set() or not self._idle)

    @abstractmethod
    def waiting(self) -> int:
        """Bytes that could be sent and are not confirmed yet."""

    @abstractmethod
    async def work(self) -> bool:
        """Send what can be sent; True when the store has confirmed all of a closed file. Raises StoreError."""

    @abstractmethod
    async def moved(self, uow: UnitOfWork) -> list[str]:
        """The file goes to another bucket: begin anew there. Gives the keys of objects that may lie in the old one."""

    def start(self) -> None:
        """Begin to work; needs the running loop."""
        if self._working is None:
            self._working = asyncio.create_task(self._work())
            self._working.add_done_callback(self._ended)

    def _ended(self, working: asyncio.Task[None]) -> None:
        if not working.cancelled() and (error := working.exception()) is not None and not self.stored.done():
            self.stored.set_exception(error)
            self.stored.exception()  # whoever waits gets it; nobody has to

    async def stop(self) -> None:
        """Let go; what was sent stays, and a later life goes on from there."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        self.stored.cancel()

    def wake(self, *, hurry: bool = False) -> None:
        """There is more to send; `hurry`: also if a failed attempt has it wait."""
        if self.waiting() and self.row.waiting_since is None:
            self.row = replace(self.row, waiting_since=self.shared.clock.now())
        self._changed.set()
        if hurry:
            self._hurry.set()

    async def keep(self, **changes: Any) -> None:
        """Write the row with these changes."""
        self.count(**changes)
        async with self.shared.catalogue.write(patient=True) as uow:
            await uow.uploads.put(self.row)
        self.kept = True

    @abstractmethod
    def sent(self) -> int:
        """Bytes that the store has confirmed."""

    def count(self, **changes: Any) -> None:
        """Bring the row up to date in memory."""
        waiting, sent, now = self.waiting(), self.sent(), self.shared.clock.now()
        since = (self.row.waiting_since or now) if waiting else None
        values = {"size": waiting + sent, "sent": sent, "waiting_since": since, "updated_at": now}
        self.row = replace(self.row, **values | changes)

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            self._idle = False
            try:
                await self._move_if_better()
                done = await self._attempt()
            except LivereelError as error:
                await self._failed(error)
            except Exception as error:  # a bug must not lose a recording either
                log.exception("upload_failed", job=self.job_id)
                await self._failed(StoreError(f"{type(error).__name__}: {error}"))
            else:
                self._backoff.reset()
                if not self.waiting():
                    self.row = replace(self.row, waiting_since=None)
                if done:
                    self.stored.set_result(None)
                    return
                self._idle = True
                await self._changed.wait()

    async def _attempt(self) -> bool:
        """`work`, in the catalogue if it takes long."""
        if self.kept:
            return await self.work()
        working = asyncio.create_task(self.work())
        try:
            await asyncio.wait({working}, timeout=SHOWN_AFTER)
            if not working.done() and not self.kept and self.waiting():
                with contextlib.suppress(LivereelError):  # the catalogue is away too
                    await self.keep()
            return await working
        finally:
            working.cancel()  # if we were
            await asyncio.gather(working, return_exceptions=True)

    def succeeded(self, key: str, part: int | None = None) -> None:
        """The store has confirmed an object, or a part of one."""
        self.shared.outages.succeeded(self.row.bucket)
        metrics.store_objects.labels("stored").inc()
        log.debug("stored" if part is None else "part_stored", task=self.row.task_id, object=key, part=part)

    async def _failed(self, error: LivereelError) -> None:
        if isinstance(error, SourceUnreadable) and not self.closed:
            await self._changed.wait()  # a worker died and makes the file again
            return
        if not isinstance(error, SourceUnreadable):
            self.shared.outages.failed(self.row.bucket, error.detail)
        self.interrupted()
        delay = self._backoff.delay()
        metrics.store_objects.labels("failed").inc()
        row = self.row
        log.warning(
            "store_failed", task=row.task_id, job=row.job_id, bucket=row.bucket, error=error.detail, retry_in=delay
        )
        with contextlib.suppress(LivereelError):  # the catalogue is away too: it has the row of before
            retry_at = self.shared.clock.now() + delay
            await self.keep(attempts=row.attempts + 1, last_error=error.detail, next_retry_at=retry_at)
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), delay)

    @abstractmethod
    def interrupted(self) -> None:
        """An attempt failed: what the store has must be asked again."""

    async def _move_if_better(self) -> None:
        bucket = self.shared.outages.choose(self.first, self.row.bucket)
        if bucket == self.row.bucket or not self.waiting():
            return
        old = self.row
        new = replace(
            old,
            id=uuid.uuid4().hex,
            bucket=bucket,
            upload_id=None,
            part_size=0,
            sent=0,
            size=0,
            put_keys=[],
            created_at=self.shared.clock.now(),
        )
        left: list[Upload] = []

        async def also(uow: UnitOfWork, key: str) -> None:
            nonlocal new
            new = replace(new, object_key=key)
            keys = sorted({*old.put_keys, *await self.moved(uow)})
            if old.upload_id is not None or keys:
                left.append(replace(old, state=UploadState.DISCARDING, put_keys=keys, waiting_since=None))
                await uow.uploads.put(left[0])
            else:
                await uow.uploads.delete(old.id)
            await uow.uploads.put(new)

        await self.shared.relocate(self.job_id, bucket, also)
        self.row, self.kept = new, True
        self._backoff.reset()
        log.warning("file_goes_elsewhere", task=old.task_id, job=old.job_id, bucket=bucket, instead_of=old.bucket)
        for upload in left:
            self.shared.discard(upload)


def _new_row(shared: Shared, file: RecordFile, bucket: str, key: str) -> Upload:
    now = shared.clock.now()
    return Upload(
        id=uuid.uuid4().hex,
        job_id=file.job_id,
        task_id=file.task_id,
        project_id=file.project_id,
        node=shared.node,
        bucket=bucket,
        object_key=key,
        state=UploadState.SENDING,
        created_at=now,
        updated_at=now,
    )
