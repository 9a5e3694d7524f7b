"""Recordings that are deleted: all their objects and nothing else, in a directory and in a real object store."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.control import erasing
from livereel.control.contents import ContentFilter, ContentService
from livereel.control.erasing import Eraser
from livereel.control.recordings import RecordingService
from livereel.control.retention import CLOCK_DOUBTED, Retention
from livereel.domain.errors import RecordingHeld, RecordingNotOver, ResourceNotFound, StoreError
from livereel.domain.recordings import INDEX_MAX_AGE, PLAN_LIST_MAX_AGE, DeleteReason, Task
from livereel.domain.retention import RetentionRule
from livereel.domain.states import OPEN_TASK_STATES, FileState, TaskState
from livereel.domain.templates import RecordFormat
from livereel.spool.format import task_directory
from livereel.storage.local import LocalStore
from livereel.storage.port import Space, Store
from livereel.testing.clock import FakeClock
from tests.integration.catalogue.nouns import PROJECT, make_file, make_plan, make_slice, make_task

HLS, MP4 = RecordFormat.HLS, RecordFormat.MP4
NAMES = ["0.ts", "1.ts", "2.ts", "3.ts", "4.ts"]
ROOM = 1 << 40


class Died(BaseException):
    """The process is no more."""


class Watched:
    """A store whose deletions can be made to fail, and whose free space is what the test says."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.bucket = store.bucket
        self.free: int | None = ROOM
        self.deleted: list[str] = []
        self.trouble: dict[str, BaseException] = {}
        self.dies_after: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def delete(self, key: str) -> bool:
        if self.dies_after is not None and len(self.deleted) >= self.dies_after:
            raise Died
        if (trouble := self.trouble.get(key)) is not None:
            raise trouble
        self.deleted.append(key)
        return await self._store.delete(key)

    async def space(self) -> Space | None:
        return None if self.free is None else Space(1, self.free)


@dataclass
class Archive:
    """Recordings in a catalogue and a store, and what may delete them."""

    catalogue: Catalogue
    store: Watched
    clock: FakeClock
    service: RecordingService
    eraser: Eraser
    spool_dir: Path
    keys: set[str]

    def get(self, _bucket: str) -> Any:
        return self.store

    async def record(self, name: str, *formats: RecordFormat, files: int = 1, **changes: Any) -> Task:
        """A recording that is over; its files are in `name`, 100 bytes each, one a minute."""
        started_at = self.clock.now()
        task = make_task(**{"state": TaskState.COMPLETED, "started_at": started_at, "ended_at": started_at} | changes)
        async with self.catalogue.write() as uow:
            await uow.tasks.add(task)
        for sequence in range(1, files + 1):
            for record_format in formats:
                await self._file(task, f"{name}/{sequence}", record_format, sequence, started_at + 60 * sequence)
        self.keys |= {f"{name}/1/recording.json", f"{name}/1/recording-{task.id}.json"}
        await self.store.put_bytes(f"{name}/1/recording.json", json.dumps({"task_id": task.id}).encode())
        await self.store.put_bytes(f"{name}/1/recording-{task.id}.json", b"{}")
        return task

    async def _file(self, task: Task, at: str, record_format: RecordFormat, sequence: int, ended_at: float) -> None:
        hls = record_format is HLS
        file = make_file(
            task,
            format=record_format,
            sequence=sequence,
            state=FileState.STORED,
            object_key=f"{at}/{'list.m3u8' if hls else 'film.mp4'}",
            started_at=ended_at - 60,
            ended_at=ended_at,
            size=100,
            report={"slices": [{"name": name} for name in NAMES[:4]]} if hls else {},
        )
        objects = [file.object_key] + ([f"{at}/{name}" for name in NAMES] if hls else [])
        async with self.catalogue.write() as uow:
            await uow.files.add(file)
            if hls:  # one that the report does not have, as of a file that failed, and without the oldest
                pieces = [make_slice(file, n, object_key=f"{at}/{name}") for n, name in enumerate(NAMES) if n]
                await uow.slices.add_many(pieces)
        for key in objects:
            await self.store.put_bytes(key, key.encode())
        self.keys |= set(objects)

    async def objects(self) -> set[str]:
        return {key for key in self.keys if await self.store.stat(key) is not None}

    def below(self, name: str) -> set[str]:
        return {key for key in self.keys if key.startswith(f"{name}/")}

    async def states(self, task: Task) -> tuple[TaskState, list[FileState]]:
        found = await self.service.get(PROJECT, task.id)
        files = sorted(found.files, key=lambda file: (file.sequence, file.format))
        return found.task.state, [file.state for file in files]

    async def listed(self) -> int:
        return (
            await ContentService(self.catalogue).list(PROJECT, ContentFilter(started_from=0), offset=0, limit=1)
        ).total

    async def delete(self, task: Task) -> None:
        await self.service.delete(PROJECT, task.id, by="a test")

    def retention(self, rule: RetentionRule | None = None) -> Retention:
        return Retention(self.catalogue, self, self.clock, default=rule, wake_eraser=self.eraser.wake)

    def restarted(self) -> Eraser:
        return Eraser(self.catalogue, self, self.clock, self.spool_dir)


