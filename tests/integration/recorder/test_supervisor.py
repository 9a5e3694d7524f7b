"""Workers are killed; the files come out the same."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from livereel.domain.media import TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.observe.clock import SystemClock
from livereel.recorder import supervisor as supervisor_module
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileStarted,
    RecorderEvent,
    Resume,
    TaskFailed,
    TaskFinished,
    TaskSpec,
)
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.spool.format import segment_path
from livereel.testing.media import assert_sound
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, FLV, HLS, KEY, MP4, TASK, Spool, frames, run, spec


class Recorder:
    """A supervisor and what it reported."""

    def __init__(self, tmp_path: Path, workers: int = 1) -> None:
        self.events: list[RecorderEvent] = []
        self.arrived = asyncio.Condition()
        self.supervisor = RecorderSupervisor(
            workers=workers,
            spool_dir=tmp_path / "spool",
            work_dir=tmp_path / "work",
            on_event=self._take,
            clock=SystemClock(),
        )

    async def _take(self, event: RecorderEvent) -> None:
        async with self.arrived:
            self.events.append(event)
            self.arrived.notify_all()

    async def until(self, predicate: Callable[[RecorderEvent], bool], timeout: float = 60) -> RecorderEvent:
        """The first event, past or future, that fits."""
        async with asyncio.timeout(timeout), self.arrived:
            while True:
                for event in self.events:
                    if predicate(event):
                        return event
                await self.arrived.wait()

    async def task_over(self, task_id: str = TASK) -> RecorderEvent:
        return await self.until(lambda e: e.task_id == task_id and isinstance(e, TaskFinished | TaskFailed))

    async def kill(self) -> None:
        """SIGKILL every worker that runs."""
        for pid in self.supervisor.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def recorder(tmp_path: Path, workers: int = 1) -> AsyncIterator[Recorder]:
    made = Recorder(tmp_path, workers)
    await made.supervisor.start()
    try:
        yield made
    finally:
        await made.supervisor.stop()


def results(events: list[RecorderEvent]) -> dict[str, tuple[object, ...]]:
    """What is to be the same whatever happens: per file its place, times, bytes."""
    found: dict[str, tuple[object, ...]] = {}
    for event in events:
        if isinstance(event, FileFinished):
            facts = (
                event.sequence,
                hashlib.sha256(event.path.read_bytes()).hexdigest(),
                event.size,
                event.started_at,
                event.ended_at,
                event.duration,
                str(event.report),
            )
            assert found.setdefault(event.job_id, facts) == facts
    return found


def order_is_right(events: list[RecorderEvent]) -> None:
    """Each format reports a file after the one before is finished; the end comes last and once."""
    for record_format in ALL:
        finished = 0
        for event in events:
            if isinstance(event, FileStarted | FileFinished) and event.format is record_format:
                assert event.sequence <= finished + 1
                if isinstance(event, FileFinished):
                    finished = max(finished, event.sequence)
    ends = [event for event in events if isinstance(event, TaskFinished | TaskFailed)]
    assert len(ends) == 1 and events[-1] is ends[0]


class Growing:
    """A spool that is written piece by piece, with a torn tag at the end of every piece."""

    def __init__(self, tmp_path: Path, whole: Path) -> None:
        self._segments = [path.read_bytes() for path in sorted(whole.iterdir())]
        self._dir = tmp_path / "spool" / TASK
        self._dir.mkdir(parents=True)
        self.size = sum(map(len, self._segments))

    def grow_to(self, size: int) -> None:
        for number, data in enumerate(self._segments, start=1):
            part = data[: max(0, size)]
            size -= len(data)
            if part:
                path = segment_path(self._dir, number)
                with path.open("ab") as file:
                    file.write(part[path.stat().st_size :])


@pytest.fixture(scope="module")
def media(source: Source) -> list[Tag]:
    """Ten times slower than generated: key frames every 20 s, so that cycles of a minute come in a small spool."""
    return [tag._replace(timestamp=tag.timestamp * 10) for tag in source(20)]


def reference(tmp_path: Path, media: list[Tag], cycle: int) -> tuple[dict[str, tuple[object, ...]], SpoolPosition]:
    """What comes out without any kill."""
    calm = tmp_path / "calm"
    end = Spool(calm / "spool").publish(media, segment_bytes=400_000)
    return results(run(spec(calm, cycle=cycle), end)), end


async def test_records_a_growing_spool(tmp_path: Path, media: list[Tag]) -> None:
    expected, end = reference(tmp_path, media, 60)
    growing = Growing(tmp_path, tmp_path / "calm" / "spool" / TASK)
    growing.grow_to(growing.size // 2 + 7)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path, cycle=60))
        await made.until(lambda event: isinstance(event, FileStarted) and event.sequence == 2)
        assert not any(isinstance(event, TaskFinished) for event in made.events)
        growing.grow_to(growing.size)
        made.supervisor.finish(TASK, end)
        await made.task_over()
        made.supervisor.forget(TASK)
    assert results(made.events) == expected
    order_is_right(made.events)


@pytest.mark.parametrize("moment", range(8))
async def test_killed_at_any_moment(tmp_path: Path, media: list[Tag], moment: int) -> None:
    """The spool grows, the worker is killed in every phase: before, amid and after files, twice in a row."""
    expected, end = reference(tmp_path, media, 60)
    assert len(expected) == 12
    growing = Growing(tmp_path, tmp_path / "calm" / "spool" / TASK)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path, cycle=60))
        for step in range(1, 9):
            growing.grow_to(growing.size * step // 8)
            await asyncio.sleep(0.05 + 0.07 * moment)
            if step in (moment, moment + 1, moment + 4):
                await made.kill()
        if moment % 2:
            await made.kill()
        made.supervisor.finish(TASK, end)
        if moment % 3 == 0:
            await asyncio.sleep(0.02 * moment)
            await made.kill()
        over = await made.task_over()
    assert isinstance(over, TaskFinished)
    assert results(made.events) == expected
    order_is_right(made.events)
    for event in made.events:
        if isinstance(event, FileFinished):
            assert_sound(event.path, video_frames=event.report["packets"]["video"])


async def test_finished_files_are_not_made_again(tmp_path: Path, media: list[Tag]) -> None:
    expected, end = reference(tmp_path, media, 60)
    Growing(tmp_path, tmp_path / "calm" / "spool" / TASK).grow_to(1 << 40)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path, cycle=60))
        await made.until(lambda e: isinstance(e, FileStarted) and e.sequence == 4 and e.format is HLS)
        await made.kill()
        made.supervisor.finish(TASK, end)
        await made.task_over()
    assert results(made.events) == expected
    assert sum(isinstance(event, FileFinished) for event in made.events) == len(expected)


@pytest.mark.parametrize("upto", [1, 4, 7, 9, 12])
def test_resume_from_what_a_catalogue_keeps(tmp_path: Path, media: list[Tag], upto: int) -> None:
    """A new server knows of each format only the last file that was begun."""
    expected, end = reference(tmp_path, media, 60)
    calm = spec(tmp_path / "calm", cycle=60)
    resume: dict[object, Resume] = {}
    seen = 0
    for event in run(calm, end):
        if isinstance(event, FileStarted):
            resume[event.format] = Resume(event.sequence, event.start, event.checkpoint)
            seen += 1
            if seen == upto:
                break
    again = TaskSpec.from_json(
        TaskSpec(TASK, KEY, calm.record_type, calm.formats, calm.spool_dir, tmp_path / "work", resume).to_json()  # type: ignore[arg-type]
    )
    events = run(again, end)
    remade = results(events)
    assert remade.items() <= expected.items()
    begun = {record_format: point.sequence for record_format, point in resume.items()}
    for record_format in ALL:
        sequences = [e.sequence for e in events if isinstance(e, FileFinished) and e.format is record_format]
        assert sequences == list(range(begun.get(record_format, 1), 5))


async def test_many_tasks_over_two_workers(tmp_path: Path, media: list[Tag]) -> None:
    ids = [f"{number:032x}" for number in range(12)]
    ends = {task_id: Spool(tmp_path / "spool", task_id).publish(media) for task_id in ids}
    async with recorder(tmp_path, workers=2) as made:
        for task_id in ids:
            made.supervisor.record(spec(tmp_path, task_id=task_id))
        await asyncio.sleep(0.3)
        await made.kill()
        for task_id in ids:
            made.supervisor.finish(task_id, ends[task_id])
        for task_id in ids:
            assert isinstance(await made.task_over(task_id), TaskFinished)
            made.supervisor.forget(task_id)
    for task_id in ids:
        files = {event.job_id: event for event in made.events if isinstance(event, FileFinished)}
        mine = [file for file in files.values() if file.task_id == task_id]
        assert {file.format for file in mine} == set(ALL)
        assert {file.report["packets"]["video"] for file in mine} == {len(frames(media, TAG_VIDEO))}


async def test_torn_spool_is_finished_as_far_as_it_goes(
    tmp_path: Path, media: list[Tag], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = Spool(tmp_path / "spool").publish(media)
    path = segment_path(tmp_path / "spool" / TASK, 1)
    os.truncate(path, end.offset * 2 // 3)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path))
        made.supervisor.finish(TASK, end)
        over = await made.task_over()
    assert isinstance(over, TaskFinished) and "torn" in over.report
    for event in made.events:
        if isinstance(event, FileFinished):
            assert_sound(event.path)
            assert event.duration == pytest.approx(133, abs=15)


async def test_damaged_spool_is_finished_up_to_the_damage(tmp_path: Path, media: list[Tag]) -> None:
    end = Spool(tmp_path / "spool").publish(media)
    path = segment_path(tmp_path / "spool" / TASK, 1)
    data = bytearray(path.read_bytes())
    data[end.offset // 2 : end.offset // 2 + 20_000] = bytes(20_000)
    path.write_bytes(data)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path))
        made.supervisor.finish(TASK, end)
        over = await made.task_over()
    assert isinstance(over, TaskFinished) and "damaged" in over.report
    assert sum(isinstance(event, FileFinished) for event in made.events) == 3


async def test_task_that_kills_its_worker_fails_alone(
    tmp_path: Path, media: list[Tag], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of the poisoned task dies at the same place each time; the other task is completed."""
    poisoned = f"{13:032x}"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'livereel.recorder.worker' in sys.orig_argv:\n"
        "    from livereel.recorder import task\n"
        "    step = task.TaskRecorder.step\n"
        "    def poison(self, now):\n"
        f"        if self.task_id == {poisoned!r}:\n"
        "            os.abort()\n"
        "        return step(self, now)\n"
        "    task.TaskRecorder.step = poison\n"
    )
    monkeypatch.setattr(supervisor_module, "RESTART_DELAY_FIRST", 0.01)
    end = Spool(tmp_path / "spool").publish(media)
    other = Spool(tmp_path / "spool", poisoned).publish(media)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path, task_id=poisoned))
        made.supervisor.record(spec(tmp_path))
        made.supervisor.finish(poisoned, other)
        made.supervisor.finish(TASK, end)
        failed = await made.task_over(poisoned)
        assert isinstance(failed, TaskFailed) and "died 3 times" in failed.error
        assert isinstance(await made.task_over(), TaskFinished)


