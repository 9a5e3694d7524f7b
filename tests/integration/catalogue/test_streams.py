"""Forbidden streams, snapshots, pull tasks and plans."""

from dataclasses import replace
from typing import Any

import pytest

from livereel.catalogue.port import Catalogue
from livereel.domain.errors import ResourceExists, ResourceNotFound
from livereel.domain.keys import StreamKey
from livereel.domain.streams import OPEN_PULL_STATES, PullState, SnapshotMode, StreamBlock, WriteMode
from tests.integration.catalogue.nouns import KEY, NOW, PROJECT, make_plan, make_pull, make_snapshot

OTHER_PROJECT = "f" * 32


def make_block(stream: str = KEY.stream, **changes: Any) -> StreamBlock:
    block = StreamBlock(KEY.domain, KEY.app, stream, PROJECT, resume_at=NOW + 60, created_at=NOW)
    return replace(block, **changes)


async def test_blocks_are_put_and_deleted(catalogue: Catalogue) -> None:
    block = make_block()
    async with catalogue.write() as uow:
        assert await uow.stream_blocks.get(KEY) is None
        assert await uow.stream_blocks.put(block)
        assert not await uow.stream_blocks.put(longer := replace(block, resume_at=NOW + 90))
        assert await uow.stream_blocks.get(KEY) == longer
        assert await uow.stream_blocks.get(replace(KEY, stream="cam02")) is None
        assert await uow.stream_blocks.delete(KEY)
        assert not await uow.stream_blocks.delete(KEY)


async def test_blocks_are_listed_until_they_are_over(catalogue: Catalogue) -> None:
    blocks = [make_block(f"cam{number}", resume_at=NOW + number) for number in range(4)]
    async with catalogue.write() as uow:
        for block in [*reversed(blocks), make_block(domain="other.example.com")]:
            await uow.stream_blocks.put(block)
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain) == (4, blocks)
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain, offset=1, limit=2) == (4, blocks[1:3])
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain, now=NOW + 1) == (2, blocks[2:])
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain, app="live", stream="cam2") == (1, [blocks[2]])
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain, app="vod") == (0, [])
        assert await uow.stream_blocks.list(OTHER_PROJECT, domain=KEY.domain) == (0, [])
        await uow.stream_blocks.delete_expired(NOW + 1)
        assert await uow.stream_blocks.list(PROJECT, domain=KEY.domain) == (2, blocks[2:])


async def test_snapshots_are_put_listed_and_deleted(catalogue: Catalogue) -> None:
    config, other = make_snapshot(), make_snapshot(app="vod")
    async with catalogue.write() as uow:
        assert await uow.snapshots.get(KEY.domain, KEY.app) is None
        assert await uow.snapshots.put(config)
        assert await uow.snapshots.put(other)
        assert await uow.snapshots.get(KEY.domain, KEY.app) == config
        changed = replace(config, write_mode=WriteMode.KEEP, mode=SnapshotMode.KEYFRAME, object_format="")
        assert not await uow.snapshots.put(changed)
        assert await uow.snapshots.list(PROJECT) == (2, [changed, other])
        assert await uow.snapshots.list(PROJECT, offset=1, limit=1) == (2, [other])
        assert await uow.snapshots.list(PROJECT, domain=KEY.domain, app="vod") == (1, [other])
        assert await uow.snapshots.list(PROJECT, domain="other.example.com") == (0, [])
        assert await uow.snapshots.list(OTHER_PROJECT) == (0, [])
        assert await uow.snapshots.delete(KEY.domain, KEY.app)
        assert not await uow.snapshots.delete(KEY.domain, KEY.app)
        assert await uow.snapshots.list(PROJECT) == (1, [other])


async def test_pull_tasks_come_back_as_they_were(catalogue: Catalogue) -> None:
    task = make_pull()
    away = make_pull(
        **{"domain": "", "app": "", "stream": "", "destination_url": "rtmp://example.org/live/x"},
        backup_source_type=None,
        backup_source_urls=(),
    )
    async with catalogue.write() as uow:
        await uow.pull_tasks.add(task)
        await uow.pull_tasks.add(away)
        with pytest.raises(ResourceExists):
            await uow.pull_tasks.add(task)
    async with catalogue.write() as uow:
        assert await uow.pull_tasks.get(PROJECT, task.id) == task
        assert await uow.pull_tasks.get(PROJECT, away.id) == away
        assert await uow.pull_tasks.get(OTHER_PROJECT, task.id) is None
        await uow.pull_tasks.update(failed := replace(task, state=PullState.FAILED, error="404"))
        assert await uow.pull_tasks.get(PROJECT, task.id) == failed
        for foreign in (make_pull(), replace(task, project_id=OTHER_PROJECT)):
            with pytest.raises(ResourceNotFound):
                await uow.pull_tasks.update(foreign)
        assert not await uow.pull_tasks.delete(OTHER_PROJECT, task.id)
        assert await uow.pull_tasks.delete(PROJECT, task.id)
        assert not await uow.pull_tasks.delete(PROJECT, task.id)