@pytest.fixture
async def archive(store: Store, tmp_path: Path) -> AsyncIterator[Archive]:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield _archive(catalogue, store, tmp_path)
    await catalogue.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Archive]:
    """For what has nothing to do with the kind of the store."""
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    yield _archive(catalogue, LocalStore("rec-a", tmp_path / "rec-a"), tmp_path)
    await catalogue.close()


def _archive(catalogue: Catalogue, store: Store, directory: Path) -> Archive:
    clock, woken = FakeClock(), list[None]()
    archive = Archive(
        catalogue=catalogue,
        store=Watched(store),
        clock=clock,
        service=RecordingService(catalogue, clock, lambda: woken.append(None)),
        eraser=None,  # type: ignore[arg-type]  made below
        spool_dir=directory / "spool",
        keys=set(),
    )
    archive.eraser = archive.restarted()
    return archive


async def test_nothing_is_left_of_a_recording_and_all_of_the_others(archive: Archive) -> None:
    task, other = await archive.record("a", HLS, MP4, files=2), await archive.record("b", HLS, MP4)
    assert await archive.listed() == 6
    await archive.delete(task)
    assert await archive.listed() == 2  # at once, whatever the store does
    assert await archive.states(task) == (TaskState.DELETING, [FileState.DELETING] * 4)
    await archive.eraser.sweep()
    assert await archive.objects() == archive.below("b")
    assert await archive.states(task) == (TaskState.DELETED, [FileState.DELETED] * 4)
    assert await archive.states(other) == (TaskState.COMPLETED, [FileState.STORED] * 2)
    found = await archive.service.get(PROJECT, task.id)
    assert {file.delete_reason for file in found.files} == {DeleteReason.API}
    async with archive.catalogue.read() as uow:
        assert all([await uow.slices.of_file(file.job_id) == [] for file in found.files])
        assert await uow.tasks.to_delete() == []
    await archive.delete(task)  # again
    await archive.eraser.sweep()
    assert await archive.states(task) == (TaskState.DELETED, [FileState.DELETED] * 4)


async def test_objects_that_are_gone_already(archive: Archive) -> None:
    task = await archive.record("a", HLS)
    for key in ("a/1/list.m3u8", "a/1/2.ts", "a/1/recording.json"):
        await archive.store._store.delete(key)
    await archive.delete(task)
    await archive.eraser.sweep()
    assert await archive.objects() == set()
    assert await archive.states(task) == (TaskState.DELETED, [FileState.DELETED])


