"""From the recorder's events to files in the store, on a real catalogue, store and spool."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from livereel.control.recovery import recover
from livereel.control.templates import NewTemplate
from livereel.control.uploads import backoff
from livereel.domain.errors import StoreError
from livereel.domain.recordings import EndReason, RecordFile, Slice, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, default_prefix
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileStarted,
    PlaylistReady,
    RecorderEvent,
    SliceReady,
    TaskFailed,
    TaskFinished,
    job_id,
)
from livereel.storage.local import LocalStore
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node

FLV, HLS = RecordFormat.FLV, RecordFormat.HLS
GROWING = "#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:2026-07-21T06:15:28.000Z\n#EXTINF:1.000,\n"


async def stopped_task(node: Node) -> Task:
    """A task whose spool is complete; the recorder has not reported anything yet."""
    stream = node.registry.get(KEY) or await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await node.recording.stop(PROJECT, KEY)
    return await row(node, task_id)


async def row(node: Node, task_id: str) -> Task:
    async with node.catalogue.read() as uow:
        task = await uow.tasks.get(task_id)
    assert task is not None
    return task


async def files_of(node: Node, task: Task) -> list[RecordFile]:
    async with node.catalogue.read() as uow:
        return await uow.files.of_task(task.id)


def started(task: Task, record_format: RecordFormat = FLV, sequence: int = 0) -> FileStarted:
    return FileStarted(
        task_id=task.id,
        job_id=job_id(task.id, record_format, sequence),
        format=record_format,
        sequence=sequence,
        start=SpoolPosition(1, 13),
        started_at=task.started_at + sequence,
        checkpoint={"n": sequence},
    )


def finished(node: Node, task: Task, record_format: RecordFormat = FLV, sequence: int = 0) -> FileFinished:
    job = job_id(task.id, record_format, sequence)
    path = node.root / "work" / task.id / job / "recording"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{record_format} {sequence}".encode())
    return FileFinished(
        task_id=task.id,
        job_id=job,
        format=record_format,
        sequence=sequence,
        path=path,
        started_at=task.started_at + sequence,
        ended_at=task.started_at + sequence + 1,
        duration=1.0,
        size=path.stat().st_size,
        width=1280,
        height=720,
        video_codec="H264",
        audio_codec="AAC",
        report={"gaps": []},
    )


async def report(node: Node, *events: RecorderEvent) -> None:
    """Have events dealt with one after the other, each to its end."""
    for event in events:
        await node.finishing.handle(event)
        await node.finishing.settled(event.task_id)
        while node.uploads.busy(event.task_id):
            await asyncio.sleep(0.001)


def stored(node: Node) -> list[str]:
    root = node.root / "store" / "recordings"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_a_finished_task_leaves_files_and_manifest_and_no_spool(node: Node) -> None:
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    base = "archive/Record/push.example.com/live/COMMAND_RECORD/FLV/cam01_20260721061528"
    assert stored(node) == [f"{base}/20260721061528.flv", f"{base}/recording.json"]
    manifest = json.loads((node.root / "store" / "recordings" / base / "recording.json").read_text())
    assert manifest["state"] == "completed"
    assert manifest["files"][0]["object"] == f"{base}/20260721061528.flv"
    assert (await row(node, task.id)).state is TaskState.COMPLETED
    assert node.recorder.forgotten == [task.id]
    assert not (node.root / "spool" / task.id).exists()
    assert not (node.root / "work" / task.id).exists()
    await asyncio.wait_for(node.finishing.wait_idle(), 60)


async def test_a_playlist_grows_in_the_store_and_a_stored_one_is_left_alone(node: Node) -> None:
    await node.templates.create(
        PROJECT,
        NewTemplate(
            domain=KEY.domain,
            app="live",
            stream="*",
            record_type=RecordType.COMMAND,
            address=ObsAddress("recordings", "here"),
            formats={HLS: FormatConfig(3600, default_prefix(HLS))},
        ),
    )
    task = await stopped_task(node)
    job = job_id(task.id, HLS, 0)
    work = node.root / "work" / task.id / job
    work.mkdir(parents=True)
    piece, playlist = work / "1_2_0.ts", work / "recording.m3u8"
    piece.write_bytes(b"ts")
    playlist.write_text(f"{GROWING}1_2_0.ts\n")
    directory = "Record/push.example.com/live/COMMAND_RECORD/HLS/cam01_20260721061528"
    listed = f"{directory}/cam01_20260721061528.m3u8"
    await report(
        node,
        started(task, HLS),
        SliceReady(task.id, job, "1_2_0.ts", piece, 0, 1.0, 2.0, 1.0, 8),
        PlaylistReady(task.id, job, playlist),
    )
    assert stored(node) == [f"{directory}/1_2_0.ts", listed]
    async with node.catalogue.read() as uow:
        assert await uow.slices.in_window(PROJECT, KEY, 0.0, 2e9) == [
            Slice(job, 0, f"{directory}/1_2_0.ts", 1.0, 2.0, 1.0, 8)
        ]
    await report(node, finished(node, task, HLS))
    where = node.root / "store" / "recordings" / listed
    assert where.read_text() == "HLS 0"
    work.mkdir(parents=True)
    playlist.write_text(f"{GROWING}1_2_0.ts\n")
    await report(node, started(task, HLS), PlaylistReady(task.id, job, playlist), finished(node, task, HLS))
    assert where.read_text() == "HLS 0"


async def test_a_taken_name_gets_a_suffix(node: Node) -> None:
    await node.templates.create(
        PROJECT,
        NewTemplate(
            domain=KEY.domain,
            app="live",
            stream="*",
            record_type=RecordType.COMMAND,
            address=ObsAddress("recordings", "here"),
            formats={FLV: FormatConfig(3600, "show")},
        ),
    )
    for _ in range(2):
        task = await stopped_task(node)
        await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
        node.clock.advance(30)
    tag = job_id(task.id, FLV, 0).replace("-", "")[:8]
    assert stored(node) == sorted(["show.flv", f"show-{tag}.flv", "recording.json", f"recording-{task.id}.json"])


async def test_a_store_that_is_away_delays_and_loses_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    real, failures = LocalStore.put_file, [StoreError("away"), StoreError("still away")]

    async def flaky(self: LocalStore, key: str, path: Path, *, final: bool = False):  # type: ignore[no-untyped-def]
        if failures:
            raise failures.pop()
        return await real(self, key, path, final=final)

    monkeypatch.setattr(LocalStore, "put_file", flaky)
    await node.template()
    task = await stopped_task(node)
    await report(node, started(task), finished(node, task), TaskFinished(task.id, {}))
    assert (await row(node, task.id)).state is TaskState.COMPLETED
    assert failures == []


async def test_a_format_that_fails_fails_the_task_and_keeps_the_rest(node: Node) -> None:
    await node.template()
    task = await stopped_task(node)
    job = job_id(task.id, FLV, 0)
    await report(node, started(task), FileFailed(task.id, job, FLV, "no such codec"), TaskFinished(task.id, {}))
    done = await row(node, task.id)
    assert (done.state, done.error) == (TaskState.FAILED, "no complete file in FLV")
    assert (node.root / "spool" / task.id).exists()


async def test_a_recorder_that_gives_up_lets_go_of_the_stream(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await report(node, TaskFailed(task_id, "three workers died"))
    assert (await row(node, task_id)).state is TaskState.FAILED
    assert node.owner.running() == []
    node.clock.advance(30)
    node.feed(stream, KEY_FRAME, at=1000)
    await node.recording.start(PROJECT, KEY)


async def test_recovery_ends_open_tasks_where_their_spools_end(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, KEY)
    await report(node, started(await row(node, task_id)))
    # The server dies here: rows and spool stay, nothing else does.
    segment = node.root / "spool" / task_id / "000001.flv"
    whole = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"\x09\x00\x00\x20torn")
    node.recorder.specs.clear()
    for _ in range(2):
        found = await recover(
            catalogue=node.catalogue,
            recorder=node.recorder,  # type: ignore[arg-type]
            finishing=node.finishing,
            owner=node.owner,
            announcer=node.announcer,
            clock=node.clock,
            node="node-1",
            spool_dir=node.root / "spool",
        )
        assert found == 1
        task = await row(node, task_id)
        assert (task.state, task.end_reason) == (TaskState.FINISHING, EndReason.RECOVERY)
        assert node.recorder.ends[task_id] == SpoolPosition(1, whole) == task.spool_end
        assert node.recorder.specs[task_id].resume[FLV].checkpoint == {"n": 0}
    await report(node, started(task), finished(node, task), TaskFinished(task_id, {}))
    async with node.catalogue.read() as uow:
        files = await uow.files.of_task(task_id)
    assert [file.state for file in files] == [FileState.STORED]


async def test_recovery_fails_a_task_without_a_spool(node: Node) -> None:
    await node.template()
    task = await stopped_task(node)
    (node.root / "spool" / task.id / "000001.flv").unlink()
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
    assert (await row(node, task.id)).state is TaskState.FAILED


async def test_the_spool_of_stored_files_goes_while_the_recording_goes_on(node: Node) -> None:
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task = await row(node, await node.recording.start(PROJECT, KEY))
    spool = node.root / "spool" / task.id
    for segment in (2, 3):
        (spool / f"{segment:06}.flv").write_bytes(b"later")
    await report(node, started(task), finished(node, task))
    assert len(list(spool.iterdir())) == 3
    await report(node, replace(started(task, sequence=1), start=SpoolPosition(3, 200)))
    assert [path.name for path in spool.iterdir()] == ["000003.flv"]


async def test_what_a_power_cut_took_is_told_and_costs_nothing_else(node: Node) -> None:
    """The newest file began behind what is left of the spool."""
    await node.template()
    task = await stopped_task(node)
    assert task.spool_end is not None
    await report(node, started(task), finished(node, task))
    beyond = replace(started(task, sequence=1), start=SpoolPosition(2, 13), checkpoint={"read": [2, 200]})
    await report(node, beyond)
    files = await files_of(node, task)
    resume = node.finishing.spec(task, files).resume[FLV]
    assert (resume.sequence, resume.start) == (0, SpoolPosition(1, 13))  # not where nothing is any more
    await report(node, TaskFinished(task.id, {}))
    first, second = await files_of(node, task)
    assert first.state is FileState.STORED
    assert second.state is FileState.FAILED
    assert second.error == "what was received of it was not on disk when the power went"
    assert (await row(node, task.id)).state is TaskState.COMPLETED


async def test_a_checkpoint_from_behind_the_end_of_the_spool_is_not_gone_on_from(node: Node) -> None:
    await node.template()
    task = await stopped_task(node)
    assert task.spool_end is not None
    await report(node, replace(started(task), checkpoint={"read": list(task.spool_end)}))
    assert FLV not in node.finishing.spec(task, await files_of(node, task)).resume
