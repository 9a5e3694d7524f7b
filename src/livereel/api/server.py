"""uvicorn inside our event loop: it shares the loop with ingest and leaves signals to the composition root."""

import asyncio
import contextlib
import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from livereel.api.request_id import RequestId

log = structlog.get_logger()

KEEP_ALIVE = 75  # seconds an idle connection stays open; longer than the 60 s that proxies keep theirs
STOP_GRACE = 10  # seconds for requests under way when the server stops
# Above the API's own limit of 128 KB for headers, so that the API and not the parser refuses what is too large.
_PARSER_LIMIT = 192 * 1024
REQUEST_TIMEOUT = 30.0  # seconds; see settings.ApiSettings.request_timeout
# Bytes parsed before others may run: in the worst case a few ms. What comes in small chunks costs the most.
_PIECE = 4096
_USEFUL = 4  # of so many bytes of a chunked body one at least must be no overhead; chunks of 8 bytes are enough for it
CONNECTIONS_MAX = 500  # see settings.ApiSettings.max_connections
_ASKING = (h11.IDLE, h11.SEND_BODY)  # states of a peer whose request has not come in whole
_BACKLOG = 1024  # connections the kernel may hold while the loop is busy


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the composition root's."""
        yield


class ApiServer:
    """Serves an ASGI application on one address. `port` is the real one once started, also if 0 was asked for.

    A `listener` is a socket that `bind` made for the address: for those who must know the port before the start.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        hostname: str = "livereel",
        listener: socket.socket | None = None,
        tls_certificate: Path | None = None,
        tls_key: Path | None = None,
        max_connections: int = CONNECTIONS_MAX,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self._app = app
        self._limits = max_connections, request_timeout
        self._host = host
        self.port = port
        self._hostname = hostname
        self._listener = listener
        self._tls = (tls_certificate, tls_key)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises OSError if the address cannot be had, ssl.SSLError or OSError for bad TLS files."""
        certificate, key = self._tls
        config = uvicorn.Config(
            self._app,
            http=_protocol(self._hostname, *self._limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_GRACE,
            h11_max_incomplete_event_size=_PARSER_LIMIT,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        config.load()
        listener = self._listener or bind(self._host, self.port)
        try:
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        self.port = int(listener.getsockname()[1])
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="api-server")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the API server ended while it started")
            await asyncio.sleep(0.01)
        log.info("api_listening", host=self._host, port=self.port, tls=certificate is not None)

    async def stop(self) -> None:
        """Take no more requests, let those under way finish (10 s at most), close."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._server = self._task = None
        log.info("api_stopped")


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds the address and does not listen yet. Raises OSError if the address cannot be had."""
    infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _protocol(hostname: str, max_connections: int, request_timeout: float) -> type[H11Protocol]:
    class Protocol(H11Protocol):
        """Closes connections that are too many or too slow with a request.

        Answers what is not HTTP in the gateway's form, with a request id like every other reply.
        """

        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                log.warning("api_connection_refused", reason=f"{max_connections} connections are open already")
                transport.abort()
            else:
                self._expect_request()

        def data_received(self, data: bytes) -> None:
            if self._due is None:
                self._expect_request()
            for start in range(0, len(data), _PIECE):
                self._parse(data[start : start + _PIECE])
                if self.transport.is_closing():
                    return
            if self.conn.their_state not in _ASKING or (self.cycle is not None and self._is_between_requests()):
                self._expect_nothing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._expect_nothing()
            super().connection_lost(exc)

        def _parse(self, piece: bytes) -> None:
            in_body = self.conn.their_state is h11.SEND_BODY
            before = len(self.cycle.body) if in_body else 0
            super().data_received(piece)
            whole_piece_of_body = in_body and len(piece) == _PIECE and self.conn.their_state is h11.SEND_BODY
            if whole_piece_of_body and (len(self.cycle.body) - before) * _USEFUL < _PIECE:
                self.send_400_response("The chunks of the body are too small.")

        def _is_between_requests(self) -> bool:
            return self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]

        def _expect_request(self) -> None:
            self._due = self.loop.call_later(request_timeout, self._give_up)

        def _expect_nothing(self) -> None:
            if self._due is not None:
                self._due.cancel()
                self._due = None

        def _give_up(self) -> None:
            log.info("api_request_too_slow", client=self.client and self.client[0], seconds=request_timeout)
            self.transport.abort()

        def send_400_response(self, msg: str) -> None:
            identity = RequestId(uuid.uuid4(), int(time.time()), hostname)
            body = json.dumps({"error_msg": msg, "error_code": "APIGW.0201", "request_id": identity.uuid.hex}).encode()
            head = (
                "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"X-request-id: {identity}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return Protocol
