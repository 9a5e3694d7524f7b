"""An HTTP proxy in front of an S3 server that counts requests, and answers or breaks some of them itself."""

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable
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
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
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
        with contextlib.suppress(OSError):
            if wanted is not None:
                client.send_response(wanted)
                client.send_header("Content-Length", "0")
                client.end_headers()
                return
            self._forward(client, port, request, body)

    def _forward(self, client: BaseHTTPRequestHandler, port: int, request: Request, body: bytes) -> None:
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            server.request(client.command, client.path, body, dict(client.headers.items()))
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
