"""What finishing talks to: tells of every record file as it grows, and waits until its store has all of it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.uploads.backoff import Backoff
from livereel.control.uploads.carrier import Carrier, Relocate, Shared
from livereel.control.uploads.discards import Discards
from livereel.control.uploads.files import FileCarrier
from livereel.control.uploads.outages import Outages
from livereel.control.uploads.slices import SliceCarrier
from livereel.control.uploads.slots import Slots
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError
from livereel.domain.recordings import RecordFile, Task
from livereel.domain.states import OPEN_TASK_STATES, FileState
from livereel.domain.templates import RecordFormat
from livereel.domain.uploads import Upload, UploadState
from livereel.observe import metrics
from livereel.recorder.events import SliceReady
from livereel.storage.config import Second
from livereel.storage.port import Store, Stores

log = structlog.get_logger()

#: Parts or slices of one bucket that go up at once: with parts of 5 MiB, 20 MiB of memory, and enough to fill a link of
#: 1 Gbit/s to a store that is 100 ms away.
PARTS_AT_ONCE: Final = 4


class Backlog(NamedTuple):
    """What waits for a bucket or goes up to it: files, bytes that it has not confirmed, seconds the oldest waits."""

    files: int
    bytes: int
    oldest_seconds: float


class Uploads:
    """All record files of this node that are on their way. Belongs to one event loop."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        stores: Stores,
        clock: Clock,
        node: str,
        seconds: Mapping[str, Second] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock
        self._node = node
        self.outages = Outages(stores, clock, seconds or {})
        self.discards = Discards(catalogue, stores, clock, self.outages)
        self._slots: defaultdict[str, Slots] = defaultdict(lambda: Slots(PARTS_AT_ONCE))
        self._carriers: dict[str, Carrier] = {}
        self._probe: asyncio.Task[None] | None = None
        self._shown: set[str] = set()
        #: Set by finishing, which owns the rows of record files.
        self.relocate: Relocate

    async def start(self) -> None:
        """Drop what nobody goes on with, and look after stores that are away. After recovery: tasks must be known."""
        async with self._catalogue.read() as uow:
            rows = await uow.uploads.of_node(self._node)
            wanted = {row.id for row in rows if await _is_wanted(uow, row)}
        for row in rows:
            if row.state is UploadState.DISCARDING:
                self.discards.add(row)
            elif row.id not in wanted:
                await self.discards.discard(row)
        self._probe = asyncio.create_task(self.outages.probe())

    async def stop(self) -> None:
        """Let go of everything; the next start goes on."""
        if self._probe is not None:
            self._probe.cancel()
        await asyncio.gather(*(carrier.stop() for carrier in self._carriers.values()))
        await self.discards.stop()

    async def began(self, task: Task, file: RecordFile) -> None:
        """A worker begins to make the file, for the first time or again."""
        carrier = self._carriers.get(file.job_id)
        if carrier is None or carrier.stored.done():
            carrier = await self._new(task, file)
        if isinstance(carrier, FileCarrier | SliceCarrier):
            carrier.begun_again()

    def grown(self, job_id: str, path: Path, end: int) -> None:
        """The first `end` bytes of the file at `path` are final, but for its head."""
        if isinstance(carrier := self._carriers.get(job_id), FileCarrier):
            carrier.grown(path, end)

    def slice_ready(self, event: SliceReady) -> None:
        """A slice is complete."""
        if isinstance(carrier := self._carriers.get(event.job_id), SliceCarrier):
            carrier.slice_ready(event)

    def playlist_ready(self, job_id: str, path: Path) -> None:
        """A playlist names more slices."""
        if isinstance(carrier := self._carriers.get(job_id), SliceCarrier):
            carrier.playlist_ready(path)

    async def complete(self, task: Task, file: RecordFile, path: Path) -> None:
        """Return when the store has confirmed all of the file, which is complete at `path`: size and checksum.

        Endless: a store that is away is tried again. Where the file is then, the catalogue says.
        """
        carrier = self._carriers.get(file.job_id) or await self._new(task, file)
        if isinstance(carrier, FileCarrier):
            size = (await asyncio.to_thread(path.stat)).st_size
            carrier.close(path, size)
        elif isinstance(carrier, SliceCarrier):
            carrier.close(path)
        await asyncio.shield(carrier.stored)

    async def settle(self, uow: UnitOfWork, job_id: str) -> None:
        """In the transaction that says that the file is stored: it is not on its way any more."""
        if (carrier := self._carriers.get(job_id)) is not None and carrier.kept:
            await uow.uploads.delete(carrier.row.id)

    def done(self, job_id: str) -> None:
        """That transaction was committed."""
        self._carriers.pop(job_id, None)

    async def forget(self, job_id: str) -> None:
        """The file will not be stored: nothing of it that is not in the catalogue stays in a store."""
        carrier = self._carriers.pop(job_id, None)
        if carrier is not None:
            await carrier.stop()
        async with self._catalogue.read() as uow:
            rows = await uow.uploads.of_job(job_id)
        for row in rows:
            if row.state is UploadState.SENDING:
                await self.discards.discard(row)

    async def put_bytes(self, task: Task, bucket: str, put: Callable[[Store], Awaitable[object]]) -> None:
        """Have `put` store something small in the bucket, or in its second one, until it works."""
        backoff, current = Backoff(), bucket
        while True:
            current = self.outages.choose(bucket, current)
            try:
                await put(self._stores.get(current))
            except LivereelError as error:
                self.outages.failed(current, error.detail)
                delay = backoff.delay()
                metrics.store_objects.labels("failed").inc()
                log.warning("store_failed", task=task.id, bucket=current, error=error.detail, retry_in=delay)
                await asyncio.sleep(delay)
            else:
                self.outages.succeeded(current)
                metrics.store_objects.labels("stored").inc()
                return

    def busy(self, task_id: str) -> bool:
        """Whether anything of the task waits or goes up."""
        return any(carrier.busy for carrier in self._carriers.values() if carrier.row.task_id == task_id)

    def backlog(self, bucket: str) -> Backlog:
        """What waits for the bucket now, of this node."""
        waiting = [
            (carrier.waiting(), carrier.row.waiting_since)
            for carrier in self._carriers.values()
            if carrier.row.bucket == bucket
        ]
        waiting = [(size, since) for size, since in waiting if size]
        oldest = min((since for _, since in waiting if since is not None), default=None)
        age = 0.0 if oldest is None else max(0.0, self._clock.now() - oldest)
        return Backlog(len(waiting), sum(size for size, _ in waiting), age)

    async def _new(self, task: Task, file: RecordFile) -> Carrier:
        shared = Shared(
            catalogue=self._catalogue,
            stores=self._stores,
            clock=self._clock,
            node=self._node,
            outages=self.outages,
            slots=self._slots.__getitem__,
            relocate=self.relocate,
            discard=self.discards.add,
        )
        first = task.template.address.bucket
        async with self._catalogue.read() as uow:
            rows = [row for row in await uow.uploads.of_job(file.job_id) if row.state is UploadState.SENDING]
            row = next((row for row in rows if row.bucket == file.bucket), None)
            parts = await uow.uploads.parts(row.id) if row is not None else []
            slices = await uow.slices.of_file(file.job_id)
        carrier: Carrier
        if file.format is RecordFormat.HLS:
            carrier = pieces = SliceCarrier(shared, file, first)
            pieces.resume(row, slices)
        else:
            carrier = whole = FileCarrier(shared, file, first)
            if row is not None:
                whole.resume(row, parts)
        self._carriers[file.job_id] = carrier
        self._show(file.bucket)
        carrier.start()
        return carrier

    def _show(self, bucket: str) -> None:
        """Have the metrics ask for this bucket's backlog."""
        if bucket in self._shown:
            return
        self._shown.add(bucket)
        metrics.upload_backlog_files.labels(bucket).set_function(lambda: self.backlog(bucket).files)
        metrics.upload_backlog_bytes.labels(bucket).set_function(lambda: self.backlog(bucket).bytes)
        metrics.upload_backlog_oldest_seconds.labels(bucket).set_function(lambda: self.backlog(bucket).oldest_seconds)


async def _is_wanted(uow: UnitOfWork, row: Upload) -> bool:
    """Whether the file is still to be stored there."""
    file, task = await uow.files.get(row.job_id), await uow.tasks.get(row.task_id)
    if file is None or task is None or file.bucket != row.bucket:
        return False
    return task.state in OPEN_TASK_STATES and file.state in (FileState.WRITING, FileState.STORING)
