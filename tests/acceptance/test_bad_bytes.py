"""Garbage on the RTMP port while a recording runs: the peer is shown the door, the recording does not notice."""

import contextlib
import os
import random
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.acceptance.api import DOMAIN
from tests.acceptance.conftest import Footage, Push
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import LiveServer

#: Seconds in which the server has to close a connection. It waits 10 for a handshake and 30 for a push to begin.
PATIENCE = 120.0
SEED = 20260721
MUTATIONS = 24
SILENT = 50  # connections that say nothing


def test_garbage_does_not_disturb_a_recording(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream)
    ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)

    captured = capture_push(server, ffmpeg_push)
    chance = random.Random(SEED)
    attacks = [
        # Not RTMP at all; the peers stay and must be shown the door.
        Attack(os.urandom(200_000), stay=True),
        Attack(b"\x03" + os.urandom(1536 + 1536 + 100_000), stay=True),
        Attack(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", stay=True),
        Attack(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), stay=True),  # TLS
        Attack(b"\x03" + bytes(100), stay=True),  # a handshake that never ends
        Attack(b"\x03" + bytes(100)),
        Attack(b""),
        *(Attack(b"", stay=True) for _ in range(SILENT)),
        # RTMP that lies.
        Attack(message(20, b"\x02\x00", length=0xFFFFFF), shake=True),
        Attack(message(20, b"\x0a\x00\x00\x00\x01" * 10_000), shake=True),  # nested arrays
        Attack(message(20, b"\x0a\xff\xff\xff\xff" + bytes(1000)), shake=True),  # 4 G members
        Attack(message(20, b"\x02\xff\xffconnect"), shake=True),  # a string longer than its message
        Attack(message(1, struct.pack(">I", 0)), shake=True, stay=True),  # chunk size 0
        Attack(b"".join(message(9, bytes(64), channel=3 + n, length=4096) for n in range(60)), shake=True),
        Attack(message(9, bytes(12 << 20), chunk=1 << 24), shake=True),  # 12 MiB of media before publish
        *(Attack(mutated(captured, chance)) for _ in range(MUTATIONS)),
    ]
    with ThreadPoolExecutor(len(attacks)) as pool:
        ends = list(pool.map(lambda attack: attack.run(server.rtmp_port), attacks))
    assert not any(ends), f"still open: {[end for end in ends if end]}"

    sdk.stop(stream)
    files = [MediaFile(server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    for file in files:
        file.check_whole()
    check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
    server.check_log()


class Attack(NamedTuple):
    """Bytes for the RTMP port: after a good handshake (`shake`) or not; the peer closes its side or stays (`stay`)."""

    data: bytes
    shake: bool = False
    stay: bool = False

    def run(self, port: int) -> str:
        """Send the bytes; the server must then close the connection. What is wrong, "" if nothing."""
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
            if self.shake:
                peer.sendall(b"\x03" + bytes(1536))
                answer = b""
                while len(answer) < 3073:
                    piece = peer.recv(4096)
                    assert piece, "no handshake"
                    answer += piece
                peer.sendall(answer[1:1537])
            try:
                peer.sendall(self.data)
                if not self.stay:
                    peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except TimeoutError:
                return f"{self.data[:20]!r} ({len(self.data)} bytes)"
            except ConnectionError:
                pass
            return ""


def message(kind: int, payload: bytes, *, channel: int = 3, length: int | None = None, chunk: int = 128) -> bytes:
    """An RTMP message in chunks; `length` may lie. `chunk` other than 128 is announced first."""
    head = bytes([channel]) if channel < 64 else bytes([0, channel - 64])
    rest = bytes([0xC0 | head[0]]) + head[1:]
    size = len(payload) if length is None else length
    parts = [payload[at : at + chunk] for at in range(0, len(payload), chunk)]
    first = head + bytes(3) + size.to_bytes(3, "big") + bytes([kind]) + bytes(4) + parts[0]
    announced = b"" if chunk == 128 else message(1, struct.pack(">I", chunk), channel=2)
    return announced + first + b"".join(rest + part for part in parts[1:])


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A real push, spoilt: cut short, turned bits, swapped, dropped, doubled or inserted pieces."""
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(3073, len(spoilt))
        size = chance.choice((1, 2, 11, 128, 1000))
        match chance.randrange(5):
            case 0:
                spoilt[at] ^= 1 << chance.randrange(8)
            case 1:
                del spoilt[at : at + size]
            case 2:
                spoilt[at:at] = chance.randbytes(size)
            case 3:
                spoilt[at:at] = spoilt[at - size : at]
            case 4:
                other = chance.randrange(3073, len(spoilt))
                spoilt[at : at + size], spoilt[other : other + size] = (
                    spoilt[other : other + size],
                    spoilt[at : at + size],
                )
    return bytes(spoilt[: chance.randrange(3073, len(spoilt))]) if chance.random() < 0.5 else bytes(spoilt)


def capture_push(server: LiveServer, ffmpeg_push: Push) -> bytes:
    """What ffmpeg sends for a short push, taken down on its way."""
    taken = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def relay() -> None:
            inside, _ = listener.accept()
            with inside, socket.create_connection(("127.0.0.1", server.rtmp_port)) as outside:
                back = threading.Thread(target=_pump, args=(outside, inside), daemon=True)
                back.start()
                _pump(inside, outside, taken)
                back.join(60)

        relaying = threading.Thread(target=relay, daemon=True)
        relaying.start()
        encoder = ffmpeg_push(f"rtmp://127.0.0.1:{port}/live/captured?vhost={DOMAIN}", 2, speed=10)
        assert encoder.wait() == 0, encoder.output
        relaying.join(60)
    assert len(taken) > 50_000
    return bytes(taken)


def _pump(source: socket.socket, target: socket.socket, taken: bytearray | None = None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if taken is not None:
                taken += data
            target.sendall(data)
    with contextlib.suppress(OSError):  # also when the source broke
        target.shutdown(socket.SHUT_WR)
