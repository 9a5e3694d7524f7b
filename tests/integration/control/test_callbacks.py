"""Recording callbacks: written with the change that causes them, in order, and once, whatever happens in between."""

import asyncio
import shutil
from dataclasses import replace
from typing import Any

import pytest

from livereel.catalogue.port import UnitOfWork
from livereel.control.callbacks import NewCallbackConfig
from livereel.control.recovery import recover
from livereel.domain.messages import CallbackConfig, CallbackEvent, OutboxMessage, SignType
from livereel.domain.recordings import Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import RecordFormat, RecordType
from livereel.recorder.events import FileFailed, TaskFailed, TaskFinished, job_id
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node
from tests.integration.control.test_buckets import states
from tests.integration.control.test_finishing import finished, report, row, started, stopped_task

FLV = RecordFormat.FLV
ALL = tuple(CallbackEvent)
URL = "https://app.example.com/rec"


async def subscribe(node: Node, *events: CallbackEvent, app: str = "*") -> CallbackConfig:
    new = NewCallbackConfig(KEY.domain, app, URL, events or ALL, SignType.HMACSHA256, "k" * 32)
    return await node.callbacks.create(PROJECT, new)


async def messages(node: Node) -> list[OutboxMessage]:
    """Recording callbacks, in the order they will be sent."""
    async with node.catalogue.read() as uow:
        page = await uow.outbox.list(kind="callback", limit=1000)
    return page.items[::-1]


async def events(node: Node) -> list[str]:
    return [message.event.removeprefix("RECORD_") for message in await messages(node)]


async def restart(node: Node) -> None:
    """What a crash and the next start leave of the node: the catalogue, the spools, the store."""
    node.recorder.specs.clear()
    await recover(
        catalogue=node.catalogue,
        recorder=node.recorder,  # type: ignore[arg-type]
        finishing=node.finishing,
        owner=node.owner,
        announcer=node.announcer,
        clock=node.clock,
        node="node-1",
        spool_dir=node.root / "spool",
    )


async def test_a_recording_tells_its_story_in_order(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), started(task, FLV, 1), finished(node, task, FLV, 1))
    woken = len(node.woken)
    await report(node, TaskFinished(task.id, {}))
    assert len(node.woken) == woken + 1
    assert await events(node) == [
        "START",
        "NEW_FILE_START",
        "FILE_COMPLETE",
        "NEW_FILE_START",
        "FILE_COMPLETE",
        "OVER",
    ]
    told = await messages(node)
    assert {message.channel for message in told} == {f"callback/{task.id}"}
    assert {message.body["task_id"] for message in told} == {task.id}
    jobs = [job_id(task.id, FLV, sequence) for sequence in (0, 0, 1, 1)]
    assert [message.body["job_id"] for message in told[1:-1]] == jobs
    complete = told[2].body
    async with node.catalogue.read() as uow:
        file = await uow.files.get(jobs[0])
    assert file is not None
    assert (complete["obs_bucket"], complete["obs_object"]) == (file.bucket, file.object_key)
    assert (complete["file_size"], complete["record_duration"]) == (file.size, 1)
    assert (complete["width"], complete["height"], complete["record_format"]) == (1280, 720, "FLV")
    assert (complete["start_time"], complete["end_time"]) == ("2026-07-21T06:15:28Z", "2026-07-21T06:15:29Z")


async def test_only_what_was_subscribed_is_told(node: Node) -> None:
    await subscribe(node, CallbackEvent.RECORD_FILE_COMPLETE)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["FILE_COMPLETE"]


@pytest.mark.parametrize(("app", "told"), [("live", True), ("*", True), ("other", False)])
async def test_the_app_decides_who_is_told(node: Node, app: str, told: bool) -> None:
    await subscribe(node, app=app)
    await node.template()
    await stopped_task(node)
    assert await events(node) == (["START"] if told else [])


async def test_without_a_configuration_nothing_is_queued(node: Node) -> None:
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == []
    assert node.woken == []


async def test_a_configuration_of_another_project_is_not_told(node: Node) -> None:
    config = await subscribe(node)
    async with node.catalogue.write() as uow:
        await uow.callbacks.delete(PROJECT, config.id)
        await uow.callbacks.add(replace(config, project_id="0" * 31 + "2"))
    await node.template()
    await stopped_task(node)
    assert await events(node) == []


async def test_a_stored_file_that_is_made_again_is_told_once(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task))
    before = await events(node)
    # Worker restarts: events of the last file come again.
    await report(node, started(task), finished(node, task))
    # Server restarts, twice.
    for _ in range(2):
        await restart(node)
        await report(node, started(task), finished(node, task))
    assert await events(node) == before == ["START", "NEW_FILE_START", "FILE_COMPLETE"]
    await report(node, TaskFinished(task.id, {}))
    assert await events(node) == [*before, "OVER"]
    await restart(node)
    assert await events(node) == [*before, "OVER"]


