"""Workers on a real file system that is too small: no task fails for it, and the files come out the same."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livereel.domain.templates import RecordFormat
from livereel.recorder.events import FileFailed, FileFinished, OutOfRoom, TaskFailed, TaskFinished
from livereel.testing.media import assert_sound
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, FLV, HLS, MP4, Spool, run, spec
from tests.integration.recorder.test_supervisor import recorder, results

Mount = Callable[[Path, int], "Small"]


class Small:
    """A mounted file system of so many bytes."""

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        done = self._call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
        if done.returncode != 0:
            pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")

    def grow(self, size: int) -> None:
        done = self._call("mount", "-o", f"remount,size={size}", str(self.path))
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        self._call("umount", "-l", str(self.path))

    @staticmethod
    def _call(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def mount() -> Iterator[Mount]:
    mounted: list[Small] = []

    def make(path: Path, size: int) -> Small:
        mounted.append(Small(path, size))
        return mounted[-1]

    yield make
    for small in mounted:
        small.remove()


@pytest.mark.parametrize("formats", [(FLV,), (MP4,), (HLS,), ALL], ids="-".join)
async def test_files_wait_for_room_and_are_the_same_then(
    tmp_path: Path, source: Source, mount: Mount, formats: tuple[RecordFormat, ...]
) -> None:
    Spool(tmp_path / "spool").publish(source(20), segment_bytes=200_000)
    end = Spool(tmp_path / "spool").end
    plain = spec(tmp_path / "plain", formats)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "spool").symlink_to(tmp_path / "spool")
    expected = run(plain, end)
    size = sum(event.size for event in expected if isinstance(event, FileFinished))
    small = mount(tmp_path / "work", size // 2)
    full = asyncio.Event()
    async with recorder(tmp_path) as made:
        made.supervisor.on_out_of_room = full.set
        made.supervisor.record(spec(tmp_path, formats))
        made.supervisor.finish(spec(tmp_path).task_id, end)
        for _ in range(2):  # once more, without any room having been made
            async with asyncio.timeout(60):
                await full.wait()
            full.clear()
            made.supervisor.room_again()
        assert made.supervisor.under_way()[0][0] == len(formats)
        small.grow(4 * size + (1 << 20))
        made.supervisor.room_again()
        assert isinstance(await made.task_over(), TaskFinished)
        assert not any(isinstance(event, FileFailed | TaskFailed | OutOfRoom) for event in made.events)
        assert results(made.events) == results(expected)
        for event in made.events:
            if isinstance(event, FileFinished):
                assert_sound(event.path)


async def test_another_task_of_the_worker_goes_on(tmp_path: Path, source: Source, mount: Mount) -> None:
    """A task that needs more room than there is lets go of what it had, so that a smaller one comes through."""
    other = "0" * 31 + "1"
    Spool(tmp_path / "spool").publish(source(20))
    Spool(tmp_path / "spool", other).publish(source(5))
    size = Spool(tmp_path / "spool").end.offset
    small = mount(tmp_path / "work", size // 2)
    full = asyncio.Event()
    async with recorder(tmp_path) as made:
        made.supervisor.on_out_of_room = full.set
        made.supervisor.record(spec(tmp_path, (FLV,)))
        made.supervisor.finish(spec(tmp_path).task_id, Spool(tmp_path / "spool").end)
        async with asyncio.timeout(60):
            await full.wait()
        made.supervisor.record(spec(tmp_path, (FLV,), task_id=other))
        made.supervisor.finish(other, Spool(tmp_path / "spool", other).end)
        assert isinstance(await made.task_over(other), TaskFinished)
        small.grow(4 * size)
        assert isinstance(await made.task_over(), TaskFinished)  # tried again by itself, within a minute
