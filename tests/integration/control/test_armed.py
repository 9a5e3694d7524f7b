"""Our extensions of START: armed before the stream exists, and beginning in the past."""

import asyncio
from dataclasses import replace

import pytest

from livereel.cluster.port import StartOptions
from livereel.control.recovery import recover
from livereel.domain.errors import NoKeyFrame, NothingRecording, StreamNotLive, TaskExists
from livereel.domain.recordings import EndReason
from livereel.domain.states import TaskState
from livereel.spool.tail import SpoolTail
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node
from tests.integration.control.test_merge_window import live, row, until

ARMED = StartOptions(armed=True)


async def recording(node: Node) -> str:
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    return node.owner.running()[0].id


async def test_start_before_the_stream_records_it_when_it_comes(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    assert (await row(node, task_id)).state is TaskState.ARMED
    with pytest.raises(TaskExists, match="armed"):
        await node.recording.start(PROJECT, KEY, ARMED)
    await live(node, KEY_FRAME, FRAME)
    assert await recording(node) == task_id
    assert await node.recording.stop(PROJECT, KEY) == task_id
    assert (await row(node, task_id)).end_reason is EndReason.STOP


async def test_what_the_call_says_counts_more_than_the_template(node: Node) -> None:
    template = await node.template()
    async with node.catalogue.write() as uow:
        await uow.templates.update(replace(template, armed=True, pre_roll=20.0))
    with pytest.raises(StreamNotLive):
        await node.recording.start(PROJECT, KEY, StartOptions(armed=False))
    task_id = await node.recording.start(PROJECT, KEY, StartOptions(pre_roll=0.0))
    task = await row(node, task_id)
    assert (task.state, task.armed, task.pre_roll) == (TaskState.ARMED, True, 0.0)


async def test_stop_before_the_stream_disarms(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    assert await node.recording.stop(PROJECT, KEY) == task_id
    task = await row(node, task_id)
    assert (task.state, task.end_reason) == (TaskState.COMPLETED, EndReason.STOP)
    await live(node, KEY_FRAME)
    await asyncio.sleep(0.1)
    assert node.owner.running() == []
    with pytest.raises(NothingRecording):
        await node.recording.stop(PROJECT, KEY)


async def test_it_holds_across_reconnects_until_stop(node: Node) -> None:
    await node.template()
    first = await node.recording.start(PROJECT, KEY, ARMED)
    tasks = []
    for _ in range(3):
        stream = await live(node, KEY_FRAME)
        tasks.append(await recording(node))
        await node.publishing.ended(stream, "gone")
    assert tasks[0] == first
    assert len(set(tasks)) == 3
    assert [(await row(node, task)).end_reason for task in tasks] == [EndReason.PUBLISH_DONE] * 3
    last = await node.recording.stop(PROJECT, KEY)
    assert last not in tasks


async def test_a_push_without_a_key_frame_leaves_it_armed(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    stream = await node.push()
    await asyncio.sleep(0.05)
    await node.publishing.ended(stream, "gone")
    assert (await row(node, task_id)).state is TaskState.ARMED
    await live(node, KEY_FRAME)
    assert await recording(node) == task_id


async def test_a_start_that_is_refused_leaves_nothing_armed(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.impatient()
    with pytest.raises(NoKeyFrame):
        await node.recording.start(PROJECT, KEY, ARMED)
    node.feed(stream, KEY_FRAME)
    await node.recording.start(PROJECT, KEY, ARMED)


async def test_stop_while_an_armed_stream_sends_no_key_frame(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    await node.push()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(60):
        assert await node.recording.stop(PROJECT, KEY) == task_id
    assert (await row(node, task_id)).state is TaskState.COMPLETED


async def test_stop_just_before_an_armed_stream_is_waited_for(node: Node) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    async with node.owner._locks.hold(KEY):  # as if the catalogue were slow: who begins is first in the queue
        await node.push()
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(node.recording.stop(PROJECT, KEY))
        await asyncio.sleep(0.1)
    async with asyncio.timeout(60):
        assert await stopping == task_id
    assert (await row(node, task_id)).state is TaskState.COMPLETED


async def test_the_limit_ends_it_waiting_or_recording(node: Node) -> None:
    await node.template()
    waiting = await node.recording.start(PROJECT, KEY, StartOptions(armed=True, limit=0.2))
    assert (await until(node, waiting, TaskState.COMPLETED)).end_reason is EndReason.ARMED_LIMIT
    await live(node, KEY_FRAME)
    running = await node.recording.start(PROJECT, KEY, StartOptions(armed=True, limit=1.5))
    assert (await until(node, running, TaskState.FINISHING)).end_reason is EndReason.ARMED_LIMIT


@pytest.mark.parametrize("with_stream", [False, True])
async def test_it_holds_across_a_restart(node: Node, with_stream: bool) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    if with_stream:
        stream = await live(node, KEY_FRAME)
        assert await recording(node) == task_id
        await node.owner.close()
        await node.publishing.ended(stream, "gone")
        assert (await row(node, task_id)).end_reason is EndReason.SHUTDOWN
    else:
        await node.owner.close()
    again = node.new_owner()
    await recover(
        catalogue=node.catalogue,
        announcer=node.announcer,
        recorder=node.recorder,  # type: ignore[arg-type]
        finishing=node.finishing,
        owner=again,
        clock=node.clock,
        node="node-1",
        spool_dir=node.root / "spool",
    )
    await live(node, KEY_FRAME)
    async with asyncio.timeout(60):
        while not again.running():
            await asyncio.sleep(0.01)
    assert (again.running()[0].id == task_id) is not with_stream
    await again.close()


async def test_pre_roll_begins_before_start(node: Node) -> None:
    await node.template()
    async with node.catalogue.write() as uow:
        [template] = await uow.templates.for_domain(KEY.domain)
        await uow.templates.update(replace(template, pre_roll=10.0))
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    for second in range(20):
        node.feed(stream, KEY_FRAME, FRAME, at=1000 * second)
        node.clock.advance(1)
    task_id = await node.recording.start(PROJECT, KEY)
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    frames = [tag.timestamp for tag in tags if tag.payload == KEY_FRAME]
    assert frames == [1000 * second for second in range(10, 20)]
