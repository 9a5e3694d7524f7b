"""From muxed files to a finished task: catalogue rows, store, recording.json, clean-up.

Called with the recorder's events, in order per task. Every step may be repeated after a crash and ends the same way.
"""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.announcer import Announcer, Change
from livereel.control.report import recording_json
from livereel.control.stored_names import apart
from livereel.control.uploads.service import Uploads
from livereel.control.verification import VERIFY_WAIT, FileVerifier
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidName, ResourceExists
from livereel.domain.messages import CallbackEvent
from livereel.domain.naming import EXTENSIONS, file_key, join_root, without_collision
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileEvent, FileState, TaskEvent, TaskState, next_file_state, next_task_state
from livereel.domain.templates import RECORD_CYCLE_DEFAULT, RecordFormat
from livereel.domain.verification import Verdict
from livereel.observe import metrics
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileGrown,
    FileStarted,
    PlaylistReady,
    Progress,
    RecorderEvent,
    Resume,
    SliceReady,
    TaskFailed,
    TaskFinished,
    TaskSpec,
)
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool import recovery
from livereel.storage.port import Store

log = structlog.get_logger()

#: Seconds that the next file of a format waits for the one before to be told complete: applications hear of both in
#: their order then, unless the store is away.
IN_ORDER_WAIT: Final = 2.0
_LOST: Final = "what was received of it was not on disk when the power went"
#: Seconds between attempts to tell that a file is stored while the catalogue is away.
_TELL_AGAIN: Final = 5.0

# A restarted worker makes such a file again; what is in the store stays as it is.
_OVER = (FileState.STORED, FileState.FAILED)


