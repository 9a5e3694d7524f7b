"""A loopback door for protocols that only libav speaks: RTMP and RTSP sources.

libav connects to the door; `net` has made the connection behind it, TLS included. RTSP servers may send a client
elsewhere, and libav would follow by itself: such answers end the connection.
"""

import contextlib
import re
import selectors
import socket
import ssl
import threading
import time

from livereel.callbacks.guard import TargetGuard
from livereel.pulls.net import Place, connect

_PIECE = 64 * 1024
_HEAD_MAX = 64 * 1024  # bytes of an RTSP answer's head
_STATUS = re.compile(rb"RTSP/\d\.\d (\d{3})")
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d{1,9})\r\n", re.IGNORECASE)


class RedirectRefused(OSError):
    """The RTSP server wants us to go elsewhere."""


class RtspAnswers:
    """Looks through what an RTSP server sends (RFC 2326: answers, and media in interleaved frames) for redirects."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = 0

    def check(self, data: bytes) -> None:
        """The next bytes. Raises RedirectRefused at a status 3xx and for what is not RTSP."""
        data = self._rest + data
        at = 0
        while True:
            if self._skip:
                step = min(self._skip, len(data) - at)
                at, self._skip = at + step, self._skip - step
            taken = self._take(data, at) if at < len(data) else 0
            if not taken:
                break
            at += taken
        self._rest = data[at:]

    def _take(self, data: bytes, at: int) -> int:
        """Bytes of the frame head or message head at `at`; 0 while it is not complete."""
        if data[at : at + 1] == b"$":
            if len(data) - at < 4:
                return 0
            self._skip = int.from_bytes(data[at + 2 : at + 4], "big")
            return 4
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > _HEAD_MAX:
                raise RedirectRefused("the server does not speak RTSP")
            return 0
        head = data[at : end + 4]
        status = _STATUS.match(head)
        if status is not None and status[1].startswith(b"3"):
            raise RedirectRefused(f"the RTSP server answers {status[1].decode()} (redirects are not followed)")
        length = _LENGTH.search(head)
        self._skip = int(length[1]) if length else 0
        return len(head)


class Relay:
    """One connection to `where`, reachable once at `port` of the loopback. Close it when done."""

    def __init__(self, where: Place, guard: TargetGuard, timeout: float) -> None:
        #: Why the relay ended the connection, if it was the relay.
        self.problem: OSError | None = None
        self._timeout = timeout
        self._far = connect(where, guard, timeout)
        self._near: socket.socket | None = None
        self._door = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._door.settimeout(timeout)
        self.port: int = self._door.getsockname()[1]
        self._answers = RtspAnswers() if where.scheme.startswith("rtsp") else None
        threading.Thread(target=self._run, name=f"relay {where.host}", daemon=True).start()

    def close(self) -> None:
        """Drop both connections."""
        for end in (self._door, self._far, self._near):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def _run(self) -> None:
        try:
            self._near, _ = self._door.accept()
            self._door.close()
            self._near.settimeout(self._timeout)
            self._pass(self._near, self._far)
        except (OSError, ValueError) as error:  # ValueError: closed meanwhile
            if isinstance(error, RedirectRefused):
                self.problem = error
        self.close()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        """Carry bytes both ways until one side ends or the far one is silent for too long.

        One thread: a TLS connection may not be read and written at once.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ)
            selector.register(far, selectors.EVENT_READ)
            heard_at = time.monotonic()
            while ready := selector.select(heard_at + self._timeout - time.monotonic()):
                for key, _ in ready:
                    if key.fileobj is near:
                        if not (data := near.recv(_PIECE)):
                            return
                        far.sendall(data)
                        continue
                    heard_at = time.monotonic()
                    while True:
                        if not (data := far.recv(_PIECE)):
                            return
                        if self._answers is not None:
                            self._answers.check(data)
                        near.sendall(data)
                        if not (isinstance(far, ssl.SSLSocket) and far.pending()):
                            break