async def test_a_store_that_is_away_is_asked_again(archive: Archive) -> None:
    task, other = await archive.record("a", HLS), await archive.record("b", MP4)
    archive.store.trouble["a/1/3.ts"] = StoreError("no answer")
    await archive.delete(task)
    await archive.delete(other)
    await archive.eraser.sweep()
    assert await archive.states(task) == (TaskState.DELETING, [FileState.DELETING])
    assert await archive.states(other) == (TaskState.DELETED, [FileState.DELETED])  # does not wait for the first
    archive.store.trouble.clear()
    await archive.eraser.sweep()  # too soon
    assert await archive.states(task) == (TaskState.DELETING, [FileState.DELETING])
    archive.clock.advance(erasing.RETRY_FIRST)
    await archive.eraser.sweep()
    assert await archive.states(task) == (TaskState.DELETED, [FileState.DELETED])
    assert await archive.objects() == set()


async def test_dying_after_each_object_and_going_on(local: Archive) -> None:
    task = await local.record("a", HLS, MP4)
    (local.spool_dir / task.id).mkdir(parents=True)
    await local.delete(task)
    objects = len(local.keys)
    for lives in range(objects + 5):
        local.store.deleted.clear()
        local.store.dies_after = lives
        try:
            await local.restarted().sweep()
        except Died:
            state, _ = await local.states(task)
            assert state is TaskState.DELETING
        else:
            break
    assert lives > 3
    assert await local.states(task) == (TaskState.DELETED, [FileState.DELETED] * 2)
    assert await local.objects() == set()
    assert not task_directory(local.spool_dir, task.id).exists()


async def test_a_bucket_that_refuses_everything_is_left_alone(local: Archive) -> None:
    tasks = [await local.record(f"t{number}", MP4) for number in range(erasing.BUCKET_FAILURES + 2)]
    for number, task in enumerate(tasks):
        local.store.trouble[f"t{number}/1/film.mp4"] = StoreError("no")
        await local.delete(task)
    await local.eraser.sweep()
    assert len(local.eraser._retries) == erasing.BUCKET_FAILURES


async def test_what_others_share_stays(local: Archive) -> None:
    """Odd templates: two playlists in one directory that name the same slices, and one recording.json."""
    task, other = await local.record("a", HLS), await local.record("a", MP4)
    theirs = make_file(
        other,
        format=HLS,
        state=FileState.STORED,
        object_key="a/1/other.m3u8",
        ended_at=local.clock.now(),
        report={"slices": [{"name": "3.ts"}, {"name": "9.ts"}]},
    )
    async with local.catalogue.write() as uow:
        await uow.files.add(theirs)
    await local.delete(task)
    await local.eraser.sweep()
    left = {"a/1/3.ts", "a/1/film.mp4", "a/1/recording.json", f"a/1/recording-{other.id}.json"}
    assert await local.objects() == left


async def test_a_recording_that_failed_goes_with_all_that_is_left_of_it(local: Archive) -> None:
    task = await local.record("a", HLS, state=TaskState.FAILED)
    [file] = (await local.service.get(PROJECT, task.id)).files
    async with local.catalogue.write() as uow:
        await uow.files.update(replace(file, state=FileState.WRITING, ended_at=None, report={}))
    empty = make_task(state=TaskState.FAILED)
    async with local.catalogue.write() as uow:
        await uow.tasks.add(empty)
    for one in (task, empty):
        task_directory(local.spool_dir, one.id).mkdir(parents=True)
        await local.delete(one)
    await local.eraser.sweep()
    assert await local.states(task) == (TaskState.DELETED, [FileState.DELETED])
    assert await local.states(empty) == (TaskState.DELETED, [])
    assert await local.objects() == {"a/1/0.ts"}  # no row and no report ever named it
    assert not list(local.spool_dir.iterdir())


