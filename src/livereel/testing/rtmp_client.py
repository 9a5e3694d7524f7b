"""A small RTMP publisher for tests and benches: the bytes without I/O, and an asyncio client around them."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Final

from livereel.amf import amf0
from livereel.amf.values import EcmaArray, Value
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.rtmp import messages
from livereel.rtmp.chunks import CHUNK_SIZE_DEFAULT, ChunkReader, ChunkWriter, Message

_HANDSHAKE_SIZE: Final = 1536
_CHUNK_STREAMS: Final = {8: 4, 9: 6, TAG_SCRIPT: 5}
_ANSWER_TIMEOUT: Final = 60.0  # seconds; the server may have to wait for its disk


class PublishFailed(Exception):
    """The server refused; `code` and `description` are what its onStatus or _error said."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class PublisherBytes:
    """Builds what a publisher sends, message by message. Call the methods in the order of the protocol.

    `chunk_size` is announced with connect (128 is not: it is the default). `compress` makes media after the first
    message of a track use the 8-byte header with a time difference, as encoders do.
    """

    def __init__(
        self,
        app: str,
        stream: str,
        *,
        tc_url: str | None = None,
        chunk_size: int = 4096,
        stream_id: int = 1,
        compress: bool = True,
    ) -> None:
        self._app = app
        self._stream = stream
        self._tc_url = tc_url if tc_url is not None else f"rtmp://localhost/{app}"
        self._chunk_size = chunk_size
        self._stream_id = stream_id
        self._compress = compress
        self._writer = ChunkWriter()
        self._times: dict[int, int] = {}

    def hello(self) -> bytes:
        """C0 and C1."""
        return b"\x03" + bytes(8) + bytes(index & 0xFF for index in range(_HANDSHAKE_SIZE - 8))

    def echo(self, s1: bytes = bytes(_HANDSHAKE_SIZE)) -> bytes:
        """C2, which repeats S1."""
        return s1

    def connect(self, extra: Mapping[str, Value] | None = None) -> bytes:
        """Set Chunk Size and connect (transaction 1). `extra` members are added to the command object."""
        announced = b""
        if self._chunk_size != CHUNK_SIZE_DEFAULT:
            announced = self.message(messages.SET_CHUNK_SIZE, self._chunk_size.to_bytes(4, "big"), chunk_stream=2)
            self._writer.chunk_size = self._chunk_size
        properties: dict[str, Value] = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; livereel-test)",
            "tcUrl": self._tc_url,
            **(extra or {}),
        }
        return announced + self.command("connect", 1, properties)

    def create_stream(self) -> bytes:
        """releaseStream, FCPublish and createStream (transaction 4)."""
        return (
            self.command("releaseStream", 2, None, self._stream)
            + self.command("FCPublish", 3, None, self._stream)
            + self.command("createStream", 4, None)
        )

    def publish(self) -> bytes:
        """publish (transaction 5), on the message stream."""
        return self.command("publish", 5, None, self._stream, "live", stream_id=self._stream_id)

    def opening(self) -> bytes:
        """Everything up to publish in one piece, without waiting for any answer."""
        return self.hello() + self.echo() + self.connect() + self.create_stream() + self.publish()

    def media(self, tags: Iterable[Tag]) -> bytes:
        """Tags as chunked messages; script tags get the usual @setDataFrame in front."""
        return b"".join(self._media(tag) for tag in tags)

    def closing(self) -> bytes:
        """FCUnpublish and deleteStream."""
        return self.command("FCUnpublish", 6, None, self._stream) + self.command(
            "deleteStream", 7, None, float(self._stream_id)
        )

    def command(self, name: str, transaction: float, *values: Value, stream_id: int = 0) -> bytes:
        """A command message with AMF0 `values`."""
        payload = amf0.encode(name, float(transaction), *values)
        return self.message(messages.COMMAND, payload, chunk_stream=3, stream_id=stream_id)

    def metadata(self, values: Mapping[str, Value], timestamp: int = 0) -> bytes:
        """onMetaData with @setDataFrame."""
        return self._media(Tag(TAG_SCRIPT, timestamp, amf0.encode("onMetaData", EcmaArray(values))))

    def message(self, kind: int, payload: bytes, *, chunk_stream: int, timestamp: int = 0, stream_id: int = 0) -> bytes:
        """Any message, with a full header."""
        return self._writer.write(chunk_stream, (kind, timestamp, stream_id, payload))

    def _media(self, tag: Tag) -> bytes:
        kind, timestamp, payload = tag
        if kind == TAG_SCRIPT:
            payload = amf0.encode("@setDataFrame") + payload
        chunk_stream = _CHUNK_STREAMS[kind]
        delta = timestamp - self._times.get(kind, timestamp + 1)
        self._times[kind] = timestamp
        if not self._compress or not 0 <= delta < 0xFFFFFF:
            return self._writer.write(chunk_stream, (kind, timestamp, self._stream_id, payload))
        header = bytes((0x40 | chunk_stream,)) + delta.to_bytes(3, "big") + len(payload).to_bytes(3, "big")
        size = self._writer.chunk_size
        pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
        return header + bytes((kind,)) + bytes((0xC0 | chunk_stream,)).join(pieces)


