"""The RTMP server: accepts connections, keeps them and stops them in order."""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

from livereel.domain.clock import Clock
from livereel.domain.keys import StreamKey
from livereel.ingest.admission import Admission
from livereel.ingest.config import IngestConfig
from livereel.ingest.connection import Connection
from livereel.ingest.pump import Pump
from livereel.observe import metrics
from livereel.streams.standby import Push

log = structlog.get_logger()

#: Connections that may wait to be accepted: a thousand encoders that come back at once after a restart.
BACKLOG = 1024
#: Accepted before others run.
ACCEPT_BATCH = 32
#: Seconds without accepting when the process is out of file descriptors or memory.
ACCEPT_PAUSE = 1.0

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class IngestServer:
    """Listens for RTMP publishers and feeds the streams that `admission` opens for them.

    `on_slice` is called several times in each pass over the publishing sockets, the place to hand tags on together, and
    `on_pass` at its end.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        admission: Admission,
        clock: Clock,
        config: IngestConfig | None = None,
        on_slice: Callable[[], None] = lambda: None,
        on_pass: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._port = port
        self._admission = admission
        self._config = config or IngestConfig()
        self._clock = clock
        self._on_pass = on_pass
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._publishing: dict[StreamKey, list[Connection]] = {}  # in order of arrival
        self._endings: dict[asyncio.Task[None], StreamKey] = {}
        self._emptied = asyncio.Event()
        self._pump = Pump(
            interval=self._config.sweep_interval,
            slice_seconds=self._config.slice_seconds,
            clock=clock,
            after=on_slice,
            passed=on_pass,
            tick=self._tick,
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listeners[0].getsockname()[1]) if self._listeners else self._port

    async def start(self) -> None:
        """Listen on every address of the host. Raises OSError when that cannot be."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                self._listeners.append(_listen(family, kind, protocol, (address[0], self.port, *address[2:])))
        except OSError:
            self._close_listeners()
            raise
        for listener in self._listeners:
            loop.add_reader(listener, self._accept, listener)
        self._pump.start()
        log.info("rtmp_listening", host=self._host, port=self.port)

    async def stop(self, grace: float = 2.0) -> None:
        """Accept nobody, read what is in the sockets, end every publish, and close.

        Returns when admission has been told of every end. Peers get `grace` seconds to hang up.
        """
        self._close_listeners()
        await self._pump.stop()
        connections = list(self._connections)
        for connection in connections:
            connection.shutdown("the server is stopping")
            await asyncio.sleep(0)
        self._on_pass()
        await asyncio.gather(*(connection.admitted() for connection in connections))
        await self._all_ended()
        if self._connections:
            self._emptied.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._emptied.wait()
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()
        await self._all_ended()

    def drain(self, key: StreamKey) -> None:
        """Read and feed what the publishers of `key` have sent so far: for "from now on" and "until now"."""
        for connection in list(self._publishing.get(key, ())):
            connection.drain()

    async def cut(self, key: StreamKey, reason: str) -> None:
        """End all pushes of `key`, tell their encoders why, and return when admission has been told of every end."""
        # The last to arrive goes first: it must not take over from those before it.
        for connection in reversed(self._publishing.get(key, [])):
            connection.cut(reason)
        endings = [ending for ending, of in self._endings.items() if of == key]
        if endings:
            await asyncio.wait(endings)

    # --- `connection.Hub`

    def publishing(self, connection: Connection) -> None:
        """See `connection.Hub`."""
        if connection.stream is not None:
            self._publishing.setdefault(connection.stream.key, []).append(connection)
            self._pump.add(connection)

    def ready(self, connection: Connection) -> None:
        """See `connection.Hub`."""
        self._pump.hurry(connection)

    def unpublished(self, connection: Connection, stream: Push, reason: str) -> None:
        """See `connection.Hub`."""
        self._pump.remove(connection)
        others = [other for other in self._publishing.pop(stream.key, ()) if other is not connection]
        if others:
            self._publishing[stream.key] = others
        ending = asyncio.get_running_loop().create_task(self._ended(stream, reason))
        self._endings[ending] = stream.key
        ending.add_done_callback(self._endings.pop)

    def closed(self, connection: Connection) -> None:
        """See `connection.Hub`."""
        self._connections.discard(connection)
        metrics.connections.set(len(self._connections))
        if not self._connections:
            self._emptied.set()

    # ---

    async def _ended(self, stream: Push, reason: str) -> None:
        try:
            await self._admission.ended(stream, reason)
        except Exception:
            log.exception("end_of_publish_failed", stream=str(stream.key))

    async def _all_ended(self) -> None:
        while self._endings:
            await asyncio.gather(*self._endings)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for connection in list(self._connections):
            connection.tick(now)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("accept_failed", error=str(error))
                if error.errno in _EXHAUSTED:
                    self._pause(listener)
                return
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        if len(self._connections) >= self._config.max_connections:
            log.warning("connection_refused", reason=f"{len(self._connections)} connections are open already")
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, hub=self, admission=self._admission, config=self._config, clock=self._clock)
        except OSError:  # gone again before we got to it
            sock.close()
            return
        self._connections.add(connection)
        metrics.connections.set(len(self._connections))

    def _pause(self, listener: socket.socket) -> None:
        """The listener would be ready for ever."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(ACCEPT_PAUSE, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _close_listeners(self) -> None:
        loop = asyncio.get_running_loop()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._port = listener.getsockname()[1]
            loop.remove_reader(listener)
            listener.close()


def _listen(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a listener of its own when it is wanted.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
