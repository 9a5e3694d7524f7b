"""Chunks to messages and back (RTMP specification 1.0, section 5.3).

`ChunkReader` is the hot path of ingest. A message that is cut into chunks of N bytes has the same one-byte header
after every N bytes, so the reader looks at all those header bytes with one strided slice and removes them with
another: the cost is per message, not per chunk. Interleaved, torn or unusual chunks take the careful way.

The file is also compiled as `_chunks_compiled` (see `demuxer`), so it stays fully annotated and plain.
"""

import struct
from typing import Final, TypeAlias

from livereel.rtmp.errors import ProtocolError

Message: TypeAlias = tuple[int, int, int, bytes]  # type, timestamp in ms modulo 2**32, message stream id, payload

CHUNK_SIZE_DEFAULT: Final = 128  # section 5.4.1
CHUNK_SIZE_MAX: Final = 0x7FFFFFFF  # section 5.4.1; honoured as a chunk never exceeds its message
MESSAGE_MAX: Final = 10 * 1024 * 1024  # a 4K key frame stays under 4 MiB; others cap at 10 MiB as well
CHUNK_STREAMS_MAX: Final = 32  # encoders use 3 to 6; each costs a record that lives as long as the connection
BUFFER_MAX: Final = 2 * MESSAGE_MAX  # one message of the largest size with others interleaved

_EXTENDED: Final = 0xFFFFFF  # the timestamp field that says "32 bits follow"
_SET_CHUNK_SIZE: Final = 1
_ABORT: Final = 2
_RUN_MAX: Final = 64  # continuation chunks looked at in one go: bounds the work that one odd header can waste

_two_words = struct.Struct(">II").unpack_from
_word = struct.Struct(">I").unpack_from
_little_word = struct.Struct("<I").unpack_from


class _ChunkStream:
    """What the reader remembers of one chunk stream: the last header, and the message under way."""

    def __init__(self, chunk_stream_id: int) -> None:
        # The header of a continuation chunk, for ids that fit one byte.
        self.marker: bytes = bytes((0xC0 | chunk_stream_id,)) if chunk_stream_id < 64 else b""
        self.kind: int = 0
        self.timestamp: int = 0
        self.delta: int = 0
        self.length: int = 0
        self.stream_id: int = 0
        self.extended: int = -1  # the extended timestamp field of the last header; -1 if it had none
        self.active: bool = False
        self.body: bytearray = bytearray()


