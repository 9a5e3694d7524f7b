"""The watch over a disk whose size the test decides, and the reserve file on a real one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from livereel.control import disk
from livereel.control.disk import DiskWatch, Growth, ReserveFile, look_at, release_if_needed
from livereel.domain.disk import DiskMarks, DiskState, DiskUse
from livereel.domain.errors import DiskFull
from livereel.testing.clock import FakeClock

TOTAL, RESERVE = 1_000_000, 1000


class Recordings:
    """Recordings that grow as the test says."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.ended: list[str] = []
        self.rooms = 0

    def growth(self) -> list[Growth]:
        return [Growth(task_id, written) for task_id, written in self.written.items()]

    async def end_for_disk(self, task_id: str) -> None:
        self.ended.append(task_id)
        if task_id == "stubborn":
            raise OSError("no")
        del self.written[task_id]

    def room_again(self) -> None:
        self.rooms += 1


class Setting:
    def __init__(self, directory: Path) -> None:
        self.clock, self.recordings, self.free = FakeClock(), Recordings(), TOTAL
        self.finishing_again = 0
        self.reserve = directory / "reserve"
        self.watch = DiskWatch(
            [directory],
            DiskMarks(0.9, RESERVE),
            self.clock,
            recordings=self.recordings,
            under_way=lambda: [],
            reserve_file=self.reserve,
            on_room=self.finish_again,
            measure=self.measure,
        )

    def finish_again(self) -> None:
        self.finishing_again += 1

    def measure(self, _places: Sequence[Path]) -> DiskUse:
        return DiskUse(TOTAL, self.free, 1 - self.free / TOTAL)

    async def look(self, free: int, seconds: float = 1.0, **written: int) -> DiskState:
        self.clock.advance(seconds)
        self.free = free
        for task_id, size in written.items():
            self.recordings.written[task_id] = size
        await self.watch.look()
        return self.watch.state


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(disk, "RESERVE_FILE", 400)
    return Setting(tmp_path)


async def test_a_full_disk_refuses_and_says_why(at: Setting) -> None:
    assert await at.look(200_000) is DiskState.ROOM
    at.watch.check_room()
    assert at.watch.problem() is None
    assert await at.look(99_000) is DiskState.HIGH
    with pytest.raises(
        DiskFull, match=r"the recorder's disk is full \(90% used, 0 MiB free in .*raise disk.high_water"
    ):
        at.watch.check_room()
    assert not at.watch.low
    assert await at.look(110_000) is DiskState.HIGH
    assert at.recordings.rooms == 0
    assert await at.look(130_000) is DiskState.ROOM
    assert at.recordings.rooms == 1
    assert at.recordings.ended == []


async def test_below_the_reserve_the_fastest_is_ended_then_one_by_one(at: Setting) -> None:
    await at.look(200_000, slow=0, fast=0)
    await at.look(2500, slow=1, fast=10)
    assert await at.look(999, slow=2, fast=20) is DiskState.LOW
    assert at.watch.low
    assert at.recordings.ended == ["fast"]
    await at.look(998, slow=3)
    assert at.recordings.ended == ["fast"]  # what was ended is being finished, which makes room
    await at.look(990, seconds=10, slow=4)
    assert at.recordings.ended == ["fast", "slow"]
    assert await at.look(1400) is DiskState.LOW
    assert at.finishing_again == 0
    assert await at.look(1500) is DiskState.HIGH
    assert at.finishing_again == 1
    assert await at.look(200_000) is DiskState.ROOM
    assert at.recordings.rooms == 1


async def test_all_are_ended_when_half_of_the_reserve_is_gone(at: Setting) -> None:
    await at.look(200_000, a=0, b=0, stubborn=0)
    await at.look(400, a=1, b=1, stubborn=1)
    assert sorted(at.recordings.ended) == ["a", "b", "stubborn"]
    await at.look(400)
    assert at.recordings.ended.count("stubborn") == 2  # tried again


async def test_a_recording_that_cannot_write_ends_all_and_opens_the_reserve(at: Setting) -> None:
    await at.look(200_000, a=0)
    assert at.reserve.stat().st_size == 400
    at.watch.out_of_room()
    assert await at.look(200_000, a=1) is DiskState.LOW
    assert at.recordings.ended == ["a"]
    assert not at.reserve.exists()
    assert await at.look(200_000) is DiskState.ROOM
    assert at.reserve.exists()


async def test_the_reserve_is_for_finishing_not_for_what_runs(at: Setting) -> None:
    await at.look(200_000)
    at.recordings.written["stubborn"] = 0
    await at.look(99)
    assert at.reserve.exists()
    at.recordings.written.clear()
    await at.look(99)
    assert not at.reserve.exists()


def test_the_fullest_of_several_file_systems(tmp_path: Path) -> None:
    use = look_at([tmp_path, tmp_path / "not" / "made"])
    assert use.total == look_at([tmp_path]).total  # others write to the same disk meanwhile
    assert 0 < use.free < use.total
    assert 0 < use.share < 1


def test_a_reserve_of_real_bytes(tmp_path: Path) -> None:
    file = ReserveFile(tmp_path / "reserve")
    file.fill(1 << 20)
    assert file.held
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1 << 20
    assert ReserveFile(tmp_path / "reserve").held  # of an earlier life
    release_if_needed(tmp_path / "reserve")
    assert (tmp_path / "reserve").exists()  # there is room without it
    file.release()
    file.release()
    assert list(tmp_path.iterdir()) == []
    ReserveFile(tmp_path / "no" / "reserve").fill(1)  # it is a second line of defence


async def test_an_end_that_cannot_be_written_does_not_keep_the_reserve_from_it(at: Setting) -> None:
    """A recording lets go of its stream, and its end waits for a catalogue that waits for room."""
    written = asyncio.Event()

    async def end(task_id: str) -> None:
        del at.recordings.written[task_id]
        await written.wait()
        at.recordings.ended.append(task_id)

    at.recordings.end_for_disk = end  # type: ignore[method-assign]
    await at.look(200_000, a=0)
    await at.look(0, a=1)
    assert not at.reserve.exists()
    assert at.recordings.ended == []
    written.set()
    await asyncio.sleep(0)
    assert at.recordings.ended == ["a"]
    await at.watch.stop()