class RtmpPublisher:
    """Pushes tags to a server: `async with RtmpPublisher(host, port, app, stream) as publisher: await ...push(tags)`.

    Raises PublishFailed when the server refuses, ConnectionError when it hangs up, TimeoutError when it is silent.
    """

    def __init__(
        self, host: str, port: int, app: str, stream: str, *, tc_url: str | None = None, chunk_size: int = 4096
    ) -> None:
        self._host = host
        self._port = port
        tc_url = tc_url if tc_url is not None else f"rtmp://{host}:{port}/{app}"
        self.bytes = PublisherBytes(app, stream, tc_url=tc_url, chunk_size=chunk_size)
        self._answers = ChunkReader()
        self._arrived: list[Message] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "RtmpPublisher":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.stop()
        else:
            self.abort()

    async def start(self) -> None:
        """Connect, shake hands and publish; returns when the server says that the publish began."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        try:
            self._writer.write(self.bytes.hello())
            answer = await asyncio.wait_for(self._reader.readexactly(1 + 2 * _HANDSHAKE_SIZE), _ANSWER_TIMEOUT)
            self._writer.write(self.bytes.echo(answer[1 : 1 + _HANDSHAKE_SIZE]) + self.bytes.connect())
            await self._wait_for("_result", 1)
            self._writer.write(self.bytes.create_stream())
            await self._wait_for("_result", 4)
            self._writer.write(self.bytes.publish())
            await self._wait_for("onStatus", 0)
        except BaseException:
            self.abort()
            raise

    async def push(self, tags: Iterable[Tag], *, speed: float = 1.0) -> None:
        """Send `tags` by their timestamps at `speed` times real time; 0 sends as fast as the server reads."""
        assert self._writer is not None
        begun = time.monotonic()
        first: int | None = None
        for tag in tags:
            first = tag.timestamp if first is None else first
            if speed:
                wait = (tag.timestamp - first) / 1000 / speed - (time.monotonic() - begun)
                if wait > 0:
                    await asyncio.sleep(wait)
            self._writer.write(self.bytes.media((tag,)))
            await self._writer.drain()

    async def stop(self) -> None:
        """End the publish politely and close the connection."""
        assert self._writer is not None
        self._writer.write(self.bytes.closing())
        try:
            await self._writer.drain()
            self._writer.write_eof()
            await self._until_closed()
        except ConnectionError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once (RST if anything is unsent), as a crashed encoder does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def wait_closed(self, timeout: float = _ANSWER_TIMEOUT) -> None:
        """Wait until the server closes the connection."""
        await asyncio.wait_for(self._until_closed(), timeout)

    async def _until_closed(self) -> None:
        assert self._reader is not None
        while await self._reader.read(65536):
            pass

    async def _wait_for(self, name: str, transaction: float) -> list[Value]:
        return await asyncio.wait_for(self._command(name, transaction), _ANSWER_TIMEOUT)

    async def _command(self, name: str, transaction: float) -> list[Value]:
        assert self._reader is not None
        while True:
            for values in self._commands():
                info = next((value for value in values[2:] if isinstance(value, dict)), {})
                if values[0] == "_error" or info.get("level") == "error":
                    raise PublishFailed(str(info.get("code", "")), str(info.get("description", "")))
                if values[0] == name and values[1] == transaction:
                    return values
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._arrived += self._answers.feed(data)

    def _commands(self) -> Iterator[list[Value]]:
        while self._arrived:
            kind, _, _, payload = self._arrived.pop(0)
            if kind == messages.COMMAND:
                yield amf0.decode(payload)
