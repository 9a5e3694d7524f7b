"""What is on disk when a worker is killed, and the way from a live stream through a real spool."""

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from livereel.domain.media import TAG_VIDEO
from livereel.recorder import supervisor as supervisor_module
from livereel.recorder.events import FileStarted, PlaylistReady, Progress, TaskFinished
from livereel.recorder.probe import probe
from livereel.spool.pool import SpoolPool
from livereel.testing.media import assert_sound
from livereel.testing.publisher import DemoPublisher
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, FLV, HLS, MP4, TASK, WALL, Spool, finished, frames, is_header, spec
from tests.integration.recorder.test_supervisor import recorder
from tests.ports import free_port, listening


async def until_shown(path: Path, seconds: float) -> None:
    """Wait until a file that grows can be read up to there."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(av.FFmpegError):
                found = probe(path).video
                if found is not None and found.dts and found.dts[-1] > seconds:
                    return
            await asyncio.sleep(0.1)


async def test_files_of_a_killed_worker_can_be_played(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the last seconds of an MP4 (one fragment) is readable without any repair; FLV and HLS too."""
    monkeypatch.setattr(supervisor_module, "RESTART_DELAY_FIRST", 60.0)
    Spool(tmp_path / "spool").publish(source(20))
    async with recorder(tmp_path) as made:
        made.supervisor.record(spec(tmp_path))
        await made.until(lambda event: isinstance(event, PlaylistReady))
        await made.until(lambda event: isinstance(event, Progress) and event.lag_bytes == 0)
        started = {event.format: event for event in made.events if isinstance(event, FileStarted)}
        work = tmp_path / "work" / TASK  # the end of the spool is reached; nothing is closed
        await until_shown(work / started[MP4].job_id / "recording.mp4", 15)
        await until_shown(work / started[FLV].job_id / "recording.flv", 10)
        async with asyncio.timeout(60):
            while (work / started[HLS].job_id / "recording.m3u8").read_text().count("#EXTINF") < 8:  # of 2 s
                await asyncio.sleep(0.1)
        [worker] = made.supervisor.processes()
        await made.kill()
        async with asyncio.timeout(60):
            while worker in made.supervisor.processes():
                await asyncio.sleep(0.02)
        copies = tmp_path / "killed"
        shutil.copytree(tmp_path / "work" / TASK, copies)
    mp4 = probe(copies / started[MP4].job_id / "recording.mp4")
    assert mp4.video is not None and mp4.audio is not None
    assert mp4.video.dts[-1] > 15 and mp4.video.keys[0] == 0
    flv = probe(copies / started[FLV].job_id / "recording.flv")
    assert flv.video is not None and flv.video.dts[-1] > 10
    playlist = copies / started[HLS].job_id / "recording.m3u8"
    playlist.write_text(playlist.read_text() + "#EXT-X-ENDLIST\n")  # else a player waits for more
    hls = assert_sound(playlist)
    assert hls.video is not None and hls.video.dts[-1] > 15


async def test_records_from_a_spool_being_written(tmp_path: Path, source: Source) -> None:
    tags = source(8)
    headers = [tag for tag in tags if is_header(tag)]
    media = [tag for tag in tags if not is_header(tag)]
    first = next(number for number, tag in enumerate(media) if tag.kind == TAG_VIDEO)
    media = media[first:]
    pool = SpoolPool(tmp_path / "spool")
    async with recorder(tmp_path) as made:
        writer = pool.open(TASK, "publish-1")
        made.supervisor.record(spec(tmp_path))
        writer.begin([tag._replace(timestamp=media[0].timestamp) for tag in headers], WALL)
        for at in range(0, len(media), 40):
            writer.append(media[at : at + 40], WALL + media[at].timestamp / 1000)
            pool.flush()
            await asyncio.sleep(0.05)
        made.supervisor.finish(TASK, await writer.close())
        assert isinstance(await made.task_over(), TaskFinished)
    await pool.close()
    for record_format in ALL:
        [file] = finished(made.events, record_format)
        assert_sound(file.path, video_frames=len(frames(media, TAG_VIDEO)))
        assert file.started_at == pytest.approx(WALL, abs=0.1)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str], threading.Thread]]:
    """An RTMP server that takes one push; gives its URL, the kinds of packets that arrive, and what ends with it."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/cam01"
    seen: list[str] = []

    def listen() -> None:
        try:
            with av.open(url, options={"listen": "1"}) as container:
                seen.extend(packet.stream.type for packet in container.demux())
        except av.FFmpegError:
            pass  # how a listener of libav ends

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield url, seen, thread
    thread.join(60)


async def test_demo_publisher_pushes_until_it_is_stopped(
    listener: tuple[str, list[str], threading.Thread],
) -> None:
    url, seen, listening_on = listener
    began = time.monotonic()
    publisher = DemoPublisher(url).start()
    assert await asyncio.to_thread(publisher.wait_connected)
    async with asyncio.timeout(60):
        while publisher.sent_seconds < 3:
            await asyncio.sleep(0.05)
    assert publisher.running and publisher.error is None
    assert publisher.sent_seconds <= time.monotonic() - began + 0.1  # in real time
    await asyncio.to_thread(publisher.stop)
    assert not publisher.running and publisher.error is None
    await asyncio.to_thread(listening_on.join, 60)  # it takes what is on its way still
    assert seen.count("video") > 40 and seen.count("audio") > 60


async def test_demo_publisher_says_why_it_could_not_push() -> None:
    port = free_port()
    publisher = DemoPublisher(f"rtmp://127.0.0.1:{port}/live/cam01").start()
    assert not await asyncio.to_thread(publisher.wait_connected)
    publisher.stop()
    assert publisher.error
