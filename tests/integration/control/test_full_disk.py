"""What a full disk means for pushes, commands and plans; the disk itself is what the test says it is."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from livereel.catalogue.port import Catalogue
from livereel.cluster.port import StartOptions
from livereel.domain.errors import DiskFull, NothingRecording, StreamNotLive
from livereel.domain.messages import CallbackConfig, CallbackEvent, OutboxMessage
from livereel.domain.recordings import EndReason, Task
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType
from livereel.recorder.events import TaskFinished
from livereel.streams.stream import Stream
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node
from tests.integration.control.test_finishing import finished, report, started
from tests.integration.control.test_plans import wire_up

WHY = "the recorder's disk is full (for this test)"
ARMED = StartOptions(armed=True)


class TestDisk:
    """A `Disk`."""

    __test__ = False

    def __init__(self) -> None:
        self.full = self.low = False

    def check_room(self) -> None:
        if self.full:
            raise DiskFull(WHY)


@pytest.fixture
def disk(node: Node) -> TestDisk:
    made = TestDisk()
    node.owner.disk = made
    return made


async def subscribe(node: Node) -> None:
    async with node.catalogue.write() as uow:
        await uow.callbacks.add(
            CallbackConfig(
                id="c" * 32,
                project_id=PROJECT,
                domain=KEY.domain,
                app="*",
                url="https://app.example.com/",
                created_at=0.0,
                updated_at=0.0,
                events=tuple(CallbackEvent),
            )
        )


async def told(catalogue: Catalogue) -> list[OutboxMessage]:
    async with catalogue.read() as uow:
        return list(reversed((await uow.outbox.list(limit=100)).items))


async def tasks(node: Node) -> list[Task]:
    async with node.catalogue.read() as uow:
        return sorted((await uow.tasks.list()).items, key=lambda task: task.id)


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.005)
        return found


async def states(node: Node, *wanted: TaskState) -> list[Task]:
    """The tasks, once they are in these states."""

    async def look() -> list[Task] | None:
        found = await tasks(node)
        return found if [task.state for task in found] == list(wanted) else None

    found: list[Task] = await until(look)
    return found


async def live(node: Node) -> Stream:
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    return stream


async def settled(node: Node) -> None:
    """Wait until the owner has dealt with the push."""

    async def look() -> bool:
        return KEY not in node.owner._new_pushes and not node.owner._background

    await until(look)


async def _taken(node: Node, task: Task) -> bool:
    return any(running.id == task.id for running in node.owner.running())


async def test_start_is_refused_and_leaves_nothing(node: Node, disk: TestDisk) -> None:
    await node.template()
    await subscribe(node)
    await live(node)
    disk.full = True
    for options in (None, ARMED):
        with pytest.raises(DiskFull, match=r"disk is full \(for this test\)"):
            await node.recording.start(PROJECT, KEY, options)
    assert await tasks(node) == []
    assert await told(node.catalogue) == []
    disk.full = False
    await node.recording.start(PROJECT, KEY)
    await states(node, TaskState.RECORDING)


async def test_an_armed_start_without_a_stream_is_refused_too(node: Node, disk: TestDisk) -> None:
    await node.template()
    disk.full = True
    with pytest.raises(DiskFull):
        await node.recording.start(PROJECT, KEY, ARMED)
    with pytest.raises(StreamNotLive):
        await node.recording.start(PROJECT, KEY)
    assert await tasks(node) == []


async def test_a_continuous_recording_is_told_once_and_begins_when_there_is_room(node: Node, disk: TestDisk) -> None:
    await node.template(RecordType.CONTINUOUS)
    await subscribe(node)
    disk.full = True
    stream = await live(node)  # the push is accepted
    [failed] = await states(node, TaskState.FAILED)
    assert failed.error == WHY
    node.owner.room_again()
    await settled(node)  # there is none yet
    assert len(await tasks(node)) == 1
    disk.full = False
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=1000)
    await states(node, TaskState.FAILED, TaskState.RECORDING)
    messages = await told(node.catalogue)
    assert [message.event for message in messages] == ["RECORD_FAILED", "RECORD_START"]
    assert messages[0].body["error_message"] == WHY
    node.owner.room_again()
    await settled(node)
    assert len(await tasks(node)) == 2


async def test_a_push_that_is_over_is_not_recorded_any_more(node: Node, disk: TestDisk) -> None:
    await node.template(RecordType.CONTINUOUS)
    disk.full = True
    stream = await live(node)
    await states(node, TaskState.FAILED)
    await node.publishing.ended(stream, "gone")
    disk.full = False
    node.owner.room_again()
    await settled(node)
    assert len(await tasks(node)) == 1
    await live(node)
    await states(node, TaskState.FAILED, TaskState.RECORDING)


async def test_what_is_ended_for_the_disk_is_whole_and_goes_on(node: Node, disk: TestDisk) -> None:
    await node.template(RecordType.CONTINUOUS)
    await subscribe(node)
    stream = await live(node)
    [task] = await states(node, TaskState.RECORDING)
    await settled(node)
    [growth] = node.owner.growth()
    assert growth.task_id == task.id
    assert growth.written > 0
    disk.full = disk.low = True
    await node.owner.end_for_disk(task.id)
    await node.owner.end_for_disk(task.id)  # it is over
    [task] = await states(node, TaskState.FINISHING)
    assert task.end_reason is EndReason.DISK
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    await states(node, TaskState.COMPLETED)
    messages = await told(node.catalogue)
    assert [message.event for message in messages if message.event != "RECORD_NEW_FILE_START"] == [
        "RECORD_START",
        "RECORD_FILE_COMPLETE",
        "RECORD_OVER",
    ]
    assert messages[-1].body["end_reason"] == "disk"
    disk.full = disk.low = False
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=1000)
    await states(node, TaskState.COMPLETED, TaskState.RECORDING)
    assert not any(message.event == "RECORD_FAILED" for message in await told(node.catalogue))


async def test_a_recording_on_command_does_not_begin_again_by_itself(node: Node, disk: TestDisk) -> None:
    await node.template()
    stream = await live(node)
    task_id = await node.recording.start(PROJECT, KEY)
    disk.full = True
    await node.owner.end_for_disk(task_id)
    disk.full = False
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=1000)
    await settled(node)
    await states(node, TaskState.FINISHING)
    with pytest.raises(NothingRecording):
        await node.recording.stop(PROJECT, KEY)
    await node.recording.start(PROJECT, KEY)  # at once: it was not stopped


async def test_an_armed_recording_waits_and_goes_on_with_the_same_push(node: Node, disk: TestDisk) -> None:
    await node.template()
    stream = await live(node)
    task_id = await node.recording.start(PROJECT, KEY, ARMED)
    disk.full = True
    await node.owner.end_for_disk(task_id)
    await states(node, TaskState.FINISHING, TaskState.ARMED)
    disk.full = False
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=1000)
    await states(node, TaskState.FINISHING, TaskState.RECORDING)


async def test_an_armed_recording_stays_armed_when_its_stream_meets_a_full_disk(node: Node, disk: TestDisk) -> None:
    await node.template()
    await node.recording.start(PROJECT, KEY, ARMED)
    disk.full = True
    stream = await live(node)
    await settled(node)
    await states(node, TaskState.ARMED)
    disk.full = False
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=1000)
    await states(node, TaskState.RECORDING)


@pytest.mark.parametrize("low", [False, True])
async def test_a_merge_window_goes_on_above_the_mark_and_not_below_the_reserve(
    node: Node, disk: TestDisk, low: bool
) -> None:
    await node.template(RecordType.CONTINUOUS, merge_window=300)
    stream = await live(node)
    await states(node, TaskState.RECORDING)
    await settled(node)
    await node.publishing.ended(stream, "gone")
    await states(node, TaskState.INTERRUPTED)
    disk.full, disk.low = True, low
    again = await live(node)
    if not low:
        await states(node, TaskState.RECORDING)
        return
    ended, _ = await states(node, TaskState.FINISHING, TaskState.FAILED)
    assert ended.end_reason is EndReason.DISK
    disk.full = disk.low = False
    node.owner.room_again()
    node.feed(again, KEY_FRAME, at=1000)
    await states(node, TaskState.FINISHING, TaskState.FAILED, TaskState.RECORDING)


async def test_a_plan_is_told_once_and_begins_when_there_is_room(node: Node, disk: TestDisk) -> None:
    template = await node.template(RecordType.PLAN)
    await subscribe(node)
    disk.full = True
    plans = wire_up(node, template)
    plan = await plans.plan(None, 600)
    stream = await live(node)
    await states(node, TaskState.FAILED)
    await plans.settled()
    for _ in range(3):
        await plans.advance(6)
    assert len(await tasks(node)) == 1
    disk.full = False
    node.clock.advance(6)
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=20_000)
    _, running = await states(node, TaskState.FAILED, TaskState.RECORDING)
    await until(lambda: _taken(node, running))
    assert running.plan_id == plan.id
    assert [message.event for message in await told(node.catalogue)] == ["RECORD_FAILED", "RECORD_START"]
    disk.full = disk.low = True
    await node.owner.end_for_disk(running.id)
    await plans.advance(0)
    assert [task.state for task in await tasks(node)] == [TaskState.FAILED, TaskState.FINISHING]
    disk.full = disk.low = False
    node.clock.advance(6)
    node.owner.room_again()
    node.feed(stream, KEY_FRAME, at=40_000)
    await states(node, TaskState.FAILED, TaskState.FINISHING, TaskState.RECORDING)
    await plans.planner.stop()
