"""What may be deleted, what is held, what is being deleted; on both databases."""

from dataclasses import replace
from typing import Any

from livereel.catalogue.port import Catalogue, StoredSize
from livereel.domain.recordings import DeleteReason, RecordFile, Task
from livereel.domain.retention import RetentionRule
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import RecordFormat
from tests.integration.catalogue.nouns import NOW, make_file, make_plan, make_slice, make_task, make_template


async def add(catalogue: Catalogue, task: Task, *files: RecordFile) -> None:
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        for file in files:
            await uow.files.add(file)


def over(**changes: Any) -> Task:
    return make_task(**{"state": TaskState.COMPLETED, "ended_at": NOW + 9} | changes)


def stored(task: Task, age: float = 0, **changes: Any) -> RecordFile:
    return make_file(task, **{"state": FileState.STORED, "ended_at": NOW - age, "size": 10} | changes)


async def deletable(catalogue: Catalogue, **wanted: Any) -> list[str]:
    async with catalogue.read() as uow:
        return [file.job_id for file in await uow.files.deletable(**wanted)]


async def test_only_what_is_stored_of_tasks_that_are_over_oldest_first(catalogue: Catalogue) -> None:
    task, failed = over(), over(state=TaskState.FAILED)
    files = [stored(task, 10), stored(task, 30), stored(failed, 20)]
    await add(catalogue, task, *files[:2], stored(task, 99, state=FileState.FAILED))
    await add(catalogue, failed, files[2])
    for number, state in enumerate(state for state in TaskState if state not in (task.state, failed.state)):
        other = make_task(state=state, key=replace(task.key, stream=f"cam-{number}"))
        await add(catalogue, other, stored(other, 99))
    for state in FileState:
        if state is not FileState.STORED:
            await add(catalogue, one := over(), stored(one, 99, state=state))
    assert await deletable(catalogue) == [files[1].job_id, files[2].job_id, files[0].job_id]
    assert await deletable(catalogue, offset=1, limit=1) == [files[2].job_id]
    assert await deletable(catalogue, ended_before=NOW - 10) == [files[1].job_id, files[2].job_id]
    assert await deletable(catalogue, ended_before=NOW - 30) == []


async def test_by_template_and_bucket(catalogue: Catalogue) -> None:
    one, other = over(), over()
    first, second = stored(one, 2), stored(other, 1, bucket="rec-b")
    await add(catalogue, one, first)
    await add(catalogue, other, second)
    assert await deletable(catalogue, templates=[one.template.id]) == [first.job_id]
    assert await deletable(catalogue, other_than=[one.template.id]) == [second.job_id]
    assert await deletable(catalogue, templates=[]) == []
    assert await deletable(catalogue, buckets=["rec-b"]) == [second.job_id]
    async with catalogue.read() as uow:
        assert sorted(await uow.files.stored_sizes()) == sorted(
            [StoredSize(one.template.id, "rec-a", 10, 0), StoredSize(other.template.id, "rec-b", 10, 0)]
        )


async def test_a_hold_outlives_what_is_written_of_the_task(catalogue: Catalogue) -> None:
    task = over()
    file = stored(task)
    await add(catalogue, task, file)
    async with catalogue.write() as uow:
        assert await uow.holds.put(task.id, NOW)
        assert not await uow.holds.put(task.id, NOW + 1)
        await uow.tasks.update(replace(task, error="written by whoever had read it before"))
        assert await uow.holds.held_since(task.id) == NOW
        assert not await uow.files.mark_deleting(file.job_id, DeleteReason.RETENTION, NOW)
    assert await deletable(catalogue) == []
    async with catalogue.write() as uow:
        assert await uow.holds.delete(task.id)
        assert not await uow.holds.delete(task.id)
        assert await uow.holds.held_since(task.id) is None
        assert await uow.files.mark_deleting(file.job_id, DeleteReason.RETENTION, NOW + 2)
        assert not await uow.files.mark_deleting(file.job_id, DeleteReason.API, NOW + 3)
        marked = await uow.files.get(file.job_id)
    assert marked is not None
    assert (marked.state, marked.deleted_at) == (FileState.DELETING, NOW + 2)
    assert marked.delete_reason is DeleteReason.RETENTION
    async with catalogue.read() as uow:
        assert await uow.tasks.to_delete() == [task.id]
        assert await uow.files.stored_sizes() == [StoredSize(task.template.id, "rec-a", 0, 10)]


async def test_what_is_recorded_is_not_marked(catalogue: Catalogue) -> None:
    task = make_task(state=TaskState.RECORDING)
    file = stored(task)
    await add(catalogue, task, file)
    async with catalogue.write() as uow:
        assert not await uow.files.mark_deleting(file.job_id, DeleteReason.RETENTION, NOW)
        await uow.tasks.update(replace(task, state=TaskState.FINISHING))
        assert not await uow.files.mark_deleting(file.job_id, DeleteReason.RETENTION, NOW)


