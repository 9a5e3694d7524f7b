"""Every file gets a verdict, whatever becomes of its reading, and readings give way to files that are to be stored."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from livereel.control import finishing as finishing_module
from livereel.control.uploads.backoff import Backoff
from livereel.control.verify_turns import BESIDE
from livereel.domain.recordings import RecordFile, Task
from livereel.domain.states import TaskState
from livereel.domain.verification import DamageReason, Verdict, Verification
from livereel.recorder.events import TaskFinished
from tests.integration.control.conftest import Node
from tests.integration.control.test_callbacks import events, messages, subscribe
from tests.integration.control.test_finishing import files_of, finished, report, row, started, stopped_task
from tests.integration.control.test_verification import manifest

PATIENCE = 60.0  # seconds


@pytest.fixture
async def task(node: Node) -> Task:
    """A task that was stopped; nothing of it was reported yet."""
    await subscribe(node)
    await node.template()
    return await stopped_task(node)


@pytest.fixture
def failures(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What reading a file fails with, one after the other."""
    failures: list[Exception] = []
    check = node.pool.check

    async def fails(*arguments: Any, **options: Any) -> Verdict:
        if failures:
            raise failures.pop(0)
        return await check(*arguments, **options)

    monkeypatch.setattr(node.pool, "check", fails)
    monkeypatch.setattr(Backoff, "delay", lambda _: 0.0)
    return failures


async def the_file(node: Node, task: Task) -> RecordFile:
    [file] = await files_of(node, task)
    return file


async def test_a_reading_that_fails_is_tried_again(node: Node, task: Task, failures: list[Exception]) -> None:
    failures[:] = [RuntimeError("something"), OSError("something else")]
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert (await the_file(node, task)).verification is Verification.VERIFIED
    assert not failures and not (node.root / "damaged").exists()


async def test_a_file_that_cannot_be_judged_does_not_count_as_whole(
    node: Node, task: Task, failures: list[Exception]
) -> None:
    failures[:] = [RuntimeError("nobody expected that")] * 3
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    file = await the_file(node, task)
    assert (file.verification, file.verified_at) == (Verification.DAMAGED, node.clock.now())
    [damage] = file.damages
    assert damage.reason is DamageReason.VERIFIER_DIED and "nobody expected that" in damage.detail
    assert [path.name for path in (node.root / "damaged").iterdir()] == [file.job_id]
    assert (await row(node, task.id)).state is TaskState.COMPLETED
    assert (await events(node))[-1] == "OVER"
    assert manifest(node)["files"][0]["verification"] == "damaged"  # type: ignore[index]


async def test_a_verdict_stands_although_nothing_follows_from_it(
    node: Node, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither can the file be made again, nor its spool be kept."""
    (node.root / "damaged").write_text("no directory")
    monkeypatch.setattr(Backoff, "delay", lambda _: 0.0)

    async def fails(*_: object) -> None:
        raise RuntimeError("nobody expected that")

    monkeypatch.setattr(node.pool, "check", fails)
    monkeypatch.setattr(node.pool, "remake", fails)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert (await the_file(node, task)).verification is Verification.DAMAGED
    assert (await row(node, task.id)).state is TaskState.COMPLETED


async def test_readings_give_way_to_many_files_on_their_way(
    node: Node, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing_module, "IN_ORDER_WAIT", 0.0)
    away, read = asyncio.Event(), list[Path]()
    check, complete = node.pool.check, node.uploads.complete

    async def noted(path: Path, *arguments: Any, **options: Any) -> Verdict:
        read.append(path)
        return await check(path, *arguments, **options)

    async def waits(*arguments: Any) -> None:
        await away.wait()
        await complete(*arguments)

    monkeypatch.setattr(node.pool, "check", noted)
    monkeypatch.setattr(node.uploads, "complete", waits)
    files = [finished(node, task, sequence=sequence) for sequence in range(BESIDE + 3)]
    for sequence, file in enumerate(files):
        await node.finishing.handle(started(task, sequence=sequence))
        await node.finishing.handle(file)
    async with asyncio.timeout(PATIENCE):
        while len(read) < BESIDE:
            await asyncio.sleep(0.01)
    assert read == [file.path for file in files[:BESIDE]]
    away.set()
    await node.finishing.settled(task.id)
    assert sorted(read) == sorted(file.path for file in files)
    assert {file.verification for file in await files_of(node, task)} == {Verification.VERIFIED}
    told = {
        message.body["job_id"]: message.body["verification"]
        for message in await messages(node)
        if message.event == "RECORD_FILE_COMPLETE"
    }
    assert [told[file.job_id] for file in files[:BESIDE]] == ["verified"] * BESIDE
    late = [message.body["job_id"] for message in await messages(node) if message.event == "RECORD_FILE_VERIFIED"]
    assert {job for job, verification in told.items() if verification == "pending"} == set(late)
