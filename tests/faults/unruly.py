"""A receiver of callbacks that is down, refuses, says nothing, says nonsense, or sends everybody elsewhere."""

import itertools
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.acceptance.receiver import Message, event_of
from tests.ports import free_port

#: What it can do instead of an answer, by name: bytes that go over the wire before the connection is closed.
WORDS: Final = {
    "garbage": b"\x16\x03\x01\x00\xa5 this is not HTTP\r\n\r\n",
    "closed at once": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "status that is none": b"HTTP/1.1 9999 Eh\r\n\r\n",
}
ANSWERS: Final = {"500": 500, "503": 503, "404": 404, "redirect": 307, "permanent redirect": 308}
HANGS: Final = "hangs"
CUT_SUCCESS: Final = "success whose body is cut"


class UnrulyReceiver:
    """Keeps what it was sent, as `acceptance.receiver.Receiver` does, in all attempts.

    `misbehave` names what it does instead of taking a message that it has been sent so many times; None: takes it.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/notify"
        self.messages: list[Message] = []
        self.taken: list[Message] = []  # those of which it said so
        self.strayed: list[str] = []  # paths of requests that followed a redirect
        self.misbehave: Callable[[Message, int], str | None] = lambda _message, _attempt: None
        self._attempts: Counter[str] = Counter()
        self._connections = itertools.count(1)
        self._numbers: dict[Any, int] = {}  # of connections, by their sockets
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._http: ThreadingHTTPServer | None = None

    def up(self) -> "UnrulyReceiver":
        """Listen."""
        receiver = self
        self._over.clear()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def do_GET(self) -> None:
                receiver.strayed.append(self.path)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def process_request(self, request: Any, client_address: Any) -> None:
                receiver._numbers[request] = next(receiver._connections)
                super().process_request(request, client_address)

            def handle_error(self, *_: Any) -> None:
                """Whoever asked may be dead."""

        self._http = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections, and drop those that hang."""
        self._over.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    close = down

    def of(self, stream: str) -> list[Message]:
        """All that was sent about a stream, as it came: in the order of the connections, of which each has a thread."""
        with self._lock:
            messages = [message for message in self.messages if message["stream"] == stream]
        return sorted(messages, key=lambda message: message["_connection"])

    def taken_of(self, stream: str) -> dict[str, str]:
        """The events of a stream that it took, by the id of the message, in the order in which it took them first."""
        with self._lock:
            return {
                message["_headers"]["Livereel-Message-Id"]: event_of(message)
                for message in self.taken
                if message["stream"] == stream
            }

    def _take(self, client: BaseHTTPRequestHandler) -> None:
        raw = client.rfile.read(int(client.headers["Content-Length"]))
        if client.path != "/notify":
            self.strayed.append(client.path)
            return
        message: Message = json.loads(raw)
        message["_headers"], message["_raw"] = dict(client.headers), raw
        message["_connection"] = self._numbers[client.request]
        with self._lock:
            self._attempts[client.headers["Livereel-Message-Id"]] += 1
            attempt = self._attempts[client.headers["Livereel-Message-Id"]]
            self.messages.append(message)
        what = self.misbehave(message, attempt)
        if what is None or what == CUT_SUCCESS:
            with self._lock:
                self.taken.append(message)
        if what is None:
            self._answer(client, 200)
        elif what == CUT_SUCCESS:
            client.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome of")
        elif what == HANGS:
            self._over.wait(60)
        elif what in ANSWERS:
            self._answer(client, ANSWERS[what])
        else:
            client.wfile.write(WORDS[what])
        client.close_connection = True
        client.connection.shutdown(socket.SHUT_WR)

    def _answer(self, client: BaseHTTPRequestHandler, status: int) -> None:
        client.send_response(status)
        if 300 <= status < 400:
            client.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        client.send_header("Content-Length", "2")
        client.end_headers()
        client.wfile.write(b"{}")
