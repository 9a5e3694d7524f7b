"""Group commit: when spools are synced, who waits for it, what shares it, what is told of it."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.spool import pool as pool_module
from livereel.spool.directories import make_durable
from livereel.spool.format import segment_path
from livereel.spool.pool import HAND_OVER_BYTES, SpoolPool
from livereel.spool.recovery import remove
from tests.unit.media import HEADERS, NOW, gop


class Syncs:
    """Counts the syncs of each file and directory; those named in `held` wait until `let_go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.held: set[str] = set()
        self.let_go = threading.Event()
        for call in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, call, self._noting(getattr(os, call)))

    def _noting(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def noted(descriptor: int) -> None:
            name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
            self.names.append(name)
            if name in self.held:
                self.let_go.wait(60)
            real(descriptor)

        return noted


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Path]:
    root = tmp_path / "root"
    root.mkdir()
    yield root


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_is_written_is_synced_once_an_interval(root: Path, syncs: Syncs) -> None:
    pool = SpoolPool(root, fsync_interval=0.05)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    await writer.first_keyframe_written.wait()
    assert syncs.names == ["000001.flv", "task", "root"]
    for start in (200, 400, 600):
        writer.append(gop(start), NOW)
        end = await writer.written()
        await until(lambda end=end: writer.synced == end)
    assert writer.unsynced_bytes == 0
    assert set(syncs.names[3:]) == {"000001.flv"}  # no name has changed since
    idle = len(syncs.names)
    await asyncio.sleep(0.3)
    assert len(syncs.names) == idle  # nothing to be done
    await pool.close()


async def test_a_pass_that_ends_late_in_the_interval_syncs(
    root: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, late = asyncio.get_running_loop(), 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + late)
    pool = SpoolPool(root, fsync_interval=100.0)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    await writer.first_keyframe_written.wait()
    writer.append(gop(200), NOW)
    end = await writer.written()
    pool.pass_over()
    await asyncio.sleep(0.1)
    assert writer.synced < end  # due in the next pass or later
    late = 60.0
    pool.pass_over()
    await until(lambda: writer.synced == end)
    await pool.close()


async def test_little_is_handed_over_at_the_end_of_a_pass_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "FLUSH_SECONDS", 3600.0)
    pool = SpoolPool(root)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    first = writer.backlog
    pool.slice_over()
    await asyncio.sleep(0.1)
    assert writer.backlog == first > 0
    pool.pass_over()
    await until(lambda: writer.backlog == 0)
    writer.append([Tag(TAG_VIDEO, 400, b"\x27\x01\0\0\0" + bytes(HAND_OVER_BYTES))], NOW)
    pool.slice_over()
    await until(lambda: writer.backlog == 0)
    await pool.close()


async def test_an_interval_of_nothing_syncs_after_each_write(root: Path, syncs: Syncs) -> None:
    pool = SpoolPool(root, fsync_interval=0)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    for start in (0, 200, 400):
        writer.append(gop(start), NOW)
        end = await writer.written()
        await until(lambda end=end: writer.synced == end)
    await pool.close()


async def test_starts_that_come_together_share_the_sync_of_the_directory(root: Path, syncs: Syncs) -> None:
    syncs.held.add("root")
    pool = SpoolPool(root)
    writers = [pool.open(f"task-{number}", "publish-1") for number in range(8)]
    for writer in writers:
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
        pool.flush()
        await until(lambda: "root" in syncs.names)  # the sync of the first is under way before the others come
    await until(lambda: pool._directory_wanted == len(writers))
    assert not any(writer.first_keyframe_written.is_set() for writer in writers)
    syncs.let_go.set()
    for writer in writers:
        await writer.first_keyframe_written.wait()
    assert syncs.names.count("root") == 2  # the one under way, and one for all others
    await pool.close()


async def test_a_sync_that_hangs_holds_up_no_write_and_no_other_sync(root: Path, syncs: Syncs) -> None:
    syncs.held.add("slow")
    pool = SpoolPool(root)
    slow, other = pool.open("slow", "publish-1"), pool.open("other", "publish-1")
    for writer in (slow, other):
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
    await until(lambda: "slow" in syncs.names)
    for start in range(200, 2000, 200):
        for writer in (slow, other):
            writer.append(gop(start), NOW)
        assert await other.on_disk() == other.synced
        await slow.written()
    assert slow.synced == SpoolPosition(1, 0)
    assert not slow.first_keyframe_written.is_set()
    syncs.let_go.set()
    assert await slow.on_disk() == slow.synced == slow.position
    await pool.close()


async def test_what_a_power_cut_would_take_is_told(root: Path, syncs: Syncs) -> None:
    syncs.held.add("task")
    pool = SpoolPool(root)
    writer = pool.open("task", "publish-1")
    begun = time.monotonic()
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    end = await writer.written()
    await until(lambda: "task" in syncs.names)
    assert REGISTRY.get_sample_value("livereel_spool_unsynced_bytes") == end.offset
    age = REGISTRY.get_sample_value("livereel_spool_unsynced_seconds")
    assert age is not None
    assert 0 < age <= time.monotonic() - begun
    before = REGISTRY.get_sample_value("livereel_spool_fsync_seconds_count")
    assert before is not None
    syncs.let_go.set()
    await writer.on_disk()
    assert REGISTRY.get_sample_value("livereel_spool_unsynced_bytes") == 0
    assert REGISTRY.get_sample_value("livereel_spool_unsynced_seconds") == 0
    after = REGISTRY.get_sample_value("livereel_spool_fsync_seconds_count")
    assert after is not None
    assert after > before
    await pool.close()


async def test_a_second_publish_syncs_what_the_first_process_left(root: Path, syncs: Syncs) -> None:
    first = SpoolPool(root, fsync_interval=None)  # a process that was killed before it synced
    writer = first.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    await first.close()
    assert syncs.names == []
    second = SpoolPool(root)
    writer = second.open("task", "publish-2")
    writer.begin(HEADERS, NOW + 5)
    writer.append(gop(0), NOW + 5)
    assert (await writer.on_disk()).segment == 2
    assert sorted(syncs.names) == ["000001.flv", "000002.flv", "root", "task"]
    await second.close()


async def test_a_spool_that_is_removed_or_trimmed_before_it_is_synced_has_not_failed(
    tmp_path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, told = tmp_path / "root", list[SpoolError]()
    first = SpoolPool(root, fsync_interval=None)
    for task in ("removed", "trimmed"):
        writer = first.open(task, "publish-1")
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
    await first.close()
    syncs.held |= {"000001.flv", "000002.flv"}
    pool = SpoolPool(root)
    removed, trimmed = pool.open("removed", "publish-2", told.append), pool.open("trimmed", "publish-2", told.append)
    for writer in (removed, trimmed):
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
        await writer.close()
    await until(lambda: len(syncs.names) == 2)
    remove(root, "removed")
    segment_path(root / "trimmed", 1).unlink()
    syncs.let_go.set()
    await pool.close()
    assert told == []
    assert trimmed.synced == trimmed.position


async def test_what_cannot_be_synced_after_the_end_is_left_to_readers(
    root: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SpoolPool(root, fsync_interval=60)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    await writer.on_disk()
    writer.append(gop(200), NOW)
    syncs.held.add("000001.flv")
    fdatasync = os.fdatasync

    def fails(descriptor: int) -> None:
        fdatasync(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fails)
    end = await writer.close()
    syncs.let_go.set()
    await pool.close()
    assert segment_path(root / "task", 1).stat().st_size == end.offset


def test_a_directory_is_made_with_all_names_on_disk(tmp_path: Path, syncs: Syncs) -> None:
    make_durable(tmp_path / "a" / "b")
    assert syncs.names[-2:] == [tmp_path.name, "a"]
    syncs.names.clear()
    make_durable(tmp_path / "a" / "b")  # who made it may have died before it could do that
    assert syncs.names[-2:] == [tmp_path.name, "a"]
