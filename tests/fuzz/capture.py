"""Makes the part of the corpus that encoders send: `python -m tests.fuzz.capture`.

Pushes of ffmpeg, GStreamer and nginx-rtmp are taken down on their way to a server and taken apart. Names of
files say where they come from; those called `found-...` and `case-...` were not made here and stay.
"""

import contextlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.tags import FLV_HEADER, encode_tags
from livereel.rtmp import messages
from livereel.rtmp.chunks import ChunkReader, Message
from livereel.rtmp.handshake import C0_C1_SIZE, C2_SIZE
from tests.acceptance.encoders import FFMPEG, Encoder, NginxRelay, gstreamer_command
from tests.fuzz.campaign import CORPUS
from tests.ports import free_port

_WIRE_BYTES = 6000  # of a push that are kept: its commands, headers and first frames
_BODY_BYTES = 240  # of a media message
_SERVER = [sys.executable, "-m", "bench.ingest.server", "--directory"]

_TINY = ("-f", "lavfi", "-i", "testsrc=size=32x32:rate=10", "-f", "lavfi", "-i", "sine=sample_rate=8000", "-t", "2")
_FFMPEG = {
    "h264-aac": ("-c:v", "libx264", "-bf", "2", "-g", "5", "-c:a", "aac"),
    "h264-mp3": ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libmp3lame", "-ar", "44100"),
    "hevc-aac": ("-c:v", "libx265", "-x265-params", "log-level=error", "-c:a", "aac"),
    "av1-opus": ("-c:v", "libsvtav1", "-c:a", "libopus", "-ar", "48000"),
    "vp9-aac": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "aac"),
    "audio-only": ("-vn", "-c:a", "aac"),
    "yuv444": ("-pix_fmt", "yuv444p", "-c:v", "libx264", "-c:a", "aac"),
}


class Tap:
    """Passes one connection on to a server and takes down what the encoder sends."""

    def __init__(self, port: int) -> None:
        self.taken = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._target = port
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def wait(self) -> bytes:
        """All that was sent, once the encoder has hung up."""
        self._thread.join(30)
        self._listener.close()
        return bytes(self.taken)

    def _relay(self) -> None:
        inside, _ = self._listener.accept()
        with inside, socket.create_connection(("127.0.0.1", self._target)) as outside:
            back = threading.Thread(target=_pump, args=(outside, inside), daemon=True)
            back.start()
            _pump(inside, outside, self.taken)
            back.join(10)


def _pump(source: socket.socket, target: socket.socket, taken: bytearray | None = None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if taken is not None:
                taken += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def pushes(port: int, directory: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of a push by each encoder."""

    def tapped(push: Callable[[str, str], Any], name: str) -> tuple[str, bytes]:
        tap = Tap(port)
        push(f"rtmp://127.0.0.1:{tap.port}/live/{name}?vhost=publish.example.com", name)
        return name, tap.wait()

    def run(command: list[str], name: str) -> None:
        encoder = Encoder(command, directory / f"{name}.log")
        assert encoder.wait(60) == 0, encoder.output

    for name, options in _FFMPEG.items():
        command = [FFMPEG, "-hide_banner", "-loglevel", "error", *_TINY, *options, "-f", "flv"]
        yield tapped(lambda url, name, command=command: run([*command, url], name), f"ffmpeg-{name}")
    yield tapped(lambda url, name: run(gstreamer_command(url, 2), name), "gstreamer")
    tap, inside = Tap(port), free_port()
    relay = NginxRelay(directory / "nginx", inside, f"rtmp://127.0.0.1:{tap.port}/live")
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-re", *_TINY, *_FFMPEG["h264-aac"], "-f", "flv"]
    run([*command, f"rtmp://127.0.0.1:{inside}/live/nginx"], "nginx")
    relay.stop()
    yield "nginx-rtmp", tap.wait()


def take_apart(name: str, wire: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(target, file name, bytes) of what can be made of a push."""
    hands = C0_C1_SIZE + C2_SIZE
    after = wire[hands:]
    if name in ("gstreamer", "ffmpeg-h264-aac", "nginx-rtmp"):
        yield "handshake", name, wire[: hands + 500]
    yield "chunks", name, after[:_WIRE_BYTES]
    yield "session", name, b"\x01" + after[:_WIRE_BYTES]
    reader = ChunkReader()
    found = reader.feed(after)
    assert reader.failure is None
    yield from _bodies(name, found)
    tags = [Tag(kind, time, body[:_BODY_BYTES]) for kind, time, _, body in found if kind in (TAG_AUDIO, TAG_VIDEO)]
    yield "flv", name, FLV_HEADER + encode_tags(tags[:12])
    stamps = [(tag.kind == TAG_VIDEO) << 40 | tag.timestamp for tag in tags[:60]]
    yield "timeline", name, struct.pack(f">{len(stamps)}Q", *stamps)


def _bodies(name: str, found: list[Message]) -> Iterator[tuple[str, str, bytes]]:
    seen: set[tuple[int, bytes]] = set()
    for number, (kind, _, _, body) in enumerate(found):
        if kind == messages.COMMAND:
            yield "payloads", f"{name}-{number}", body
            yield "amf0", f"{name}-{number}", body
        elif kind in (messages.DATA, TAG_SCRIPT):
            yield "payloads", f"{name}-{number}", body
            yield "script", f"{name}-{number}", body.removeprefix(b"\x02\x00\x0d@setDataFrame")
        elif kind in (TAG_AUDIO, TAG_VIDEO) and (kind, body[:2]) not in seen:
            seen.add((kind, body[:2]))
            yield "codecs", f"{name}-{number}", body[:_BODY_BYTES]


def main() -> None:
    """Write the corpus anew."""
    kept: set[tuple[str, bytes]] = set()
    for target in CORPUS.iterdir():
        for path in target.iterdir():
            if path.name.startswith(("found-", "case-")):
                kept.add((target.name, path.read_bytes()))
            else:
                path.unlink()
    with tempfile.TemporaryDirectory() as name:
        server = subprocess.Popen([*_SERVER, f"{name}/spool"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert server.stdout is not None
        try:
            for push, wire in pushes(int(server.stdout.readline()), Path(name)):
                for target, file, data in take_apart(push, wire):
                    if (target, data) not in kept:
                        kept.add((target, data))
                        (CORPUS / target / file).write_bytes(data)
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
