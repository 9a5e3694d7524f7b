"""Spools as they are written: layout, order, marks, failures. The files are real, the tags made by hand."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import Mark, is_check, parse_mark
from livereel.flv.tags import FLV_HEADER, TAG_OVERHEAD, TagReader
from livereel.spool import files as files_module
from livereel.spool import pool as pool_module
from livereel.spool import writer as writer_module
from livereel.spool.format import TIME_MARK_SECONDS, segment_path
from livereel.spool.pool import SpoolPool
from livereel.spool.tail import SpoolTail
from tests.unit.media import AUDIO_HEADER, HEADERS, NOW, VIDEO_HEADER, audio, frame, gop, key_frame


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[SpoolPool]:
    pool = SpoolPool(tmp_path)
    yield pool
    await pool.close()


def on_disk(directory: Path, task: str, segment: int) -> list[Tag]:
    data = segment_path(directory / task, segment).read_bytes()
    reader = TagReader()
    tags = reader.feed(data)
    assert reader.position == len(data)
    assert is_check(tags[-1].payload)
    return [tag for tag in tags if tag.kind != TAG_SCRIPT or not is_check(tag.payload)]


def torn(directory: Path, task: str, segment: int) -> list[Tag]:
    """Tags of a segment whose last write failed half way: it ends with no check."""
    tags = TagReader().feed(segment_path(directory / task, segment).read_bytes())
    return [tag for tag in tags if tag.kind != TAG_SCRIPT or not is_check(tag.payload)]


def marks(tags: list[Tag]) -> list[Mark]:
    return [mark for mark in map(parse_mark, tags) if mark]


def media(tags: list[Tag]) -> list[Tag]:
    return [tag for tag in tags if parse_mark(tag) is None]


async def test_a_segment_is_a_flv_file_with_mark_headers_and_tags(pool: SpoolPool, tmp_path: Path) -> None:
    writer = pool.open("task", "publish-1")
    headers = [tag._replace(timestamp=200) for tag in HEADERS]
    writer.begin(headers, NOW)
    writer.append(gop(200), NOW)
    position = await writer.written()
    tags = on_disk(tmp_path, "task", 1)
    assert parse_mark(tags[0]) == Mark(NOW, "publish-1", "begin")
    assert tags[0].timestamp == 200
    assert tags[1:] == headers + gop(200)
    size = segment_path(tmp_path / "task", 1).stat().st_size
    assert position == writer.position == SpoolPosition(1, size)
    assert writer.bytes_written == size
    assert segment_path(tmp_path / "task", 1).read_bytes().startswith(FLV_HEADER)
    assert await writer.close() == position
    assert await writer.close() == position


async def test_nothing_is_written_before_a_flush_and_the_writer_flushes_itself(pool: SpoolPool, tmp_path: Path) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    assert not segment_path(tmp_path / "task", 1).exists()
    async with asyncio.timeout(30):
        await writer.first_keyframe_written.wait()
    assert media(on_disk(tmp_path, "task", 1)) == HEADERS + gop(0)


async def test_the_first_key_frame_is_told_only_when_it_is_on_disk(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    await writer.on_disk()
    assert not writer.first_keyframe_written.is_set()
    let_go = threading.Event()
    monkeypatch.setattr(files_module.os, "fdatasync", lambda fd: let_go.wait(60) and _fdatasync(fd))
    writer.append([key_frame(0)], NOW)
    assert not writer.first_keyframe_written.is_set()
    await writer.written()
    assert key_frame(0) in on_disk(tmp_path, "task", 1)
    assert not writer.first_keyframe_written.is_set()
    assert writer.synced < writer.position
    let_go.set()
    assert await writer.on_disk() == writer.synced == writer.position
    assert writer.first_keyframe_written.is_set()


async def test_without_syncing_the_first_key_frame_is_told_when_it_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SpoolPool(tmp_path, fsync_interval=None)
    monkeypatch.setattr(files_module.os, "fdatasync", None)
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append([key_frame(0)], NOW)
    await writer.on_disk()
    assert writer.first_keyframe_written.is_set()
    await pool.close()
    assert key_frame(0) in on_disk(tmp_path, "task", 1)


async def test_audio_only_counts_from_the_first_audio(pool: SpoolPool) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin([AUDIO_HEADER], NOW)
    writer.append([AUDIO_HEADER], NOW)
    await writer.on_disk()
    assert not writer.first_keyframe_written.is_set()
    writer.append([audio(0)], NOW)
    await writer.on_disk()
    assert writer.first_keyframe_written.is_set()


async def test_each_publish_begins_a_segment(pool: SpoolPool, tmp_path: Path) -> None:
    first = pool.open("task", "publish-1")
    first.begin(HEADERS, NOW)
    first.append(gop(0), NOW)
    end = await first.close()
    second = pool.open("task", "publish-2")
    assert await second.written() == end
    second.begin(HEADERS, NOW + 5)
    second.append(gop(0), NOW + 5)
    assert (await second.close()).segment == 2
    assert marks(on_disk(tmp_path, "task", 2)) == [Mark(NOW + 5, "publish-2", "begin")]
    never_begun = pool.open("task", "publish-3")
    assert await never_begun.close() == second.position


async def test_a_publish_that_takes_over_begins_a_segment_with_a_mark_of_its_own(
    pool: SpoolPool, tmp_path: Path
) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    writer.begin(HEADERS, NOW - 1, "publish-2")
    writer.append(gop(9000), NOW - 1)
    writer.append(gop(15_000), NOW + 5)
    assert (await writer.close()).segment == 2
    assert marks(on_disk(tmp_path, "task", 2)) == [
        Mark(NOW - 1, "publish-2", "takeover"),
        Mark(NOW + 5, "publish-2", "time"),
    ]


async def test_a_spool_that_never_began_ends_at_its_start(pool: SpoolPool, tmp_path: Path) -> None:
    assert await pool.open("task", "publish-1").close() == SpoolPosition(1, 0)
    assert list((tmp_path / "task").iterdir()) == []


async def test_a_full_segment_ends_at_a_key_frame_and_repeats_the_newest_headers(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 2000)
    changed = VIDEO_HEADER._replace(payload=VIDEO_HEADER.payload + b"\0", timestamp=390)
    tags = [*gop(0, size=100), *gop(200, size=400), changed, *gop(400, size=400), *gop(600)]
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(tags, NOW)
    await writer.close()
    one, two, three = (on_disk(tmp_path, "task", segment) for segment in (1, 2, 3))
    assert media(one) == HEADERS + tags[:21]
    metadata, _, audio_header = (tag._replace(timestamp=400) for tag in HEADERS)
    assert two[1:4] == [metadata, changed._replace(timestamp=400), audio_header]
    assert media(two)[3:] + media(three)[3:] == tags[21:]
    assert [mark.reason for mark in marks(one + two + three)] == ["begin", "segment", "segment"]
    assert not segment_path(tmp_path / "task", 4).exists()


async def test_a_full_segment_without_video_ends_at_any_audio(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 500)
    tags = [audio(index * 20, 100) for index in range(12)]
    writer = pool.open("task", "publish-1")
    writer.begin([AUDIO_HEADER], NOW)
    for start in range(0, 12, 3):
        writer.append(tags[start : start + 3], NOW)
    end = await writer.close()
    assert end.segment > 1
    found = [tag for segment in range(1, end.segment + 1) for tag in media(on_disk(tmp_path, "task", segment))]
    assert [tag for tag in found if tag.payload != AUDIO_HEADER.payload] == tags


async def test_time_marks_stand_before_key_frames(pool: SpoolPool, tmp_path: Path) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    for second in range(0, 30, 2):
        writer.append(gop(second * 1000), NOW + second)
    await writer.close()
    tags = on_disk(tmp_path, "task", 1)
    times = [mark.wall - NOW for mark in marks(tags) if mark.reason == "time"]
    assert times == [6, 12, 18, 24]
    assert all(later - earlier <= 2 * TIME_MARK_SECONDS for earlier, later in zip([0.0, *times], times, strict=False))
    for index, tag in enumerate(tags):
        mark = parse_mark(tag)
        if mark and mark.reason == "time":
            assert tags[index + 1] == key_frame(int((mark.wall - NOW) * 1000))
            assert tag.timestamp == tags[index + 1].timestamp


async def test_a_tail_reads_what_was_appended_segment_by_segment(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 3000)
    writer = pool.open("task", "publish-1")
    tail = SpoolTail(tmp_path, "task")
    assert tail.read() == []
    writer.begin(HEADERS, NOW)
    appended: list[Tag] = []
    found: list[tuple[SpoolPosition, Tag]] = []
    for start in range(0, 10_000, 200):
        appended += gop(start)
        writer.append(gop(start), NOW)
        await writer.written()
        found += tail.read()
        assert tail.position == writer.position
        assert tail.lag() == 0
    assert writer.position.segment > 3
    assert [
        tag
        for _, tag in found
        if tag.kind != TAG_SCRIPT and tag.payload not in (VIDEO_HEADER.payload, AUDIO_HEADER.payload)
    ] == appended
    for index in (0, 7, 100, len(found) - 1):
        again = SpoolTail(tmp_path, "task", found[index][0])
        assert again.read() == found[index:]


_write = os.write
_fdatasync = os.fdatasync


class RefusingDisk:
    """Stands in for os.write and os.writev: takes `room` bytes, then refuses."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room
        monkeypatch.setattr(files_module.os, "write", self.write)
        monkeypatch.setattr(files_module.os, "writev", lambda fd, pieces: self.write(fd, b"".join(pieces)))

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = _write(fd, data[: self.room])
        self.room -= taken
        return taken


