"""A tenant's receiver of notifications and callbacks: a plain HTTP server that keeps what it is sent."""

import hashlib
import hmac
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = dict[str, Any]


class Receiver:
    """Collects the messages POSTed to `url`."""

    def __init__(self) -> None:
        self.path = f"/notify/{uuid.uuid4().hex}"
        self.messages: list[Message] = []
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != receiver.path:  # for an earlier receiver, whose port this one has got
                    self.send_error(404)
                    return
                message = json.loads(body)
                message["_content_type"] = self.headers["Content-Type"]
                message["_headers"], message["_raw"] = dict(self.headers), body
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
        self.url = f"http://127.0.0.1:{self._http.server_port}{self.path}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, event: str, stream: str, timeout: float = 120.0) -> Message:
        """The first message about `event` of `stream`."""
        with self._arrived:
            found: Message | None = None

            def arrived() -> bool:
                nonlocal found
                found = next((m for m in self.messages if (event_of(m), m["stream"]) == (event, stream)), None)
                return found is not None

            assert self._arrived.wait_for(arrived, timeout), f"no {event} of {stream}; got {self.messages}"
            assert found is not None
            return found

    def of(self, stream: str) -> list[Message]:
        """All messages about a stream, as they came."""
        with self._arrived:
            return [message for message in self.messages if message["stream"] == stream]

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(30)


def event_of(message: Message) -> str:
    """The event of a notification or a recording callback."""
    return str(message.get("event") or message["event_type"])


def expected_sign(key: str, message: Message) -> str:
    """`auth_sign` of a stream-status notification, as the spec defines it."""
    text = "".join(str(message[name]) for name in ("event", "domain", "app", "stream", "auth_timestamp"))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def expected_callback_sign(key: str, message: Message) -> str:
    """`auth_sign` (HMACSHA256) of a recording callback, as the spec defines it."""
    members = ("auth_timestamp", "event_type", "publish_domain", "app", "stream", "download_url", "play_url")
    text = "".join(str(message.get(name, "")) for name in members)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def expected_body_sign(key: str, message: Message) -> str:
    """The header that covers the whole body, for notifications and callbacks."""
    headers = message["_headers"]
    covered = f"{headers['Livereel-Timestamp']}.{headers['Livereel-Message-Id']}.".encode() + message["_raw"]
    return hmac.new(key.encode(), covered, hashlib.sha256).hexdigest()
