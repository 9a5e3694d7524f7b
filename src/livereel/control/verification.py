"""Reading every record file again after it was closed, and what follows from it.

A file is read while it goes into its store. One that is damaged is made again from the spool, once; the spool of one
that stays damaged is kept. The verdict is told with RECORD_FILE_COMPLETE if it is there in time, else by itself.
Nothing of this is lost with the process: a stored file without a verdict is read again from its store.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import structlog

from livereel.control.announcer import Announcer
from livereel.control.damaged import keep_spool
from livereel.control.stored_files import account_of, check_stored
from livereel.control.uploads.backoff import Backoff
from livereel.control.verify_turns import Turns
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileState
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel, reasons
from livereel.observe import metrics
from livereel.recorder.events import FileFinished, Resume, TaskSpec
from livereel.spool.format import segment_path, segments, task_directory
from livereel.storage.port import Stores
from livereel.verify.pool import TRIES, CannotRemake, VerifyPool

log = structlog.get_logger()

#: Seconds that RECORD_FILE_COMPLETE waits for the verdict once the file is stored. Nobody is to wait in vain: for files
#: of more media than VERIFY_WAIT_MEDIA (seconds), which take longer to read, it does not wait, and their reading is put
#: off until all that are on their way are stored, as it is when these are many.
VERIFY_WAIT: Final = 1.0
VERIFY_WAIT_MEDIA: Final = 300.0

T = TypeVar("T")

#: What to have the recorder make of a task: (task, where each format begins).
SpecOf = Callable[[Task, dict[RecordFormat, Resume]], TaskSpec]


@dataclass(slots=True)
class _Job:
    """A file between its close and its verdict. `path` is None when only the store has it."""

    task: Task
    file: RecordFile
    path: Path | None
    end: SpoolPosition
    verdict: asyncio.Future[Verdict]
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    put_off: bool = False  # it is read when others are stored
    told: bool = False  # the verdict went out with RECORD_FILE_COMPLETE
    work: asyncio.Task[None] | None = None


class FileVerifier:
    """`begin` with a file that was closed, `stored` when that is told; `resume` with one of an earlier run."""

    def __init__(
        self,
        *,
        pool: VerifyPool,
        stores: Stores,
        announcer: Announcer,
        clock: Clock,
        work_dir: Path,
        damaged_dir: Path,
    ) -> None:
        self._pool = pool
        self._stores = stores
        self._announcer = announcer
        self._clock = clock
        self._work_dir = work_dir
        self._damaged_dir = damaged_dir
        self._jobs: dict[str, _Job] = {}
        self._turns = Turns()
        #: Set by finishing, which knows what the recorder is told of a task.
        self.spec_of: SpecOf

    def warm(self) -> None:
        """A recording has begun: a file will follow."""
        self._pool.warm()

    def begin(self, task: Task, file: RecordFile, event: FileFinished) -> None:
        """Read the file that the recorder has just completed."""
        read = event.resume.checkpoint.get("read") if event.resume is not None else None
        end = SpoolPosition(*read) if read else file.start
        put_off = not self._turns.closed(file.job_id, file.bucket) or (file.duration or 0.0) > VERIFY_WAIT_MEDIA
        self._start(task, file, event.path, SpoolPosition(end.segment, end.offset + 1), put_off=put_off)

    def resume(self, task: Task, file: RecordFile) -> None:
        """Read a stored file of an earlier run that has no verdict yet; does nothing for any other."""
        if file.state is FileState.STORED and file.verification is not None and file.verified_at is None:
            job = self._start(task, file, None, task.spool_end or file.start)
            job.stored.set()

    async def within(self, job_id: str, seconds: float) -> Verdict | None:
        """The store has the file: the verdict if that is there, or may be expected within so many seconds and comes."""
        self._turns.arrived(job_id)
        if (job := self._jobs.get(job_id)) is None:
            return None
        if self._pool.level is VerifyLevel.OFF or job.put_off:
            seconds = 0.0
        await asyncio.wait({job.verdict}, timeout=seconds)
        return job.verdict.result() if job.verdict.done() else None

    def judged(self, file: RecordFile, verdict: Verdict | None) -> RecordFile:
        """What the catalogue says of a file that is stored now; without a verdict that there will be one."""
        if verdict is not None:
            return _judged(file, verdict, self._clock.now())
        off = self._pool.level is VerifyLevel.OFF
        return replace(file, verification=Verification.OFF if off else Verification.PENDING)

    def stored(self, file: RecordFile, *, told: bool) -> None:
        """The store has the file, and that is told; `told`: with its verdict."""
        if (job := self._jobs.get(file.job_id)) is not None:
            job.file, job.told = file, told
            job.stored.set()

    def give_up(self, job_id: str) -> None:
        """The file will not be stored in this run."""
        self._turns.arrived(job_id)
        if (job := self._jobs.get(job_id)) is not None and job.work is not None:
            job.work.cancel()

    def first_segment(self, task_id: str) -> int | None:
        """The first spool segment that a file of the task may have to be made again from; None if there is none."""
        return min((job.file.start.segment for job in self._jobs.values() if job.task.id == task_id), default=None)

    async def settled(self, task_id: str) -> None:
        """Return when every file of the task that is stored has its verdict."""
        while jobs := [job.work for job in self._jobs.values() if job.task.id == task_id and job.work is not None]:
            await asyncio.wait(jobs)

    async def stop(self) -> None:
        """Leave what has no verdict yet to the next start."""
        works = [job.work for job in self._jobs.values() if job.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def _start(
        self, task: Task, file: RecordFile, path: Path | None, end: SpoolPosition, *, put_off: bool = False
    ) -> _Job:
        if (before := self._jobs.get(file.job_id)) is not None and before.work is not None:
            before.work.cancel()  # of a file that is made anew
        job = _Job(task, file, path, end, asyncio.get_running_loop().create_future(), put_off=put_off)
        self._jobs[file.job_id] = job
        job.work = asyncio.create_task(self._work(job))
        return job

    async def _work(self, job: _Job) -> None:
        structlog.contextvars.bind_contextvars(stream=str(job.task.key), task=job.task.id)
        try:
            verdict = await self._judge(job)
            job.verdict.set_result(verdict)
            await job.stored.wait()
            self._count(job, verdict)
            if not job.told:
                await _until_done(lambda: self._tell(job, verdict), "verdict_not_told")
            if job.path is not None:
                await asyncio.to_thread(shutil.rmtree, job.path.parent, ignore_errors=True)
        except Exception:  # not to be expected; the file is stored all the same, and `livereel verify` can judge it
            log.exception("file_not_judged", task=job.task.id, job=job.file.job_id)
        finally:
            if self._jobs.get(job.file.job_id) is job:
                del self._jobs[job.file.job_id]

    async def _judge(self, job: _Job) -> Verdict:
        """The verdict, which there is in any case: without one the file would stay pending when its task is over."""
        if job.put_off:
            await self._turns.wait(job.file.bucket)
        backoff = Backoff()
        for attempt in range(1, TRIES + 1):
            try:
                verdict = await self._read(job)
                break
            except Exception as error:
                log.exception("file_not_verified", task=job.task.id, job=job.file.job_id, attempt=attempt)
                verdict = _failed(error)
            if attempt < TRIES:
                await asyncio.sleep(backoff.delay())
        if verdict.verification is Verification.DAMAGED and not verdict.as_received:
            verdict = await self._again(job, verdict)
        return verdict

    async def _read(self, job: _Job) -> Verdict:
        if job.path is not None:
            return await self._pool.check(job.path, account_of(job.file))
        file = job.file

        async def read() -> Verdict:
            store = self._stores.get(file.bucket)
            below = self._work_dir / "stored"
            return await check_stored(store, file.object_key, account_of(file), self._pool, below=below)

        return await _until_done(read, "stored_file_not_read", passing=(LivereelError, OSError))

    async def _again(self, job: _Job, first: Verdict) -> Verdict:
        """Make a damaged file again; gives the verdict on what is in the store then."""
        await job.stored.wait()  # the damaged one is on its way: it must not arrive after the whole one
        log.warning("file_damaged", task=job.task.id, job=job.file.job_id, reasons=reasons(first.damages))
        file, below = job.file, self._work_dir / "again"
        spec = self.spec_of(job.task, {file.format: Resume(file.sequence, file.start, file.checkpoint)})
        spec = replace(spec, formats={file.format: spec.formats[file.format]}, work_dir=below)
        try:
            made = await self._pool.remake(spec, file.job_id, job.end)
            remade = _remade(file, made)
            verdict = await self._pool.check(made.path, account_of(remade))
            if verdict.verification is Verification.DAMAGED and not verdict.as_received:
                raise CannotRemake(f"it was damaged again: {', '.join(reasons(verdict.damages))}")
            await self._replace(remade, made)
        except Exception as error:
            expected = isinstance(error, CannotRemake | OSError)
            log.error("file_not_made_again", task=job.task.id, job=file.job_id, error=str(error), exc_info=not expected)  # noqa: TRY400
            try:
                await asyncio.to_thread(self._keep_spool, job, first)
            except OSError as refused:
                log.error("spool_not_kept", task=job.task.id, job=file.job_id, error=str(refused))  # noqa: TRY400
            return first
        finally:
            await asyncio.to_thread(shutil.rmtree, below / file.task_id / file.job_id, ignore_errors=True)
        job.file = remade
        metrics.files_verified.labels("remade").inc()
        log.info("file_made_again", task=job.task.id, job=file.job_id)
        return verdict

    async def _replace(self, file: RecordFile, made: FileFinished) -> None:
        """Put the objects of a file in the place of those that are in the store; the playlist last."""
        store = self._stores.get(file.bucket)
        names = [piece["name"] for piece in made.report.get("slices", ())]
        beside = PurePosixPath(file.object_key).parent
        objects = [(str(beside / name), made.path.parent / name) for name in names]
        for key, path in [*objects, (file.object_key, made.path)]:

            async def put(key: str = key, path: Path = path) -> None:
                await store.put_file(key, path, final=True)

            await _until_done(put, "remade_file_not_stored")

    async def _tell(self, job: _Job, verdict: Verdict) -> None:
        async with self._announcer.change(patient=True) as change:
            row = await change.uow.files.get(job.file.job_id)
            if row is None or row.state is not FileState.STORED:
                return
            size, duration, report = job.file.size, job.file.duration, job.file.report
            row = _judged(replace(row, size=size, duration=duration, report=report), verdict, self._clock.now())
            await change.uow.files.update(row)
            if verdict.verification is not Verification.OFF:
                await change.tell(CallbackEvent.RECORD_FILE_VERIFIED, job.task, file=row)

    def _keep_spool(self, job: _Job, verdict: Verdict) -> None:
        task_dir = task_directory(self.spec_of(job.task, {}).spool_dir, job.task.id)
        of_file = [
            segment_path(task_dir, number)
            for number in segments(task_dir)
            if job.file.start.segment <= number <= job.end.segment
        ]
        about = {
            "task_id": job.task.id,
            "job_id": job.file.job_id,
            "object": job.file.object_key,
            "format": job.file.format,
            "sequence": job.file.sequence,
            "start": list(job.file.start),
            "end": list(job.end),
            "checkpoint": job.file.checkpoint,
            "damages": [damage.to_json() for damage in verdict.damages],
        }
        keep_spool(self._damaged_dir, job.file.job_id, of_file, about)

    def _count(self, job: _Job, verdict: Verdict) -> None:
        metrics.files_verified.labels(verdict.verification.value).inc()
        about = {"task": job.task.id, "job": job.file.job_id, "object": job.file.object_key}
        if verdict.verification is Verification.DAMAGED:
            damages = [damage.to_json() for damage in verdict.damages]
            log.error("file_is_damaged", stream=str(job.task.key), damages=damages, **about)
        else:
            log.info("file_verified", stream=str(job.task.key), verification=verdict.verification.value, **about)


def _judged(file: RecordFile, verdict: Verdict, now: float) -> RecordFile:
    return replace(
        file,
        verification=verdict.verification,
        damages=verdict.damages,
        sha256=verdict.sha256 or file.sha256,
        verified_at=now,
    )


def _failed(error: Exception) -> Verdict:
    """On a file that cannot be judged: whether it is whole is not known, so it does not count as whole."""
    detail = f"the verifier failed on it {TRIES} times: {type(error).__name__}: {error}"
    return Verdict(Verification.DAMAGED, (Damage(DamageReason.VERIFIER_DIED, detail[:200]),))


def _remade(file: RecordFile, made: FileFinished) -> RecordFile:
    ended_by = {name: file.report[name] for name in ("ended_by",) if name in file.report}
    report = made.report | ended_by | {"made_again": True}
    return replace(file, size=made.size, duration=made.duration, report=report, sha256=None)


async def _until_done(
    work: Callable[[], Awaitable[T]], event: str, *, passing: tuple[type[Exception], ...] = (Exception,)
) -> T:
    """Again and again while the store or the catalogue is away; nothing local is given up meanwhile.

    `passing` are errors that may pass; raises any other.
    """
    backoff = Backoff()
    while True:
        delay = backoff.delay()
        try:
            return await work()
        except LivereelError as error:
            log.warning(event, error=error.detail, retry_in=delay)
        except passing:
            log.exception(event, retry_in=delay)
        await asyncio.sleep(delay)
