"""Picture workers with real media, real garbage and real kills."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest

from livereel.domain.media import TAG_VIDEO, VideoCodec
from livereel.flv.codecs import parse_video
from livereel.snapshots import pool as pool_module
from livereel.snapshots.pool import Picture, PictureFailed, PicturePool
from livereel.streams.pictures import CodedPicture, PictureTap
from livereel.testing.source import generate_tags

LONG = 120.0  # seconds for a picture, where its time is not what a test is about


def coded(codec: str, after: int = 0, size: tuple[int, int] = (320, 180), seconds: float = 1.2) -> CodedPicture:
    """A picture of the generated test picture."""
    found: list[CodedPicture | None] = []
    tap = PictureTap(after, found.append)
    tap.begin([], 0.0)
    tap.append(generate_tags(seconds, video=codec, audio=None, size=size), 0.0)
    assert found[0] is not None
    return found[0]


def shown(picture: Picture, path: Path) -> av.VideoFrame:
    """The picture as another decoder sees it."""
    path.write_bytes(picture.jpeg)
    with av.open(str(path), format="jpeg_pipe") as container:
        return next(container.decode(video=0))


@pytest.fixture
async def pool() -> AsyncIterator[PicturePool]:
    made = PicturePool(1, timeout=LONG)
    yield made
    await made.stop()
    assert not made.processes()


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
async def test_every_codec(pool: PicturePool, codec: str, tmp_path: Path) -> None:
    picture = await pool.make(coded(codec))
    assert (picture.width, picture.height) == (320, 180)
    frame = shown(picture, tmp_path / "picture.jpg")
    assert (frame.width, frame.height) == (320, 180)
    luma = bytes(frame.reformat(format="gray").planes[0])
    assert max(luma) - min(luma) > 150  # the test picture has black and white


async def test_a_frame_after_the_key_frame(pool: PicturePool) -> None:
    first, later = await pool.make(coded("h264")), await pool.make(coded("h264", 20))
    assert len(coded("h264", 20).frames) == 21
    assert first.jpeg != later.jpeg


async def test_hevc_as_chinese_encoders_send_it(pool: PicturePool) -> None:
    """Codec id 12 in the old header, which libav's own FLV reader does not know."""
    tags = [tag for tag in generate_tags(1.0, video="hevc", audio=None) if tag.kind == TAG_VIDEO]
    legacy = []
    for tag in tags[:4]:
        found = parse_video(tag.payload)
        if found.is_command:
            continue
        head = b"\x1c\x00\0\0\0" if found.is_sequence_header else b"\x1c\x01\0\0\0"
        legacy.append(tag._replace(payload=head + tag.payload[found.data_offset :]))
    pictures: list[CodedPicture | None] = []
    tap = PictureTap(0, pictures.append)
    tap.append(legacy, 0.0)
    assert pictures[0] is not None
    assert (await pool.make(pictures[0])).width == 320


@pytest.mark.parametrize(
    "picture",
    [
        CodedPicture(VideoCodec.H264, b"", [b"\0\0\0\x05hello"]),
        CodedPicture(VideoCodec.H264, b"\x01garbage", [b"\xff" * 5000]),
        CodedPicture(VideoCodec.H265, b"", [bytes(5000)]),
        CodedPicture(VideoCodec.AV1, b"\x81\0\0\0", [b"\x12\0" * 100]),
        CodedPicture(VideoCodec.OTHER, b"", [b"x"]),
        CodedPicture(VideoCodec.H264, b"", []),
    ],
)
async def test_garbage_costs_only_itself(pool: PicturePool, picture: CodedPicture) -> None:
    good = coded("h264")
    await pool.make(good)
    [worker] = pool.processes()
    with pytest.raises(PictureFailed):
        await pool.make(picture)
    assert (await pool.make(good)).width == 320
    assert pool.processes() == [worker]


async def test_a_picture_that_is_too_large(pool: PicturePool) -> None:
    large = coded("h264", size=(8256, 4400), seconds=0.03)
    with pytest.raises(PictureFailed):
        await pool.make(large)


async def test_a_killed_worker_is_replaced(pool: PicturePool) -> None:
    picture = coded("h264")
    await pool.make(picture)
    [worker] = pool.processes()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(PictureFailed, match="died"):
        await pool.make(picture)
    assert (await pool.make(picture)).height == 180
    assert worker not in pool.processes()


async def test_a_worker_that_hangs_is_replaced(pool: PicturePool) -> None:
    picture = coded("h264")
    await pool.make(picture)
    [worker] = pool.processes()
    os.kill(worker, signal.SIGSTOP)
    pool._timeout = 0.5
    with pytest.raises(PictureFailed, match=r"within 0\.5 s"):
        await pool.make(picture)
    pool._timeout = LONG
    assert (await pool.make(picture)).height == 180


async def test_who_gives_up_leaves_no_half_answer(pool: PicturePool) -> None:
    picture = coded("h264")
    await pool.make(picture)
    under_way = asyncio.create_task(pool.make(picture))
    await asyncio.sleep(0)
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert await pool.make(picture) == await pool.make(picture)


async def test_who_gives_up_amid_a_large_picture_gets_another_worker(
    pool: PicturePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of the answer has come than asyncio takes in while nobody reads, so the worker still writes."""
    ask = pool_module._ask

    async def give_up(process: asyncio.subprocess.Process, picture: CodedPicture) -> Picture | str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pool_module.request(picture))
        await process.stdout.readexactly(1)
        while not process.stdout._paused:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        raise TimeoutError

    monkeypatch.setattr(pool_module, "_ask", give_up)
    with pytest.raises(PictureFailed, match="no picture within"):
        await pool.make(coded("h264", size=(3840, 2160), seconds=0.03))
    assert not pool.processes()
    monkeypatch.setattr(pool_module, "_ask", ask)
    assert (await pool.make(coded("h264"))).height == 180


async def test_no_more_workers_than_allowed() -> None:
    pool = PicturePool(2, timeout=LONG)
    try:
        picture = coded("h264")
        made = await asyncio.gather(*(pool.make(picture) for _ in range(8)))
        assert len({len(one.jpeg) for one in made}) == 1
        assert 1 <= len(pool.processes()) <= 2
    finally:
        await pool.stop()


async def test_an_interpreter_that_cannot_be_started(pool: PicturePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module.sys, "executable", "/nonexistent/python")
    with pytest.raises(PictureFailed, match="cannot be started"):
        await pool.make(coded("h264"))
    assert sys.executable == "/nonexistent/python"