class Finishing:
    """Keeps the catalogue and the store in step with what the recorder reports."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        uploads: Uploads,
        verifier: FileVerifier,
        announcer: Announcer,
        clock: Clock,
        spool_dir: Path,
        work_dir: Path,
        endless_cycle: bool,
    ) -> None:
        self._catalogue = catalogue
        self._uploads = uploads
        uploads.relocate = self._relocate
        self._verifier = verifier
        verifier.spec_of = self._spec_of
        self._announcer = announcer
        self._clock = clock
        self._spool_dir = spool_dir
        self._work_dir = work_dir
        self._endless_cycle = endless_cycle
        self._tasks: dict[str, Task] = {}
        self._files: dict[str, RecordFile] = {}
        #: Rows of files are changed from two sides: by what the recorder reports, and by a move to another bucket.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: By job id: files that are complete and on their way to being stored.
        self._completions: dict[str, asyncio.Task[None]] = {}
        self._recorder: RecorderSupervisor | None = None
        self._ending: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        #: Lets go of a task that the recorder gave up while it still takes tags; set by the owner.
        self.on_task_failed: Callable[[str], Awaitable[None]] = _nobody

    def attach(self, recorder: RecorderSupervisor) -> None:
        """The recorder whose events arrive here; it may forget a task when that is over."""
        self._recorder = recorder

    def spec(self, task: Task, files: list[RecordFile] | None = None) -> TaskSpec:
        """What the recorder needs for `task`; `files` are those made before a restart."""
        self._tasks[task.id] = task
        resume: dict[RecordFormat, Resume] = {}
        unfinished: set[RecordFormat] = set()
        for file in sorted(files or [], key=lambda file: file.sequence):
            self._files[file.job_id] = file
            # From the first that is not stored on, all are made again; nothing is known of what a power cut took.
            if file.format not in unfinished and not _is_beyond(file, task.spool_end):
                resume[file.format] = Resume(file.sequence, file.start, file.checkpoint)
            if file.state not in _OVER:
                unfinished.add(file.format)
            self._verifier.resume(task, file)
        self._verifier.warm()
        return self._spec_of(task, resume)

    def _spec_of(self, task: Task, resume: dict[RecordFormat, Resume]) -> TaskSpec:
        said = structlog.contextvars.get_contextvars()
        cycle_of_zero = 0 if self._endless_cycle else RECORD_CYCLE_DEFAULT
        return TaskSpec(
            task_id=task.id,
            key=task.key,
            record_type=task.record_type,
            formats={
                record_format: replace(config, record_cycle=config.record_cycle or cycle_of_zero)
                for record_format, config in task.template.formats.items()
            },
            spool_dir=self._spool_dir,
            work_dir=self._work_dir,
            resume=resume,
            about={"stream": str(task.key)} | {name: said[name] for name in ("request_id",) if name in said},
        )

    def finish(self, task: Task) -> None:
        """The task takes no more tags: have its files finished where its spool ends."""
        assert task.spool_end is not None
        assert self._recorder is not None
        self._ending.add(task.id)
        self._idle.clear()
        self._recorder.finish(task.id, task.spool_end)

    async def wait_idle(self) -> None:
        """Return when every task that was to be finished is."""
        await self._idle.wait()

    async def handle(self, event: RecorderEvent) -> None:
        """Take one event of the recorder."""
        task = self._tasks.get(event.task_id)
        if task is None:
            log.warning("event_of_unknown_task", task=event.task_id, kind=type(event).__name__)
            return
        match event:
            case FileStarted():
                await self._file_started(task, event)
            case SliceReady():
                self._uploads.slice_ready(event)
            case PlaylistReady():
                self._uploads.playlist_ready(event.job_id, event.path)
            case FileGrown():
                self._uploads.grown(event.job_id, event.path, event.stable_end)
            case FileFinished():
                await self._file_finished(task, event)
            case FileFailed():
                await self._file_failed(task, event.job_id, event.error)
            case TaskFinished():
                await self._task_finished(task, event.report)
            case TaskFailed():
                await self._task_failed(task, event.error)
            case Progress():
                pass

    async def settled(self, task_id: str) -> None:
        """Return when every complete file of the task is stored, verified and told of."""
        while files := [
            completion
            for job_id, completion in self._completions.items()
            if (file := self._files.get(job_id)) is not None and file.task_id == task_id
        ]:
            await asyncio.wait(files)
        await self._verifier.settled(task_id)

    async def stop(self) -> None:
        """Leave what is on its way to the next start."""
        for completion in self._completions.values():
            completion.cancel()
        await asyncio.gather(*self._completions.values(), return_exceptions=True)
        await self._verifier.stop()

    async def _file_started(self, task: Task, event: FileStarted) -> None:
        if (known := self._files.get(event.job_id)) is not None:
            if known.state not in _OVER:  # a restarted worker makes the file again
                await self._uploads.began(task, known)
            return
        before = [
            completion
            for job_id, completion in self._completions.items()
            if (file := self._files[job_id]).task_id == task.id and file.format is event.format
        ]
        if before:
            await asyncio.wait(before, timeout=IN_ORDER_WAIT)
        address = task.template.address
        file = RecordFile(
            job_id=event.job_id,
            asset_id=event.job_id.replace("-", ""),
            task_id=task.id,
            project_id=task.project_id,
            key=task.key,
            record_type=task.record_type,
            format=event.format,
            sequence=event.sequence,
            state=FileState.WRITING,
            bucket=address.bucket,
            location=address.location,
            object_key=_object_key(task, event),
            start=event.start,
            started_at=event.started_at,
            checkpoint=event.checkpoint,
            width=event.width,
            height=event.height,
        )
        try:
            file = await self._add(task, file)
        except ResourceExists:
            file = replace(file, object_key=without_collision(file.object_key, file.job_id))
            file = await self._add(task, file)
        self._files[file.job_id] = file
        await self._uploads.began(task, file)
        await self._trim(task)

    async def _trim(self, task: Task) -> None:
        """Free the part of the spool that no unfinished file needs: a stream may be recorded for weeks."""
        latest: dict[RecordFormat, RecordFile] = {}
        for file in self._files.values():
            if file.task_id == task.id and file.sequence >= latest.get(file.format, file).sequence:
                latest[file.format] = file
        if len(latest) < len(task.template.formats):
            return
        # A file that is not stored yet is made again from its first tag should this machine die.
        unfinished = [file for file in self._files.values() if file.task_id == task.id and file.state not in _OVER]
        needed = [file.start.segment for file in [*latest.values(), *unfinished] if file.state is not FileState.FAILED]
        if (unverified := self._verifier.first_segment(task.id)) is not None:
            needed.append(unverified)
        if needed and min(needed) > 1:
            await asyncio.to_thread(recovery.trim, self._spool_dir, task.id, min(needed))

    async def _file_finished(self, task: Task, event: FileFinished) -> None:
        if event.job_id in self._completions or self._files[event.job_id].state in _OVER:
            return
        async with self._locks[event.job_id]:
            await self._save(_closed(self._files[event.job_id], event))
        self._verifier.begin(task, self._files[event.job_id], event)
        self._completions[event.job_id] = asyncio.create_task(self._complete(task, event))

    async def _complete(self, task: Task, event: FileFinished) -> None:
        """Store a complete file and tell of it, whatever goes wrong meanwhile."""
        try:
            await self._uploads.complete(task, self._files[event.job_id], event.path)
            verdict = await self._verifier.within(event.job_id, VERIFY_WAIT)
            while True:
                try:
                    await self._stored(task, event.job_id, verdict)
                    break
                except Exception:  # the catalogue is away; the file is stored, and that must be told
                    log.exception("stored_file_not_told", task=task.id, job=event.job_id)
                    await asyncio.sleep(_TELL_AGAIN)
        except BaseException as error:
            if isinstance(error, Exception):
                log.exception("file_not_stored", task=task.id, job=event.job_id)
            self._verifier.give_up(event.job_id)  # it would wait for a file that nobody stores any more
            raise
        finally:
            del self._completions[event.job_id]

    async def _stored(self, task: Task, job_id: str, verdict: Verdict | None) -> None:
        async with self._locks[job_id]:
            file = self._verifier.judged(self._files[job_id], verdict)
            file = replace(file, state=next_file_state(file.state, FileEvent.STORE))
            async with self._announcer.change(patient=True) as change:
                await change.uow.files.update(file)
                await self._uploads.settle(change.uow, job_id)
                await change.tell(CallbackEvent.RECORD_FILE_COMPLETE, task, file=file)
            self._files[job_id] = file
        self._uploads.done(job_id)
        self._verifier.stored(file, told=verdict is not None)
        metrics.files.labels(file.format, FileState.STORED).inc()
        log.info("file_stored", stream=str(task.key), task=task.id, job=job_id, object=file.object_key, size=file.size)

    async def _relocate(self, job_id: str, bucket: str, also: Callable[[UnitOfWork, str], Awaitable[None]]) -> str:
        """`uploads.carrier.Relocate`."""
        async with self._locks[job_id]:
            file = replace(self._files[job_id], bucket=bucket)
            async with self._catalogue.write() as uow:
                if (task := await uow.tasks.get(file.task_id)) is not None:
                    file = await apart(uow, task.template, file)
                try:
                    await uow.files.update(file)
                except ResourceExists:  # somebody else's name there
                    file = replace(file, object_key=without_collision(file.object_key, job_id))
                    await uow.files.update(file)
                await also(uow, file.object_key)
            self._files[job_id] = file
        return file.object_key

    async def _file_failed(self, task: Task, job_id: str, error: str) -> None:
        file = self._files[job_id]
        if file.state in _OVER:
            return
        async with self._locks[job_id], self._announcer.change(patient=True) as change:
            self._files[job_id] = await _fail_file(change, task, self._files[job_id], error)
        await self._uploads.forget(job_id)

    async def _task_finished(self, task: Task, spool: dict[str, Any]) -> None:
        await self.settled(task.id)
        for file in [file for file in self._files.values() if file.task_id == task.id]:
            if file.state is FileState.WRITING:  # the recorder came to the end and found nothing for it
                await self._file_failed(task, file.job_id, _LOST)
        # The row has moved on since the spec was made: STOP wrote the end.
        async with self._catalogue.read() as uow:
            task = await uow.tasks.get(task.id) or task
            files = await uow.files.of_task(task.id)
        stored = [file for file in files if file.state is FileState.STORED]
        wanted = set(task.template.formats)
        told = [file for file in files if file.error != _LOST]
        lacking = sorted(wanted - {file.format for file in stored}) or sorted(
            {file.format for file in told if file.state is not FileState.STORED}
        )
        # What ended the recording, if its spool failed, and what is missing because of that or anything else.
        lack = f"no complete file in {', '.join(lacking)}" if lacking else None
        error = "; ".join(filter(None, (task.error, lack))) or None
        event = TaskEvent.FAIL if lacking else TaskEvent.STORED
        done = replace(task, state=next_task_state(task.state, event), completed_at=self._clock.now(), error=error)
        if stored:
            manifest = json.dumps(recording_json(done, files, spool), indent=2).encode()
            places = {(file.bucket, str(PurePosixPath(file.object_key).parent)) for file in _firsts(stored)}
            for bucket, directory in sorted(places):
                await self._put_manifest(task, bucket, directory, manifest)
        whole = {file.format for file in stored} - {file.format for file in told if file.state is not FileState.STORED}
        untold = bool(lacking) and all(file.state is not FileState.FAILED for file in files)
        async with self._announcer.change(patient=True) as change:
            await _end_task(change, done, tell_failure=untold)
        await self._close(done, keep_spool=not whole)

    async def _task_failed(self, task: Task, error: str) -> None:
        await self.on_task_failed(task.id)
        await self.settled(task.id)
        async with self._catalogue.read() as uow:
            task = await uow.tasks.get(task.id) or task
            files = await uow.files.of_task(task.id)
        failed = replace(
            task, state=next_task_state(task.state, TaskEvent.FAIL), completed_at=self._clock.now(), error=error
        )
        unfinished = [file for file in files if file.state not in _OVER]
        async with self._announcer.change(patient=True) as change:
            for file in unfinished:
                await _fail_file(change, task, file, error)
            await _end_task(change, failed, tell_failure=not unfinished)
        for file in unfinished:
            await self._uploads.forget(file.job_id)
        await self._close(failed, keep_spool=True)

    async def _close(self, task: Task, *, keep_spool: bool) -> None:
        metrics.tasks.labels(task.state).inc()
        if self._recorder is not None:
            self._recorder.forget(task.id)
        await asyncio.to_thread(shutil.rmtree, self._work_dir / task.id, ignore_errors=True)
        if not keep_spool:  # kept when no format is whole: then it is the only copy of what was received
            await asyncio.to_thread(recovery.remove, self._spool_dir, task.id)
        if task.state is TaskState.COMPLETED:
            log.info("task_completed", stream=str(task.key), task=task.id)
        else:
            log.error("task_failed", stream=str(task.key), task=task.id, error=task.error)
        del self._tasks[task.id]
        for job_id in [job_id for job_id, file in self._files.items() if file.task_id == task.id]:
            del self._files[job_id]
            self._locks.pop(job_id, None)
        self._ending.discard(task.id)
        if not self._ending:
            self._idle.set()

    async def _add(self, task: Task, file: RecordFile) -> RecordFile:
        async with self._announcer.change(patient=True) as change:
            file = await apart(change.uow, task.template, file)
            await change.uow.files.add(file)
            await change.tell(CallbackEvent.RECORD_NEW_FILE_START, task, file=file)
        return file

    async def _save(self, file: RecordFile) -> None:
        async with self._catalogue.write(patient=True) as uow:
            await uow.files.update(file)
        self._files[file.job_id] = file

    async def _put_manifest(self, task: Task, bucket: str, directory: str, manifest: bytes) -> None:
        prefix = "" if directory == "." else directory + "/"

        async def put(store: Store) -> None:
            name = f"{prefix}recording.json"
            if await store.stat(name) is not None and not await _is_ours(store, name, task.id):
                name = f"{prefix}recording-{task.id}.json"
            await store.put_bytes(name, manifest)

        await self._uploads.put_bytes(task, bucket, put)


def _is_beyond(file: RecordFile, end: SpoolPosition | None) -> bool:
    """Whether a file, or what is known of its beginning, lies behind the end of a spool that a power cut shortened."""
    read = file.checkpoint.get("read")
    return end is not None and (file.start >= end or (read is not None and SpoolPosition(*read) >= end))


async def _nobody(_task_id: str) -> None:
    return


async def _fail_file(change: Change, task: Task, file: RecordFile, error: str) -> RecordFile:
    failed = replace(file, state=next_file_state(file.state, FileEvent.FAIL), error=error)
    await change.uow.files.update(failed)
    await change.tell(CallbackEvent.RECORD_FAILED, task, file=failed, error=error)
    metrics.files.labels(file.format, FileState.FAILED).inc()
    log.error("file_failed", stream=str(task.key), task=task.id, job=file.job_id, error=error)
    return failed


async def _end_task(change: Change, task: Task, *, tell_failure: bool) -> None:
    """Write a task's last state. `tell_failure`: no failure of a file has said what is wrong."""
    await change.uow.tasks.update(task)
    if tell_failure:
        await change.tell(CallbackEvent.RECORD_FAILED, task, error=task.error or "")
    await change.tell(CallbackEvent.RECORD_OVER, task)