async def test_disk_that_refuses_fails_one_format_only(tmp_path: Path, media: list[Tag]) -> None:
    end = Spool(tmp_path / "spool").publish(media)
    calm = run(spec(tmp_path), end)
    [mp4] = [event for event in calm if isinstance(event, FileFinished) and event.format is MP4]
    blocked = tmp_path / "blocked"
    directory = blocked / "work" / TASK / mp4.job_id
    directory.parent.mkdir(parents=True)
    directory.write_text("a file where the directory should be")
    task_spec = spec(tmp_path)
    async with recorder(blocked) as made:
        made.supervisor.record(
            TaskSpec(TASK, KEY, task_spec.record_type, task_spec.formats, task_spec.spool_dir, blocked / "work")
        )
        made.supervisor.finish(TASK, end)
        assert isinstance(await made.task_over(), TaskFinished)
    [failed] = [event for event in made.events if isinstance(event, FileFailed)]
    assert failed.format is MP4
    assert {event.format for event in made.events if isinstance(event, FileFinished)} == {FLV, HLS}


async def test_forget_stops_work_at_once(tmp_path: Path, media: list[Tag]) -> None:
    Spool(tmp_path / "spool").publish(media)
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path))
        await made.until(lambda event: isinstance(event, FileStarted))
        made.supervisor.forget(TASK)
        made.supervisor.record(spec(tmp_path))  # may come again
        made.supervisor.finish(TASK, SpoolPosition(1, 100))
        await made.task_over()


