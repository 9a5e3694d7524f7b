"""Keeps picture workers and gives each one picture at a time. Never imports libav.

A worker starts with the first picture that needs it. One that dies, hangs or answers nonsense is killed; the picture it
had fails, and the next one gets a new worker.
"""

import asyncio
import json
import sys
from typing import NamedTuple

import structlog

from livereel.domain.errors import LivereelError
from livereel.observe import children, metrics
from livereel.snapshots.wire import HEAD_MAX_BYTES, JPEG_MAX_BYTES, LENGTH, request
from livereel.streams.pictures import CodedPicture

log = structlog.get_logger()

#: Seconds a picture may take. An 8K key frame takes well under one; a worker's own start about half of one.
PICTURE_TIMEOUT = 15.0
STOP_GRACE = 2.0  # seconds


class PictureFailed(LivereelError):
    """No picture could be made; `detail` says why."""


class Picture(NamedTuple):
    """A JPEG file and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


class PicturePool:
    """At most `workers` processes, each with one picture at a time; further pictures wait."""

    def __init__(self, workers: int, *, timeout: float = PICTURE_TIMEOUT) -> None:
        self._timeout = timeout
        self._places = asyncio.Semaphore(workers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()

    async def make(self, coded: CodedPicture) -> Picture:
        """The JPEG of `coded`. Raises PictureFailed."""
        async with self._places:
            process = self._idle.pop() if self._idle else await self._start()
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await _ask(process, coded)
            except BaseException as error:
                # The pipe may hold half a message, also when it was the caller who gave up.
                await self._end(process)
                if isinstance(error, TimeoutError):
                    raise PictureFailed(f"no picture within {self._timeout:g} s") from None
                if isinstance(error, (OSError, EOFError, ValueError, KeyError)):
                    metrics.worker_restarts.inc()
                    log.warning("picture_worker_died", code=process.returncode)
                    raise PictureFailed(f"the picture worker died (exit code {process.returncode})") from None
                raise
            self._idle.append(process)
        if isinstance(answer, str):
            raise PictureFailed(answer)
        return answer

    def processes(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [process.pid for process in self._all]

    async def stop(self) -> None:
        """End the workers; nobody may be waiting for a picture any more."""
        processes, self._all = self._all, set()
        self._idle.clear()
        await children.dismiss(processes, STOP_GRACE)

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "livereel.snapshots.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise PictureFailed(f"a picture worker cannot be started: {error}") from error
        self._all.add(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        await children.kill(process)


async def _ask(process: asyncio.subprocess.Process, coded: CodedPicture) -> Picture | str:
    """The picture, or why there is none. Raises OSError, EOFError, ValueError or KeyError when the worker is broken."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request(coded))
    await process.stdin.drain()
    [length] = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    if length > HEAD_MAX_BYTES:
        raise ValueError("the head of an answer is too long")
    head = json.loads(await process.stdout.readexactly(length))
    if "error" in head:
        return str(head["error"])
    if not 0 < head["size"] <= JPEG_MAX_BYTES:
        raise ValueError("a picture is too large")
    return Picture(await process.stdout.readexactly(head["size"]), int(head["width"]), int(head["height"]))