class ChunkReader:
    """Turns received bytes, in pieces of any size, into messages. Set Chunk Size and Abort are obeyed, not returned.

    `buffer_limit` bounds the bytes held of unfinished messages; it may be changed at any time.
    `failure` is the error that ended the stream of messages, or None.
    """

    def __init__(self, buffer_limit: int = BUFFER_MAX) -> None:
        self.buffer_limit: int = buffer_limit
        self.failure: ProtocolError | None = None
        self._chunk_size: int = CHUNK_SIZE_DEFAULT
        self._streams: dict[int, _ChunkStream] = {}
        self._current: _ChunkStream | None = None  # its chunk is under way,
        self._left: int = 0  # with so many bytes missing
        self._buffered: int = 0
        self._repeats_timestamps: bool = True
        self._rest: bytes = b""  # the beginning of a chunk header

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order.

        Messages in front of a fault are returned and `failure` is set; every call after that raises ProtocolError.
        """
        if self.failure is not None:
            raise self.failure
        if self._rest:
            data = self._rest + data
            self._rest = b""
        messages: list[Message] = []
        try:
            position = self._read(data, messages)
        except ProtocolError as error:
            self.failure = error
            return messages
        if position < len(data):
            self._rest = data[position:]
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:  # noqa: PLR0912, PLR0915 - see the docstring
        """Append the messages in `data`; return how much of it was used up.

        One loop on purpose: it runs for every message, and in pure Python a call costs as much as a header.
        """
        end: int = len(data)
        position: int = 0
        size: int = self._chunk_size
        streams = self._streams
        while position < end:
            if self._left:
                position = self._take(data, position, end, messages)
                size = self._chunk_size
                continue
            head: int = data[position]
            at: int = position + 1
            chunk_stream_id: int = head & 0x3F
            if chunk_stream_id < 2:
                at += 1 + chunk_stream_id
                if at > end:
                    return position
                chunk_stream_id = 64 + data[position + 1] + (data[position + 2] << 8 if chunk_stream_id else 0)
            stream = streams.get(chunk_stream_id)
            if stream is None:
                stream = self._open(chunk_stream_id, head >> 6)
            form: int = head >> 6

            if form == 3:
                if stream.extended >= 0:
                    at = self._after_repeated_timestamp(stream, data, at, end)
                    if at < 0:
                        return position
                if stream.active:
                    position = self._continue(stream, data, position, at, messages)
                    size = self._chunk_size
                    continue
                stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
            else:
                if stream.active:
                    raise ProtocolError(f"a new message begins on chunk stream {chunk_stream_id} inside another")
                time: int
                if form == 2:
                    if end - at < 3:
                        return position
                    time = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                    at += 3
                else:
                    if end - at < (11 if form == 0 else 7):
                        return position
                    first, second = _two_words(data, at - 1)
                    time = first & 0xFFFFFF
                    length: int = second >> 8
                    if length > MESSAGE_MAX:
                        raise ProtocolError(f"a message of {length} bytes, more than the limit of {MESSAGE_MAX}")
                    stream_id: int = stream.stream_id
                    if form == 0:
                        stream_id = _little_word(data, at + 7)[0]
                    if time == _EXTENDED and end - at < (15 if form == 0 else 11):
                        return position
                    at += 11 if form == 0 else 7
                    stream.length = length
                    stream.kind = second & 0xFF
                    stream.stream_id = stream_id
                if time == _EXTENDED:
                    if end - at < 4:
                        return position
                    time = _word(data, at)[0]
                    at += 4
                    stream.extended = time
                else:
                    stream.extended = -1
                if form == 0:
                    stream.timestamp = time
                    # Section 5.3.1.2.4: a type 3 message after a type 0 takes its timestamp for the delta. Beyond the
                    # 24-bit range that would jump 4.6 hours, and senders that do it mean "the same time".
                    stream.delta = time if stream.extended < 0 else 0
                else:
                    stream.delta = time
                    stream.timestamp = (stream.timestamp + time) & 0xFFFFFFFF

            length = stream.length
            if length <= size:
                stop: int = at + length
                if stop <= end:
                    position = stop
                    if stream.kind in (_SET_CHUNK_SIZE, _ABORT):
                        self._obey(stream.kind, data[at:stop])
                        size = self._chunk_size
                    else:
                        messages.append((stream.kind, stream.timestamp, stream.stream_id, data[at:stop]))
                    continue
            elif stream.extended < 0:
                count: int = (length - 1) // size
                stop = at + length + count
                if stop <= end and data[at + size : stop : size + 1] == stream.marker * count:
                    chunked = bytearray(data[at:stop])
                    del chunked[size :: size + 1]
                    position = stop
                    if stream.kind in (_SET_CHUNK_SIZE, _ABORT):
                        self._obey(stream.kind, bytes(chunked))
                        size = self._chunk_size
                    else:
                        messages.append((stream.kind, stream.timestamp, stream.stream_id, bytes(chunked)))
                    continue
            stream.active = True
            self._current = stream
            self._left = length if length < size else size
            position = at
        return position

    def _open(self, chunk_stream_id: int, form: int) -> _ChunkStream:
        # Type 1 as the first header is a habit of librtmp's for control messages; the stream id is then 0.
        if form > 1:
            raise ProtocolError(f"chunk stream {chunk_stream_id} begins with a type {form} header")
        if len(self._streams) >= CHUNK_STREAMS_MAX:
            raise ProtocolError(f"more than {CHUNK_STREAMS_MAX} chunk streams")
        stream = _ChunkStream(chunk_stream_id)
        self._streams[chunk_stream_id] = stream
        return stream

    def _continue(self, stream: _ChunkStream, data: bytes, position: int, at: int, messages: list[Message]) -> int:
        """Take the chunks that go on with a message: a run of like ones at once, or else begin a single one."""
        size = self._chunk_size
        missing = stream.length - len(stream.body)
        if stream.extended < 0 and missing > size:
            unit = size + 1
            run = min((len(data) - position) // unit, missing // size, _RUN_MAX)
            stop = position + run * unit
            if run > 1 and data[position:stop:unit] == stream.marker * run:
                chunked = bytearray(data[position:stop])
                del chunked[::unit]
                self._hold(stream, chunked, messages)
                return stop
        self._current = stream
        self._left = missing if missing < size else size
        return at

    def _take(self, data: bytes, position: int, end: int, messages: list[Message]) -> int:
        """Take what is there of the chunk under way."""
        stream = self._current
        assert stream is not None
        stop = min(position + self._left, end)
        self._left -= stop - position
        self._hold(stream, data[position:stop], messages)
        return stop

    def _hold(self, stream: _ChunkStream, part: bytes | bytearray, messages: list[Message]) -> None:
        stream.body += part
        self._buffered += len(part)
        if len(stream.body) == stream.length:
            payload = bytes(stream.body)
            self._drop(stream)
            if stream.kind in (_SET_CHUNK_SIZE, _ABORT):
                self._obey(stream.kind, payload)
            else:
                messages.append((stream.kind, stream.timestamp, stream.stream_id, payload))
        elif self._buffered > self.buffer_limit:
            raise ProtocolError(f"unfinished messages hold more than {self.buffer_limit} bytes")

    def _drop(self, stream: _ChunkStream) -> None:
        self._buffered -= len(stream.body)
        stream.body = bytearray()
        stream.active = False

    def _after_repeated_timestamp(self, stream: _ChunkStream, data: bytes, at: int, end: int) -> int:
        """Where a type 3 chunk's payload begins, or -1 if more bytes are needed to tell.

        Section 5.3.1.3 wants the extended timestamp repeated in type 3 chunks; librtmp and others leave it out. Four
        bytes are taken for it only if they are equal to it, and a sender that once went on with a message without it
        never repeats it: else a payload that looks like it would break the stream about once in 2**32 chunks.
        """
        if stream.active and not self._repeats_timestamps:
            return at
        stop = at + 4
        repeated = stream.extended.to_bytes(4, "big")
        if stop <= end:
            if data[at:stop] == repeated:
                return stop
        elif repeated.startswith(data[at:end]):
            return -1
        if stream.active:
            self._repeats_timestamps = False
        return at

    def _obey(self, kind: int, payload: bytes) -> None:
        if len(payload) < 4:
            raise ProtocolError(f"protocol control message {kind} of {len(payload)} bytes")
        number: int = _word(payload, 0)[0]
        if kind == _SET_CHUNK_SIZE:
            if not 1 <= number <= CHUNK_SIZE_MAX:
                raise ProtocolError(f"chunk size {number}, must be 1 to {CHUNK_SIZE_MAX}")
            self._chunk_size = number
            return
        stream = self._streams.get(number)
        if stream is not None and stream.active:
            self._drop(stream)


class ChunkWriter:
    """Turns messages into chunks. Every message gets a full header, which any reader understands."""

    def __init__(self, chunk_size: int = CHUNK_SIZE_DEFAULT) -> None:
        self.chunk_size: int = chunk_size  # change it right after writing Set Chunk Size

    def write(self, chunk_stream_id: int, message: Message) -> bytes:
        """`message` as chunks on `chunk_stream_id` (2 to 65599)."""
        kind, timestamp, stream_id, payload = message
        timestamp &= 0xFFFFFFFF
        extended = timestamp.to_bytes(4, "big") if timestamp >= _EXTENDED else b""
        field = _EXTENDED if extended else timestamp
        out = bytearray(_basic_header(0, chunk_stream_id))
        out += field.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + bytes((kind,))
        out += stream_id.to_bytes(4, "little") + extended
        again = _basic_header(3, chunk_stream_id) + extended
        size = self.chunk_size
        out += payload[:size]
        for start in range(size, len(payload), size):
            out += again
            out += payload[start : start + size]
        return bytes(out)


def _basic_header(form: int, chunk_stream_id: int) -> bytes:
    """Section 5.3.1.1."""
    if chunk_stream_id < 64:
        return bytes((form << 6 | chunk_stream_id,))
    number = chunk_stream_id - 64
    if number < 256:
        return bytes((form << 6, number))
    return bytes((form << 6 | 1, number & 0xFF, number >> 8))
