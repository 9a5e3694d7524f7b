"""What a crash leaves is cut after the last whole tag: tried for every length a file can be cut at."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from livereel.domain.errors import SpoolError
from livereel.domain.media import Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.marks import BEGIN, encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tag
from livereel.spool.format import segment_path
from livereel.spool.recovery import last_written_at, recover, remove, trim
from livereel.spool.tail import SpoolTail
from tests.unit.media import HEADERS, NOW, audio, gop

MARK = encode_mark(NOW, "publish-1", BEGIN)


def put(directory: Path, segment: int, data: bytes) -> Path:
    path = segment_path(directory / "task", segment)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def encode(tags: list[Tag]) -> bytes:
    return FLV_HEADER + b"".join(map(encode_tag, tags))


def test_every_prefix_of_a_segment_is_cut_at_its_last_whole_tag(tmp_path: Path) -> None:
    tags = [MARK, *HEADERS, *gop(0, frames=3)]
    data = encode(tags)
    ends = [len(encode(tags[:count])) for count in range(len(tags) + 1)]
    for size in range(len(data) + 1):
        path = put(tmp_path, 1, data[:size])
        end = recover(tmp_path, "task")
        whole = max((end for end in ends if end <= size), default=0)
        count = ends.index(whole) if whole else 0
        if count <= len(HEADERS) + 1:  # a mark and headers are nothing to make a file of
            assert end is None
        else:
            assert end == SpoolPosition(1, whole)
        if count:
            assert path.read_bytes() == data[:whole]
        else:
            assert not path.exists()
        assert recover(tmp_path, "task") == end
        assert [tag for _, tag in SpoolTail(tmp_path, "task").read()] == tags[:count]


def test_every_prefix_of_a_later_segment_keeps_the_one_before(tmp_path: Path) -> None:
    first, second = encode([MARK, *HEADERS, *gop(0)]), encode([MARK, *HEADERS, *gop(200, frames=2)])
    put(tmp_path, 1, first)
    for size in range(len(second) + 1):
        path = put(tmp_path, 2, second[:size])
        end = recover(tmp_path, "task")
        assert end is not None
        if path.exists():
            assert end == SpoolPosition(2, path.stat().st_size)
        else:
            assert end == SpoolPosition(1, len(first))
            assert size < len(encode([MARK]))


def test_an_earlier_segment_that_lost_its_end_is_cut_too(tmp_path: Path) -> None:
    torn = encode([MARK, *HEADERS, *gop(0)])
    zeros = put(tmp_path, 1, torn[:-30] + bytes(30))
    put(tmp_path, 2, encode([MARK, *HEADERS, *gop(200)]))
    assert recover(tmp_path, "task") == SpoolPosition(2, segment_path(tmp_path / "task", 2).stat().st_size)
    assert zeros.read_bytes() == torn[: len(torn) - len(encode_tag(audio(165)))]
    assert [tag for _, tag in SpoolTail(tmp_path, "task").read()] == [
        *[MARK, *HEADERS, *gop(0)[:-1]],
        *[MARK, *HEADERS, *gop(200)],
    ]


@pytest.mark.parametrize(
    "garbage", [b"\0" * 64, b"\xff" * 64, b"\x09\xff\xff\xff" + bytes(60), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_garbage_after_the_last_tag_goes(tmp_path: Path, garbage: bytes) -> None:
    data = encode([MARK, *HEADERS, *gop(0)])
    put(tmp_path, 1, data + garbage)
    assert recover(tmp_path, "task") == SpoolPosition(1, len(data))


def test_garbage_alone_is_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, 1, b"GET / HTTP/1.1\r\n\r\n" * 4)
    assert recover(tmp_path, "task") is None
    assert not path.exists()
    assert recover(tmp_path, "never") is None


def test_the_time_of_the_last_write_survives_recovery(tmp_path: Path) -> None:
    path = put(tmp_path, 1, encode([MARK, *HEADERS, *gop(0)])[:-3])
    os.utime(path, (NOW, NOW))
    recover(tmp_path, "task")
    assert last_written_at(tmp_path, "task") == NOW
    assert last_written_at(tmp_path, "never") is None


def test_remove(tmp_path: Path) -> None:
    put(tmp_path, 1, b"x")
    remove(tmp_path, "task")
    assert not (tmp_path / "task").exists()
    remove(tmp_path, "task")
    with pytest.raises(SpoolError):
        remove(tmp_path, "..")


WRITE_FOREVER = """
import asyncio, pathlib, sys
from livereel.spool.pool import SpoolPool
from tests.unit.media import HEADERS, NOW, gop

async def main():
    pool = SpoolPool(pathlib.Path(sys.argv[1]))
    writer = pool.open("task", "publish-1")
    writer.begin(HEADERS, NOW)
    start = 0
    while start < 1_000_000:  # some 30 MB, which is one segment
        for _ in range(20):
            writer.append(gop(start, size=1000), NOW)
            start += 200
        print(*await writer.written(), flush=True)
        await asyncio.sleep(0.002)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_reported_written(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    reported = [SpoolPosition(*map(int, line.split())) for line in lines if line.endswith(b"\n")]
    end = recover(tmp_path, "task")
    assert end is not None
    assert end >= max(reported)
    tail = SpoolTail(tmp_path, "task")
    frames: list[Tag] = []
    while tags := tail.read():
        frames += [tag for _, tag in tags]
    assert tail.position == end
    media = frames[1 + len(HEADERS) :]
    expected = [tag for start in range(0, 200 * (len(media) // 10 + 1), 200) for tag in gop(start, size=1000)]
    assert media == expected[: len(media)]


def test_what_stays_is_on_disk_before_anything_is_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for segment in (1, 2, 3, 4):
        put(tmp_path, segment, encode([MARK, *HEADERS, *gop(0)]))
    fdatasync, unlink, steps = os.fdatasync, os.unlink, list[str]()

    def synced(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fdatasync(descriptor)

    def unlinked(path: Path) -> None:
        steps.append(f"-{Path(path).name}")
        unlink(path)

    monkeypatch.setattr(os, "fdatasync", synced)
    monkeypatch.setattr(os, "unlink", unlinked)
    assert trim(tmp_path, "task", 3) == 2
    assert steps == ["000003.flv", "000004.flv", "-000001.flv", "-000002.flv"]
    assert trim(tmp_path, "task", 3) == 0
    assert len(steps) == 4
