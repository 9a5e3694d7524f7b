"""An ingest domain that its project deleted and another one made: nothing of the former one touches the new pushes."""

import asyncio
from dataclasses import replace

import pytest

from livereel.cluster.port import StartOptions
from livereel.control.streams import StreamService
from livereel.domain.errors import NothingRecording, StreamNotLive
from livereel.domain.recordings import EndReason, PlanTask
from livereel.domain.states import TaskState
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, OTHER_PROJECT, PROJECT, Node
from tests.integration.control.test_merge_window import live, row, until

ARMED = StartOptions(armed=True)


async def taken_over(node: Node) -> None:
    """The domain and its template are another project's now."""
    async with node.catalogue.write() as uow:
        domain = await uow.domains.get(KEY.domain)
        assert domain is not None
        await uow.domains.update(replace(domain, project_id=OTHER_PROJECT))
        for template in await uow.templates.for_domain(KEY.domain):
            await uow.templates.delete(PROJECT, template.id)
            await uow.templates.add(replace(template, project_id=OTHER_PROJECT))


async def test_an_armed_start_does_not_record_them(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    await taken_over(node)
    await live(node, KEY_FRAME)
    task = await until(node, task_id, TaskState.COMPLETED)
    assert task.end_reason is EndReason.DOMAIN
    assert not node.owner.running()


async def test_an_armed_start_is_in_nobodys_way(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    await taken_over(node)
    assert await node.recording.start(OTHER_PROJECT, KEY, ARMED) != task_id
    assert (await row(node, task_id)).end_reason is EndReason.DOMAIN
    await live(node, KEY_FRAME)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    assert node.owner.running()[0].project_id == OTHER_PROJECT


@pytest.mark.parametrize("planned", [False, True])
async def test_a_recording_that_waits_for_its_stream_is_over(node: Node, planned: bool) -> None:
    template = await node.template(merge_window=300)
    stream = await live(node, KEY_FRAME)
    if planned:
        plan = PlanTask("p", PROJECT, KEY, node.clock.now(), node.clock.now() + 60, template.id, node.clock.now())
        async with node.catalogue.write() as uow:
            await uow.plan_tasks.add(plan)
        task_id = (await node.owner.begin_planned(plan, template)).id
    else:
        task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    assert (await row(node, task_id)).state is TaskState.INTERRUPTED
    await taken_over(node)
    await live(node, KEY_FRAME)
    task = await until(node, task_id, TaskState.FINISHING)
    assert task.end_reason is EndReason.DOMAIN
    assert not node.owner.running()


async def test_a_push_from_before_is_not_the_new_projects(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await taken_over(node)
    with pytest.raises(NothingRecording):
        await node.recording.stop(OTHER_PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    await until(node, task_id, TaskState.FINISHING)


async def test_a_push_from_before_is_neither_listed_nor_recorded(node: Node) -> None:
    await node.template()
    await live(node, KEY_FRAME)
    streams = StreamService(node.catalogue, node.registry, node.publishing._cluster, node.clock)
    assert (await streams.online(PROJECT, KEY.domain)).total == 1
    await taken_over(node)
    assert (await streams.online(OTHER_PROJECT, KEY.domain)).total == 0
    with pytest.raises(StreamNotLive):
        await node.recording.start(OTHER_PROJECT, KEY)
