"""Plans carried out on a real catalogue and spool, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from livereel.control import planner as planner_module
from livereel.control.buckets import BucketService
from livereel.control.planner import Planner
from livereel.control.plans import PlanService
from livereel.control.recovery import recover
from livereel.domain.errors import NothingRecording, TaskExists
from livereel.domain.recordings import EndReason, PlanTask, Task
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType, Template
from livereel.spool.tail import SpoolTail
from livereel.streams.stream import Stream
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, OTHER_PROJECT, PROJECT, Node


@dataclass
class Plans:
    """The API's side of plans, their planner, and looks at what came of it."""

    node: Node
    service: PlanService
    planner: Planner
    template: Template
    #: The planner looks what is due, or is going to.
    looking: bool = True

    async def plan(self, start: float | None, end: float) -> PlanTask:
        """A plan of `KEY` between two times in seconds from now."""
        now = self.node.clock.now()
        start_at = None if start is None else now + start
        return await self.service.create(PROJECT, KEY, self.template.id, start_at=start_at, end_at=now + end)

    async def live(self) -> Stream:
        stream = await self.node.push()
        stream.feed(HEADERS, self.node.clock.now())
        self.node.feed(stream, KEY_FRAME)
        return stream

    async def tasks(self) -> list[Task]:
        async with self.node.catalogue.read() as uow:
            return list(reversed((await uow.tasks.list()).items))

    async def until(self, *states: TaskState) -> list[Task]:
        """Wait until there are tasks in these states, oldest first, and stay in them."""
        async with asyncio.timeout(60):
            while True:
                # Others see a row before whoever wrote it goes on.
                if [task.state for task in await self.tasks()] == list(states):
                    await self.settled()
                    found = await self.tasks()
                    if [task.state for task in found] == list(states):
                        return found
                await asyncio.sleep(0.02)

    async def row(self, plan: PlanTask) -> PlanTask:
        async with self.node.catalogue.read() as uow:
            found = await uow.plan_tasks.get(PROJECT, plan.id)
        assert found is not None
        return found

    async def advance(self, seconds: float) -> None:
        """Let time pass, and the planner look once more."""
        self.node.clock.advance(seconds)
        self.planner.wake()
        await self.settled()

    async def settled(self) -> None:
        """Wait until all that waits waits for the outside: a key frame, the clock, a call."""
        async with asyncio.timeout(60):
            while not self._is_quiet():
                await asyncio.sleep(0.01)

    def _is_quiet(self) -> bool:
        planner, owner = self.planner, self.node.publishing._owner
        if planner._loop is not None and not planner._loop.done() and (self.looking or planner._woken.is_set()):
            return False
        under_way = len(owner._background) + len(planner._attempts) + len(planner._endings)
        return under_way <= len(owner._key_frames.waiting())


@pytest.fixture
async def plans(node: Node) -> AsyncIterator[Plans]:
    template = await node.template(RecordType.PLAN)
    made = wire_up(node, template)
    yield made
    await made.planner.stop()


def wire_up(node: Node, template: Template) -> Plans:
    owner = node.publishing._owner
    planner = Planner(node.catalogue, owner, node.clock)
    owner.on_change = planner.wake
    numbers = iter(range(1, 100))
    service = PlanService(
        node.catalogue,
        node.clock,
        lambda: f"{next(numbers):032d}",
        end_planned=owner.end_planned,
        wake_planner=planner.wake,
    )
    made = Plans(node, service, planner, template)
    look = planner._look

    async def noted() -> float:
        made.looking = True
        try:
            return await look()
        finally:
            made.looking = False

    planner._look = noted  # type: ignore[method-assign]
    planner.start()
    return made


RECORDING, FINISHING, INTERRUPTED = TaskState.RECORDING, TaskState.FINISHING, TaskState.INTERRUPTED


