"""One life of a pull: every kind of source, copied packet by packet into our own ingest."""

import asyncio
import contextlib
import itertools
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header, is_video_keyframe
from livereel.flv.tags import TagReader
from livereel.pulls.events import Alarm, Failed, FileFinished, Finished, Position, Progress, Started
from livereel.recorder.probe import probe as probe_file
from livereel.testing.source import generate_tags
from tests.integration.ingest.support import Recorder
from tests.ports import free_port, listening

from .conftest import FFMPEG, SECONDS, Origin, Pull, ffmpeg
from .rtsp_server import RtspServer

FRAMES = round(SECONDS * 30)


def frames(tags: list[Tag], kind: int) -> list[Tag]:
    """The media of a track, without headers and end marks (H.264 and AAC: packet type 1)."""
    return [tag for tag in tags if tag.kind == kind and tag.payload[1] == 1]


def headers(tags: list[Tag]) -> set[bytes]:
    return {tag.payload for tag in tags if is_sequence_header(tag.kind, tag.payload)}


def units(tag: Tag) -> bytes:
    """The picture itself: NAL units of slices, whatever stands around them."""
    data, at, found = tag.payload[5:], 0, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        unit = data[at + 4 : at + 4 + size]
        if unit and unit[0] & 0x1F in (1, 5):
            found += unit
        at += 4 + size
    return found


def original(media: Path, name: str = "a.flv") -> list[Tag]:
    return TagReader().feed((media / name).read_bytes())


@pytest.mark.parametrize("name", ["a.flv", "a.mp4", "fast.mp4", "a.ts", "a.mkv", "a.m3u8", "master.m3u8"])
async def test_files(pull: Pull, origin: Origin, ingest: Recorder, media: Path, name: str) -> None:
    began = time.monotonic()
    worker = await pull(origin.url(name))
    assert await worker.ending() == Finished()
    took = time.monotonic() - began
    assert took >= SECONDS - 0.2  # in real time
    await ingest.end_of("cam")
    tags, wanted = ingest.spooled("cam"), original(media)
    pictures = frames(tags, TAG_VIDEO)
    assert [units(tag) for tag in pictures] == [units(tag) for tag in frames(wanted, TAG_VIDEO)]
    assert [is_video_keyframe(tag.payload) for tag in pictures] == [number % 30 == 0 for number in range(FRAMES)]
    sound = [tag.payload for tag in frames(tags, TAG_AUDIO)]
    # The first moment of sound lies before the first key frame.
    whole = [tag.payload for tag in frames(wanted, TAG_AUDIO)]
    assert sound == whole[len(whole) - len(sound) :]
    assert len(whole) - len(sound) <= 3
    times = [tag.timestamp for tag in pictures]
    assert times[0] == 0
    assert all(20 <= after - before <= 46 for before, after in itertools.pairwise(times))
    assert len(headers(tags)) == 2
    assert worker.files == [(name, 0)]
    assert isinstance(worker.events[0], Started)


@pytest.mark.parametrize("names", [("a.mp4", "fast.mp4"), ("a.ts", "master.m3u8")])
async def test_a_loop_has_no_seam(pull: Pull, origin: Origin, ingest: Recorder, names: tuple[str, str]) -> None:
    worker = await pull(*map(origin.url, names), loop_time=2)
    assert await worker.ending() == Finished()
    assert worker.files == [(name, loop) for loop in (0, 1) for name in names]
    assert sum(isinstance(event, FileFinished) for event in worker.events) == 4
    assert len(ingest.targets) == 1
    await ingest.end_of("cam")
    times = [tag.timestamp for tag in frames(ingest.spooled("cam"), TAG_VIDEO)]
    assert len(times) == 4 * FRAMES
    # At a seam the longer of picture and sound decides.
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert (min(steps) > 0, max(steps) <= 100) == (True, True), sorted(set(steps))


async def test_other_codec_parameters_begin_another_push(pull: Pull, origin: Origin, ingest: Recorder) -> None:
    worker = await pull(origin.url("other.flv"), origin.url("hevc.flv"), origin.url("sound.flv"))
    assert await worker.ending() == Finished()
    assert [event for event in worker.events if isinstance(event, Alarm)] == []
    assert len(ingest.targets) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.flv", "a.m3u8"])
async def test_a_start_in_the_middle(pull: Pull, origin: Origin, ingest: Recorder, name: str) -> None:
    """At a key frame near the wanted second; there is one every second."""
    worker = await pull(origin.url("other.flv"), origin.url(name), position=Position(1, 2.0))
    assert await worker.ending() == Finished()
    await ingest.end_of("cam")
    pictures = frames(ingest.spooled("cam"), TAG_VIDEO)
    assert len(pictures) in (FRAMES - 60, FRAMES - 30)
    assert is_video_keyframe(pictures[0].payload)


