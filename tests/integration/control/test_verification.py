"""What follows from reading a file again: verdicts in time and late, files made anew, spools kept, over restarts.

Files, spools, stores and workers are real; what the recorder reports is handed over here, so that damage comes first.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livereel.control import finishing as finishing_module
from livereel.control.damaged import DamagedSpools
from livereel.control.retention import CLOCK_DOUBTED, Retention
from livereel.control.templates import NewTemplate
from livereel.domain.messages import CallbackEvent
from livereel.domain.recordings import DeleteReason, RecordFile, Task
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, default_prefix
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel
from livereel.observe import metrics
from livereel.recorder.events import FileFinished, RecorderEvent, TaskFinished, TaskSpec
from livereel.testing.source import generate_tags
from livereel.verify.pool import VerifyPool
from tests.integration.control.conftest import KEY, PROJECT, Node
from tests.integration.control.test_callbacks import events, messages, restart, subscribe
from tests.integration.control.test_finishing import finished, report, row, started, stopped_task, stored
from tests.integration.recorder.spools import Spool, run

FLV, HLS, MP4 = RecordFormat.FLV, RecordFormat.HLS, RecordFormat.MP4
BROKEN = Verdict(Verification.DAMAGED, (Damage(DamageReason.PACKETS, "1 instead of 2"),))


class Recorded:
    """A task whose spool holds real media, and what the recorder made of it."""

    def __init__(self, node: Node, task: Task) -> None:
        self.task = task
        shutil.rmtree(node.root / "spool" / task.id)
        self.spool = Spool(node.root / "spool", task.id)
        end = self.spool.publish(generate_tags(4))
        self.spec: TaskSpec = node.recorder.specs[task.id]
        self.events: list[RecorderEvent] = run(self.spec, end)

    def file(self, record_format: RecordFormat) -> FileFinished:
        [event] = [one for one in self.events if isinstance(one, FileFinished) and one.format is record_format]
        return event


@pytest.fixture
async def pool(node: Node) -> AsyncIterator[VerifyPool]:
    """Real workers in place of the trusting ones."""
    pool = VerifyPool(2, VerifyLevel.KEYFRAMES)
    node.verifier._pool = pool
    yield pool
    await node.verifier.stop()
    await pool.stop()


async def recorded(node: Node, *formats: RecordFormat) -> Recorded:
    new = NewTemplate(
        domain=KEY.domain,
        app="live",
        stream="*",
        record_type=RecordType.COMMAND,
        address=ObsAddress("recordings", "here"),
        formats={name: FormatConfig(3600, default_prefix(name)) for name in formats},
    )
    await node.templates.create(PROJECT, new)
    return Recorded(node, await stopped_task(node))


async def files(node: Node, task: Task) -> dict[RecordFormat, RecordFile]:
    async with node.catalogue.read() as uow:
        return {file.format: file for file in await uow.files.of_task(task.id)}


def manifest(node: Node) -> dict[str, object]:
    path = next(name for name in stored(node) if name.endswith("recording.json"))
    return json.loads((node.root / "store" / "recordings" / path).read_text())  # type: ignore[no-any-return]


async def test_a_verdict_that_is_there_in_time_goes_out_with_the_file(node: Node, pool: VerifyPool) -> None:
    await subscribe(node)
    made = await recorded(node, FLV, HLS, MP4)
    await report(node, *made.events)
    told = [message.body for message in await messages(node) if message.event == "RECORD_FILE_COMPLETE"]
    late = [message.body for message in await messages(node) if message.event == "RECORD_FILE_VERIFIED"]
    assert len(told) == 3
    # A busy machine may take longer than the second that is waited for; then the verdict follows.
    assert [body["verification"] for body in told].count("pending") == len(late)
    assert {body["verification"] for body in told} <= {"verified", "pending"}
    assert all(body["verification"] == "verified" for body in late)
    written = manifest(node)["files"]
    assert isinstance(written, list)
    for file in written:
        assert file["verification"] == "verified" and file["verification_reasons"] == []
        assert len(file["sha256"]) == 64 and file["verified_at"].endswith("Z")
    assert manifest(node)["spool"]["publishes"] == 1  # type: ignore[index]
    assert not (node.root / "damaged").exists()
    assert not (node.root / "spool" / made.task.id).exists()


@pytest.mark.parametrize("record_format", [FLV, HLS, MP4])
async def test_a_damaged_file_is_made_again(node: Node, pool: VerifyPool, record_format: RecordFormat) -> None:
    await subscribe(node)
    made = await recorded(node, record_format)
    event = made.file(record_format)
    victim = event.path.parent / event.report["slices"][0]["name"] if record_format is HLS else event.path
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 376 * 188])
    await report(node, *made.events)
    [file] = (await files(node, made.task)).values()
    assert (file.verification, file.damages, file.report["made_again"]) == (Verification.VERIFIED, (), True)
    places = [path for path in (node.root / "store").rglob("*") if path.name.endswith((".flv", ".mp4", ".ts"))]
    assert whole in [path.read_bytes() for path in places]
    assert (await events(node))[-3:] == ["FILE_COMPLETE", "FILE_VERIFIED", "OVER"]
    pending, final = (message.body for message in (await messages(node))[-3:-1])
    assert (pending["verification"], final["verification"]) == ("pending", "verified")
    assert final["file_size"] == event.size
    assert not (node.root / "damaged").exists()
    assert not (node.root / "work" / "again" / made.task.id / file.job_id).exists()


async def test_a_file_that_stays_damaged_keeps_its_spool(node: Node, pool: VerifyPool) -> None:
    """The account says there was more than the spool gives: making it again does not help."""
    await subscribe(node)
    made = await recorded(node, FLV)
    event = made.file(FLV)
    made.spool.task_dir.joinpath("000001.flv").write_bytes(b"")
    event.path.write_bytes(event.path.read_bytes()[:100_000])
    await report(node, *made.events)
    [file] = (await files(node, made.task)).values()
    assert file.verification is Verification.DAMAGED
    assert {damage.reason for damage in file.damages} >= {DamageReason.SIZE, DamageReason.PACKETS}
    final = (await messages(node))[-2].body
    assert final["event_type"] == "RECORD_FILE_VERIFIED" and final["verification"] == "damaged"
    assert "packets" in final["verification_reasons"]
    kept = node.root / "damaged" / file.job_id
    assert sorted(path.name for path in kept.iterdir()) == ["000001.flv", "file.json"]
    assert json.loads((kept / "file.json").read_text())["object"] == file.object_key
    assert (await row(node, made.task.id)).state.value == "completed"
    written = manifest(node)["files"]
    assert isinstance(written, list)
    assert written[0]["verification"] == "damaged" and written[0]["verification_reasons"]


async def keep_spool(node: Node, pool: VerifyPool) -> RecordFile:
    """A damaged file whose spool is kept, as of now."""
    made = await recorded(node, FLV)
    event = made.file(FLV)
    made.spool.task_dir.joinpath("000001.flv").write_bytes(b"")
    event.path.write_bytes(event.path.read_bytes()[:100_000])
    await report(node, *made.events)
    [file] = (await files(node, made.task)).values()
    os.utime(node.root / "damaged" / file.job_id / "file.json", (node.clock.now(),) * 2)
    return file


async def test_kept_spools_go_after_a_while(node: Node, pool: VerifyPool) -> None:
    file = await keep_spool(node, pool)
    damaged, place = node.root / "damaged", node.root / "damaged" / file.job_id
    (damaged / "notes of mine").mkdir()
    retention = Retention(
        node.catalogue, node.stores, node.clock, damaged=DamagedSpools(node.catalogue, node.clock, damaged, 1000.0)
    )
    node.clock.advance(999)
    await retention.look()
    assert place.is_dir()
    assert metrics.damaged_spools._value.get() == 1
    assert metrics.damaged_spool_bytes._value.get() == sum(each.stat().st_size for each in place.iterdir())
    async with node.catalogue.write() as uow:
        await uow.holds.put(file.task_id, node.clock.now())
    node.clock.advance(2)
    await retention.look()
    assert place.is_dir()  # the recording is held
    async with node.catalogue.write() as uow:
        await uow.holds.delete(file.task_id)
    await DamagedSpools(node.catalogue, node.clock, damaged, None).sweep()
    assert place.is_dir()  # never
    node.clock.set(node.clock.now() + 3 * 3600)
    await retention.look()
    assert place.is_dir()  # nobody knows what time it is
    node.clock.advance(CLOCK_DOUBTED)
    await retention.look()
    assert [each.name for each in damaged.iterdir()] == ["notes of mine"]
    assert metrics.damaged_spools._value.get() == 0


async def test_the_kept_spool_of_a_deleted_recording_goes_at_once(node: Node, pool: VerifyPool) -> None:
    file = await keep_spool(node, pool)
    damaged = DamagedSpools(node.catalogue, node.clock, node.root / "damaged", None)
    assert await damaged.sweep() == 0
    async with node.catalogue.write() as uow:
        assert await uow.files.mark_deleting(file.job_id, DeleteReason.API, node.clock.now())
    assert await damaged.sweep() == 1
    assert not list((node.root / "damaged").iterdir())


async def test_what_was_sent_broken_is_not_made_again(node: Node) -> None:
    """Everything that was received is in the file: another try and a kept spool would be of no use."""
    await subscribe(node)
    await node.template()
    node.pool.verdicts = [Verdict(Verification.DAMAGED, (Damage(DamageReason.UNDECODABLE, "2 of 9 frames"),), "0" * 64)]
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    complete = (await messages(node))[-2].body
    assert (complete["verification"], complete["verification_reasons"]) == ("damaged", ["undecodable"])
    assert await events(node) == ["START", "NEW_FILE_START", "FILE_COMPLETE", "OVER"]
    assert not (node.root / "damaged").exists() and not (node.root / "spool" / task.id).exists()


async def test_a_late_verdict_is_told_to_those_who_asked(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing_module, "VERIFY_WAIT", 0.0)
    await subscribe(node, CallbackEvent.RECORD_FILE_COMPLETE)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["FILE_COMPLETE"]
    [file] = (await files(node, task)).values()
    assert file.verification is Verification.VERIFIED and file.verified_at == node.clock.now()


async def test_without_verification_only_the_sum_is_written_down(node: Node) -> None:
    node.pool.level = VerifyLevel.OFF
    node.pool.verdicts = [Verdict(Verification.OFF, (), "1" * 64)]
    await subscribe(node)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert await events(node) == ["START", "NEW_FILE_START", "FILE_COMPLETE", "OVER"]
    assert "verification" not in (await messages(node))[-2].body
    [file] = (await files(node, task)).values()
    assert (file.verification, file.sha256) == (Verification.OFF, "1" * 64)


async def test_a_stored_file_without_a_verdict_gets_it_after_a_restart(
    node: Node, pool: VerifyPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between storing and verdict, twice: the file is read from its store, and told complete exactly once."""
    monkeypatch.setattr(finishing_module, "VERIFY_WAIT", 0.0)
    await subscribe(node)
    made = await recorded(node, MP4)
    never = asyncio.Event()

    async def hangs(*_: object, **__: object) -> Verdict:
        await never.wait()
        raise AssertionError

    for life in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(pool, "check", hangs)
            for event in made.events[:-1]:
                if life == 0:
                    await node.finishing.handle(event)
            while node.finishing._completions:
                await asyncio.sleep(0.01)
            await node.finishing.stop()
            [file] = (await files(node, made.task)).values()
            assert (file.verification, file.verified_at) == (Verification.PENDING, None)
            shutil.rmtree(node.root / "work", ignore_errors=True)
            if life == 0:
                await restart(node)
    await restart(node)
    await node.finishing.settled(made.task.id)
    [file] = (await files(node, made.task)).values()
    assert file.verification is Verification.VERIFIED and file.sha256 is not None
    await report(node, made.events[-1])
    assert await events(node) == ["START", "NEW_FILE_START", "FILE_COMPLETE", "FILE_VERIFIED", "OVER"]


async def test_a_stored_file_that_is_damaged_is_made_again_after_a_restart(
    node: Node, pool: VerifyPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing_module, "VERIFY_WAIT", 0.0)
    await subscribe(node)
    made = await recorded(node, FLV)
    whole = made.file(FLV).path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(pool, "check", lambda *_, **__: asyncio.Event().wait())
        for event in made.events[:-1]:
            await node.finishing.handle(event)
        while node.finishing._completions:
            await asyncio.sleep(0.01)
        await node.finishing.stop()
    [file] = (await files(node, made.task)).values()
    place = Path(node.stores.get("recordings").describe(file.object_key))
    place.unlink()
    place.write_bytes(whole[: len(whole) // 2])
    await restart(node)
    await report(node, made.events[-1])
    assert place.read_bytes() == whole
    [file] = (await files(node, made.task)).values()
    assert file.verification is Verification.VERIFIED and file.report["made_again"] is True
    assert (await events(node)).count("FILE_COMPLETE") == 1
