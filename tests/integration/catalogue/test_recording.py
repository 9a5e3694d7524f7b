"""Templates, tasks and record files."""

import asyncio
from dataclasses import replace

import pytest

from livereel.catalogue.port import Catalogue, CatalogueError
from livereel.domain.errors import ResourceExists, ResourceNotFound
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import EndReason, SpoolPosition
from livereel.domain.states import ACTIVE_TASK_STATES, OPEN_TASK_STATES, FileState, TaskState
from livereel.domain.templates import RecordFormat, RecordType
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification
from tests.integration.catalogue.nouns import KEY, NOW, PROJECT, make_file, make_slice, make_task, make_template


async def test_templates_come_back_as_they_were(catalogue: Catalogue) -> None:
    template = make_template(armed=True, pre_roll=12.5)
    async with catalogue.write() as uow:
        await uow.templates.add(template)
    async with catalogue.read() as uow:
        assert await uow.templates.get(PROJECT, template.id) == template
        assert await uow.templates.get("f" * 32, template.id) is None
        assert await uow.templates.for_domain(KEY.domain) == [template]
        assert await uow.templates.for_domain("other.example.com") == []


async def test_one_template_per_scope(catalogue: Catalogue) -> None:
    template, exact = make_template(), make_template(stream="cam01")
    async with catalogue.write() as uow:
        await uow.templates.add(template)
        await uow.templates.add(exact)
        with pytest.raises(ResourceExists):
            await uow.templates.add(make_template(record_type=RecordType.CONTINUOUS))
        with pytest.raises(ResourceExists):
            await uow.templates.update(replace(exact, stream="*"))
        await uow.templates.update(moved := replace(exact, stream="cam02", updated_at=NOW + 9))
        with pytest.raises(ResourceNotFound):
            await uow.templates.update(make_template(stream="cam03"))
        with pytest.raises(ResourceNotFound):
            await uow.templates.update(replace(moved, project_id="f" * 32))
    async with catalogue.write() as uow:
        assert await uow.templates.get(PROJECT, exact.id) == moved
        assert not await uow.templates.delete("f" * 32, exact.id)
        assert await uow.templates.delete(PROJECT, exact.id)
        assert not await uow.templates.delete(PROJECT, exact.id)


async def test_templates_are_listed_with_filters_in_pages(catalogue: Catalogue) -> None:
    templates = [
        make_template(app=app, stream=stream, created_at=NOW + number, record_type=record_type)
        for number, (app, stream, record_type) in enumerate(
            [
                ("live", "a", RecordType.COMMAND),
                ("live", "b", RecordType.CONTINUOUS),
                ("*", "a", RecordType.COMMAND),
                ("*", "*", RecordType.COMMAND),
            ]
        )
    ]
    async with catalogue.write() as uow:
        for template in reversed(templates):
            await uow.templates.add(template)
        await uow.templates.add(make_template(project_id="f" * 32, domain="other.example.com"))
    async with catalogue.read() as uow:
        assert await uow.templates.list(PROJECT) == (4, templates)
        assert await uow.templates.list(PROJECT, offset=1, limit=2) == (4, templates[1:3])
        assert await uow.templates.list(PROJECT, offset=9) == (4, [])
        assert await uow.templates.list(PROJECT, app="*") == (2, templates[2:])
        assert await uow.templates.list(PROJECT, stream="a", record_type=RecordType.COMMAND) == (
            2,
            [templates[0], templates[2]],
        )
        assert await uow.templates.list(PROJECT, domain="other.example.com") == (0, [])


async def test_tasks_come_back_as_they_were(catalogue: Catalogue) -> None:
    task = make_task()
    ended = replace(
        task,
        state=TaskState.FINISHING,
        ended_at=NOW + 60.5,
        end_reason=EndReason.STOP,
        spool_end=SpoolPosition(3, 2**40),
        completed_at=NOW + 61,
        error="why",
        armed=True,
        pre_roll=30.0,
        deadline=NOW + 86_400.5,
        plan_id="p" * 32,
    )
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        assert await uow.tasks.get(task.id) == task
        await uow.tasks.update(ended)
    async with catalogue.read() as uow:
        assert await uow.tasks.get(task.id) == ended
        assert await uow.tasks.get("0" * 32) is None


@pytest.mark.parametrize("state", sorted(TaskState))
async def test_only_active_tasks_hold_their_stream(catalogue: Catalogue, state: TaskState) -> None:
    task = make_task(state=state)
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        holds = await uow.tasks.active(KEY) == task
        assert holds is (state in ACTIVE_TASK_STATES)
        if holds:
            with pytest.raises(ResourceExists, match="cam01"):
                await uow.tasks.add(make_task())
        else:
            await uow.tasks.add(make_task())
        await uow.tasks.add(make_task(key=replace(KEY, stream="cam02")))