def _object_key(task: Task, event: FileStarted) -> str:
    address = task.template.address
    try:
        return file_key(
            task.key,
            task.record_type,
            event.format,
            object_root=address.object,
            prefix=task.template.formats[event.format].record_prefix,
            started_at=event.started_at,
        )
    except InvalidName as error:
        # Long names can expand a prefix beyond what a key may have; the recording matters more than its name.
        log.warning("object_key_replaced", stream=str(task.key), task=task.id, reason=error.detail)
        return join_root(address.object, f"Record/{event.job_id}{EXTENSIONS[event.format]}")


def _closed(file: RecordFile, event: FileFinished) -> RecordFile:
    """The file as the recorder completed it."""
    if file.state is FileState.WRITING:
        file = replace(file, state=next_file_state(file.state, FileEvent.CLOSE))
    return replace(
        file,
        started_at=event.started_at,
        ended_at=event.ended_at,
        size=event.size,
        duration=event.duration,
        width=event.width,
        height=event.height,
        video_codec=event.video_codec,
        audio_codec=event.audio_codec,
        sha256=None,
        report=event.report,
    )


def _firsts(files: list[RecordFile]) -> list[RecordFile]:
    first: dict[RecordFormat, RecordFile] = {}
    for file in sorted(files, key=lambda file: file.sequence):
        first.setdefault(file.format, file)
    return list(first.values())


async def _is_ours(store: Store, key: str, task_id: str) -> bool:
    found = await store.stat(key)
    if found is None:
        return False
    text = b"".join([piece async for piece in store.read(key, 0, found.size)])
    try:
        return bool(json.loads(text).get("task_id") == task_id)
    except (ValueError, AttributeError):
        return False