async def test_pull_tasks_are_listed_and_found_again_at_a_start(catalogue: Catalogue) -> None:
    tasks = [
        make_pull(created_at=NOW + number, start_at=NOW - number, state=state, region=f"r{number % 2}")
        for number, state in enumerate(PullState)
    ]
    foreign = make_pull(project_id=OTHER_PROJECT, start_at=NOW + 1)
    async with catalogue.write() as uow:
        for task in [*reversed(tasks), foreign]:
            await uow.pull_tasks.add(task)
    async with catalogue.read() as uow:
        assert await uow.pull_tasks.list(PROJECT) == (5, tasks)
        assert await uow.pull_tasks.list(PROJECT, offset=2, limit=2) == (5, tasks[2:4])
        assert await uow.pull_tasks.list(PROJECT, region="r1") == (2, tasks[1::2])
        assert await uow.pull_tasks.list(PROJECT, task_id=tasks[3].id) == (1, [tasks[3]])
        assert await uow.pull_tasks.list(PROJECT, task_id=foreign.id) == (0, [])
        still = [task for task in reversed(tasks) if task.state in OPEN_PULL_STATES]
        assert await uow.pull_tasks.open() == [*still, foreign]


async def test_plans_come_back_as_they_were(catalogue: Catalogue) -> None:
    plan = make_plan()
    async with catalogue.write() as uow:
        await uow.plan_tasks.add(plan)
        with pytest.raises(ResourceExists):
            await uow.plan_tasks.add(plan)
    async with catalogue.write() as uow:
        assert await uow.plan_tasks.get(PROJECT, plan.id) == plan
        assert await uow.plan_tasks.get(OTHER_PROJECT, plan.id) is None
        await uow.plan_tasks.update(over := replace(plan, stop_at=NOW + 3600, recording_task_id="t" * 32))
        assert await uow.plan_tasks.get(PROJECT, plan.id) == over
        with pytest.raises(ResourceNotFound):
            await uow.plan_tasks.update(make_plan())


async def test_plans_in_force_and_open(catalogue: Catalogue) -> None:
    other = StreamKey(KEY.domain, KEY.app, "cam02")
    over, now, elsewhere, to_come, _stopped = plans = [
        make_plan(start_at=NOW - 200, end_at=NOW),
        make_plan(start_at=NOW, end_at=NOW + 0.5),
        make_plan(start_at=NOW, end_at=NOW + 100, key=other, project_id=OTHER_PROJECT),
        make_plan(start_at=NOW + 0.5, end_at=NOW + 100),
        make_plan(start_at=NOW - 50, end_at=NOW + 100, stop_at=NOW - 1),
    ]
    async with catalogue.write() as uow:
        for plan in reversed(plans):
            await uow.plan_tasks.add(plan)
    async with catalogue.read() as uow:
        assert await uow.plan_tasks.in_force(NOW) == [now, elsewhere]
        assert await uow.plan_tasks.in_force(NOW, key=other) == [elsewhere]
        assert await uow.plan_tasks.in_force(NOW - 100) == [over]
        assert await uow.plan_tasks.open() == [over, now, elsewhere, to_come]


async def test_plans_are_listed_with_every_filter(catalogue: Catalogue) -> None:
    plans = [
        make_plan(start_at=NOW + number, end_at=NOW + number + 10, key=StreamKey(*key))
        for number, key in enumerate(
            [
                ("a.example.com", "live", "cam01"),
                ("a.example.com", "vod", "cam01"),
                ("a.example.com", "vod", "cam02"),
                ("b.example.com", "live", "cam01"),
            ]
        )
    ]
    async with catalogue.write() as uow:
        for plan in [*reversed(plans), make_plan(project_id=OTHER_PROJECT)]:
            await uow.plan_tasks.add(plan)
    async with catalogue.read() as uow:
        assert await uow.plan_tasks.list(PROJECT) == (4, plans)
        assert await uow.plan_tasks.list(PROJECT, offset=1, limit=2) == (4, plans[1:3])
        assert await uow.plan_tasks.list(PROJECT, start=NOW + 1, end=NOW + 12) == (2, plans[1:3])
        assert await uow.plan_tasks.list(PROJECT, start=NOW + 2) == (2, plans[2:])
        assert await uow.plan_tasks.list(PROJECT, end=NOW + 11.9) == (2, plans[:2])
        assert await uow.plan_tasks.list(PROJECT, domain="a.example.com") == (3, plans[:3])
        assert await uow.plan_tasks.list(PROJECT, domain="a.example.com", app="vod") == (2, plans[1:3])
        assert await uow.plan_tasks.list(PROJECT, app="vod", stream="cam02") == (1, [plans[2]])
        assert await uow.plan_tasks.list(PROJECT, plan_id=plans[3].id) == (1, [plans[3]])
        assert await uow.plan_tasks.list(PROJECT, plan_id=plans[3].id, app="vod") == (0, [])
