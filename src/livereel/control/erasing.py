"""Takes the objects of what was deleted out of the stores.

That something is to be deleted is in the catalogue (state DELETING) before the first object goes, and DELETED comes
after the last: whatever dies in between, the next look finds the rest. An object that is not there is as good as
deleted.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path, PurePosixPath

import structlog

from livereel.catalogue.port import Catalogue
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, SpoolError, StoreError
from livereel.domain.recordings import RecordFile, Task
from livereel.domain.states import FileEvent, FileState, TaskEvent, next_file_state, next_task_state
from livereel.domain.templates import RecordFormat
from livereel.observe import metrics
from livereel.spool import recovery
from livereel.storage.port import Store, Stores

log = structlog.get_logger()

#: Seconds between looks at the catalogue, where the command line leaves what it deletes. Others wake the eraser.
LOOK_EVERY = 5.0
#: A store that refuses is asked again after this many seconds; doubles each time.
RETRY_FIRST, RETRY_LONGEST = 30.0, 3600.0
#: Failures in a row after which a bucket is left alone for the rest of a look: it is away or hangs.
BUCKET_FAILURES = 3
#: Objects of one file that are deleted at once; a playlist of 12 h has thousands of slices.
AT_ONCE = 4


class Eraser:
    """`start` it after recovery; `wake` it when something was deleted."""

    def __init__(self, catalogue: Catalogue, stores: Stores, clock: Clock, spool_dir: Path) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock
        self._spool_dir = spool_dir
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._retries: dict[str, tuple[float, float]] = {}  # by task: when to try again (monotonic), next pause

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave the rest for the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    async def sweep(self) -> None:
        """Delete what can be deleted now. Buckets do not wait for each other."""
        async with self._catalogue.read() as uow:
            waiting = await uow.tasks.to_delete()
            tasks = [task for task_id in waiting if (task := await uow.tasks.get(task_id)) is not None]
        self._retries = {task_id: retry for task_id, retry in self._retries.items() if task_id in waiting}
        by_bucket: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            if self._retries.get(task.id, (0.0, 0.0))[0] <= self._clock.monotonic():
                by_bucket[task.template.address.bucket].append(task)
        await asyncio.gather(*(self._sweep_bucket(bucket) for bucket in by_bucket.values()))

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.sweep()
            except Exception:
                log.exception("eraser_failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._woken.wait()

    async def _sweep_bucket(self, tasks: list[Task]) -> None:
        failures = 0
        for task in tasks:
            try:
                await self._erase(task)
            except (StoreError, InvalidParameter, SpoolError) as error:
                failures += 1
                self._failed(task, error.detail)
                if failures == BUCKET_FAILURES:
                    return
            else:
                failures = 0
                self._retries.pop(task.id, None)

    def _failed(self, task: Task, why: str) -> None:
        pause = min(self._retries.get(task.id, (0.0, RETRY_FIRST))[1], RETRY_LONGEST)
        self._retries[task.id] = (self._clock.monotonic() + pause, pause * 2)
        metrics.deletions.labels("failed").inc()
        log.warning("deletion_failed", stream=str(task.key), task=task.id, error=why, retry_in=pause)

    async def _erase(self, task: Task) -> None:
        async with self._catalogue.read() as uow:
            files = await uow.files.of_task(task.id)
        going = [file for file in files if file.state is FileState.DELETING]
        all_go = all(file.state in (FileState.DELETING, FileState.DELETED) for file in files)
        for file in going:
            await self._erase_objects(file)
            last = all_go and file is going[-1]
            if last:
                await self._erase_rest(task, files)
            await self._gone(task, file, last=last)
            metrics.deletions.labels("deleted").inc()
            log.info(
                "file_deleted",
                stream=str(task.key),
                task=task.id,
                job=file.job_id,
                object=file.object_key,
                reason=str(file.delete_reason),
            )
        if not going and all_go:  # nothing was ever made of it
            await self._erase_rest(task, files)
            await self._gone(task, None, last=True)

    async def _gone(self, task: Task, file: RecordFile | None, *, last: bool) -> None:
        async with self._catalogue.write() as uow:
            if file is not None:
                current = await uow.files.get(file.job_id)
                if current is not None and current.state is FileState.DELETING:
                    await uow.files.update(replace(current, state=next_file_state(current.state, FileEvent.GONE)))
                await uow.slices.delete_of([file.job_id])
            if last and (row := await uow.tasks.get(task.id)) is not None:
                await uow.tasks.update(replace(row, state=next_task_state(row.state, TaskEvent.GONE)))

    async def _erase_objects(self, file: RecordFile) -> None:
        """The file first: a playlist must not outlive its slices. Raises StoreError, InvalidParameter."""
        store = self._stores.get(file.bucket)
        await store.delete(file.object_key)
        if file.format is not RecordFormat.HLS:
            return
        keys = sorted(await self._slices(file))
        for start in range(0, len(keys), AT_ONCE):
            await asyncio.gather(*(store.delete(key) for key in keys[start : start + AT_ONCE]))

    async def _slices(self, file: RecordFile) -> set[str]:
        """Keys of a file's slices that no other playlist names, which odd templates make possible."""
        async with self._catalogue.read() as uow:
            keys = _reported_slices(file) | {piece.object_key for piece in await uow.slices.of_file(file.job_id)}
            for other in await uow.files.playlists_beside(file):
                if other.state is not FileState.DELETING:
                    keys -= _reported_slices(other)
                    keys -= {piece.object_key for piece in await uow.slices.of_file(other.job_id)}
        return keys

    async def _erase_rest(self, task: Task, files: list[RecordFile]) -> None:
        """What goes with the last file: recording.json, and the spool of a task that failed."""
        for bucket, directory in sorted({(file.bucket, _directory(file)) for file in files}):
            store = self._stores.get(bucket)
            prefix = f"{directory}/" if directory else ""
            await store.delete(f"{prefix}recording-{task.id}.json")
            if await _is_about(store, f"{prefix}recording.json", task.id):
                await store.delete(f"{prefix}recording.json")
        await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)


def _directory(file: RecordFile) -> str:
    return file.object_key.rpartition("/")[0]


def _reported_slices(file: RecordFile) -> set[str]:
    parent = PurePosixPath(file.object_key).parent
    return {str(parent / piece["name"]) for piece in file.report.get("slices", [])}


async def _is_about(store: Store, key: str, task_id: str) -> bool:
    """Whether the recording.json is that of the task; those of several may meet in one directory."""
    if (found := await store.stat(key)) is None:
        return False
    text = b"".join([piece async for piece in store.read(key, 0, found.size)])
    try:
        return bool(json.loads(text).get("task_id") == task_id)
    except (ValueError, AttributeError):
        return False
