"""Removing what uploads left in stores and nobody wants any more: parts of unfinished uploads, objects of no file.

What has to be removed is a row in the catalogue until it is, so neither an outage nor a restart forgets it.
"""

import asyncio
from dataclasses import replace

import structlog

from livereel.catalogue.port import Catalogue
from livereel.control.uploads.backoff import Backoff
from livereel.control.uploads.outages import Outages
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, LivereelError
from livereel.domain.uploads import Upload, UploadState
from livereel.storage.port import Stores

log = structlog.get_logger()


class Discards:
    """One asyncio task per upload, for as long as it takes."""

    def __init__(self, catalogue: Catalogue, stores: Stores, clock: Clock, outages: Outages) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock
        self._outages = outages
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, upload: Upload) -> None:
        """Remove it; its row says so already."""
        if upload.id not in self._tasks:
            self._tasks[upload.id] = asyncio.create_task(self._discard(upload))

    async def discard(self, upload: Upload) -> None:
        """Have the row say so, then remove it."""
        upload = replace(upload, state=UploadState.DISCARDING, waiting_since=None, updated_at=self._clock.now())
        async with self._catalogue.write() as uow:
            await uow.uploads.put(upload)
        self.add(upload)

    async def wait_idle(self) -> None:
        """Return when nothing is left to be removed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def stop(self) -> None:
        """Leave the rest to the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _discard(self, upload: Upload) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._remove(upload)
            except InvalidParameter as error:  # the bucket was taken out of the settings
                log.warning("upload_left_behind", bucket=upload.bucket, object=upload.object_key, error=error.detail)
                break
            except LivereelError as error:
                self._outages.failed(upload.bucket, error.detail)
                delay = backoff.delay()
                await self._note(upload, error.detail, delay)
                await asyncio.sleep(delay)
            else:
                self._outages.succeeded(upload.bucket)
                log.info("upload_discarded", task=upload.task_id, bucket=upload.bucket, object=upload.object_key)
                break
        async with self._catalogue.write() as uow:
            await uow.uploads.delete(upload.id)
        del self._tasks[upload.id]

    async def _remove(self, upload: Upload) -> None:
        store = self._stores.get(upload.bucket)
        if store.parts is not None:
            if upload.upload_id is not None:
                await store.parts.abort(upload.object_key, upload.upload_id)
            elif upload.part_size:  # begun by a life that died before it learned the id
                async with self._catalogue.read() as uow:
                    others = {other.upload_id for other in await uow.uploads.of_job(upload.job_id)}
                for upload_id in await store.parts.unfinished(upload.object_key):
                    if upload_id not in others:
                        await store.parts.abort(upload.object_key, upload_id)
        for key in upload.put_keys:
            if not await self._is_wanted(upload, key):
                await store.delete(key)

    async def _is_wanted(self, upload: Upload, key: str) -> bool:
        """Whether the object belongs to a record file, or will: then it is not ours to delete."""
        async with self._catalogue.read() as uow:
            if await uow.files.by_key(upload.bucket, key) is not None:
                return True
            file = await uow.files.get(upload.job_id)
            slices = await uow.slices.of_file(upload.job_id)
            others = await uow.uploads.of_job(upload.job_id)
        back = file is not None and file.bucket == upload.bucket
        return (back and any(piece.object_key == key for piece in slices)) or any(
            other.state is UploadState.SENDING and other.bucket == upload.bucket for other in others
        )

    async def _note(self, upload: Upload, error: str, delay: float) -> None:
        try:
            async with self._catalogue.write() as uow:
                now = self._clock.now()
                await uow.uploads.put(replace(upload, last_error=error, updated_at=now, next_retry_at=now + delay))
        except LivereelError as failure:
            log.warning("upload_not_noted", error=failure.detail)