async def test_only_what_is_over_and_not_held_is_deleted(local: Archive) -> None:
    for state in OPEN_TASK_STATES:
        task = await local.record(state.value, MP4, state=state)
        with pytest.raises(RecordingNotOver, match=f"is {state}; delete it when it is over"):
            await local.delete(task)
        async with local.catalogue.write() as uow:
            await uow.tasks.update(replace(task, state=TaskState.FAILED))
    task = await local.record("held", MP4)
    for _ in range(2):
        await local.service.hold(PROJECT, task.id, by="a test")
    with pytest.raises(RecordingHeld, match="is held; release it"):
        await local.delete(task)
    assert await local.states(task) == (TaskState.COMPLETED, [FileState.STORED])
    for _ in range(2):
        await local.service.release(PROJECT, task.id, by="a test")
    await local.delete(task)
    with pytest.raises(ResourceNotFound, match="was deleted"):
        await local.service.hold(PROJECT, task.id, by="a test")
    for call in (local.service.hold, local.service.release, local.service.delete):
        with pytest.raises(ResourceNotFound):
            await call("f" * 32, task.id, by="a test")
    with pytest.raises(ResourceNotFound):
        await local.service.get(PROJECT, "no such")


async def due(retention: Retention) -> list[str]:
    return [one.file.object_key for one in await retention.due()]


async def test_by_age(archive: Archive) -> None:
    task = await archive.record("a", HLS, MP4, files=3)
    retention = archive.retention(RetentionRule(max_age=3600))
    archive.clock.advance(3600 + 119)  # the first file ended after 60 s, the second after 120
    assert sorted(await due(retention)) == ["a/1/film.mp4", "a/1/list.m3u8"]
    assert await archive.objects() == archive.keys  # looking changes nothing
    assert await retention.sweep() == 2
    assert await due(retention) == []
    assert await retention.sweep() == 0
    await archive.eraser.sweep()
    kept = archive.below("a/2") | archive.below("a/3")
    manifests = {key for key in archive.keys if key.endswith(".json")}
    assert await archive.objects() == kept | manifests  # the recording is there still
    assert (await archive.states(task))[0] is TaskState.COMPLETED
    archive.clock.advance(7200)
    assert await retention.sweep() == 4
    await archive.eraser.sweep()
    assert await archive.objects() == set()
    assert await archive.states(task) == (TaskState.DELETED, [FileState.DELETED] * 6)
    found = await archive.service.get(PROJECT, task.id)
    assert {file.delete_reason for file in found.files} == {DeleteReason.RETENTION}


async def test_by_size_the_oldest_first(local: Archive) -> None:
    held = await local.record("held", MP4)
    await local.service.hold(PROJECT, held.id, by="a test")
    for name in ("a", "b", "c", "d"):
        local.clock.advance(1000)
        await local.record(name, MP4)
    local.clock.advance(1000)
    live = await local.record("live", MP4, state=TaskState.RECORDING)
    # 600 bytes are stored; what is held or recorded counts, but does not go.
    assert await due(local.retention(RetentionRule(max_size=600))) == []
    assert await due(local.retention(RetentionRule(max_size=599))) == ["a/1/film.mp4"]
    assert await due(local.retention(RetentionRule(max_size=350))) == [f"{name}/1/film.mp4" for name in "abc"]
    assert await due(local.retention(RetentionRule(max_size=1))) == [f"{name}/1/film.mp4" for name in "abcd"]
    # Age and size together: what is too old counts as gone.
    both = RetentionRule(max_size=499, max_age=60)
    assert len(await due(local.retention(both))) == 4
    retention = local.retention(RetentionRule(max_size=350))
    assert await retention.sweep() == 3
    assert await due(retention) == []
    assert await local.states(live) == (TaskState.RECORDING, [FileState.STORED])


async def test_by_free_space(local: Archive) -> None:
    for name in ("a", "b", "c"):
        await local.record(name, MP4)
        local.clock.advance(1000)
    retention = local.retention(RetentionRule(min_free=1000))
    local.store.free = 1000
    assert await due(retention) == []
    local.store.free = 850
    assert await due(retention) == ["a/1/film.mp4", "b/1/film.mp4"]
    assert await retention.sweep() == 2
    assert await due(retention) == []  # the store has not let them go yet, but it will
    await local.eraser.sweep()
    local.store.free = 950
    assert await due(retention) == ["c/1/film.mp4"]
    local.store.free = None  # as object stores do
    assert await due(retention) == []


