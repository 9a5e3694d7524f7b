"""Workers that are killed, that hang and that cannot be: what becomes of the file they had."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Verification, VerifyLevel, reasons
from livereel.recorder.events import FileStarted, Resume
from livereel.verify.pool import CannotRemake, VerifyPool
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, FLV, HLS, MP4, WALL, Spool, finished, run, spec
from tests.integration.verify.conftest import Made, Make, account

TIMEOUT = 60


@pytest.fixture
async def pool() -> AsyncIterator[VerifyPool]:
    made = VerifyPool(1, VerifyLevel.KEYFRAMES, hang_timeout=TIMEOUT)
    async with asyncio.timeout(TIMEOUT):
        yield made
        await made.stop()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def blocked(made: Made) -> Path:
    """Put a pipe that nobody writes to in the place of a file: whoever opens it hangs. Gives where the file is now."""
    aside = made.path.rename(made.path.with_suffix(".aside"))
    os.mkfifo(made.path)
    return aside


async def test_one_worker_serves_file_after_file(pool: VerifyPool, make: Make) -> None:
    pool.warm()
    heard: list[int] = []
    for record_format in (FLV, HLS):
        made = make(record_format, 3)
        verdict = await pool.check(made.path, made.account, progress=heard.append)
        assert verdict.verification is Verification.VERIFIED
        assert verdict == made.check()
    assert len(pool.processes()) == 1
    assert heard and heard[0] > 0


async def test_a_killed_worker_is_replaced_and_the_file_is_read_again(pool: VerifyPool, make: Make) -> None:
    made = make(FLV, 3)
    aside = blocked(made)
    answer = asyncio.create_task(pool.check(made.path, made.account))
    await until(pool.reading)
    [pid] = pool.reading()
    aside.replace(made.path)
    os.kill(pid, signal.SIGKILL)
    assert (await answer).verification is Verification.VERIFIED
    assert pid not in pool.processes()


async def test_a_file_that_kills_every_worker_is_damaged(pool: VerifyPool, make: Make) -> None:
    made = make(FLV, 3)
    aside = blocked(made)
    answer = asyncio.create_task(pool.check(made.path, made.account))
    killed: set[int] = set()
    for _ in range(3):
        await until(lambda: set(pool.reading()) - killed)
        [pid] = set(pool.reading()) - killed
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    verdict = await answer
    assert reasons(verdict.damages) == ["verifier_died"] and verdict.sha256 is None
    aside.replace(made.path)
    assert (await pool.check(made.path, made.account)).verification is Verification.VERIFIED


async def test_a_worker_that_hangs_is_killed(make: Make) -> None:
    made = make(FLV, 3)
    blocked(made)
    pool = VerifyPool(1, VerifyLevel.KEYFRAMES, hang_timeout=0.3)
    verdict = await pool.check(made.path, made.account)
    assert reasons(verdict.damages) == ["verifier_died"]
    await pool.stop()
    assert pool.processes() == []


@pytest.mark.parametrize("record_format", ALL)
async def test_a_file_is_made_again_from_the_spool(
    pool: VerifyPool,
    tmp_path: Path,
    source: Source,
    record_format: RecordFormat,
) -> None:
    """Each of three files: from its checkpoint, with the same bytes, and with nothing of its neighbours."""
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        end = spool.publish(source(3), wall=WALL + 10 * number, name=f"p{number}")
    task = spec(tmp_path, [record_format])
    events = run(task, end)
    files = finished(events, record_format)
    assert [file.report["ended_by"] for file in files] == ["interruption", "interruption", "end"]
    starts = {event.sequence: event for event in events if isinstance(event, FileStarted)}
    for file in files:
        begun = starts[file.sequence]
        resume = json.loads(json.dumps(Resume(begun.sequence, begun.start, begun.checkpoint).to_json()))
        assert file.resume is not None
        read = SpoolPosition(*file.resume.checkpoint["read"])
        again = type(task)(
            task.task_id,
            task.key,
            task.record_type,
            task.formats,
            task.spool_dir,
            tmp_path / "again",
            {record_format: Resume.from_json(resume)},
        )
        made = await pool.remake(again, file.job_id, SpoolPosition(read.segment, read.offset + 1))
        assert made.path != file.path
        if record_format is not MP4:  # libav may write down when an MP4 was made
            assert made.path.read_bytes() == file.path.read_bytes()
        assert made.report | {"ended_by": ""} == file.report | {"ended_by": ""}
        assert (await pool.check(made.path, account(made))).verification is Verification.VERIFIED


async def test_a_spool_that_is_gone_makes_no_file(pool: VerifyPool, tmp_path: Path) -> None:
    with pytest.raises(CannotRemake):
        await pool.remake(spec(tmp_path, [FLV]), "job", SpoolPosition(1, 100))
