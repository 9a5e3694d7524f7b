"""A TCP proxy that cuts, stalls, half-closes and trickles, and knows what it has passed on."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.faults.encoders import unacknowledged

_LINGER_ZERO = struct.pack("ii", 1, 0)  # closing sends RST
_PIECE = 4096


class Proxy:
    """Listens on `port` and passes every connection on to the port that `target` gives. Faults hit open connections."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        #: Every connection so far, the newest last.
        self.passages: list[Passage] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Drop everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for passage in self.passages:
            passage.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(("127.0.0.1", self._target()))
                self.passages.append(Passage(inside, outside))


class Passage:
    """One connection: `inside` leads to the encoder, `outside` to the server."""

    def __init__(self, inside: socket.socket, outside: socket.socket) -> None:
        self._inside, self._outside = inside, outside
        # What has been passed on is with the other side: none of it waits here for an acknowledgement, to go with RST.
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        self._open = threading.Event()  # cleared: nothing passes, either way
        self._open.set()
        self._piece, self._pause = _PIECE, 0.0
        self._limit: int | None = None
        self._over = threading.Event()
        self._passed = bytearray()
        threading.Thread(target=self._pump, args=(inside, outside, self._passed), daemon=True).start()
        threading.Thread(target=self._pump, args=(outside, inside, None), daemon=True).start()

    def arrived(self) -> bytes:
        """What the server's kernel has, which may still be more by a moment's worth."""
        with self._lock:
            return bytes(self._passed[: len(self._passed) - unacknowledged(self._outside)])

    def blackhole(self) -> None:
        """Let nothing pass any more, either way, and tell nobody."""
        with self._lock:
            self._open.clear()

    def cut(self, *, patience: float = 0.0) -> None:
        """RST to both sides, once the server's kernel has all that was passed on, if that takes no longer than so."""
        deadline = time.monotonic() + patience
        with self._lock:
            while time.monotonic() < deadline and unacknowledged(self._outside):
                time.sleep(0.001)
            self._over.set()
            self._open.set()
            for sock in (self._inside, self._outside):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                    sock.shutdown(socket.SHUT_RD)  # wakes whoever reads it
                sock.close()

    def half_close(self) -> None:
        """FIN to the server; what the server says still passes."""
        with self._lock:
            self._over.set()
            self._outside.shutdown(socket.SHUT_WR)

    def trickle(self, piece: int, pause: float) -> None:
        """Pass on so many bytes at a time, so many seconds apart."""
        self._piece, self._pause = piece, pause

    def cut_inside(self, size: int) -> None:
        """Pass on `size` bytes more, then FIN to the server: in the middle of a message."""
        with self._lock:
            self._limit = len(self._passed) + size

    def _pump(self, source: socket.socket, target: socket.socket, passed: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self._piece):
                self._open.wait()
                with self._lock:
                    if not self._open.is_set() or (passed is not None and self._over.is_set()):
                        continue
                    if passed is not None and self._limit is not None and len(passed) + len(data) >= self._limit:
                        data = data[: self._limit - len(passed)]
                        self._over.set()
                    target.sendall(data)
                    if passed is None:
                        continue
                    passed += data
                    if self._over.is_set():
                        target.shutdown(socket.SHUT_WR)
                if self._pause:
                    self._over.wait(self._pause)
            if passed is None:  # the server has hung up; who pushes is told
                source.close()
                target.shutdown(socket.SHUT_RDWR)
            elif not self._over.is_set():
                target.shutdown(socket.SHUT_WR)
