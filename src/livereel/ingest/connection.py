"""One RTMP connection: carries bytes between a socket and a `rtmp.session`, and tags to a stream.

    OPENING     handshake and commands; read whenever something arrives
    ADMITTING   `publish` came; nothing is read until admission has answered
    PUBLISHING  read by the pump, in large batches
    LINGERING   our last words are under way; what still arrives is thrown away, until the peer hangs up
    CLOSED

All methods run on the event loop; none blocks.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import structlog

from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError
from livereel.ingest.admission import Admission
from livereel.ingest.config import IngestConfig
from livereel.observe import metrics
from livereel.rtmp.events import Closed, Event, Media, PublishEnded, PublishRequested
from livereel.rtmp.session import Session
from livereel.rtmp.states import State
from livereel.rtmp.url import PublishTarget
from livereel.streams.standby import Push

log = structlog.get_logger()

#: One recv: all that a usual stream sends between two passes, since each piece costs the demuxer a torn message. The
#: buffer is allocated anew for each call, but only the part that is filled touches memory.
READ_BYTES = 256 * 1024
#: The first piece and the smallest: nobody knows yet what the bytes cost, and the dearest take 2 ms for 4 KiB.
READ_BYTES_FIRST, READ_BYTES_MIN = 32 * 1024, 4096
#: One recv before `publish`: what a publisher sends behind it without waiting stays in the kernel until it is admitted.
OPENING_READ_BYTES = 4096
#: Read in one visit at most: about 2 ms of demuxing, so that a sender faster than real time cannot hold the loop.
VISIT_BYTES = 512 * 1024
#: Seconds to deliver our last words and to wait until the peer hangs up. Closing earlier would send RST, which may
#: destroy the reason we gave before the encoder has read it, and one on a busy machine may stand still for seconds.
LINGER_SECONDS = 5.0
#: Bytes that may wait for a peer that does not read.
UNSENT_MAX = 64 * 1024


class Phase(Enum):
    """Where a connection stands."""

    OPENING = auto()
    ADMITTING = auto()
    PUBLISHING = auto()
    LINGERING = auto()
    CLOSED = auto()


class Hub(Protocol):
    """What a connection needs from the server it belongs to."""

    def publishing(self, connection: "Connection") -> None:
        """It has a stream from now on."""
        ...

    def ready(self, connection: "Connection") -> None:
        """Its socket wants to be read before the next pass."""
        ...

    def unpublished(self, connection: "Connection", stream: Push, reason: str) -> None:
        """Its stream has ended; all tags were fed."""
        ...

    def closed(self, connection: "Connection") -> None:
        """It is gone."""
        ...


class Connection:
    """Created for an accepted, non-blocking socket, which it owns from then on."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        hub: Hub,
        admission: Admission,
        config: IngestConfig,
        clock: Clock,
    ) -> None:
        self.phase = Phase.OPENING
        self.stream: Push | None = None
        self._pushed: str | None = None  # the last stream, also when it is over: for the log
        self.client_ip = _ip(sock.getpeername())
        self._node_ip = _ip(sock.getsockname())
        self._sock = sock
        self._fd = sock.fileno()
        self._hub = hub
        self._admission = admission
        self._config = config
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._session = Session(config.timeouts)
        self._read_bytes = READ_BYTES_FIRST
        self._watched = False
        self._held_back = False
        self._unsent = bytearray()
        self._deadline: asyncio.TimerHandle | None = None
        self._admitting: asyncio.Task[None] | None = None
        self._withdrawn = False
        self._watch(self._on_readable)

    def visit(self, limit: int = VISIT_BYTES) -> bool:
        """Read what the publisher has sent, `limit` bytes at most. True if there may be more to read at once."""
        stream = self.stream
        if self.phase is not Phase.PUBLISHING or stream is None:
            return False
        if stream.congested:
            # TCP holds the publisher back; no readiness either, since it would come again and again.
            self._held_back = True
            self._unwatch()
            return False
        self._held_back = False
        more = self._read(limit)
        if self.phase is Phase.PUBLISHING and self._config.low_water:
            if more:
                self._unwatch()
            else:
                self._watch(self._on_low_water)
        return more

    def drain(self) -> None:
        """Read and feed what is in the socket at this moment, congested or not."""
        if self.phase is Phase.PUBLISHING:
            with contextlib.suppress(OSError):
                waiting = struct.unpack("i", fcntl.ioctl(self._sock, termios.FIONREAD, bytes(4)))[0]
                self._guarded(lambda: self._read(waiting, everything=True))

    def tick(self, now: float) -> None:
        """Look at the time (monotonic). A publisher that we hold back ourselves is not idle."""
        if self.phase in (Phase.OPENING, Phase.PUBLISHING) and not self._held_back:
            self._guarded(lambda: self._act(self._session.tick(now)))

    def shutdown(self, reason: str) -> None:
        """The server stops: read what is there, end the publish, tell the peer why and close."""
        self.drain()
        if self.phase not in (Phase.LINGERING, Phase.CLOSED):
            self._guarded(lambda: self._act(self._session.shutdown(reason)))

    def cut(self, reason: str) -> None:
        """Read what is there, end the publish, tell the encoder why and close."""
        self.drain()
        if self.phase is Phase.PUBLISHING:
            self._guarded(lambda: self._act(self._session.cut(reason)))

    def abort(self) -> None:
        """Close at once; the publish ends."""
        if self.phase is not Phase.CLOSED:
            for event in self._session.disconnect("aborted"):
                if isinstance(event, PublishEnded):
                    self._end(event.reason)
            self._close()

    async def admitted(self) -> None:
        """Wait until no admission is under way."""
        if self._admitting is not None:
            await asyncio.wait((self._admitting,))

    def fail(self, error: Exception) -> None:
        """A fault of our own: this connection ends, the others go on."""
        log.error("connection_failed", client_ip=self.client_ip, exc_info=error)
        self.abort()

    # --- reading

    def _on_readable(self) -> None:
        if self.phase is Phase.LINGERING:
            self._discard()
        else:
            self._guarded(lambda: self._read(VISIT_BYTES))

    def _on_low_water(self) -> None:
        # Readiness is level-triggered: off until the pump has been here.
        self._unwatch()
        self._hub.ready(self)

    def _read(self, limit: int, *, everything: bool = False) -> bool:
        phase = self.phase
        begun = self._clock.monotonic()
        while limit > 0:
            size = self._read_bytes if phase is Phase.PUBLISHING else OPENING_READ_BYTES
            try:
                data = self._sock.recv(size)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                self._act(self._session.disconnect(f"the connection broke: {error.strerror or error}"))
                self._close()
                return False
            if not data:
                self._act(self._session.disconnect("the publisher closed the connection"))
                self._close()
                return False
            if phase is Phase.PUBLISHING:
                metrics.ingest_bytes.inc(len(data))
            received = self._clock.monotonic()
            self._act(self._session.receive(data, received))
            limit -= len(data)
            if self.phase is not phase or len(data) < size:
                return False
            now = self._clock.monotonic()
            self._adapt(now - received)
            if now - begun > self._config.read_seconds and not everything:
                return True
        return True

    def _adapt(self, seconds: float) -> None:
        """Choose the size of the next read by how long a full one took."""
        if seconds > self._config.read_seconds:
            self._read_bytes = max(READ_BYTES_MIN, self._read_bytes // 2)
        elif seconds < self._config.read_seconds / 4:
            self._read_bytes = min(READ_BYTES, self._read_bytes * 2)

    def _discard(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()

    # --- what the session says

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Media:
                if self.stream is not None:
                    self.stream.feed(event.tags, self._clock.now(), self._clock.monotonic())
                    metrics.ingest_tags.inc(len(event.tags))
            elif isinstance(event, PublishRequested):
                self._admit(event.target)
            elif isinstance(event, PublishEnded):
                self._end(event.reason)
            elif isinstance(event, Closed):
                self._linger(event.reason)
        if answer := self._session.outgoing():
            self._send(answer)

    def _admit(self, target: PublishTarget) -> None:
        if self._admitting is not None:
            self._linger("a second publish before the first was answered")
            return
        self.phase = Phase.ADMITTING
        self._withdrawn = False
        self._unwatch()
        self._admitting = self._loop.create_task(self._ask(target))

    async def _ask(self, target: PublishTarget) -> None:
        stream: Push | None = None
        reason = ""
        try:
            stream = await self._admission.admit(target, self.client_ip, self._node_ip)
        except LivereelError as refused:
            reason = refused.detail
        except Exception:
            log.exception("admission_failed", client_ip=self.client_ip, app=target.app, stream=target.stream)
            reason = "internal error"
        finally:
            self._admitting = None
        if self._withdrawn or self.phase is not Phase.ADMITTING:
            if stream is not None:
                self._hub.unpublished(self, stream, "the publisher left before it was admitted")
            if self.phase is Phase.ADMITTING:
                self._back_to_commands()
            return
        if stream is None:
            self._session.refuse_publish(reason)
        else:
            self._publish(stream)
        self._guarded(lambda: self._act(self._session.tick(self._clock.monotonic())))

    def _publish(self, stream: Push) -> None:
        self.stream = stream
        self._pushed = str(stream.key)
        self.phase = Phase.PUBLISHING
        self._session.accept_publish()
        # The mark makes the kernel widen the window (net/ipv4/tcp.c, tcp_set_rcvlowat), which it keeps when the mark
        # goes down again. SO_RCVBUF would do that too but turns the kernel's own tuning off.
        self._set_low_water(self._config.window)
        self._set_low_water(self._config.low_water)
        self._hub.publishing(self)
        self._hub.ready(self)

    def _end(self, reason: str) -> None:
        self._withdrawn = True
        stream, self.stream = self.stream, None
        if stream is not None:
            self._hub.unpublished(self, stream, reason)
            if self.phase is Phase.PUBLISHING:
                self._back_to_commands()

    def _back_to_commands(self) -> None:
        self.phase = Phase.OPENING
        self._set_low_water(1)
        self._unwatch()
        self._watch(self._on_readable)

    # --- sending and closing

    def _send(self, data: bytes) -> None:
        if self.phase is Phase.CLOSED:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._flush()
        if len(self._unsent) > UNSENT_MAX:
            self._close_as("the peer does not read")

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # The peer is gone. What it sent before is still to be read, and reading tells of the end.
            self._unsent.clear()
            self._loop.remove_writer(self._fd)
            return
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._fd, self._flush)
            return
        self._loop.remove_writer(self._fd)
        if self.phase is Phase.LINGERING:
            self._finish()

    def _linger(self, reason: str) -> None:
        """The session is over. Deliver what it still has to say, then close."""
        if self.phase in (Phase.LINGERING, Phase.CLOSED):
            return
        if self._session.state is State.ERROR:
            metrics.protocol_errors.inc()
            log.warning("connection_refused", client_ip=self.client_ip, stream=self._pushed, reason=reason)
        else:
            log.debug("connection_over", client_ip=self.client_ip, reason=reason)
        self._end(reason)
        self.phase = Phase.LINGERING
        self._set_low_water(1)
        self._unwatch()
        self._deadline = self._loop.call_later(LINGER_SECONDS, self._close)
        self._unsent += self._session.outgoing()
        if self._unsent:
            self._flush()
        else:
            self._finish()
        self._watch(self._on_readable)

    def _finish(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def _close_as(self, reason: str) -> None:
        self._act(self._session.disconnect(reason))
        self._close()

    def _close(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        self._end("closed")
        self.phase = Phase.CLOSED
        if self._deadline is not None:
            self._deadline.cancel()
        self._unwatch()
        self._loop.remove_writer(self._fd)
        self._sock.close()
        self._hub.closed(self)

    # --- plumbing

    def _watch(self, callback: Callable[[], None]) -> None:
        if not self._watched and self.phase is not Phase.CLOSED:
            self._watched = True
            self._loop.add_reader(self._fd, callback)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._fd)

    def _set_low_water(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(size, 1))

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self.fail(error)


def _ip(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """The address as text; IPv4 in IPv6 (`::ffff:192.0.2.7`) as IPv4."""
    return address[0].removeprefix("::ffff:")
