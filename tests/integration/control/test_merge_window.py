"""What an interruption of the push means for a recording, by merge window."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from livereel.control.recovery import recover
from livereel.domain.errors import StreamNotLive, TaskExists
from livereel.domain.media import TAG_VIDEO, Tag
from livereel.domain.recordings import EndReason, Task
from livereel.domain.retention import RetentionRule
from livereel.domain.states import TaskState
from livereel.domain.templates import DEFAULT_FILE_PREFIX, FormatConfig, ObsAddress, RecordFormat, RecordType
from livereel.flv.marks import BEGIN, parse_mark
from livereel.spool.tail import SpoolTail
from livereel.streams.stream import Stream
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node

CYCLE_60 = {RecordFormat.FLV: FormatConfig(60, DEFAULT_FILE_PREFIX, merge_window=30)}


async def row(node: Node, task_id: str) -> Task:
    async with node.catalogue.read() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    return task


async def until(node: Node, task_id: str, state: TaskState) -> Task:
    async with asyncio.timeout(60):
        while (task := await row(node, task_id)).state is not state:
            await asyncio.sleep(0.02)
    return task


async def live(node: Node, *payloads: bytes) -> Stream:
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, *payloads)
    return stream


async def test_a_stream_that_returns_in_time_goes_on_in_the_same_task(node: Node) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    assert (await row(node, task_id)).state is TaskState.INTERRUPTED
    with pytest.raises(TaskExists):
        await node.recording.start(PROJECT, KEY)
    node.clock.advance(20)
    await live(node, KEY_FRAME, FRAME)
    task = await until(node, task_id, TaskState.RECORDING)
    assert task.ended_at is None
    assert await node.recording.stop(PROJECT, KEY) == task_id
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    assert [tag.payload for tag in tags].count(KEY_FRAME) == 2
    assert node.recorder.ends[task_id].segment == 2


@pytest.mark.parametrize("when", ["before the break is noticed", "after it"])
async def test_a_clock_that_is_set_ahead_closes_no_window(node: Node, when: str) -> None:
    await node.template(merge_window=30)
    stream = await live(node)
    stream.feed(_tags(KEY_FRAME, FRAME), node.clock.now(), node.clock.monotonic())
    task_id = await node.recording.start(PROJECT, KEY)
    if when == "before the break is noticed":
        node.clock.set(node.clock.now() + 5 * 3600)
    node.clock.advance(3)
    await node.publishing.ended(stream, "gone")
    if when == "after it":
        node.clock.set(node.clock.now() + 5 * 3600)
    node.clock.advance(7)
    await asyncio.sleep(0.1)
    assert (await row(node, task_id)).state is TaskState.INTERRUPTED
    await live(node, KEY_FRAME, FRAME)
    await until(node, task_id, TaskState.RECORDING)
    await node.recording.stop(PROJECT, KEY)
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    marks = [mark for tag in tags if (mark := parse_mark(tag)) is not None and mark.reason == BEGIN]
    # Workers decide by this, also should they read the spool again much later.
    assert [mark.gap for mark in marks] == [None, 10.0]


def _tags(*payloads: bytes) -> list[Tag]:
    return [Tag(TAG_VIDEO, 40 * index, payload) for index, payload in enumerate(payloads)]


async def test_a_window_that_passes_ends_the_task_and_a_command_recording_stays_ended(node: Node) -> None:
    await node.template(merge_window=1)
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    task = await until(node, task_id, TaskState.FINISHING)
    assert task.end_reason is EndReason.MERGE_WINDOW
    await live(node, KEY_FRAME)
    await asyncio.sleep(0.1)
    assert node.owner.running() == []


async def test_stop_during_an_interruption(node: Node) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    assert await node.recording.stop(PROJECT, KEY) == task_id
    assert (await row(node, task_id)).end_reason is EndReason.STOP
    with pytest.raises(StreamNotLive):
        await node.recording.start(PROJECT, KEY)


async def test_stop_while_the_stream_is_back_without_a_key_frame(node: Node) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    await node.push()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(60):
        assert await node.recording.stop(PROJECT, KEY) == task_id


async def test_a_push_without_a_key_frame_leaves_the_window_open(node: Node) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    empty = await node.push()
    await asyncio.sleep(0.05)
    await node.publishing.ended(empty, "gone")
    assert (await row(node, task_id)).state is TaskState.INTERRUPTED
    await live(node, KEY_FRAME)
    await until(node, task_id, TaskState.RECORDING)


async def test_a_window_that_passes_before_the_first_key_frame_of_the_return(node: Node) -> None:
    await node.template(RecordType.CONTINUOUS, merge_window=1)
    stream = await live(node, KEY_FRAME)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    task_id = node.owner.running()[0].id
    await node.publishing.ended(stream, "gone")
    back = await node.push()
    assert (await until(node, task_id, TaskState.FINISHING)).end_reason is EndReason.MERGE_WINDOW
    back.feed(HEADERS, node.clock.now())
    node.feed(back, KEY_FRAME)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    assert node.owner.running()[0].id != task_id


async def test_shorter_windows_of_other_formats_close_their_files_first(node: Node) -> None:
    template = await node.template(merge_window=30)
    async with node.catalogue.write() as uow:
        config = template.formats[RecordFormat.FLV]
        formats = template.formats | {RecordFormat.MP4: replace(config, merge_window=0)}
        await uow.templates.update(replace(template, formats=formats))
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    async with asyncio.timeout(60):
        while not node.recorder.interruptions:
            await asyncio.sleep(0.01)
    end = (await row(node, task_id)).spool_end
    assert node.recorder.interruptions == [(task_id, end, [RecordFormat.MP4])]


async def test_another_template_ends_the_old_recording(node: Node) -> None:
    old = await node.template(RecordType.CONTINUOUS, merge_window=30)
    stream = await live(node, KEY_FRAME)
    while not node.owner.running():
        await asyncio.sleep(0.01)
    task_id = node.owner.running()[0].id
    await node.publishing.ended(stream, "gone")
    await node.templates.delete(PROJECT, old.id)
    await node.template(RecordType.CONTINUOUS)
    await live(node, KEY_FRAME)
    await until(node, task_id, TaskState.FINISHING)
    while not node.owner.running():
        await asyncio.sleep(0.01)
    assert node.owner.running()[0].id != task_id


@pytest.mark.parametrize(
    ("record_type", "change", "goes_on"),
    [
        (RecordType.CONTINUOUS, {"retention": RetentionRule(max_age=3600.0)}, True),
        (RecordType.CONTINUOUS, {"address": ObsAddress("elsewhere", "here")}, False),
        (RecordType.CONTINUOUS, {"formats": CYCLE_60}, False),
        (RecordType.CONTINUOUS, {"record_type": RecordType.COMMAND}, False),
        (RecordType.COMMAND, {"formats": CYCLE_60}, True),
        (RecordType.COMMAND, {"record_type": RecordType.CONTINUOUS}, False),
    ],
)
async def test_a_template_that_is_changed_during_the_interruption(
    node: Node, record_type: RecordType, change: dict[str, Any], goes_on: bool
) -> None:
    template = await node.template(record_type, merge_window=30)
    stream = await live(node, KEY_FRAME)
    if record_type is RecordType.COMMAND:
        await node.recording.start(PROJECT, KEY)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    task_id = node.owner.running()[0].id
    await node.publishing.ended(stream, "gone")
    async with node.catalogue.write() as uow:
        await uow.templates.update(replace(template, **change))
    await live(node, KEY_FRAME, FRAME)
    if goes_on:
        await until(node, task_id, TaskState.RECORDING)
    else:
        assert (await until(node, task_id, TaskState.FINISHING)).end_reason is EndReason.PUBLISH_DONE


@pytest.mark.parametrize(("away", "goes_on"), [(20, True), (40, False)])
async def test_a_restart_inside_the_window_goes_on(node: Node, away: float, goes_on: bool) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    await node.owner.close()  # an orderly stop leaves the task open
    assert (await row(node, task_id)).state is TaskState.INTERRUPTED
    node.clock.advance(away)
    again = node.new_owner()
    await recover(
        catalogue=node.catalogue,
        recorder=node.recorder,  # type: ignore[arg-type]
        finishing=node.finishing,
        owner=again,
        announcer=node.announcer,
        clock=node.clock,
        node="node-1",
        spool_dir=node.root / "spool",
    )
    if goes_on:
        await live(node, KEY_FRAME)
        await until(node, task_id, TaskState.RECORDING)
        await node.recording.stop(PROJECT, KEY)
        assert node.recorder.ends[task_id].segment == 2
    else:
        task = await row(node, task_id)
        assert (task.state, task.end_reason) == (TaskState.FINISHING, EndReason.MERGE_WINDOW)
    await again.close()
