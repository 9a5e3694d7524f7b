"""An HTTP proxy in front of an S3 server that counts requests, and answers or breaks some of them itself."""

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    method: str
    key: str
    query: dict[str, str]
    size: int

    @property
    def part(self) -> int | None:
        """The number of the part that it brings."""
        return int(self.query["partNumber"]) if self.method == "PUT" and "partNumber" in self.query else None


class Gateway:
    """Forwards to `port`. `on_request` gives a status to answer with, RESET, or None to forward."""

    RESET = -1

    def __init__(self, port: int) -> None:
        self.requests: list[Request] = []  # that the server answered with success
        self.on_request: Callable[[Request], int | None] = lambda _request: None
        self._under_way = 0
        self._settled = threading.Condition()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with gateway._counted():
                    gateway._handle(self, port)

            def log_message(self, *_arguments: object) -> None:
                pass

        for method in ("PUT", "POST", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.do_GET)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settle(self) -> None:
        """Wait until nothing is under way: whoever sent it may be dead, and the server goes on."""
        with self._settled:
            assert self._settled.wait_for(lambda: self._under_way == 0, 60)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._settled:
            self._under_way += 1
        try:
            yield
        finally:
            with self._settled:
                self._under_way -= 1
                self._settled.notify_all()

    def parts(self) -> list[int]:
        """Numbers of the parts that arrived, in their order."""
        return [request.part for request in list(self.requests) if request.part is not None]

    def _handle(self, client: BaseHTTPRequestHandler, port: int) -> None:
        url = urlsplit(client.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        size = int(client.headers.get("Content-Length") or 0)
        request = Request(client.command, url.path.lstrip("/"), query, size)
        wanted = self.on_request(request)
        client.close_connection = True
        if wanted == self.RESET:
            client.rfile.read(size // 2)
            # Linger of 0: the connection is reset instead of closed.
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.connection.close()
            return
        body = client.rfile.read(size)
        if len(body) < size:  # whoever sent it died
            return
        with contextlib.suppress(OSError):
            status, said = (wanted, b"") if wanted is not None else self._refusal(client)
            if status:
                client.send_response(status)
                client.send_header("Content-Length", str(len(said)))
                client.end_headers()
                if client.command != "HEAD":
                    client.wfile.write(said)
                return
            self._forward(client, port, request, body)

    def _refusal(self, _client: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        """Status and body for a request that is not forwarded; 0 if it is."""
        return 0, b""

    def _headers(self, client: BaseHTTPRequestHandler) -> dict[str, str]:
        """What is forwarded besides the body."""
        return dict(client.headers.items())

    def _forward(self, client: BaseHTTPRequestHandler, port: int, request: Request, body: bytes) -> None:
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            server.request(client.command, client.path, body, self._headers(client))
            answer = server.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            client.connection.shutdown(socket.SHUT_RDWR)
            return
        finally:
            server.close()
        if answer.status < 300:
            self.requests.append(request)
        client.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                client.send_header(name, value)
        client.send_header("Content-Length", answer.headers.get("Content-Length", str(len(data))))
        client.send_header("Connection", "close")
        client.end_headers()
        client.wfile.write(data)
