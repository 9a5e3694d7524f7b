"""Reading a spool while it grows."""

from pathlib import Path

import pytest

from livereel.domain.errors import SpoolError
from livereel.domain.media import Tag
from livereel.domain.recordings import SpoolPosition
from livereel.flv.tags import FLV_HEADER, encode_tag
from livereel.spool.format import segment_path, segments
from livereel.spool.tail import SpoolTail
from tests.unit.media import HEADERS, gop

TAGS = [*HEADERS, *gop(0)]


def encode(tags: list[Tag]) -> bytes:
    return FLV_HEADER + b"".join(map(encode_tag, tags))


@pytest.fixture
def task_dir(tmp_path: Path) -> Path:
    path = tmp_path / "task"
    path.mkdir()
    return path


def test_a_torn_tag_is_waited_for(tmp_path: Path, task_dir: Path) -> None:
    tail = SpoolTail(tmp_path, "task")
    data = encode(TAGS)
    found: list[tuple[SpoolPosition, Tag]] = []
    with segment_path(task_dir, 1).open("wb", buffering=0) as file:
        for byte in data:
            file.write(bytes([byte]))
            found += tail.read()
    assert [tag for _, tag in found] == TAGS
    assert found[0][0] == SpoolPosition(1, len(FLV_HEADER))
    assert tail.position == SpoolPosition(1, len(data))


def test_the_next_segment_follows_when_the_first_is_read_to_its_end(tmp_path: Path, task_dir: Path) -> None:
    tail = SpoolTail(tmp_path, "task")
    first, second = encode(TAGS), encode(gop(200))
    segment_path(task_dir, 1).write_bytes(first[:-5])
    assert len(tail.read()) == len(TAGS) - 1
    segment_path(task_dir, 2).write_bytes(b"")
    assert tail.read() == []
    segment_path(task_dir, 2).write_bytes(second)
    assert [tag for _, tag in tail.read()] == gop(200)
    assert tail.position == SpoolPosition(2, len(second))
    tail.close()
    tail.close()
    assert tail.read() == []


def test_reads_are_bounded(tmp_path: Path, task_dir: Path) -> None:
    tags = [tag for start in range(0, 4000, 200) for tag in gop(start, size=1000)]
    segment_path(task_dir, 1).write_bytes(encode(tags))
    tail = SpoolTail(tmp_path, "task")
    found: list[Tag] = []
    lag = tail.lag()
    while some := tail.read(5000):
        assert sum(len(tag.payload) for _, tag in some) <= 8000
        found += [tag for _, tag in some]
        assert tail.lag() < lag
        lag = tail.lag()
    assert found == tags
    assert lag == 0


def test_garbage_is_an_error(tmp_path: Path, task_dir: Path) -> None:
    segment_path(task_dir, 1).write_bytes(encode(TAGS) + b"\xff" * 64)
    tail = SpoolTail(tmp_path, "task")
    assert [tag for _, tag in tail.read()] == TAGS
    with segment_path(task_dir, 1).open("ab") as file:
        file.write(b"more")
    with pytest.raises(SpoolError, match="damaged"):
        tail.read()


def test_segments_are_found_in_order(task_dir: Path) -> None:
    for name in ("000010.flv", "000002.flv", "1000000.flv", "000001.flv.tmp", "x.flv", "000003.mp4"):
        (task_dir / name).touch()
    assert segments(task_dir) == [2, 10, 1000000]
    assert segments(task_dir / "none") == []