async def test_a_live_stream_is_recorded_from_start_to_end(plans: Plans) -> None:
    await plans.live()
    plan = await plans.plan(60, 120)
    await plans.settled()
    assert await plans.tasks() == []
    await plans.advance(60)
    [task] = await plans.until(RECORDING)
    assert (task.record_type, task.plan_id, task.deadline) == (RecordType.PLAN, plan.id, plan.end_at)
    assert plans.node.recorder.specs[task.id].record_type is RecordType.PLAN
    assert (await plans.row(plan)).recording_task_id == task.id
    await plans.advance(59)
    await plans.until(RECORDING)
    await plans.advance(1)
    [task] = await plans.until(FINISHING)
    assert task.end_reason is EndReason.PLAN_END
    assert plans.node.recorder.ends[task.id] == task.spool_end
    assert (await plans.row(plan)).stop_at == plan.end_at


async def test_the_interval_begins_and_ends_by_itself(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_module, "LOOK_LONGEST", 0.05)
    await plans.live()
    await plans.plan(5, 65)
    plans.planner.wake()
    await plans.settled()
    plans.node.clock.advance(5)
    await plans.until(RECORDING)
    plans.node.clock.advance(60)
    await plans.until(FINISHING)


async def test_a_stream_that_comes_within_the_interval(plans: Plans) -> None:
    await plans.plan(None, 60)
    await plans.settled()
    assert await plans.tasks() == []
    stream = await plans.live()
    await plans.until(RECORDING)
    await plans.node.publishing.ended(stream, "gone")
    await plans.until(FINISHING)
    await plans.live()
    tasks = await plans.until(FINISHING, RECORDING)
    assert tasks[0].end_reason is EndReason.PUBLISH_DONE
    await plans.advance(60)
    await plans.until(FINISHING, FINISHING)
    stream = plans.node.registry.get(KEY)
    assert stream is not None
    await plans.node.publishing.ended(stream, "gone")
    await plans.live()
    await plans.settled()
    await plans.until(FINISHING, FINISHING)


async def test_a_break_within_the_merge_window_is_one_recording(plans: Plans) -> None:
    node = plans.node
    plans.template = await node.template(RecordType.PLAN, stream="cam01", merge_window=30)
    await plans.plan(None, 60)
    stream = await plans.live()
    await plans.until(RECORDING)
    await node.publishing.ended(stream, "gone")
    await plans.until(INTERRUPTED)
    stream = await plans.live()
    [task] = await plans.until(RECORDING)
    await node.publishing.ended(stream, "gone")
    await plans.until(INTERRUPTED)
    await plans.advance(60)
    [ended] = await plans.until(FINISHING)
    assert (ended.id, ended.end_reason) == (task.id, EndReason.PLAN_END)


async def test_another_template_of_the_stream_does_not_matter(plans: Plans) -> None:
    node = plans.node
    plans.template = await node.template(RecordType.PLAN, stream="else", merge_window=30)
    await plans.plan(None, 60)
    stream = await plans.live()
    await plans.until(RECORDING)
    await node.publishing.ended(stream, "gone")
    await plans.until(INTERRUPTED)
    await plans.live()
    await plans.until(RECORDING)


async def test_deleting_a_plan_ends_its_recording(plans: Plans) -> None:
    plan = await plans.plan(None, 60)
    await plans.live()
    await plans.until(RECORDING)
    plans.node.clock.advance(10)
    await plans.service.delete(PROJECT, plan.id)
    [task] = await plans.tasks()
    assert (task.state, task.end_reason) == (FINISHING, EndReason.PLAN_END)
    assert task.id in plans.node.recorder.ends
    assert (await plans.row(plan)).stop_at == plans.node.clock.now()
    await plans.advance(1)
    await plans.until(FINISHING)


async def test_deleting_a_plan_that_waits_for_a_key_frame(plans: Plans) -> None:
    plan = await plans.plan(None, 60)
    stream = await plans.node.push()
    stream.feed(HEADERS, plans.node.clock.now())
    await plans.until(TaskState.STARTING)
    with pytest.raises(NothingRecording):
        await plans.node.recording.stop(PROJECT, KEY)
    async with asyncio.timeout(60):
        await plans.service.delete(PROJECT, plan.id)
    await plans.until(TaskState.FAILED)


