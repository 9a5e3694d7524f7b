"""START, STOP and what happens between them, on a real catalogue and spool."""

import asyncio
from typing import Any

import pytest

from livereel.domain.errors import (
    NoCommandTemplate,
    NoKeyFrame,
    NothingRecording,
    ShuttingDown,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import EndReason, SpoolPosition
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType
from livereel.spool.tail import SpoolTail
from livereel.streams.stream import Stream
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, OTHER_PROJECT, PROJECT, Node


async def test_start_answers_when_the_key_frame_is_on_disk(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    assert KEY_FRAME in [tag.payload for tag in tags]
    async with node.catalogue.read() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    assert task.state is TaskState.RECORDING
    assert node.recorder.specs[task_id].key == KEY


async def test_stop_hands_over_where_the_spool_ends(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    node.feed(stream, FRAME, FRAME, at=40)
    assert await node.recording.stop(PROJECT, KEY) == task_id
    node.feed(stream, KEY_FRAME, at=120)
    end = node.recorder.ends[task_id]
    assert end == SpoolPosition(1, (node.root / "spool" / task_id / "000001.flv").stat().st_size)
    async with node.catalogue.read() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    assert (task.state, task.end_reason, task.spool_end) == (TaskState.FINISHING, EndReason.STOP, end)


async def test_start_and_stop_are_refused_as_documented(node: Node) -> None:
    with pytest.raises(NoCommandTemplate, match="no recording template"):
        await node.recording.start(PROJECT, KEY)
    await node.template()
    with pytest.raises(StreamNotLive):
        await node.recording.start(PROJECT, KEY)
    with pytest.raises(NothingRecording):
        await node.recording.stop(PROJECT, KEY)
    stream = await node.push()
    node.impatient()
    with pytest.raises(NoKeyFrame):
        await node.recording.start(PROJECT, KEY)
    with pytest.raises(NothingRecording):
        await node.recording.stop(PROJECT, KEY)
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    await node.recording.start(PROJECT, KEY)
    with pytest.raises(TaskExists, match="already"):
        await node.recording.start(PROJECT, KEY)


async def test_ten_seconds_between_stop_and_start(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    await node.recording.start(PROJECT, KEY)
    await node.recording.stop(PROJECT, KEY)
    node.clock.advance(9.9)
    with pytest.raises(TaskExists, match=r"9\.9 s ago"):
        await node.recording.start(PROJECT, KEY)
    node.clock.advance(0.1)
    node.feed(stream, KEY_FRAME, at=1000)
    await node.recording.start(PROJECT, KEY)


async def test_a_project_reaches_only_its_own_streams(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    with pytest.raises(NoCommandTemplate):
        await node.recording.start(OTHER_PROJECT, KEY)
    await node.recording.start(PROJECT, KEY)
    with pytest.raises(NothingRecording):
        await node.recording.stop(OTHER_PROJECT, KEY)


async def test_of_two_starts_at_once_one_wins(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    results = await asyncio.gather(
        node.recording.start(PROJECT, KEY), node.recording.start(PROJECT, KEY), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["TaskExists", "str"]


async def attached(stream: Stream) -> None:
    """Wait until a START waits for the stream's next key frame."""
    async with asyncio.timeout(60):
        while not stream._waiting:
            await asyncio.sleep(0.01)


async def test_start_waits_for_the_key_frame(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    starting = asyncio.create_task(node.recording.start(PROJECT, KEY))
    await attached(stream)
    assert not starting.done()
    node.feed(stream, FRAME, KEY_FRAME)
    task_id = await starting
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    assert FRAME not in [tag.payload for tag in tags]


async def test_a_push_that_ends_before_its_key_frame_fails_the_start(node: Node) -> None:
    await node.template()
    stream = await node.push()
    starting = asyncio.create_task(node.recording.start(PROJECT, KEY))
    await attached(stream)
    await node.publishing.ended(stream, "gone")
    with pytest.raises(StreamNotLive):
        await starting
    assert list((node.root / "spool").iterdir()) == []


async def test_the_end_of_the_push_ends_the_task(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    assert task_id in node.recorder.ends
    async with node.catalogue.read() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    assert task.end_reason is EndReason.PUBLISH_DONE


async def test_continuous_recording_begins_with_the_push(node: Node) -> None:
    await node.template(RecordType.CONTINUOUS)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    while not node.recorder.specs:
        await asyncio.sleep(0.01)
    with pytest.raises(NothingRecording, match="not by command"):
        await node.recording.stop(PROJECT, KEY)
    with pytest.raises(NoCommandTemplate):
        await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    assert list(node.recorder.ends) == list(node.recorder.specs)


async def test_an_exact_command_template_keeps_its_stream_out_of_a_wildcard_one(node: Node) -> None:
    await node.template(RecordType.CONTINUOUS)
    await node.template(RecordType.COMMAND, stream=KEY.stream)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    other = await node.push(StreamKey(KEY.domain, KEY.app, "other"))
    other.feed(HEADERS, node.clock.now())
    node.feed(other, KEY_FRAME)
    while not node.recorder.specs:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert [spec.key.stream for spec in node.recorder.specs.values()] == ["other"]


async def test_a_closing_node_ends_its_tasks_and_takes_no_start(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.owner.close()
    assert task_id in node.recorder.ends
    node.clock.advance(60)
    with pytest.raises(ShuttingDown):
        await node.recording.start(PROJECT, KEY)


async def test_nothing_of_a_push_is_lost_while_the_catalogue_takes_its_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.template(RecordType.CONTINUOUS)
    added = node.owner._beginning.add

    async def slowly(*arguments: Any, **options: Any) -> Any:
        node.clock.advance(5)
        node.feed(stream, KEY_FRAME, FRAME, at=5000)
        return await added(*arguments, **options)

    monkeypatch.setattr(node.owner._beginning, "add", slowly)
    async with node.owner._locks.hold(KEY):  # so that the first frames are there when it is looked what records them
        stream = await node.push()
        stream.feed(HEADERS, node.clock.now())
        node.feed(stream, KEY_FRAME, FRAME)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    [task] = node.owner.running()
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task.id, None).read(1 << 20)]
    assert [tag.payload for tag in tags].count(KEY_FRAME) == 2


async def test_nothing_of_a_push_that_comes_back_is_lost_while_its_end_is_written_down(node: Node) -> None:
    await node.template(merge_window=30)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    async with node.owner._locks.hold(KEY):
        again = await node.push()
        again.feed(HEADERS, node.clock.now())
        for second in range(3):
            node.feed(again, KEY_FRAME, FRAME, at=1000 * second)
            node.clock.advance(1)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task_id, None).read(1 << 20)]
    assert [tag.payload for tag in tags].count(KEY_FRAME) == 4
