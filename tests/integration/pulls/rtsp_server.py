"""A very small RTSP server for tests: one H.264 track over interleaved TCP (RFC 2326, RFC 6184)."""

import asyncio
import base64
import contextlib
from collections.abc import Iterator

from livereel.domain.media import TAG_VIDEO, Tag
from livereel.flv.codecs import parse_video

_FRAGMENT = 1200  # bytes of a NAL unit per RTP packet


class RtspServer:
    """Serves `tags` in real time, over and over, to whoever asks. `redirect` sends clients elsewhere instead."""

    def __init__(self, tags: list[Tag]) -> None:
        video = [tag for tag in tags if tag.kind == TAG_VIDEO]
        record = next(tag.payload[5:] for tag in video if parse_video(tag.payload).is_sequence_header)
        self._sets = list(_parameter_sets(record))
        self._frames = [tag for tag in video if not parse_video(tag.payload).is_sequence_header]
        self.redirect: str | None = None
        self.requests: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> "RtspServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing: asyncio.Task[None] | None = None
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"$"):
                    continue
                lines = head.decode().split("\r\n")
                method = lines[0].split(" ")[0]
                self.requests.append(method)
                sequence = next(line for line in lines if line.lower().startswith("cseq:"))
                if self.redirect is not None and method == "DESCRIBE":
                    writer.write(f"RTSP/1.0 302 Found\r\n{sequence}\r\nLocation: {self.redirect}\r\n\r\n".encode())
                    continue
                extra, body = "", ""
                if method == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    body = self._description()
                    extra = f"Content-Type: application/sdp\r\nContent-Base: {self.url}/\r\n"
                elif method == "SETUP":
                    extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                else:
                    extra = "Session: 1\r\n"
                length = f"Content-Length: {len(body)}\r\n" if body else ""
                writer.write(f"RTSP/1.0 200 OK\r\n{sequence}\r\n{extra}{length}\r\n{body}".encode())
                if method == "PLAY":
                    playing = asyncio.create_task(self._play(writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if playing is not None:
                playing.cancel()
            writer.close()

    def _description(self) -> str:
        sets = ",".join(base64.b64encode(unit).decode() for unit in self._sets)
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n"
            f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
            "a=control:trackID=0\r\n"
        )

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        sequence, base, begun = 0, 0, asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError):
            while True:
                for tag in self._frames:
                    at = base + tag.timestamp
                    await asyncio.sleep(max(0.0, begun + at / 1000 - asyncio.get_running_loop().time()))
                    units = (
                        [*self._sets, *_units(tag.payload[5:])] if tag.payload[0] >> 4 == 1 else _units(tag.payload[5:])
                    )
                    packets = [part for unit in units for part in _fragments(unit)]
                    for number, payload in enumerate(packets):
                        last = 0x80 if number == len(packets) - 1 else 0
                        head = bytes((0x80, last | 96)) + (sequence & 0xFFFF).to_bytes(2, "big")
                        head += (at * 90 & 0xFFFFFFFF).to_bytes(4, "big") + b"test"
                        packet = head + payload
                        writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)
                        sequence += 1
                    await writer.drain()
                base += self._frames[-1].timestamp + 33


def _parameter_sets(record: bytes) -> Iterator[bytes]:
    """SPS and PPS of an AVCDecoderConfigurationRecord with one each."""
    size = int.from_bytes(record[6:8], "big")
    yield record[8 : 8 + size]
    at = 8 + size + 1
    yield record[at + 2 : at + 2 + int.from_bytes(record[at : at + 2], "big")]


def _units(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _fragments(unit: bytes) -> Iterator[bytes]:
    """The unit, or its FU-A fragments (RFC 6184 section 5.8)."""
    if len(unit) <= _FRAGMENT:
        yield unit
        return
    head, rest = unit[0], unit[1:]
    pieces = [rest[at : at + _FRAGMENT] for at in range(0, len(rest), _FRAGMENT)]
    for number, piece in enumerate(pieces):
        edge = (0x80 if number == 0 else 0) | (0x40 if number == len(pieces) - 1 else 0)
        yield bytes((head & 0xE0 | 28, edge | head & 0x1F)) + piece
