"""A real ingest server with real streams; only admission is made simple."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

from livereel.domain.errors import PublishRefused
from livereel.domain.keys import StreamKey
from livereel.domain.media import Tag
from livereel.domain.messages import Publish
from livereel.ingest.config import IngestConfig
from livereel.ingest.listener import IngestServer
from livereel.observe.clock import SystemClock
from livereel.rtmp.url import PublishTarget
from livereel.spool.pool import SpoolPool
from livereel.spool.tail import SpoolTail
from livereel.spool.writer import SpoolWriter
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream
from livereel.testing.rtmp_client import RtmpPublisher


class ShiftableClock(SystemClock):
    """The system clock, moved ahead by `shift` seconds."""

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift

    def monotonic(self) -> float:
        return super().monotonic() + self.shift


class Recorder:
    """Admits everybody to a registry and records every stream into a spool named like it."""

    def __init__(self, directory: Path, config: IngestConfig, **pool: int) -> None:
        self.clock = ShiftableClock()
        self.registry = StreamRegistry()
        self.directory = directory
        self.pool = SpoolPool(directory, **pool)
        self.server = IngestServer(
            host="127.0.0.1",
            port=0,
            admission=self,
            clock=self.clock,
            config=config,
            on_slice=self.pool.slice_over,
            on_pass=self.pool.pass_over,
        )
        self.record = True
        self.admission_delay = 0.0
        self.targets: list[PublishTarget] = []
        self.streams: dict[str, Stream] = {}  # the newest of each name, also when it is over
        self.writers: dict[str, SpoolWriter] = {}
        self.ends: dict[str, str] = {}
        self.failures: list[str] = []
        self.changed = asyncio.Condition()
        self._publishes = 0

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Stream:
        self.targets.append(target)
        await asyncio.sleep(self.admission_delay)
        if target.app == "forbidden":
            raise PublishRefused("app forbidden takes no streams")
        if target.app == "broken":
            raise ZeroDivisionError
        self._publishes += 1
        key = StreamKey.parse("publish.example.com", target.app, target.stream)
        publish = Publish(f"publish-{self._publishes}", client_ip, node_ip, target.query, self.clock.now())
        stream = self.registry.open(key, publish, "project", self.clock.now())
        self.streams[target.stream] = stream
        if self.record:
            self.start(stream)
        async with self.changed:
            self.changed.notify_all()
        return stream

    def start(self, stream: Stream) -> SpoolWriter:
        writer = self.pool.open(stream.key.stream, stream.publish.id, lambda error: self.failures.append(error.detail))
        stream.attach(writer, self.clock.now())
        self.writers[stream.key.stream] = writer
        return writer

    async def ended(self, stream: Stream, reason: str) -> None:
        self.registry.close(stream)
        if writer := self.writers.get(stream.key.stream):
            stream.detach(writer)
            await writer.close()
        async with self.changed:
            self.ends[stream.key.stream] = reason
            self.changed.notify_all()

    async def end_of(self, name: str, timeout: float = 60) -> str:
        async with asyncio.timeout(timeout), self.changed:
            await self.changed.wait_for(lambda: name in self.ends)
        return self.ends[name]

    async def live(self, name: str, timeout: float = 60) -> Stream:
        async with asyncio.timeout(timeout):
            while True:
                for stream in self.registry.live():
                    if stream.key.stream == name:
                        return stream
                await asyncio.sleep(0.01)

    def unread(self) -> int:
        """Bytes that publishers have sent and the server has not read yet."""
        return sum(_asked(connection._sock, termios.FIONREAD) for connection in self.server._connections)

    def spooled(self, name: str) -> list[Tag]:
        """The audio and video tags in the spool."""
        tail = SpoolTail(self.directory, name)
        tags: list[Tag] = []
        while some := tail.read():
            tags += [tag for _, tag in some]
        tail.close()
        return [tag for tag in tags if tag.kind != 18]


@contextlib.asynccontextmanager
async def recorder(directory: Path, config: IngestConfig | None = None, **pool: int) -> AsyncIterator[Recorder]:
    recorder = Recorder(directory, config or IngestConfig(), **pool)
    await recorder.server.start()
    try:
        yield recorder
    finally:
        await recorder.server.stop(0.5)
        await recorder.pool.close()


async def delivered(client: RtmpPublisher) -> None:
    """Wait until the server's kernel has all that was pushed."""
    assert client._writer is not None
    transport = client._writer.transport
    async with asyncio.timeout(60):
        # In this order: what waits in the transport goes to our kernel, and is unacknowledged there (SIOCOUTQ).
        while transport.get_write_buffer_size() or _asked(transport.get_extra_info("socket"), termios.TIOCOUTQ):
            await asyncio.sleep(0.001)


def _asked(sock: socket.socket, request: int) -> int:
    number: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), request, bytes(4)))[0]
    return number