async def test_broken_spec_fails_its_task_only(
    tmp_path: Path, media: list[Tag], capfd: pytest.CaptureFixture[str]
) -> None:
    task_spec = spec(tmp_path, [FLV])
    broken = TaskSpec(
        TASK,
        KEY,
        task_spec.record_type,
        task_spec.formats,
        task_spec.spool_dir,
        task_spec.work_dir,
        {FLV: Resume(1, SpoolPosition(1, 0), {"of": "another version"})},
        {"stream": str(KEY), "request_id": "r1"},
    )
    async with recorder(tmp_path) as made:
        made.supervisor.record(broken)
        failed = await made.task_over()
        assert isinstance(failed, TaskFailed) and "cannot be begun" in failed.error
        assert len(made.supervisor.processes()) == 1
    # The worker's log goes where ours goes and names what every line names.
    [line] = [line for line in capfd.readouterr().err.splitlines() if "task_not_begun" in line]
    assert {f"task={TASK}", f"stream={KEY}", "request_id=r1"} <= set(line.split())


async def test_workers_end_with_the_supervisor(tmp_path: Path) -> None:
    async with recorder(tmp_path, workers=2) as made:
        async with asyncio.timeout(60):
            while len(made.supervisor.processes()) < 2:
                await asyncio.sleep(0.02)
        pids = made.supervisor.processes()
        assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_worker_that_hangs_is_gone_with_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "STOP_GRACE", 0.5)
    monkeypatch.setattr(supervisor_module, "KILL_GRACE", 60.0)
    async with recorder(tmp_path) as made:
        async with asyncio.timeout(60):
            while not made.supervisor.processes():
                await asyncio.sleep(0.02)
        [worker] = made.supervisor.processes()
        os.kill(worker, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