async def test_the_end_of_a_plan_that_waits_for_a_key_frame(plans: Plans) -> None:
    await plans.plan(None, 60)
    stream = await plans.node.push()
    stream.feed(HEADERS, plans.node.clock.now())
    await plans.until(TaskState.STARTING)
    await plans.advance(60)
    await plans.until(TaskState.FAILED)
    plans.node.feed(stream, KEY_FRAME)
    await plans.settled()
    await plans.until(TaskState.FAILED)


async def test_start_is_refused_while_a_plan_records_and_while_it_waits(plans: Plans) -> None:
    node = plans.node
    await node.template(stream="cam01")
    await plans.plan(None, 60)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    await plans.until(TaskState.STARTING)
    async with asyncio.timeout(60):
        with pytest.raises(TaskExists):
            await node.recording.start(PROJECT, KEY)
    node.feed(stream, KEY_FRAME)
    await plans.until(RECORDING)
    with pytest.raises(TaskExists):
        await node.recording.start(PROJECT, KEY)
    with pytest.raises(NothingRecording, match="PLAN_RECORD"):
        await node.recording.stop(PROJECT, KEY)


async def test_a_plan_goes_on_where_a_command_recording_ends(plans: Plans) -> None:
    node = plans.node
    await node.template(stream="cam01")
    stream = await plans.live()
    await node.recording.start(PROJECT, KEY)
    await plans.plan(None, 60)
    await plans.settled()
    await plans.until(RECORDING)
    node.clock.advance(1)
    await node.recording.stop(PROJECT, KEY)
    node.feed(stream, FRAME, KEY_FRAME, at=1000)
    tasks = await plans.until(FINISHING, RECORDING)
    assert [task.record_type for task in tasks] == [RecordType.COMMAND, RecordType.PLAN]


async def test_a_continuous_template_goes_first(plans: Plans) -> None:
    node = plans.node
    await node.template(RecordType.CONTINUOUS, stream="cam01")
    await plans.plan(None, 60)
    stream = await plans.live()
    [task] = await plans.until(RECORDING)
    assert task.record_type is RecordType.CONTINUOUS
    await plans.advance(60)
    node.feed(stream, FRAME, KEY_FRAME, at=1000)
    await plans.until(RECORDING)


async def test_plans_that_overlap_follow_each_other(plans: Plans) -> None:
    stream = await plans.live()
    first, second = await plans.plan(None, 60), await plans.plan(30, 90)
    await plans.until(RECORDING)
    await plans.advance(60)
    plans.node.feed(stream, FRAME, KEY_FRAME, at=1000)
    tasks = await plans.until(FINISHING, RECORDING)
    assert [task.plan_id for task in tasks] == [first.id, second.id]


async def test_a_plan_survives_a_restart(plans: Plans) -> None:
    node = plans.node
    plan = await plans.plan(None, 600)
    stream = await plans.live()
    [task] = await plans.until(RECORDING)
    await plans.planner.stop()
    node.registry.close(stream)  # killed: nothing was ended
    await node.spools.close()
    owner = node.new_owner()
    node.recorder.specs.clear()
    assert await recovered(node) == 1
    again = wire_up(node, plans.template)
    [ended] = await again.until(FINISHING)
    assert ended.id == task.id
    assert (await again.row(plan)).stop_at is None
    await again.planner.stop()
    await owner.close()


async def test_a_plan_that_ended_while_the_server_was_down(plans: Plans) -> None:
    node = plans.node
    plans.template = await node.template(RecordType.PLAN, stream="cam01", merge_window=300)
    plan = await plans.plan(None, 60)
    stream = await plans.live()
    await plans.until(RECORDING)
    await plans.planner.stop()
    await node.publishing.ended(stream, "server stops")
    await plans.until(INTERRUPTED)
    node.clock.advance(100)
    owner = node.new_owner()
    assert await recovered(node) == 1
    await plans.until(INTERRUPTED)
    again = wire_up(node, plans.template)
    [task] = await again.until(FINISHING)
    assert task.end_reason is EndReason.PLAN_END
    assert (await again.row(plan)).stop_at == plan.end_at
    await again.planner.stop()
    await owner.close()