@pytest.mark.parametrize(("name", "begins_at"), [("fast.mp4", 30), ("a.flv", 60)])
async def test_a_server_without_ranges(
    pull: Pull, origin: Origin, ingest: Recorder, media: Path, name: str, begins_at: int
) -> None:
    """A file with its index in front is skipped to the key frame before, another to the one after."""

    async def whole(_request: web.Request) -> web.Response:
        return web.Response(body=(media / name).read_bytes())

    origin.routes["/plain"] = whole
    worker = await pull(origin.url("plain"), position=Position(0, 1.5))
    assert await worker.ending() == Finished()
    await ingest.end_of("cam")
    assert len(frames(ingest.spooled("cam"), TAG_VIDEO)) == FRAMES - begins_at


async def test_redirects_are_followed(pull: Pull, origin: Origin) -> None:
    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/other.flv")

    async def in_circles(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path)

    origin.routes |= {"/moved": elsewhere, "/circle": in_circles}
    assert await (await pull(origin.url("moved"))).ending() == Finished()
    ending = await (await pull(origin.url("circle"), stream="other")).ending()
    assert isinstance(ending, Failed)
    assert "redirects" in ending.error


async def test_files_that_cannot_be_played_are_left_out(pull: Pull, origin: Origin) -> None:
    names = ["missing.mp4", "garbage.mp4", "other.flv", "nothing.ts"]
    worker = await pull(*map(origin.url, names))
    assert await worker.ending() == Finished()
    assert worker.files == [("other.flv", 0)]
    alarms = [event.error for event in worker.events if isinstance(event, Alarm)]
    assert [name for name, alarm in zip(["missing", "garbage", "nothing"], alarms, strict=True) if name in alarm]
    assert "404" in alarms[0]


async def test_a_track_that_cannot_be_pushed_is_left_out(pull: Pull, origin: Origin, ingest: Recorder) -> None:
    worker = await pull(origin.url("ac3.ts"))
    assert await worker.ending() == Finished()
    assert next(event.error for event in worker.events if isinstance(event, Alarm)).endswith("audio in ac3")
    await ingest.end_of("cam")
    assert {tag.kind for tag in ingest.spooled("cam")} == {TAG_VIDEO}


async def test_nothing_can_be_played(pull: Pull, origin: Origin) -> None:
    ending = await (await pull(origin.url("missing.mp4"), origin.url("garbage.mp4"), loop_time=-1)).ending()
    assert isinstance(ending, Failed)
    assert (ending.fault, ending.fatal) == ("source", False)


