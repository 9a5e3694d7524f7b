"""A spool that fails under a recording: what it says, what is left, and what begins again."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from livereel.control import room as room_module
from livereel.domain.recordings import EndReason, Task
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node

RECORDING, FINISHING, FAILED = TaskState.RECORDING, TaskState.FINISHING, TaskState.FAILED


class Disk:
    """Refuses what is written to spools while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        monkeypatch.setattr(os, "writev", self._unless_full(os.writev))

    def _unless_full(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(descriptor: int, pieces: Any) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, pieces)

        return write


async def tasks(node: Node) -> list[Task]:
    async with node.catalogue.read() as uow:
        return list(reversed((await uow.tasks.list()).items))


async def until(node: Node, condition: Callable[[list[Task]], bool]) -> list[Task]:
    async with asyncio.timeout(60):
        while not condition(found := await tasks(node)):
            await asyncio.sleep(0.01)
    return found


async def test_a_stream_that_is_recorded_by_itself_is_recorded_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "SPOOL_RETRY", 0.05)
    disk = Disk(monkeypatch)
    await node.template(RecordType.CONTINUOUS)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    await until(node, lambda found: len(found) == 1 and found[0].state is RECORDING)
    async with asyncio.timeout(60):
        while not node.owner.running():
            await asyncio.sleep(0.01)

    disk.full = True

    def fails_again(found: list[Task]) -> bool:
        node.feed(stream, KEY_FRAME, FRAME, at=1000)
        node.spools.flush()
        return len(found) >= 2 and found[1].state is FAILED

    first, second, *_ = await until(node, fails_again)
    assert (first.state, first.end_reason) == (FINISHING, EndReason.SPOOL_FAILED)
    assert first.error is not None
    assert "No space left on device" in first.error
    assert second.error is not None
    assert "No space left on device" in second.error

    disk.full = False

    def goes_on(found: list[Task]) -> bool:
        node.feed(stream, KEY_FRAME, FRAME, at=2000)
        node.spools.flush()
        return found[-1].state is RECORDING

    found = await until(node, goes_on)
    assert {task.state for task in found[1:-1]} == {FAILED}


async def test_one_that_was_started_is_not(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "SPOOL_RETRY", 0.05)
    disk = Disk(monkeypatch)
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    await node.recording.start(PROJECT, KEY)
    disk.full = True
    node.feed(stream, KEY_FRAME, FRAME, at=1000)
    node.spools.flush()
    await until(node, lambda found: found[0].state is FINISHING)
    disk.full = False
    await asyncio.sleep(0.3)
    node.feed(stream, KEY_FRAME, FRAME, at=2000)
    assert len(await tasks(node)) == 1