async def test_ending_a_task_frees_its_stream(catalogue: Catalogue) -> None:
    first, second = make_task(), make_task()
    async with catalogue.write() as uow:
        await uow.tasks.add(first)
    async with catalogue.write() as uow:
        await uow.tasks.update(replace(first, state=TaskState.FINISHING))
        await uow.tasks.add(second)
        with pytest.raises(ResourceExists):
            await uow.tasks.update(first)
        with pytest.raises(ResourceNotFound):
            await uow.tasks.update(make_task(key=replace(KEY, app="vod")))
    async with catalogue.read() as uow:
        assert await uow.tasks.active(KEY) == second


async def test_of_many_starts_at_once_one_wins(catalogue: Catalogue) -> None:
    tasks = [make_task() for _ in range(20)]

    async def start(number: int) -> bool:
        try:
            async with catalogue.write() as uow:
                await asyncio.sleep(0)
                await uow.tasks.add(tasks[number])
        except ResourceExists:
            return False
        return True

    started = await asyncio.gather(*map(start, range(len(tasks))))
    assert sum(started) == 1
    async with catalogue.read() as uow:
        assert await uow.tasks.active(KEY) == tasks[started.index(True)]
        assert (await uow.tasks.list()).total == 1


async def test_last_stopped_at_knows_only_stops(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        assert await uow.tasks.last_stopped_at(KEY) is None
        for number, reason in enumerate([EndReason.STOP, EndReason.STOP, EndReason.PUBLISH_DONE]):
            await uow.tasks.add(
                make_task(state=TaskState.COMPLETED, ended_at=NOW + number, end_reason=reason, started_at=NOW)
            )
        other = StreamKey(KEY.domain, KEY.app, "cam02")
        await uow.tasks.add(make_task(key=other, state=TaskState.FAILED, ended_at=NOW + 9, end_reason=EndReason.STOP))
        assert await uow.tasks.last_stopped_at(KEY) == NOW + 1
        assert await uow.tasks.last_stopped_at(other) == NOW + 9


async def test_open_tasks_of_a_node_oldest_first(catalogue: Catalogue) -> None:
    tasks = [
        make_task(state=state, key=replace(KEY, stream=f"cam{number}"), started_at=NOW - number)
        for number, state in enumerate(TaskState)
    ]
    async with catalogue.write() as uow:
        for task in tasks:
            await uow.tasks.add(task)
        await uow.tasks.add(make_task(node="node-2"))
    async with catalogue.read() as uow:
        expected = [task for task in reversed(tasks) if task.state in OPEN_TASK_STATES]
        assert await uow.tasks.open(node="node-1") == expected
        assert await uow.tasks.open(node="node-3") == []
        listed = await uow.tasks.list(project_id=PROJECT, offset=1, limit=2)
        assert listed.total == len(tasks) + 1
        assert (await uow.tasks.list(project_id="f" * 32)).total == 0


async def test_interrupted_tasks_of_a_node_oldest_first(catalogue: Catalogue) -> None:
    tasks = [
        make_task(
            state=TaskState.INTERRUPTED, key=replace(KEY, stream=f"cam{number}"), started_at=NOW - number, deadline=NOW
        )
        for number in range(3)
    ]
    async with catalogue.write() as uow:
        for task in [*tasks, make_task(state=TaskState.RECORDING)]:
            await uow.tasks.add(task)
        await uow.tasks.add(make_task(node="node-2", state=TaskState.INTERRUPTED, key=replace(KEY, stream="other")))
    async with catalogue.read() as uow:
        assert await uow.tasks.interrupted(node="node-1") == tasks[::-1]
        assert await uow.tasks.interrupted(node="node-3") == []


@pytest.mark.parametrize("state", sorted(TaskState))
@pytest.mark.parametrize("armed", [True, False])
async def test_armed_tasks_while_they_are_active(catalogue: Catalogue, state: TaskState, armed: bool) -> None:
    async with catalogue.write() as uow:
        await uow.tasks.add(task := make_task(state=state, armed=armed))
        expected = task if armed and state in ACTIVE_TASK_STATES else None
        assert await uow.tasks.armed(KEY) == expected
        assert await uow.tasks.armed(replace(KEY, stream="cam02")) is None


async def test_tasks_are_listed_newest_first(catalogue: Catalogue) -> None:
    tasks = [make_task(state=TaskState.COMPLETED, started_at=NOW + number) for number in range(5)]
    async with catalogue.write() as uow:
        for task in tasks:
            await uow.tasks.add(task)
    async with catalogue.read() as uow:
        assert await uow.tasks.list() == (5, tasks[::-1])
        assert await uow.tasks.list(project_id=PROJECT, offset=3) == (5, [tasks[1], tasks[0]])
        for offset in range(7):
            for limit in range(7):
                assert await uow.tasks.list(offset=offset, limit=limit) == (5, tasks[::-1][offset : offset + limit])


async def test_files_come_back_as_they_were(catalogue: Catalogue) -> None:
    task = make_task()
    file = make_file(task)
    stored = replace(
        file,
        state=FileState.STORED,
        ended_at=NOW + 59.99,
        size=2**40,
        duration=59.967,
        width=1280,
        height=720,
        video_codec="H264",
        audio_codec="AAC",
        sha256="0" * 64,
        report={"packets": {"video": 1800}, "gaps": []},
        error="none",
        verification=Verification.DAMAGED,
        damages=(Damage(DamageReason.MISSING, "it is not there", "1.ts"), Damage(DamageReason.SIZE, "1 instead of 2")),
        verified_at=NOW + 99,
    )
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(file)
        assert await uow.files.get(file.job_id) == file
        await uow.files.update(stored)
        with pytest.raises(ResourceNotFound):
            await uow.files.update(make_file(task))
    async with catalogue.read() as uow:
        assert await uow.files.get(file.job_id) == stored
        assert await uow.files.get("nothing") is None
        assert await uow.files.by_key("rec-a", file.object_key) == stored
        assert await uow.files.by_key("rec-b", file.object_key) is None


async def test_a_verdict_is_written_down_and_nothing_else(catalogue: Catalogue) -> None:
    task = make_task()
    file = replace(make_file(task), state=FileState.STORED, sha256="0" * 64)
    growing = make_file(task)
    bad = Verdict(Verification.DAMAGED, (Damage(DamageReason.MISSING, "it is not there"),))
    good = Verdict(Verification.VERIFIED, (), "1" * 64)
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(file)
        await uow.files.add(growing)
        assert await uow.files.set_verdict(file.job_id, bad, NOW)
        judged = replace(file, verification=Verification.DAMAGED, damages=bad.damages, verified_at=NOW)
        assert await uow.files.get(file.job_id) == judged
        assert await uow.files.set_verdict(file.job_id, good, NOW + 1)
        judged = replace(file, verification=Verification.VERIFIED, verified_at=NOW + 1, sha256="1" * 64)
        assert await uow.files.get(file.job_id) == judged
        assert not await uow.files.set_verdict(growing.job_id, good, NOW)
        assert not await uow.files.set_verdict("nothing", good, NOW)


async def test_two_files_never_share_an_object(catalogue: Catalogue) -> None:
    task = make_task()
    file, other = make_file(task), make_file(task)
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(file)
        with pytest.raises(ResourceExists, match=file.object_key):
            await uow.files.add(replace(other, object_key=file.object_key))
        await uow.files.add(replace(other, object_key=file.object_key, bucket="rec-b"))
        with pytest.raises(ResourceExists):
            await uow.files.update(replace(other, object_key=file.object_key))


async def test_files_of_a_task_by_format_and_sequence(catalogue: Catalogue) -> None:
    task = make_task()
    wanted = [
        make_file(task, format=record_format, sequence=sequence)
        for record_format in (RecordFormat.FLV, RecordFormat.HLS, RecordFormat.MP4)
        for sequence in (0, 1, 10)
    ]
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        for file in reversed(wanted):
            await uow.files.add(file)
        assert await uow.files.of_task(task.id) == wanted
        assert await uow.files.of_task("nothing") == []


async def test_files_are_listed_newest_first_with_every_filter(catalogue: Catalogue) -> None:
    task = make_task()
    continuous = make_task(
        key=StreamKey("b.example.com", "vod", "cam02"), record_type=RecordType.CONTINUOUS, state=TaskState.COMPLETED
    )
    files = [
        make_file(task if number % 2 else continuous, started_at=NOW + number // 2, state=state)
        for number, state in enumerate([FileState.STORED, FileState.STORED, FileState.WRITING, FileState.STORED])
    ]
    async with catalogue.write() as uow:
        for one in (task, continuous):
            await uow.tasks.add(one)
        for file in files:
            await uow.files.add(file)
        await uow.files.add(make_file(task, project_id="f" * 32))
    async with catalogue.read() as uow:
        by_age = sorted(files, key=lambda file: (file.started_at, file.job_id), reverse=True)
        assert await uow.files.list(PROJECT) == (4, by_age)
        assert await uow.files.list(PROJECT, offset=1, limit=2) == (4, by_age[1:3])
        assert await uow.files.list(PROJECT, started_from=NOW, started_to=NOW + 1) == (2, by_age[2:])
        assert await uow.files.list(PROJECT, started_from=NOW + 1) == (2, by_age[:2])
        for name, value in {
            "state": FileState.WRITING,
            "record_type": RecordType.CONTINUOUS,
            "domain": "b.example.com",
            "app": "vod",
            "stream": "cam02",
        }.items():
            listed = await uow.files.list(PROJECT, **{name: value})  # type: ignore[arg-type]
            of_key = [file for file in by_age if value in (file.state, file.record_type, *vars_of(file.key))]
            assert listed == (len(of_key), of_key), name
        everything = await uow.files.list(
            PROJECT,
            started_from=NOW,
            started_to=NOW + 2,
            domain=KEY.domain,
            app=KEY.app,
            stream=KEY.stream,
            record_type=RecordType.COMMAND,
            state=FileState.STORED,
        )
        assert everything == (2, [files[3], files[1]])


def vars_of(key: StreamKey) -> tuple[str, str, str]:
    return key.domain, key.app, key.stream


async def test_files_of_a_stream_in_a_window(catalogue: Catalogue) -> None:
    task = make_task()
    other = make_task(key=replace(KEY, stream="cam02"))
    before, first, second, running = files = [
        make_file(task, started_at=NOW - 100, ended_at=NOW, format=RecordFormat.HLS),
        make_file(task, started_at=NOW - 10, ended_at=NOW + 0.1, format=RecordFormat.HLS),
        make_file(task, started_at=NOW + 10, ended_at=NOW + 60),
        make_file(task, started_at=NOW + 59.9, ended_at=None, format=RecordFormat.HLS),
    ]
    async with catalogue.write() as uow:
        for one in (task, other):
            await uow.tasks.add(one)
        for file in [*reversed(files), make_file(other, ended_at=NOW + 60), make_file(task, project_id="f" * 32)]:
            await uow.files.add(file)
    async with catalogue.read() as uow:
        assert await uow.files.of_stream_in_window(PROJECT, KEY, NOW, NOW + 60) == [first, second, running]
        hls = await uow.files.of_stream_in_window(PROJECT, KEY, NOW, NOW + 60, record_format=RecordFormat.HLS)
        assert hls == [first, running]
        assert await uow.files.of_stream_in_window(PROJECT, KEY, NOW - 1, NOW + 59.9) == [before, first, second]
        assert await uow.files.of_stream_in_window(PROJECT, replace(KEY, app="vod"), NOW, NOW + 60) == []


async def test_slices_of_a_stream_in_a_window(catalogue: Catalogue) -> None:
    task = make_task()
    other = make_task(key=replace(KEY, stream="cam02"))
    # A reconnect: the second file begins before the first one is finished.
    first = make_file(task, started_at=NOW, ended_at=NOW + 60, format=RecordFormat.HLS)
    second = make_file(task, started_at=NOW + 60, ended_at=None, format=RecordFormat.HLS)
    foreign = make_file(other, started_at=NOW, ended_at=NOW + 60, format=RecordFormat.HLS)
    slices = [make_slice(first, sequence) for sequence in range(10)]
    slices += [make_slice(second, sequence) for sequence in range(10)]
    async with catalogue.write() as uow:
        for one in (task, other):
            await uow.tasks.add(one)
        for file in (first, second, foreign):
            await uow.files.add(file)
        await uow.slices.add_many([])
        await uow.slices.add_many([*reversed(slices), make_slice(foreign, 0)])
    async with catalogue.read() as uow:
        assert await uow.slices.in_window(PROJECT, KEY, NOW, NOW + 3600) == slices
        # A slice belongs to the window if any part of it does.
        assert await uow.slices.in_window(PROJECT, KEY, NOW + 48.1, NOW + 60) == slices[8:10]
        assert await uow.slices.in_window(PROJECT, KEY, NOW + 48, NOW + 60.1) == slices[8:11]
        assert await uow.slices.in_window(PROJECT, KEY, NOW - 60, NOW) == []
        assert await uow.slices.in_window("f" * 32, KEY, NOW, NOW + 3600) == []


async def test_a_slice_that_was_made_again_replaces_the_old_one(catalogue: Catalogue) -> None:
    task = make_task()
    file = make_file(task, format=RecordFormat.HLS)
    old = [make_slice(file, sequence) for sequence in range(3)]
    again = [replace(piece, object_key=f"again-{piece.sequence}", duration=5.0, size=1) for piece in old[1:]]
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(file)
        await uow.slices.add_many(old)
        await uow.slices.add_many(again)
        assert await uow.slices.in_window(PROJECT, KEY, NOW, NOW + 60) == [old[0], *again]


async def test_a_slice_needs_its_file(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match=r"(?i)foreign key"):
        async with catalogue.write() as uow:
            await uow.slices.add_many([make_slice(make_file(make_task()), 0)])