@pytest.fixture
async def live_flv(origin: Origin, media: Path) -> AsyncIterator[str]:
    """HTTP-FLV as servers of live streams send it: in real time, without a length."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/x-flv"})
        await response.prepare(request)
        process = await asyncio.create_subprocess_exec(
            *(FFMPEG, "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", media / "a.flv"),
            *("-c", "copy", "-f", "flv", "-flush_packets", "1", "-"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            while data := await process.stdout.read(4096):
                await response.write(data)
        finally:
            await ended(process)
        return response

    origin.routes["/live.flv"] = stream
    yield origin.url("live.flv")


async def long_enough(ingest: Recorder, seconds: float = 2.0) -> None:
    """Wait until so much video of the stream has come."""
    stream = await ingest.live("cam")
    async with asyncio.timeout(60):
        while stream.stats.key_frames < seconds + 1:
            await asyncio.sleep(0.05)


async def until_listening(port: int) -> None:
    async with asyncio.timeout(60):
        while not listening(port):
            await asyncio.sleep(0.05)


async def test_live_http_flv(pull: Pull, live_flv: str, ingest: Recorder) -> None:
    worker = await pull(live_flv, live=True)
    await long_enough(ingest)
    await worker.stop()
    assert isinstance(worker.events[0], Started)
    assert not worker.files
    assert await ingest.end_of("cam") == "FCUnpublish"
    pictures = frames(ingest.spooled("cam"), TAG_VIDEO)
    assert is_video_keyframe(pictures[0].payload)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Kill it, unless it has noticed already that nobody listens any more."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_live_hls(pull: Pull, origin: Origin, ingest: Recorder, media: Path, tmp_path: Path) -> None:
    """A playlist that grows at its end and shrinks at its beginning, and waits for nobody but a slow reader."""
    ffmpeg(
        *("-stream_loop", "9", "-i", media / "a.flv", "-c", "copy"),
        *("-f", "hls", "-hls_time", "1", "-hls_list_size", "0", tmp_path / "whole.m3u8"),
    )
    lines = (tmp_path / "whole.m3u8").read_text().splitlines()
    entries = [f"{info}\n{name}\n" for info, name in itertools.pairwise(lines) if info.startswith("#EXTINF")]
    begun = time.monotonic()

    async def window(_request: web.Request) -> web.Response:
        asked = [path for path, _ in origin.asked if path.endswith(".ts")]
        last = max((int(path.removeprefix("/whole").removesuffix(".ts")) for path in asked), default=-1)
        end = min(3 + int(time.monotonic() - begun), last + 4, len(entries))
        first = max(0, end - 3)
        head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
        return web.Response(text=head + "".join(entries[first:end]), content_type="application/vnd.apple.mpegurl")

    origin.directory = tmp_path
    origin.routes["/live.m3u8"] = window
    worker = await pull(origin.url("live.m3u8"), live=True)
    await long_enough(ingest, 5.0)
    await worker.stop()
    await ingest.end_of("cam")
    times = [tag.timestamp for tag in frames(ingest.spooled("cam"), TAG_VIDEO)]
    assert len(times) > 4 * 30
    assert all(0 <= after - before <= 80 for before, after in itertools.pairwise(times))


async def test_live_rtmp(pull: Pull, ingest: Recorder, media: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(FFMPEG, "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", media / "a.flv"),
        *("-c", "copy", "-f", "flv", "-listen", "1", f"rtmp://127.0.0.1:{port}/live/source"),
        stdin=subprocess.DEVNULL,
    )
    try:
        await until_listening(port)
        worker = await pull(f"rtmp://127.0.0.1:{port}/live/source", live=True)
        await long_enough(ingest)
        await worker.stop()
    finally:
        await ended(process)
    await ingest.end_of("cam")
    assert len(headers(ingest.spooled("cam"))) == 2


async def test_live_rtsp(pull: Pull, ingest: Recorder) -> None:
    tags = generate_tags(2.0, audio=None, gop_seconds=1.0, size=(640, 360))
    server = await RtspServer(tags).start()
    try:
        worker = await pull(server.url, live=True)
        await long_enough(ingest)
        await worker.stop()
    finally:
        await server.stop()
    await ingest.end_of("cam")
    assert server.requests[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    pictures = frames(ingest.spooled("cam"), TAG_VIDEO)
    wanted = [units(tag) for tag in frames(tags, TAG_VIDEO)]
    # From some key frame on the same pictures in the same order.
    start = wanted.index(units(pictures[0]))
    again = (wanted * (len(pictures) // len(wanted) + 2))[start:]
    assert [units(tag) for tag in pictures] == again[: len(pictures)]


async def test_a_live_source_that_ends(pull: Pull, origin: Origin, media: Path) -> None:
    ending = await (await pull(origin.url("other.flv"), live=True)).ending()
    assert ending == Failed("the source ended", "source")


async def test_a_refused_push(pull: Pull, origin: Origin, ingest: Recorder) -> None:
    server = f"rtmp://127.0.0.1:{ingest.server.port}"
    ending = await (await pull(origin.url("a.flv"), destination=f"{server}/forbidden/cam")).ending()
    assert isinstance(ending, Failed)
    assert ending.fault == "destination"
    assert "app forbidden takes no streams" in ending.error


async def test_a_push_that_breaks(pull: Pull, origin: Origin, ingest: Recorder) -> None:
    worker = await pull(origin.url("a.flv"), loop_time=-1)
    await ingest.live("cam")
    await worker.wait_for(Progress)
    await ingest.server.stop(0.0)
    ending = await worker.ending()
    assert isinstance(ending, Failed)
    assert ending.fault == "destination"


async def test_another_server(pull: Pull, origin: Origin, tmp_path: Path) -> None:
    """ffmpeg takes the push and writes it down."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    process = await asyncio.create_subprocess_exec(
        *(FFMPEG, "-loglevel", "error", "-listen", "1", "-i", url, "-c", "copy", tmp_path / "pushed.mkv"),
        stdin=subprocess.DEVNULL,
    )
    await until_listening(port)
    worker = await pull(origin.url("a.mp4"), destination=url, trusted=False)
    assert await worker.ending() == Finished()
    async with asyncio.timeout(60):
        await process.wait()
    facts = probe_file(tmp_path / "pushed.mkv")
    assert facts.video is not None
    assert facts.video.packets >= FRAMES - 1
