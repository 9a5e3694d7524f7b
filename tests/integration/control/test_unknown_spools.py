"""Spools of tasks that the catalogue does not know: what a START leaves that was killed before it was answered."""

import os
from pathlib import Path

import pytest

from livereel.control.recovery import UNANSWERED_MAX
from livereel.domain.media import Tag
from livereel.flv.marks import BEGIN, encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tag
from livereel.spool.format import segment_path, task_directory
from tests.integration.control.conftest import Node
from tests.integration.control.test_callbacks import restart
from tests.unit.media import HEADERS, gop

NOW = 1_784_614_528.0


def spool(node: Node, task: str, data: bytes, written_at: float) -> Path:
    directory = task_directory(node.root / "spool", task)
    directory.mkdir(parents=True)
    path = segment_path(directory, 1)
    path.write_bytes(data)
    os.utime(path, (written_at, written_at))
    return directory


@pytest.mark.parametrize(
    ("tags", "seconds", "stays"),
    [
        ([], 0.0, False),
        (HEADERS, 3600.0, False),  # nothing to make a file of
        ([*HEADERS, *gop(0)], UNANSWERED_MAX - 1, False),
        ([*HEADERS, *gop(0)], UNANSWERED_MAX + 1, True),  # it was in a catalogue once
    ],
)
async def test_what_nobody_was_told_of_is_removed(node: Node, tags: list[Tag], seconds: float, stays: bool) -> None:
    mark = encode_mark(NOW, "publish-1", BEGIN)
    data = FLV_HEADER + b"".join(map(encode_tag, [mark, *tags])) if tags else b""
    directory = spool(node, "f" * 32, data, NOW + seconds)
    for _ in range(2):
        await restart(node)
        assert directory.exists() is stays


async def test_media_that_do_not_say_when_they_came_stay(node: Node) -> None:
    directory = spool(node, "f" * 32, FLV_HEADER + b"".join(map(encode_tag, [*HEADERS, *gop(0)])), NOW)
    await restart(node)
    assert directory.exists()