async def test_a_crash_before_the_commit_tells_nothing_and_the_next_try_tells_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task))
    real = type(node.announcer).change

    died = asyncio.Event()

    def dying(self: Any, **_: Any) -> Any:
        class Dying:
            async def __aenter__(self) -> Any:
                self.real = real(node.announcer)
                return await self.real.__aenter__()

            async def __aexit__(self, *_: object) -> None:
                error = ConnectionError("the process died")
                await self.real.__aexit__(ConnectionError, error, None)
                died.set()
                raise error

        return Dying()

    with monkeypatch.context() as patched:
        patched.setattr(type(node.announcer), "change", dying)
        await node.finishing.handle(finished(node, task))
        await asyncio.wait_for(died.wait(), 60)
        await node.finishing.stop()
    assert await events(node) == ["START", "NEW_FILE_START"]
    await restart(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["START", "NEW_FILE_START", "FILE_COMPLETE", "OVER"]


async def test_a_message_that_cannot_be_written_undoes_its_cause(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)

    async def full(self: Any, _message: OutboxMessage) -> int:
        raise OSError("disk full")

    async with node.catalogue.read() as uow:
        monkeypatch.setattr(type(uow.outbox), "add", full)
    with pytest.raises(OSError, match="disk full"):
        await report(node, started(task))
    async with node.catalogue.read() as uow:
        assert await uow.files.of_task(task.id) == []


async def test_a_taken_name_is_told_once(node: Node) -> None:
    await subscribe(node, CallbackEvent.RECORD_NEW_FILE_START, CallbackEvent.RECORD_FILE_COMPLETE)
    await node.template()
    first = await stopped_task(node)
    await report(node, started(first), finished(node, first), TaskFinished(first.id, {}))
    node.clock.advance(30)
    second = await stopped_task(node)
    await report(node, replace(started(second), started_at=first.started_at), finished(node, second))
    names = [message.body["obs_object"] for message in (await messages(node)) if "obs_object" in message.body]
    assert await events(node) == ["NEW_FILE_START", "FILE_COMPLETE"] * 2
    assert len(set(names)) == 2


async def test_a_file_that_fails_is_told_once_with_its_cause(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    job = job_id(task.id, FLV, 0)
    for _ in range(2):
        await report(node, started(task), FileFailed(task.id, job, FLV, "no such codec"))
        await restart(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["START", "NEW_FILE_START", "FAILED", "OVER"]
    failed = (await messages(node))[2].body
    assert (failed["job_id"], failed["record_format"], failed["error_message"]) == (job, "FLV", "no such codec")


async def test_a_task_that_is_given_up_fails_its_open_file(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), started(task, FLV, 1))
    await report(node, TaskFailed(task.id, "three workers died"))
    assert await events(node) == ["START", "NEW_FILE_START", "FILE_COMPLETE", "NEW_FILE_START", "FAILED", "OVER"]
    failed = (await messages(node))[4].body
    assert (failed["job_id"], failed["error_message"]) == (job_id(task.id, FLV, 1), "three workers died")
    async with node.catalogue.read() as uow:
        files = await uow.files.of_task(task.id)
    assert [file.state for file in files] == [FileState.STORED, FileState.FAILED]


async def test_a_task_without_an_open_file_fails_by_itself(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, TaskFailed(task.id, "three workers died"))
    assert await events(node) == ["START", "FAILED", "OVER"]
    failed = (await messages(node))[1].body
    assert "job_id" not in failed
    assert failed["error_message"] == "three workers died"


async def test_a_recording_without_any_file_fails(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, TaskFinished(task.id, {}))
    assert await events(node) == ["START", "FAILED", "OVER"]
    assert (await messages(node))[1].body["error_message"] == "no complete file in FLV"


async def test_a_refused_start_is_no_recording(node: Node) -> None:
    await subscribe(node)
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.impatient()
    with pytest.raises(Exception, match="no key frame"):
        await node.recording.start(PROJECT, KEY)
    assert await events(node) == []


async def test_a_continuous_recording_that_never_begins_fails(node: Node) -> None:
    await subscribe(node)
    await node.template(RecordType.CONTINUOUS)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    async with asyncio.timeout(60):
        while not await states(node):  # it waits for its first key frame
            await asyncio.sleep(0.02)
    await node.publishing.ended(stream, "gone")
    async with asyncio.timeout(60):
        while not await events(node):
            await asyncio.sleep(0.02)
    assert await events(node) == ["FAILED"]
    assert (await messages(node))[0].body["error_message"] == "no key frame arrived"


async def test_a_lost_spool_is_told_at_the_next_start(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    shutil.rmtree(node.root / "spool" / task.id)
    for _ in range(2):
        await restart(node)
    assert await events(node) == ["START", "FAILED", "OVER"]


async def test_a_crash_while_a_recording_begins_still_tells_that_it_began(node: Node) -> None:
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    async with node.catalogue.write() as uow:
        await _rewind(uow, task)
    for _ in range(2):
        await restart(node)
    assert (await row(node, task.id)).state is TaskState.FINISHING
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["START", "START", "NEW_FILE_START", "FILE_COMPLETE", "OVER"]  # one of before


async def _rewind(uow: UnitOfWork, task: Task) -> None:
    """The row as it was when the first tags were in the spool and START was not answered yet."""
    await uow.tasks.update(replace(task, state=TaskState.STARTING, ended_at=None, end_reason=None, spool_end=None))


async def test_an_interruption_within_the_merge_window_tells_nothing(node: Node) -> None:
    await subscribe(node)
    await node.template(merge_window=30)
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.publishing.ended(stream, "gone")
    node.clock.advance(10)
    again = await node.push()
    again.feed(HEADERS, node.clock.now())
    node.feed(again, KEY_FRAME)
    async with asyncio.timeout(60):
        while (await row(node, task_id)).state is not TaskState.RECORDING:
            await asyncio.sleep(0.02)
    assert await events(node) == ["START"]