@pytest.mark.parametrize("room", [0, 5, 13, 14, 200, 300, 500])
async def test_a_refused_write_is_reported_and_leaves_whole_tags(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    RefusingDisk(room, monkeypatch)
    told: list[SpoolError] = []
    writer = pool.open("task", "publish-1", told.append)
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    with pytest.raises(SpoolError, match="No space left on device"):
        await writer.written()
    monkeypatch.undo()
    assert told == [writer.failed]
    writer.append(gop(200), NOW)  # taken by nobody, and nobody is troubled
    writer.begin(HEADERS, NOW)
    assert not writer.congested
    end = await writer.close()
    path = segment_path(tmp_path / "task", 1)
    if end == SpoolPosition(1, 0):
        assert not path.exists()
        return
    tags = torn(tmp_path, "task", 1)
    assert end == SpoolPosition(1, path.stat().st_size)
    assert path.stat().st_size <= room
    assert media(tags) == (HEADERS + gop(0))[: len(media(tags))]
    assert len(told) == 1


async def test_a_refused_write_keeps_tags_that_a_reader_saw(
    pool: SpoolPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    writer.append(gop(0), NOW)
    before = await writer.written()
    more = gop(200)
    RefusingDisk(len(more[0].payload) + TAG_OVERHEAD + 7, monkeypatch)
    writer.append(more, NOW)
    end = await writer.close()
    assert end == SpoolPosition(1, before.offset + len(more[0].payload) + TAG_OVERHEAD)
    assert torn(tmp_path, "task", 1)[-1] == more[0]


async def test_a_fault_of_our_own_ends_one_spool_not_the_thread(
    pool: SpoolPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = pool.open("bad", "publish-1"), pool.open("good", "publish-2")
    monkeypatch.setattr(bad._files, "write", None)
    for writer in (bad, good):
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
    with pytest.raises(SpoolError, match="TypeError"):
        await bad.written()
    await good.written()


async def test_one_failed_spool_leaves_the_others_alone(pool: SpoolPool, tmp_path: Path) -> None:
    bad, good = pool.open("bad", "publish-1"), pool.open("good", "publish-2")
    await bad.written()
    (tmp_path / "bad").rmdir()
    for writer in (bad, good):
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
    with pytest.raises(SpoolError):
        await bad.written()
    await good.written()
    assert good.failed is None
    assert media(on_disk(tmp_path, "good", 1)) == HEADERS + gop(0)


async def test_a_directory_that_cannot_be_made_is_a_failed_spool(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    pool, told = SpoolPool(tmp_path / "file"), list[SpoolError]()
    with pytest.raises(SpoolError, match="Not a directory"):
        await pool.open("task", "publish-1", told.append).written()
    assert len(told) == 1
    await pool.close()
    with pytest.raises(SpoolError, match="not a task id"):
        SpoolPool(tmp_path).open("../task", "publish-1")


class HungFile:
    """Makes every write to spools of one task wait until `let_go` is set."""

    def __init__(self, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._task = task
        self.let_go = threading.Event()
        writev = os.writev

        def stuck(fd: int, pieces: list[bytes]) -> int:
            if Path(os.readlink(f"/proc/self/fd/{fd}")).parent.name == task:
                self.let_go.wait(60)
            return writev(fd, pieces)

        monkeypatch.setattr(files_module.os, "writev", stuck)


async def test_a_file_that_hangs_congests_its_own_stream_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SpoolPool(tmp_path, max_backlog_bytes=8000)
    slow, other = pool.open("slow", "publish-1"), pool.open("other", "publish-2")
    hung = HungFile("slow", monkeypatch)
    for writer in (slow, other):
        writer.begin(HEADERS, NOW)
    slow.append([key_frame(0, 2000)], NOW)
    pool.flush()
    assert slow.congested  # above its share
    slow.append([frame(40, 6000)], NOW)
    pool.flush()
    assert pool.backlog > 8000
    for start in range(0, 2000, 200):  # another thread serves it
        other.append(gop(start), NOW)
        await other.on_disk()
        assert not other.congested
    hung.let_go.set()
    await slow.on_disk()
    assert not slow.congested
    assert pool.backlog == 0
    await pool.close()
    assert media(on_disk(tmp_path, "slow", 1)) == [*HEADERS, key_frame(0, 2000), frame(40, 6000)]


async def test_closing_the_pool_gives_up_on_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CLOSE_SECONDS", 0.5)
    pool = SpoolPool(tmp_path)
    slow, other = pool.open("slow", "publish-1"), pool.open("other", "publish-2")
    hung = HungFile("slow", monkeypatch)
    for writer in (slow, other):
        writer.begin(HEADERS, NOW)
        writer.append(gop(0), NOW)
    await other.on_disk()
    async with asyncio.timeout(30):
        await pool.close()
    assert media(on_disk(tmp_path, "other", 1)) == HEADERS + gop(0)
    hung.let_go.set()
    assert pool.writing.close(30)
    assert pool.syncing.close(30)


async def test_what_waits_for_a_disk_that_hangs_is_bounded_and_shared_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, batch = 80_000, gop(0, size=100)
    pool = SpoolPool(tmp_path, max_backlog_bytes=limit)
    let_go = threading.Event()
    writev = os.writev
    monkeypatch.setattr(files_module.os, "writev", lambda fd, pieces: let_go.wait(60) and writev(fd, pieces))
    writers = [pool.open(f"task-{index}", "publish-1") for index in range(8)]
    for writer in writers:
        writer.begin(HEADERS, NOW)
    largest = 0
    for index in (0, 1, *range(2, 8)):  # as pumps do: who is congested is not read
        while not writers[index].congested:
            before = pool.backlog
            writers[index].append(batch, NOW)
            pool.flush()
            largest = max(largest, pool.backlog - before)
    assert pool.backlog <= limit + 8 * largest
    assert min(writer.backlog for writer in writers) > limit // 2 // 8  # nobody's share was taken by others
    let_go.set()
    await pool.close()
    assert pool.backlog == 0


async def test_closing_the_pool_writes_what_waits_and_it_can_be_used_again(tmp_path: Path) -> None:
    pool = SpoolPool(tmp_path)
    for round in range(2):
        writers = [pool.open(f"task-{round}-{index}", "publish-1") for index in range(5)]
        for writer in writers:
            writer.begin(HEADERS, NOW)
            writer.append(gop(0), NOW)
        await pool.close()
        for index in range(5):
            assert media(on_disk(tmp_path, f"task-{round}-{index}", 1)) == HEADERS + gop(0)
    assert not any(thread.name.startswith("spool-") for thread in threading.enumerate())