async def test_what_a_deleted_plan_left_behind_is_ended(plans: Plans) -> None:
    plan = await plans.plan(None, 60)
    await plans.live()
    await plans.until(RECORDING)
    async with plans.node.catalogue.write() as uow:  # the server died between the row and the end of the recording
        await uow.plan_tasks.update(replace(plan, stop_at=plans.node.clock.now()))
    plans.planner.wake()
    [task] = await plans.until(FINISHING)
    assert task.end_reason is EndReason.PLAN_END


async def recovered(node: Node) -> int:
    return await recover(
        catalogue=node.catalogue,
        recorder=node.recorder,  # type: ignore[arg-type]
        finishing=node.finishing,
        owner=node.publishing._owner,
        announcer=node.announcer,
        clock=node.clock,
        node="node-1",
        spool_dir=node.root / "spool",
    )


async def test_a_template_that_is_gone_is_asked_for_again(plans: Plans) -> None:
    await plans.plan(None, 60)
    await plans.node.templates.delete(PROJECT, plans.template.id)
    await plans.live()
    await plans.settled()
    assert await plans.tasks() == []
    async with plans.node.catalogue.write() as uow:
        await uow.templates.add(plans.template)
    await plans.advance(1)
    assert await plans.tasks() == []
    await plans.advance(planner_module.RETRY_AFTER)
    await plans.until(RECORDING)


async def test_a_domain_that_belongs_to_another_project_now(plans: Plans) -> None:
    node = plans.node
    await plans.plan(None, 60)
    async with node.catalogue.write() as uow:
        domain = await uow.domains.get(KEY.domain)
        assert domain is not None
        await uow.domains.update(replace(domain, project_id=OTHER_PROJECT))
    await plans.live()
    await plans.settled()
    assert await plans.tasks() == []


async def test_a_bucket_that_is_not_authorised(plans: Plans) -> None:
    node = plans.node
    buckets = BucketService(node.catalogue, node.stores)
    await buckets.authorise(PROJECT, "elsewhere")
    await plans.plan(None, 60)
    await plans.live()
    [task] = await plans.until(TaskState.FAILED)
    assert task.error is not None
    assert "not authorised" in task.error
    await buckets.authorise(PROJECT, "recordings")
    await plans.advance(planner_module.RETRY_AFTER)
    await plans.until(TaskState.FAILED, RECORDING)


async def test_nothing_of_a_push_is_lost_while_the_planner_is_slow(plans: Plans) -> None:
    node = plans.node
    await plans.plan(None, 60)
    await plans.planner.stop()
    stream = await plans.live()
    for second in range(1, 4):
        node.clock.advance(1)
        node.feed(stream, FRAME, KEY_FRAME, at=1000 * second)
    plans.planner.start()
    [task] = await plans.until(RECORDING)
    node.spools.flush()
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task.id, None).read(1 << 20)]
    assert [tag.timestamp for tag in tags if tag.payload == KEY_FRAME] == [0, 1040, 2040, 3040]


async def test_what_came_before_the_interval_is_not_recorded(plans: Plans) -> None:
    node = plans.node
    stream = await plans.live()
    await plans.plan(3, 60)
    await plans.planner.stop()
    for second in range(1, 5):
        node.clock.advance(1)
        node.feed(stream, FRAME, KEY_FRAME, at=1000 * second)
    plans.planner.start()
    [task] = await plans.until(RECORDING)
    node.spools.flush()
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task.id, None).read(1 << 20)]
    assert [tag.timestamp for tag in tags if tag.payload == KEY_FRAME] == [3040, 4040]
