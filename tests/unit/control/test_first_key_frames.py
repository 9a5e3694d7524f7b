"""Waits for first key frames: what begins them, and all that ends them before their time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from livereel.control.first_key_frames import FirstKeyFrames, Wait
from livereel.domain.errors import SpoolError
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import Task
from livereel.domain.states import TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template

KEY = StreamKey("push.example.com", "live", "cam01")
OTHER = StreamKey("push.example.com", "live", "cam02")
NEVER = 3600.0


class Spool:
    """What a wait sees of a spool. With `late` the key frame was there when the wait was ended."""

    def __init__(self, *, late: bool = False) -> None:
        self.first_keyframe_written = asyncio.Event()
        self.failed: SpoolError | None = None
        self.on_failure: Callable[[SpoolError], None] | None = None
        self.on_first_keyframe: Callable[[], None] | None = None
        self._late = late

    async def on_disk(self) -> None:
        if self.failed is not None:
            raise self.failed
        if self._late:
            self.key_frame()

    def key_frame(self) -> None:
        self.first_keyframe_written.set()
        if self.on_first_keyframe is not None:
            self.on_first_keyframe()

    def fail(self) -> None:
        self.failed = SpoolError("no room")
        assert self.on_failure is not None
        self.on_failure(self.failed)


def task(record_type: RecordType = RecordType.COMMAND, *, plan_id: str | None = None) -> Task:
    config = FormatConfig(3600, "{stream}")
    template = Template(
        id="t1",
        project_id="p1",
        domain=KEY.domain,
        app=KEY.app,
        stream="*",
        record_type=record_type,
        address=ObsAddress("recordings", "here", ""),
        formats={RecordFormat.FLV: config},
        created_at=0.0,
        updated_at=0.0,
    )
    return Task("1", "p1", KEY, record_type, template, TaskState.STARTING, "node-1", 0.0, plan_id=plan_id)


class Waiting:
    """One wait under way."""

    def __init__(self, timeout: float | None = None, *, of: Task | None = None, late: bool = False) -> None:
        self.key_frames = FirstKeyFrames()
        self.key_frames.push_began(KEY)
        self.spool = Spool(late=late)
        self.begin(of or task(), timeout)

    def begin(self, of: Task, timeout: float | None) -> None:
        spool: Any = self.spool
        self.result = asyncio.create_task(self.key_frames.on_disk(of, spool, timeout))

    async def over(self) -> bool:
        async with asyncio.timeout(30):
            return await self.result


@pytest.mark.parametrize("timeout", [None, NEVER])
async def test_a_key_frame_on_disk_ends_it(timeout: float | None) -> None:
    waiting = Waiting(timeout)
    await asyncio.sleep(0)
    assert [each.id for each in waiting.key_frames.waiting()] == ([] if timeout else ["1"])
    waiting.spool.key_frame()
    assert await waiting.over()
    assert waiting.key_frames.waiting() == []


async def test_one_that_is_there_already_counts() -> None:
    waiting = Waiting()
    waiting.spool.key_frame()
    assert await waiting.over()


async def test_without_a_push_there_is_none() -> None:
    waiting = Waiting()
    waiting.key_frames.push_ended(KEY)
    assert not await waiting.over()
    assert not waiting.key_frames.is_pushed(KEY)


@pytest.mark.parametrize("timeout", [None, NEVER])
@pytest.mark.parametrize("late", [False, True])
async def test_the_end_of_the_push_ends_it(timeout: float | None, late: bool) -> None:
    waiting = Waiting(timeout, late=late)
    await asyncio.sleep(0)
    waiting.key_frames.push_ended(OTHER)
    assert waiting.key_frames.is_pushed(KEY)
    waiting.key_frames.push_ended(KEY)
    assert await waiting.over() is late


async def test_its_time_ends_it() -> None:
    assert not await Waiting(0.01).over()


async def test_a_spool_that_fails_ends_it() -> None:
    waiting = Waiting()
    await asyncio.sleep(0)
    waiting.spool.fail()
    assert not await waiting.over()


async def test_who_asks_for_its_end_gets_it_if_it_has_no_limit() -> None:
    lasting, limited = Waiting(), Waiting(NEVER)
    await asyncio.sleep(0)
    for waiting in (lasting, limited):
        waiting.key_frames.end(OTHER)
        waiting.key_frames.end(KEY)
    assert not await lasting.over()
    assert limited.key_frames.waiting_for(KEY) is None
    limited.spool.key_frame()
    assert await limited.over()


@pytest.mark.parametrize("record_type", [RecordType.COMMAND, RecordType.CONTINUOUS])
async def test_one_of_a_command_recording_does_not_hold_up_a_stop_that_queues_already(record_type: RecordType) -> None:
    waiting = Waiting(of=task(record_type))
    with waiting.key_frames.stop_under_way(KEY):
        await asyncio.sleep(0)
        if record_type is not RecordType.COMMAND:
            waiting.spool.key_frame()
        assert await waiting.over() is (record_type is not RecordType.COMMAND)
    waiting.begin(task(), None)
    await asyncio.sleep(0)
    waiting.spool.key_frame()
    assert await waiting.over()


@pytest.mark.parametrize("before", [False, True])
async def test_the_end_of_the_plan_ends_it_and_may_come_first(before: bool) -> None:
    waiting = Waiting(of=task(RecordType.PLAN, plan_id="plan"))
    with waiting.key_frames.of_plan("plan"):
        if not before:
            await asyncio.sleep(0)
        assert not waiting.key_frames.end_of_plan("another")
        assert waiting.key_frames.end_of_plan("plan")
        assert not await waiting.over()
    assert not waiting.key_frames.end_of_plan("plan")


async def test_whoever_waits_may_be_cancelled() -> None:
    waiting = Waiting(NEVER)
    await asyncio.sleep(0)
    waiting.result.cancel()
    await asyncio.gather(waiting.result, return_exceptions=True)
    waiting.spool.key_frame()
    waiting.begin(task(), NEVER)
    assert await waiting.over()


async def test_a_wait_makes_no_task() -> None:
    wait, tasks = Wait(), asyncio.all_tasks()
    meanwhile: set[asyncio.Task[Any]] = set()

    def look() -> None:
        meanwhile.update(asyncio.all_tasks())
        wait.end()

    asyncio.get_running_loop().call_soon(look)
    await wait.over(NEVER)
    assert meanwhile == tasks
