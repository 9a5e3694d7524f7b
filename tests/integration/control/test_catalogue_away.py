"""The catalogue goes away just when a recording begins, and comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from livereel.catalogue.port import CatalogueError, UnitOfWork
from livereel.cluster.port import StartOptions
from livereel.control import announcer
from livereel.domain.errors import NoKeyFrame
from livereel.domain.recordings import Task
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType
from livereel.streams.stream import Stream
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node


class Away:
    """Lets `writes` units of work through and refuses the next few."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write = node.catalogue.write
        self._through, self.refusals = 0, 0
        monkeypatch.setattr(node.catalogue, "write", self.write)
        monkeypatch.setattr(announcer, "WRITE_AGAIN", 0.01)

    def after(self, writes: int, refusals: int = 3) -> None:
        self._through, self.refusals = writes, refusals

    @contextlib.asynccontextmanager
    async def write(self, **options: Any) -> AsyncIterator[UnitOfWork]:
        if self._through == 0 and self.refusals > 0:
            self.refusals -= 1
            raise CatalogueError("the catalogue is away")
        self._through = max(0, self._through - 1)
        async with self._write(**options) as uow:
            yield uow


@pytest.fixture
def away(node: Node, monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(node, monkeypatch)


async def live(node: Node, *payloads: bytes) -> Stream:
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, *payloads)
    return stream


async def recording(node: Node) -> Task:
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.005)
    [task] = node.owner.running()
    async with node.catalogue.read() as uow:
        row = await uow.tasks.get(task.id)
    assert row is not None
    assert row.state is TaskState.RECORDING
    return row


async def test_start_is_answered_when_the_catalogue_is_back(node: Node, away: Away) -> None:
    await node.template()
    await live(node, KEY_FRAME, FRAME)
    away.after(1)
    task_id = await node.recording.start(PROJECT, KEY)
    assert away.refusals == 0
    assert (await recording(node)).id == task_id
    assert await node.recording.stop(PROJECT, KEY) == task_id


async def test_a_push_that_is_recorded_by_itself_is_recorded(node: Node, away: Away) -> None:
    await node.template(RecordType.CONTINUOUS)
    async with node.owner._locks.hold(KEY):
        await live(node, KEY_FRAME, FRAME)
        away.after(1)
    await recording(node)
    assert away.refusals == 0


async def test_a_recording_goes_on_after_an_interruption(node: Node, away: Away) -> None:
    await node.template(merge_window=30)
    stream = await live(node, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    async with node.owner._locks.hold(KEY):
        await live(node, KEY_FRAME, FRAME)
        away.after(0)
    assert (await recording(node)).id == task_id
    assert away.refusals == 0


async def test_a_start_that_failed_does_not_hold_the_stream(node: Node, away: Away) -> None:
    await node.template()
    node.impatient()
    stream = await live(node, FRAME)
    away.after(1)
    with pytest.raises(NoKeyFrame):
        await node.recording.start(PROJECT, KEY)
    assert away.refusals == 0
    node.feed(stream, KEY_FRAME, FRAME, at=1000)
    await node.recording.start(PROJECT, KEY)


async def test_an_armed_start_begins_with_its_push(node: Node, away: Away) -> None:
    await node.template()
    task_id = await node.recording.start(PROJECT, KEY, StartOptions(armed=True))
    async with node.owner._locks.hold(KEY):
        await live(node, KEY_FRAME, FRAME)
        away.after(0)
    assert (await recording(node)).id == task_id
    assert away.refusals == 0


async def test_a_server_that_stops_leaves_it_to_its_next_start(node: Node, away: Away) -> None:
    await node.template()
    await live(node, KEY_FRAME, FRAME)
    away.after(1, refusals=1 << 30)
    starting = asyncio.create_task(node.recording.start(PROJECT, KEY))
    async with asyncio.timeout(60):
        while away.refusals == 1 << 30:
            await asyncio.sleep(0.005)
    node.owner.refuse_starts()
    with pytest.raises(CatalogueError):
        await starting
    async with node.catalogue.read() as uow:
        [task] = await uow.tasks.open(node="node-1")
    assert task.state is TaskState.STARTING
