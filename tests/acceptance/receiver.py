"""A tenant's notification receiver: a plain HTTP server that keeps what it is sent."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = dict[str, Any]


class Receiver:
    """Collects the messages POSTed to `url`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = json.loads(body)
                message["_content_type"] = self.headers["Content-Type"]
                with receiver._arrived:
                    receiver.messages.append(message)
                    receiver._arrived.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """The test's output is no place for an access log."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/notify"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, event: str, stream: str, timeout: float = 10.0) -> Message:
        """The first message about `event` of `stream`."""
        with self._arrived:
            found: Message | None = None

            def arrived() -> bool:
                nonlocal found
                found = next((m for m in self.messages if (m["event"], m["stream"]) == (event, stream)), None)
                return found is not None

            assert self._arrived.wait_for(arrived, timeout), f"no {event} of {stream}; got {self.messages}"
            assert found is not None
            return found

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


def expected_sign(key: str, message: Message) -> str:
    """`auth_sign` of a stream-status notification, as the spec defines it."""
    text = "".join(str(message[name]) for name in ("event", "domain", "app", "stream", "auth_timestamp"))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
