"""`livereel verify` on real recordings in a real store, whole and damaged."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.cli import verify as verify_module
from livereel.cli.main import app
from livereel.control.report import recording_json
from livereel.domain.recordings import RecordFile, Slice, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Verification
from livereel.storage.local import LocalStore
from livereel.testing.source import generate_tags
from livereel.verify.pool import VerifyPool
from tests.integration.catalogue.nouns import NOW, make_file, make_task
from tests.integration.recorder.spools import FLV, HLS, MP4, Spool, finished, run, spec

BUCKET = "rec-a"
OLD = time.time() - 86_400


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with one recording in three formats, each in a directory of its own, and its recording.json."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    directory = tmp_path / "livereel-data"
    directory.mkdir()
    end = Spool(tmp_path / "spool").publish(generate_tags(5))
    events = run(spec(tmp_path), end)
    task = replace(make_task(state=TaskState.COMPLETED), ended_at=NOW + 5)

    async def record(catalogue: Catalogue) -> None:
        store = LocalStore(BUCKET, directory / "store" / BUCKET)
        files = [await stored(store, catalogue, task, name, events) for name in (FLV, HLS, MP4)]
        manifest = json.dumps(recording_json(task, files, {})).encode()
        for record_format in (FLV, HLS, MP4):
            await store.put_bytes(f"rec/{record_format}/recording.json", manifest)

    async def stored(
        store: LocalStore, catalogue: Catalogue, task: Task, name: RecordFormat, events: Any
    ) -> RecordFile:
        [event] = finished(events, name)
        key = f"rec/{name}/cam01{event.path.suffix}"
        file = replace(
            make_file(task, format=name),
            state=FileState.STORED,
            bucket=BUCKET,
            object_key=key,
            ended_at=NOW + 5,
            **{
                member: getattr(event, member)
                for member in ("size", "duration", "video_codec", "audio_codec", "report")
            },
        )
        await store.put_file(key, event.path)
        async with catalogue.write() as uow:
            if await uow.tasks.get(task.id) is None:
                await uow.tasks.add(task)
            await uow.files.add(file)
            for number, piece in enumerate(event.report.get("slices", ())):
                put = await store.put_file(f"rec/HLS/{piece['name']}", event.path.parent / piece["name"])
                await uow.slices.add_many([Slice(file.job_id, number, put.key, NOW, NOW + 1, 1.0, put.size)])
        return file

    in_catalogue(directory, record)
    for path in (directory / "store").rglob("*.*"):
        os.utime(path, (OLD, OLD))
    return directory


def in_catalogue(directory: Path, work: Callable[[Catalogue], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        catalogue = await open_catalogue(f"sqlite:///{directory / 'catalogue.db'}")
        try:
            return await work(catalogue)
        finally:
            await catalogue.close()

    return asyncio.run(opened())


def rows(data: Path) -> dict[str, RecordFile]:
    async def work(catalogue: Catalogue) -> dict[str, RecordFile]:
        async with catalogue.read() as uow:
            [task] = (await uow.tasks.list()).items
            return {file.format.value: file for file in await uow.files.of_task(task.id)}

    return in_catalogue(data, work)  # type: ignore[no-any-return]


def verify(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["verify", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout or result.stderr  # a long run tells beside its answer how far it has come


def report(*arguments: str, code: int = 0) -> dict[str, Any]:
    return json.loads(verify(*arguments, "--json", code=code))  # type: ignore[no-any-return]


def test_whole_recordings(data: Path) -> None:
    assert verify().startswith("3 of 3 files verified, 0 damaged, 0 not checked, 0 extra objects")
    for file in rows(data).values():
        assert file.verification is Verification.VERIFIED and file.verified_at is not None
        assert file.sha256 is not None
    assert report("--bucket", "rec-b")["files"] == report("--task", "nothing")["files"] == 0
    assert report("--since", "1h")["files"] == report("--since", "2026-08-01T00:00:00Z")["files"] == 0


def test_a_long_run_with_trouble_tells_of_it_beside_its_answer(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = VerifyPool.stop

    async def troubled(pool: VerifyPool) -> None:
        structlog.get_logger().warning("verify_worker_died")
        await stop(pool)

    monkeypatch.setattr(VerifyPool, "stop", troubled)
    monkeypatch.setattr(verify_module, "PROGRESS_EVERY", 0.0)
    result = CliRunner().invoke(app, ["verify", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["verified"] == 3
    assert "3 files, " in result.stderr and "verify_worker_died" in result.stderr


def test_what_is_missing_changed_or_extra(data: Path) -> None:
    root = data / "store" / BUCKET / "rec"
    changed = bytearray((root / "FLV" / "cam01.flv").read_bytes())
    changed[-2000] ^= 1
    (root / "FLV" / "cam01.flv").write_bytes(changed)
    slices = sorted((root / "HLS").glob("*.ts"))
    slices[1].unlink()
    (root / "MP4" / "cam01.mp4").unlink()
    shutil.copy2(slices[0], root / "HLS" / "other.ts")
    (root / "HLS" / "notes.txt").write_text("of no interest")
    found = report("--full", "--since", "2020-01-01", code=1)
    assert found["extra"] == []  # nobody looked at everything
    reasons = {
        (item["object"], reason["reason"], reason.get("object"))
        for item in found["damaged"]
        for reason in item["reasons"]
    }
    assert ("rec/FLV/cam01.flv", "content", None) in reasons
    assert ("rec/HLS/cam01.m3u8", "missing", slices[1].name) in reasons
    assert ("rec/MP4/cam01.mp4", "missing", None) in reasons
    text = verify(code=1)
    assert f"{BUCKET}/rec/HLS/cam01.m3u8 ({slices[1].name}): missing: the slice is not there" in text
    assert next(line for line in text.splitlines() if "extra: no recording names it" in line).startswith(
        f"{BUCKET}/rec/HLS/other.ts"
    )
    now = rows(data)
    assert {file.verification for file in now.values()} == {Verification.DAMAGED}
    assert now["FLV"].sha256 is None  # what is known of a damaged file is not taken for what it should be


def test_without_a_catalogue(data: Path) -> None:
    (data / "catalogue.db").unlink()
    assert "holds no catalogue" in verify(code=2)
    assert report("--without-catalogue", "--bucket", BUCKET, "--prefix", "rec/nothing")["files"] == 0
    # Copied elsewhere under another name: each directory has a recording.json, and each file is looked at once.
    (data / "store" / BUCKET).rename(data / "store" / "rec-copy")
    found = report("--without-catalogue", "--bucket", "rec-copy", "--prefix", "/rec/")
    assert (found["files"], found["verified"], found["extra"]) == (3, 3, [])
    (data / "store" / "rec-copy" / "rec" / "MP4" / "cam01.mp4").write_bytes(b"")
    [damaged] = report("--without-catalogue", "--bucket", "rec-copy", code=1)["damaged"]
    assert (damaged["bucket"], damaged["object"]) == ("rec-copy", "rec/MP4/cam01.mp4")


def test_what_cannot_be_looked_at(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wants --bucket" in verify("--without-catalogue", code=2)
    assert "--prefix is for" in verify("--prefix", "x", code=2)
    assert "is no date" in verify("--since", "yesterday", code=2)
    (data / "store" / BUCKET).rename(data / "store" / "aside")
    (data / "store" / BUCKET).write_text("no directory")
    found = report("--task", next(iter(rows(data).values())).task_id, code=2)
    assert [item["object"] for item in found["unchecked"]] and found["verified"] == 0
    assert {file.verification for file in rows(data).values()} == {None}


@pytest.mark.parametrize(
    ("state", "verification"),
    [(TaskState.FINISHING, Verification.PENDING), (TaskState.COMPLETED, Verification.VERIFIED)],
)
def test_a_verdict_that_is_due_is_left_to_the_server_as_long_as_that_has_the_task(
    data: Path, state: TaskState, verification: Verification
) -> None:
    async def pending(catalogue: Catalogue) -> None:
        async with catalogue.write() as uow:
            [task] = (await uow.tasks.list()).items
            await uow.tasks.update(replace(task, state=state))
            for file in await uow.files.of_task(task.id):
                await uow.files.update(replace(file, verification=Verification.PENDING))

    in_catalogue(data, pending)
    verify()
    assert {file.verification for file in rows(data).values()} == {verification}