async def test_rules_of_templates_and_of_the_server(local: Archive) -> None:
    async def recorded(name: str, rule: RetentionRule | None) -> None:
        task = await local.record(name, MP4)
        async with local.catalogue.write() as uow:
            template = replace(task.template, stream=name, retention=rule)
            await uow.templates.add(template)

    await recorded("short", RetentionRule(max_age=60))
    await recorded("long", RetentionRule(max_age=10_000))
    await recorded("for-ever", RetentionRule())
    await recorded("of-the-server", None)
    await local.record("without-template", MP4)
    local.clock.advance(500)
    assert await due(local.retention()) == ["short/1/film.mp4"]
    assert sorted(await due(local.retention(RetentionRule(max_age=100)))) == [
        "of-the-server/1/film.mp4",
        "short/1/film.mp4",
        "without-template/1/film.mp4",
    ]
    # The size is that of the server's own recordings, not of those that have rules.
    assert len(await due(local.retention(RetentionRule(max_size=200)))) == 1
    local.clock.advance(100_000)
    assert "for-ever/1/film.mp4" not in await due(local.retention(RetentionRule(max_age=100, max_size=1)))
    [why] = {one.why for one in await local.retention().due() if one.file.object_key.startswith("long")}
    assert why.endswith("ended more than 10000 s ago")


async def test_a_clock_that_was_set_ahead_deletes_nothing(local: Archive) -> None:
    task = await local.record("a", MP4)
    retention = local.retention(RetentionRule(max_age=86_400))
    await retention.look()
    local.clock.set(local.clock.now() + 30 * 86_400)
    for _ in range(3):
        await retention.look()
        local.clock.advance(60)
    assert await local.states(task) == (TaskState.COMPLETED, [FileState.STORED])
    assert len(await due(retention)) == 1  # it would have gone
    local.clock.set(local.clock.now() - 30 * 86_400)
    local.clock.advance(CLOCK_DOUBTED)
    await retention.look()
    assert await local.states(task) == (TaskState.COMPLETED, [FileState.STORED])
    local.clock.advance(2 * 86_400)  # time that has passed
    await retention.look()
    assert await local.states(task) == (TaskState.COMPLETED, [FileState.DELETING])


async def test_a_clock_that_stays_ahead_is_believed_in_the_end(local: Archive) -> None:
    task = await local.record("a", MP4)
    retention = local.retention(RetentionRule(max_age=86_400))
    await retention.look()
    local.clock.set(local.clock.now() + 30 * 86_400)
    await retention.look()
    local.clock.advance(CLOCK_DOUBTED)
    await retention.look()
    assert await local.states(task) == (TaskState.COMPLETED, [FileState.DELETING])


async def test_old_rows_are_forgotten(local: Archive) -> None:
    task = await local.record("a", HLS)
    plan = make_plan(start_at=local.clock.now(), end_at=local.clock.now() + 60, stop_at=local.clock.now())
    async with local.catalogue.write() as uow:
        await uow.plan_tasks.add(plan)
    [file] = (await local.service.get(PROJECT, task.id)).files

    async def rows() -> tuple[int, int]:
        await local.retention().look()
        async with local.catalogue.read() as uow:
            return len(await uow.slices.of_file(file.job_id)), (await uow.plan_tasks.list(PROJECT)).total

    assert await rows() == (4, 1)
    local.clock.advance(INDEX_MAX_AGE + 61)
    assert await rows() == (0, 1)
    local.clock.advance(PLAN_LIST_MAX_AGE)
    assert await rows() == (0, 0)
    await local.delete(task)
    await local.eraser.sweep()
    # The report names the slices still; the one that it lacks was made up for this test.
    assert await local.objects() == {"a/1/4.ts"}
