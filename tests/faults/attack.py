"""Attackers, and what they cost the server: memory and processor time of the real process."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from livereel.rtmp.chunks import ChunkReader, ChunkWriter, Message
from livereel.testing.rtmp_client import PublisherBytes
from tests.acceptance.api import DOMAIN
from tests.acceptance.server import wait_until
from tests.faults.instance import PATIENCE, Instance

MIB = 1024 * 1024
#: MiB by which the server may grow at its peak during one attack, however many bytes or connections it has. It has
#: some 110 MiB itself; the budgets of single connections are 1 MiB before and 20 MiB after publish was accepted.
GROWTH_MAX = 96
#: Processor seconds that an attack may cost, for each MiB sent and besides. The dearest bytes known cost 0.5 s a MiB
#: on a machine of 2020; this leaves room for slow ones, and none for anything quadratic.
CPU_PER_MIB = 3.0
CPU_BESIDE = 2.0
#: Share of one core that the server may take for itself and the bystander's recording meanwhile.
CPU_IDLE = 0.4

_TICKS = os.sysconf("SC_CLK_TCK")


class Costs:
    """What a server process takes, from now on."""

    def __init__(self, process: int) -> None:
        self._directory = Path("/proc") / str(process)
        self._begun = time.monotonic()
        (self._directory / "clear_refs").write_text("5")  # the peak counts from here
        self._memory, self._processor = self._status("VmRSS"), self._ticks()

    @property
    def growth(self) -> float:
        """MiB of the peak above what it took at first."""
        return (self._status("VmHWM") - self._memory) / 1024

    @property
    def processor(self) -> float:
        """Seconds, without what it takes anyway."""
        return self._ticks() - self._processor - CPU_IDLE * (time.monotonic() - self._begun)

    def _status(self, name: str) -> int:
        lines = (self._directory / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

    def _ticks(self) -> float:
        fields = (self._directory / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def bounded(server: Instance, *, growth: float = GROWTH_MAX) -> Iterator[Callable[[int], None]]:
    """What happens inside may cost the server only so much; the function takes the number of bytes sent."""
    assert server._process is not None
    costs, sent = Costs(server._process.pid), 0

    def account(size: int) -> None:
        nonlocal sent
        sent += size

    yield account
    assert costs.growth < growth, f"the server grew by {costs.growth:.0f} MiB"
    allowed = CPU_BESIDE + CPU_PER_MIB * sent / MIB
    assert costs.processor < allowed, f"{sent} bytes cost {costs.processor:.1f} s of processor time"


class Peer:
    """A connection to the RTMP port; never raises because the server has hung up."""

    def __init__(self, port: int, *, shake: bool = True, window: int = 0) -> None:
        self.sent = 0
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        if shake:
            self.send(b"\x03" + bytes(1536) + bytes(1536))

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False when the server takes no more."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        self.sent += len(data)
        return True

    def hear(self) -> bytes:
        """What the server says next. Raises ConnectionError when it has hung up instead."""
        if not (data := self.socket.recv(4096)):
            raise ConnectionResetError("the server has hung up")
        return data

    def wait_closed(self) -> bytes:
        """What the server said until it hung up."""
        said = bytearray()
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(65536):
                said += data
        return bytes(said)

    def is_open(self) -> bool:
        """Whether the server has not hung up yet. What it said is thrown away."""
        self.socket.setblocking(False)
        try:
            while data := self.socket.recv(65536):
                del data
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)
        return False


def publisher(server: Instance, stream: str, *, window: int = 0) -> Peer:
    """A peer whose publish the server has accepted; `window` is how many bytes the kernel keeps of what it is sent."""
    peer = Peer(server.rtmp_port, shake=False, window=window)
    try:
        peer.send(PublisherBytes("live", f"{stream}?vhost={DOMAIN}").opening())
        said, reader = bytearray(), ChunkReader()
        while len(said) < 3073:
            said += peer.hear()
        messages: list[Message] = reader.feed(bytes(said[3073:]))
        while not any(b"NetStream.Publish.Start" in message[3] for message in messages):
            messages += reader.feed(peer.hear())
    except BaseException:
        peer.socket.close()
        raise
    return peer


def refused_for_number(server: Instance, event: str, most: int) -> int:
    """How many connections the server says it has closed because there were `most` already."""
    reason = f"{most} connections are open already"
    return sum(said.get("event") == event and said["reason"] == reason for said in server.events())


def message(kind: int, payload: bytes, *, chunk_stream: int = 4, time: int = 0, chunk_size: int = 4096) -> bytes:
    """A message on the published stream."""
    return ChunkWriter(chunk_size).write(chunk_stream, (kind, time, 1, payload))


def chunk_size(size: int, before: int = 4096) -> bytes:
    """Set Chunk Size."""
    return message(1, struct.pack(">I", size), chunk_stream=2, chunk_size=before)


def all_closed(peers: list[Peer]) -> None:
    """Wait until the server has hung up on all of them, and close them here too."""
    left = list(peers)

    def over() -> bool:
        left[:] = [peer for peer in left if peer.is_open()]
        return not left

    wait_until(over, PATIENCE, "connections to be closed")
    for peer in peers:
        peer.socket.close()


class Drip:
    """Sends a byte now and then on connections, from a thread, until it is closed."""

    def __init__(self, sockets: list[socket.socket], data: bytes, interval: float = 0.1) -> None:
        self._sockets, self._data, self._interval = sockets, data, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Drip":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        for place in range(len(self._data)):
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.send(self._data[place : place + 1])
            if self._stop.wait(self._interval):
                return
