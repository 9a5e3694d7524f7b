"""Encoders that send numbered media in real time, come back when their connection breaks, and know what they sent."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from livereel.testing.rtmp_client import PublishFailed, RtmpPublisher
from tests.acceptance.api import DOMAIN
from tests.faults.numbered import Media

#: Seconds between attempts of an encoder that wants to be back.
RETRY = 0.1
#: Seconds a server may take to close after a polite end, which it does when it has written down that the push is over.
END_TIMEOUT = 60.0
_REFUSED = (OSError, PublishFailed, TimeoutError, asyncio.IncompleteReadError)


@dataclass
class Push:
    """One connection: packets `first` to `first + len(sent_at) - 1`, and when each was in the kernel's hands.

    Times are those of `time.monotonic`. `ended_at` is when the encoder let go or saw that the server had.
    """

    first: int
    began_at: float
    sent_at: list[float] = field(default_factory=list)
    ended_at: float | None = None
    broken: bool = False
    #: The connection, and how many bytes had been written into it behind each packet.
    connection: socket.socket | None = None
    written: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The number behind the last packet sent."""
        return self.first + len(self.sent_at)

    @property
    def arrived(self) -> int:
        """The number behind the last packet that is with the kernel of the other side, at the least."""
        count = len(self.written)
        if not count or self.connection is None:
            return self.first
        return self.first + bisect_right(self.written, self.written[count - 1] - unacknowledged(self.connection))


def unacknowledged(connection: socket.socket) -> int:
    """Bytes written into a connection that wait in our kernel or have not been confirmed by the other; 0 if closed."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):
        return 0


class Crew:
    """The thread in which encoders live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="encoders", daemon=True)
        #: (monotonic time, seconds) by which a short sleep came back late: how long processes wait for their turn here.
        self._late: deque[tuple[float, float]] = deque(maxlen=10_000)
        self._thread.start()
        self._meter = self.submit(self._measure())

    def lag(self, since: float) -> float:
        """The longest that something waited for its turn since then, seconds."""
        return max((late for at, late in list(self._late) if at >= since), default=0.0)

    async def _measure(self) -> None:
        while True:
            due = time.monotonic() + RETRY
            await asyncio.sleep(RETRY)
            self._late.append((due, time.monotonic() - due))

    def submit(self, job: Coroutine[Any, Any, Any]) -> Any:
        """Have `job` run; a concurrent.futures.Future."""
        return asyncio.run_coroutine_threadsafe(job, self._loop)

    def close(self) -> None:
        """End the thread; whoever runs still is dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(END_TIMEOUT)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, *_REFUSED):
                self._loop.run_until_complete(task)
        self._loop.close()


class Encoder:
    """Sends `media` from packet `first` on at `speed` times real time; each push goes on behind the one before."""

    def __init__(
        self, crew: Crew, media: Media, port: Callable[[], int], stream: str, *, first: int = 0, speed: float = 1.0
    ) -> None:
        self._crew = crew
        self._media = media
        self._port = port
        self.stream = stream
        self._next = first
        self._speed = speed
        self._job: Any = None
        self._leaving = asyncio.Event()
        self._holding = False
        #: True once nothing more comes after `hold`.
        self.held = False
        #: The packet from which on it sends nothing for now, but keeps its connection. At the latest the media ends.
        self.pauses_at = len(media.packets)
        #: All pushes so far.
        self.pushes: list[Push] = []
        #: When it may come back after its connection broke (monotonic time); None: it stays away.
        self.back_at: float | None = None

    def start(self) -> "Encoder":
        """Begin to push, or to try to."""
        self._leaving = asyncio.Event()
        self._job = self._crew.submit(self._run())
        return self

    def leave(self) -> None:
        """End the push as encoders do, or give up trying; returns when that is done."""
        self._crew.submit(self._leave()).result(2 * END_TIMEOUT)
        self._job.result(2 * END_TIMEOUT)

    def hold(self) -> None:
        """Send nothing more for now, and keep the connection."""
        self._holding = True

    @property
    def publishing(self) -> bool:
        """Whether a push is under way, as far as the encoder knows."""
        return bool(self.pushes) and self.pushes[-1].ended_at is None

    @property
    def sent(self) -> int:
        """The number behind the last packet sent."""
        return self.pushes[-1].end if self.pushes else self._next

    def settle(self) -> int:
        """Wait until all that has been sent is with the server's kernel; the number behind the last packet of it."""
        until, deadline = self.sent, time.monotonic() + END_TIMEOUT
        while self.publishing and self.pushes[-1].arrived < until:
            assert time.monotonic() < deadline, f"{self.stream}: the server reads nothing"
            time.sleep(0.01)
        return until

    async def _leave(self) -> None:
        self._leaving.set()

    async def _run(self) -> None:
        while not self._leaving.is_set():
            if self.pushes and (self.back_at is None or time.monotonic() < self.back_at):
                await asyncio.sleep(RETRY / 2)
                continue
            try:
                first = self._media.key_from(self._next)
            except StopIteration:  # there is nothing more to push
                await asyncio.sleep(RETRY)
                continue
            publisher = RtmpPublisher("127.0.0.1", self._port(), "live", f"{self.stream}?vhost={DOMAIN}")
            try:
                await publisher.start()
            except _REFUSED:
                await asyncio.sleep(RETRY)
                continue
            push = Push(first, time.monotonic())
            self.pushes.append(push)
            try:
                await self._push(publisher, push)
                await asyncio.wait_for(publisher.stop(), END_TIMEOUT)
            except _REFUSED:
                push.broken = True
            finally:
                push.ended_at = time.monotonic()
                self._next = push.end
                publisher.abort()

    async def _push(self, publisher: RtmpPublisher, push: Push) -> None:
        assert publisher._writer is not None
        # Nothing waits in this process: what has been written is with the kernel.
        publisher._writer.transport.set_write_buffer_limits(0)
        packets, number = self._media.packets, push.first
        zero = packets[number].tag.timestamp
        push.connection = publisher._writer.get_extra_info("socket")
        await publisher.push(self._media.headers, speed=0)
        while not self._leaving.is_set():
            if self._holding or number >= self.pauses_at:
                self.held = self._holding
                await asyncio.sleep(RETRY / 2)
                continue
            due = time.monotonic() - push.began_at
            until = number
            while until < self.pauses_at and packets[until].tag.timestamp - zero <= due * 1000 * self._speed:
                until += 1
            if until > number:
                tags = [tag._replace(timestamp=tag.timestamp - zero) for tag, _ in packets[number:until]]
                pieces = [publisher.bytes.media([tag]) for tag in tags]
                publisher._writer.write(b"".join(pieces))
                await publisher._writer.drain()
                before = push.written[-1] if push.written else 0
                push.written += [before + end for end in accumulate(map(len, pieces))]
                push.sent_at += [time.monotonic()] * (until - number)
                number = until
            await asyncio.sleep(0.02)
