"""Origins of media on the loopback, and a real ingest that spools what is pushed into it."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import imageio_ffmpeg
import pytest
from aiohttp import web

from livereel.ingest.config import IngestConfig
from livereel.pulls.events import FileStarted, Position, PullEventMessage, PullSpec, from_json
from livereel.testing.source import generate_flv
from tests.integration.ingest.support import Recorder, recorder

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
LOOPBACK = ("127.0.0.0/8", "::1/128")
SECONDS = 3.0


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg to its end."""
    subprocess.run([FFMPEG, "-y", "-loglevel", "error", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the same three seconds in many containers, and some files that are different or broken."""
    directory = tmp_path_factory.mktemp("media")
    flv = generate_flv(directory / "a.flv", SECONDS, gop_seconds=1.0)
    for name, more in {
        "a.mp4": [],
        "fast.mp4": ["-movflags", "faststart"],
        "a.ts": [],
        "a.mkv": [],
        "a.m3u8": ["-hls_time", "1", "-hls_list_size", "0"],
    }.items():
        ffmpeg("-i", flv, "-c", "copy", *more, directory / name)
    # The same again and again, for a minute: tests that stop amid a file must not race with its end.
    ffmpeg("-stream_loop", "19", "-i", flv, "-c", "copy", directory / "long.mp4")
    (directory / "master.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\na.m3u8\n")
    generate_flv(directory / "other.flv", 1.5, size=(160, 90), gop_seconds=0.5)
    generate_flv(directory / "hevc.flv", 2.0, video="hevc", gop_seconds=1.0)
    ffmpeg("-i", flv, "-c:v", "copy", "-c:a", "ac3", directory / "ac3.ts")
    ffmpeg("-i", flv, "-vn", "-c:a", "ac3", directory / "nothing.ts")
    generate_flv(directory / "sound.flv", 1.5, video=None)
    (directory / "garbage.mp4").write_bytes(b"\x00garbage" * 1000)
    return directory


class Origin:
    """An HTTP server for `media`, with ranges, and for whatever a test adds."""

    def __init__(self, directory: Path) -> None:
        self.routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.directory = directory
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, request.headers.get("Range")))
        if handler := self.routes.get(request.path):
            return await handler(request)
        path = self.directory / request.path.lstrip("/")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def start(self) -> "Origin":
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@pytest.fixture
async def origin(media: Path) -> AsyncIterator[Origin]:
    made = await Origin(media).start()
    yield made
    await made.stop()


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Recorder]:
    """Our own RTMP server; the spool of a stream bears its name."""
    async with recorder(tmp_path / "spool", IngestConfig()) as made:
        yield made


class Worker:
    """A pull worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[PullEventMessage] = []
        self.changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self.changed:
                self.events.append(from_json(line))
                self.changed.notify_all()

    async def wait_for(self, kind: type[PullEventMessage], timeout: float = 60) -> PullEventMessage:
        """The first event of that kind."""
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))

    async def ending(self, timeout: float = 60) -> PullEventMessage:
        """The last event, once the process is over."""
        async with asyncio.timeout(timeout):
            await self._reading
            assert await self.process.wait() == 0
        return self.events[-1]

    async def stop(self) -> None:
        """End the push, as the supervisor does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(60):
            await self._reading
            await self.process.wait()

    @property
    def files(self) -> list[tuple[str, int]]:
        """Names and loops of the files that were begun."""
        return [(event.url.rpartition("/")[2], event.loops) for event in self.events if isinstance(event, FileStarted)]


Pull = Callable[..., Awaitable[Worker]]


@pytest.fixture
async def pull(ingest: Recorder) -> AsyncIterator[Pull]:
    """Pull URLs into a stream of `ingest`."""
    workers: list[Worker] = []

    async def start(
        *urls: str,
        stream: str = "cam",
        live: bool = False,
        loop_time: int = 1,
        position: Position | None = None,
        allow_private: tuple[str, ...] = LOOPBACK,
        destination: str | None = None,
        trusted: bool = True,
    ) -> Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "livereel.pulls.worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        spec = PullSpec(
            task_id="task",
            live=live,
            urls=urls,
            destination=destination or f"rtmp://127.0.0.1:{ingest.server.port}/live/{stream}",
            tc_url="rtmp://publish.example.com/live",
            trusted=trusted,
            loop_time=loop_time,
            position=position or Position(),
            allow_private=allow_private,
        )
        assert process.stdin is not None
        process.stdin.write(spec.to_json().encode() + b"\n")
        workers.append(Worker(process))
        return workers[-1]

    yield start
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        await worker.process.wait()
