"""Disks under the spool that are full, broken, slow or gone: one recording ends, with what is on it; nothing else does.

Once for every write of a small scenario, with real spools and injected errors; once on a file system that is really
full; once on a real server, with real encoders.
"""

import errno
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from livereel.domain.errors import SpoolError
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.codecs import is_sequence_header
from livereel.flv.tags import TagReader
from livereel.spool import writer as writer_module
from livereel.spool.format import segment_path, segments
from livereel.spool.pool import SpoolPool
from livereel.spool.recovery import recover, remove
from livereel.spool.tail import SpoolTail
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in
from tests.unit.media import HEADERS, NOW, gop

GROUPS = 6
FRAMES = [tag for index in range(GROUPS) for tag in gop(index * 200, size=100)]


class Refusals:
    """Lets `after` calls through that write to the spool of one task, then refuses; of the first, some bytes go in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, task: str, after: int, number: int, taken: int | None) -> None:
        self.count = itertools.count()
        self._write, self._writev = os.write, os.writev
        self._task, self._after, self._number, self._taken = task, after, number, taken
        monkeypatch.setattr(os, "writev", self.writev)
        monkeypatch.setattr(os, "write", self.write)

    def _ours(self, descriptor: int) -> bool:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name == self._task

    def writev(self, descriptor: int, pieces: list[bytes]) -> int:
        if not self._ours(descriptor):
            return self._writev(descriptor, pieces)
        turn = next(self.count)
        if turn < self._after:
            return self._writev(descriptor, pieces)
        if turn == self._after and self._taken:
            return self._write(descriptor, b"".join(pieces)[: self._taken])
        raise OSError(self._number, os.strerror(self._number))

    def write(self, descriptor: int, data: Any) -> int:
        if self._ours(descriptor):
            raise OSError(self._number, os.strerror(self._number))
        return self._write(descriptor, data)


async def two_spools(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SpoolPosition, list[str], SpoolPosition]:
    """A task that meets what there is to meet and one that does not; (end, failures, end of the other)."""
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 2500)
    pool = SpoolPool(root)
    told: list[SpoolError] = []
    sick, well = pool.open("sick", "publish-1", told.append), pool.open("well", "publish-1")
    for writer in (sick, well):
        writer.begin(HEADERS, NOW)
    for index in range(GROUPS):
        for writer in (sick, well):
            writer.append(gop(index * 200, size=100), NOW + index)
        await well.written()
        pool.flush()
    end = await sick.close()
    other = await well.on_disk()
    await pool.close()
    return end, [error.detail for error in told], other


def tags_of(root: Path, task: str, end: SpoolPosition) -> list[Tag]:
    """All tags of a spool, which must be there to its end."""
    tail, found = SpoolTail(root, task), list[Tag]()
    while tags := tail.read():
        found += [tag for _, tag in tags]
    assert tail.position == end
    tail.close()
    return found


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
async def test_any_write_may_be_refused(tmp_path: Path, number: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        counting = Refusals(patched, "sick", 1000, number, None)
        whole_end, told, _ = await two_spools(tmp_path / "whole", patched)
        writes = next(counting.count)
    assert told == []
    whole = tags_of(tmp_path / "whole", "sick", whole_end)
    chance = random.Random(number)
    for after in range(writes):
        for taken in (0, 1, 13, chance.randrange(20, 1500), 10_000):
            root = tmp_path / f"{after}-{taken}"
            with pytest.MonkeyPatch.context() as patched:
                Refusals(patched, "sick", after, number, taken)
                end, told, other = await two_spools(root, patched)
            if end == whole_end:  # all of the last write was taken
                assert told == []
            else:
                assert len(told) == 1
                assert os.strerror(number) in told[0]
            found = tags_of(root, "sick", end) if end > (1, 0) else []
            assert found == whole[: len(found)]
            for segment in segments(root / "sick"):  # nothing torn is left in the middle or at the end
                data = segment_path(root / "sick", segment).read_bytes()
                reader = TagReader()
                reader.feed(data)
                assert reader.position == len(data)
            assert recover(root, "sick") == (end if any(tag in FRAMES for tag in found) else None)
            assert tags_of(root, "well", other) == whole


@pytest.mark.parametrize("after", range(4))
async def test_what_cannot_be_brought_to_the_disk_is_not_taken_for_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """fsync fails once, and says that all is well from then on: as the kernel does it."""
    fdatasync, turns = os.fdatasync, itertools.count()

    def fails_once(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name == "sick" and next(turns) == after:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", fails_once)
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 2500)
    pool = SpoolPool(tmp_path, fsync_interval=60)
    told: list[SpoolError] = []
    sick, well = pool.open("sick", "publish-1", told.append), pool.open("well", "publish-2")
    for writer in (sick, well):
        writer.begin(HEADERS, NOW)
    synced = SpoolPosition(1, 0)
    for index in range(GROUPS):
        for writer in (sick, well):
            writer.append(gop(index * 200, size=100), NOW + index)
        await well.on_disk()
        try:
            synced = await sick.on_disk()
        except SpoolError as error:
            assert "brought to the disk: [Errno 5]" in error.detail
    assert len(told) == 1
    assert sick.synced == synced
    assert await sick.close() == synced
    assert recover(tmp_path, "sick") == (synced if synced > (1, 0) else None)
    assert sick.first_keyframe_written.is_set() == (synced > (1, 0))
    end = await well.close()
    await pool.close()
    assert recover(tmp_path, "well") == end


class Ward:
    """A server with spools on a sick disk, and an encoder for each of some streams."""

    def __init__(self, directory: Path, told: Receiver, crew: Crew, media: Media) -> None:
        self.instance = Instance(directory, told)
        self._file = directory / "sick.json"
        self.instance.command = (sys.executable, "-m", "tests.faults.sick_disk", self._file, "serve")
        self._crew, self._media = crew, media
        self.encoders: dict[str, Encoder] = {}
        self._troubles: dict[str, Any] = {}

    def record(self, *streams: str) -> None:
        for stream in streams:
            self.instance.template(stream, formats=("FLV",))
            self.encoders[stream] = Encoder(self._crew, self._media, lambda: self.instance.port, stream).start()
        for stream in streams:
            self.instance.start_when_live(stream)

    def task(self, stream: str) -> str:
        return str(self.instance.tasks(stream)[-1]["id"])

    def suffer(self, troubles: dict[str, Any]) -> None:
        """From now on the disk under the newest task of each stream is like that."""
        self._troubles |= {self.task(stream): trouble for stream, trouble in troubles.items()}
        working = self._file.with_suffix(".new")
        working.write_text(json.dumps(self._troubles))
        working.replace(self._file)

    def recorded(self, stream: str) -> list[int]:
        """Numbers of the packets in the one file of the newest task; nothing is missing between them."""
        task = self.instance.wait_for_state(stream, "completed")
        (file,) = self.instance.files(task["id"])
        assert file["state"] == "stored"
        numbers = sorted(numbers_in(self.instance.path(file), self._media))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return numbers

    def spooled(self, stream: str) -> int:
        """Packets in the spool of the newest task."""
        tail, found = SpoolTail(self.instance.data_dir / "spool", self.task(stream)), list[Tag]()
        while tags := tail.read():
            found += [tag for _, tag in tags]
        tail.close()
        media = [tag for tag in found if tag.kind in (TAG_AUDIO, TAG_VIDEO)]
        return sum(not is_sequence_header(tag.kind, tag.payload) for tag in media)

    def grown(self, stream: str) -> int:
        """Bytes in the spool of the newest task."""
        return sum(path.stat().st_size for path in (self.instance.data_dir / "spool" / self.task(stream)).glob("*.flv"))

    def until_grown(self, stream: str, by: int = 5_000) -> None:
        before = self.grown(stream)
        wait_until(lambda: self.grown(stream) > before + by, PATIENCE, f"{stream} to be recorded")


@contextmanager
def ward(directory: Path, told: Receiver, crew: Crew, media: Media) -> Iterator[Ward]:
    found = Ward(directory, told, crew, media)
    try:
        found.instance.set_up()
        yield found
        found.instance.check_logs()
    finally:
        try:
            for encoder in found.encoders.values():
                encoder.leave()
        finally:
            found.instance.clean_up()


def test_a_sick_disk_ends_or_holds_up_its_own_recordings(
    tmp_path: Path, told: Receiver, crew: Crew, numbered: Media
) -> None:
    errors = {"full": "ENOSPC", "broken": "EIO", "quota": "EDQUOT", "lossy": "fsync EIO"}
    reasons = {"full": "No space left", "broken": "Input/output", "quota": "quota", "lossy": "brought to the disk"}
    with ward(tmp_path / "server", told, crew, numbered) as server:
        server.record("fine", "slow", "hung", *errors)
        for stream in server.encoders:
            server.until_grown(stream)
        spooled = {stream: server.spooled(stream) for stream in errors}
        server.suffer(errors | {"slow": 0.2, "hung": "hang"})

        for stream, reason in reasons.items():
            failed = told.wait("RECORD_FAILED", stream)
            assert reason in failed["error_message"]
            told.wait("RECORD_FILE_COMPLETE", stream)
            told.wait("RECORD_OVER", stream)
            # Of what cannot be brought to the disk only that counts which was there when START was answered.
            assert len(server.recorded(stream)) >= (spooled[stream] if stream != "lossy" else 1)
            (task,) = server.instance.tasks(stream)
            assert reason in task["error"]
            assert task["end_reason"] == "spool_failed"
            assert server.encoders[stream].publishing  # ingest stays up
        server.until_grown("fine")  # whatever happens to the others
        server.until_grown("slow")
        server.suffer(dict.fromkeys(errors) | {"hung": None, "slow": None})
        server.until_grown("hung")

        # The disk is well again: the stream that was not recorded can be.
        assert server.instance.control("START", "full").status == 200
        server.until_grown("full")
        for stream in ("slow", "full"):
            had = server.spooled(stream)
            assert server.instance.control("STOP", stream).status == 200
            assert len(server.recorded(stream)) >= had > 0
        for stream, encoder in server.encoders.items():
            assert [push.broken for push in encoder.pushes] == [False], stream

        # An orderly stop while a disk hangs: the others are ended in order, that one is found at the next start.
        server.suffer({"hung": "hang"})
        had = {stream: server.spooled(stream) for stream in ("fine", "hung")}
        server.instance.stop()
        server.suffer({"hung": None})
        server.instance.start()
        for stream, reason in {"fine": "shutdown", "hung": "recovery"}.items():
            assert len(server.recorded(stream)) >= had[stream] > 0
            assert server.instance.tasks(stream)[-1]["end_reason"] == reason


@contextmanager
def small_file_system(directory: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes there, in memory."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)]
    tried = subprocess.run(mount, check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"a real full disk needs the right to mount (CAP_SYS_ADMIN): {tried.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


async def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    with small_file_system(small, 200 * 1024):
        told: list[SpoolError] = []
        cramped, roomy = SpoolPool(small, fsync_interval=0), SpoolPool(large, fsync_interval=0)
        sick, well = cramped.open("task", "publish-1", told.append), roomy.open("task", "publish-1")
        appended: list[Tag] = []
        for writer in (sick, well):
            writer.begin(HEADERS, NOW)
        while not told:
            batch = gop(40 * len(appended), size=700)
            appended += batch
            for writer in (sick, well):
                writer.append(batch, NOW)
            cramped.flush()
            await well.on_disk()
        assert "No space left on device" in told[0].detail
        end = await sick.close()
        assert 100_000 < end.offset <= 200 * 1024
        whole, found = tags_of(large, "task", await well.close()), tags_of(small, "task", end)
        assert found == whole[: len(found)]
        assert recover(small, "task") == end
        # What was made of it is stored: there is room for the next one, once those who sync have let go of it.
        remove(small, "task")
        wait_until(lambda: (room := os.statvfs(small)).f_bfree * room.f_bsize > 100_000, PATIENCE, "room")
        again = cramped.open("again", "publish-2")
        again.begin(HEADERS, NOW)
        again.append(appended[:10], NOW)
        assert await again.on_disk() == again.synced
        await cramped.close()
        await roomy.close()