async def test_what_is_to_be_deleted_the_longest_waiting_first(catalogue: Catalogue) -> None:
    late, early, empty = over(), over(), over(state=TaskState.DELETING)
    for task, at in ((late, NOW + 2), (early, NOW + 1)):
        going = {"state": FileState.DELETING, "delete_reason": DeleteReason.API}
        await add(catalogue, task, stored(task, deleted_at=at, **going), stored(task, deleted_at=NOW + 9, **going))
    await add(catalogue, empty)
    await add(catalogue, over(state=TaskState.DELETED))
    async with catalogue.read() as uow:
        assert await uow.tasks.to_delete() == [empty.id, early.id, late.id]


async def test_what_is_going_is_in_no_window(catalogue: Catalogue) -> None:
    task = over()
    for state in (FileState.STORED, FileState.DELETING, FileState.DELETED):
        file = make_file(task, state=state, ended_at=NOW + 60)
        await add(catalogue, task, file) if state is FileState.STORED else await _add_file(catalogue, file)
        async with catalogue.write() as uow:
            await uow.slices.add_many([make_slice(file, 0)])
    async with catalogue.read() as uow:
        assert len(await uow.files.of_stream_in_window(task.project_id, task.key, NOW, NOW + 60)) == 1
        assert len(await uow.slices.in_window(task.project_id, task.key, NOW, NOW + 60)) == 1


async def _add_file(catalogue: Catalogue, file: RecordFile) -> None:
    async with catalogue.write() as uow:
        await uow.files.add(file)


async def test_playlists_in_the_same_directory(catalogue: Catalogue) -> None:
    task = over()
    names = {"a/b/x.m3u8": True, "a/b/y.m3u8": True, "a/b/c/z.m3u8": False, "a/b.m3u8": False, "a/bb/x.m3u8": False}
    files = [make_file(task, format=RecordFormat.HLS, object_key=name) for name in names]
    others = [
        make_file(task, object_key="a/b/x.mp4"),
        make_file(task, format=RecordFormat.HLS, bucket="rec-b", object_key="a/b/x.m3u8"),
        make_file(task, format=RecordFormat.HLS, object_key="a/b/gone.m3u8", state=FileState.DELETED),
    ]
    roots = [make_file(task, format=RecordFormat.HLS, object_key=f"{name}.m3u8") for name in "pq"]
    await add(catalogue, task, *files, *others, *roots)
    async with catalogue.read() as uow:
        assert [file.object_key for file in await uow.files.playlists_beside(files[0])] == ["a/b/y.m3u8"]
        assert [file.object_key for file in await uow.files.playlists_beside(roots[0])] == ["q.m3u8"]


async def test_slices_and_plans_of_long_ago(catalogue: Catalogue) -> None:
    task = over()
    old, new, open_ = stored(task, 100), stored(task, 1), make_file(task)
    await add(catalogue, task, old, new, open_)
    plans = [
        make_plan(start_at=NOW - 200, end_at=NOW - 100, stop_at=NOW - 100),
        make_plan(start_at=NOW - 200, end_at=NOW - 100),
        make_plan(start_at=NOW - 200, end_at=NOW - 10, stop_at=NOW - 150),
    ]
    async with catalogue.write() as uow:
        await uow.slices.add_many([make_slice(file, number) for file in (old, new, open_) for number in range(3)])
        for plan in plans:
            await uow.plan_tasks.add(plan)
    async with catalogue.write() as uow:
        assert await uow.slices.files_ended(NOW - 50, limit=10) == [old.job_id]
        await uow.slices.delete_of([old.job_id])
        assert await uow.slices.files_ended(NOW - 50, limit=10) == []
        assert [len(await uow.slices.of_file(file.job_id)) for file in (old, new, open_)] == [0, 3, 3]
        assert await uow.plan_tasks.delete_over(NOW - 50, limit=10) == 1
        assert await uow.plan_tasks.delete_over(NOW - 50, limit=10) == 0
        assert [plan.id for plan in (await uow.plan_tasks.list(plans[0].project_id)).items] == [
            plan.id for plan in sorted(plans[1:], key=lambda plan: (plan.start_at, plan.id))
        ]


async def test_a_template_and_its_rule(catalogue: Catalogue) -> None:
    rules = [None, RetentionRule(), RetentionRule(max_age=3600.0, max_size=2**50, min_free=1)]
    templates = [make_template(stream=f"cam-{number}", retention=rule) for number, rule in enumerate(rules)]
    async with catalogue.write() as uow:
        for template in templates:
            await uow.templates.add(template)
        await uow.tasks.add(task := make_task(template=templates[2]))
    async with catalogue.read() as uow:
        assert sorted(await uow.templates.with_retention(), key=lambda one: one.id) == templates[1:]
        assert await uow.templates.for_domain(templates[0].domain) == templates
        assert await uow.tasks.get(task.id) == task
