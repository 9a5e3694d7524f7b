"""A TCP proxy that goes wrong when told: it stops forwarding, or does something after so many bytes."""

import contextlib
import socket
import threading
from collections.abc import Callable


class Proxy:
    """Forwards connections of a free local port to `port`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()  # cleared, nothing moves in either direction
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._limit: tuple[int, Callable[[], None]] | None = None
        self._sent = 0
        self._spoil = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def hang(self) -> None:
        """Take connections and bytes, forward none."""
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    def after(self, size: int, action: Callable[[], None]) -> None:
        """Call `action` once `size` more bytes have gone to the server."""
        self._sent, self._limit = 0, (size, action)

    def spoil(self) -> None:
        """Change one byte in the middle of the next large piece that goes to the server."""
        self._spoil = True

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            # A shutdown wakes threads that wait for it.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._sockets.append(client)
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        self._sockets.append(server)
        threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()
        self._forward(client, server, True)

    def _forward(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                if counted:
                    self._count(len(data))
                    data = self._spoilt(data)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _spoilt(self, data: bytes) -> bytes:
        if not self._spoil or len(data) < 16384:  # not the head of a request
            return data
        self._spoil, middle = False, len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    def _count(self, size: int) -> None:
        self._sent += size
        if self._limit is not None and self._sent >= self._limit[0]:
            (_, action), self._limit = self._limit, None
            action()
