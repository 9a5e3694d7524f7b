"""A chunk writer that can write whatever the specification allows, to try the reader with."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from livereel.rtmp.chunks import CHUNK_SIZE_DEFAULT, Message

EXTENDED = 0xFFFFFF


def basic_header(form: int, chunk_stream: int) -> bytes:
    if chunk_stream < 64:
        return bytes((form << 6 | chunk_stream,))
    if chunk_stream < 320:
        return bytes((form << 6, chunk_stream - 64))
    return bytes((form << 6 | 1, (chunk_stream - 64) & 0xFF, (chunk_stream - 64) >> 8))


@dataclass
class Last:
    timestamp: int
    delta: int
    length: int
    kind: int
    stream_id: int


@dataclass
class AnyWriter:
    """Writes each message with the shortest header, or a longer one if told so; repeats extended timestamps or not."""

    repeat: bool = True
    chunk_size: int = CHUNK_SIZE_DEFAULT
    last: dict[int, Last] = field(default_factory=dict)

    def chunks(self, chunk_stream: int, message: Message, longest: int = 3) -> list[bytes]:
        """The chunks of `message`, with a header of a type no higher than `longest`."""
        kind, timestamp, stream_id, payload = message
        last = self.last.get(chunk_stream)
        form, field_value = 0, timestamp
        if last is not None and last.stream_id == stream_id:
            delta = timestamp - last.timestamp
            if 0 <= delta <= 0xFFFFFFFF:
                form, field_value = 1, delta
                if (last.length, last.kind) == (len(payload), kind):
                    form = 3 if delta == last.delta and delta < EXTENDED else 2
        if form > longest:
            form = min(form, longest)
            field_value = timestamp if form == 0 else field_value
        if form < 3:
            new_delta = field_value if form or field_value < EXTENDED else 0
            self.last[chunk_stream] = Last(timestamp, new_delta, len(payload), kind, stream_id)
        else:
            last.timestamp = timestamp
        extended = field_value.to_bytes(4, "big") if field_value >= EXTENDED and form < 3 else b""
        header = basic_header(form, chunk_stream)
        if form < 3:
            header += min(field_value, EXTENDED).to_bytes(3, "big")
        if form < 2:
            header += len(payload).to_bytes(3, "big") + bytes((kind,))
        if form < 1:
            header += stream_id.to_bytes(4, "little")
        again = basic_header(3, chunk_stream) + (extended if self.repeat else b"")
        parts = [payload[at : at + self.chunk_size] for at in range(0, len(payload), self.chunk_size)] or [b""]
        return [(header + extended if index == 0 else again) + part for index, part in enumerate(parts)]


KINDS = st.sampled_from([8, 9, 18, 20, 15, 17, 22, 4, 5, 3, 99])
TIMES = st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, 100), st.integers(0xFFFFF0, 0x100000F))
SIZES = st.one_of(st.integers(0, 40), st.integers(120, 140), st.sampled_from([128, 256, 257, 384, 1000]))


# A sender that does not repeat extended timestamps can only be told by payloads that do not look like one.
TELLING_TIMES = st.one_of(st.integers(0, 0x2FFFFFFF), st.integers(0, 100), st.integers(0xFFFFF0, 0x100000F))
TELLING = bytes(byte & 0x3F | 0x40 for byte in range(256))


@st.composite
def payloads(draw):
    size = draw(SIZES)
    return bytes((draw(st.integers(0, 255)),)) * size if draw(st.booleans()) else draw(st.randoms()).randbytes(size)


@st.composite
def wires(draw):
    """(messages in order of completion, the bytes): several chunk streams, interleaved, with changing chunk sizes."""
    writer = AnyWriter(repeat=draw(st.booleans()))
    ids = draw(st.lists(st.sampled_from([3, 4, 6, 63, 64, 319, 320, 65599]), min_size=1, max_size=3, unique=True))
    messages: list[Message] = []
    wire = b""
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 3)) == 0:
            size = draw(st.sampled_from([1, 2, 7, 100, 128, 129, 4096, 0x7FFFFFFF]))
            wire += b"".join(writer.chunks(2, (1, 0, 0, size.to_bytes(4, "big"))))
            writer.chunk_size = size
        chosen = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=len(ids), unique=True))
        queues = []
        for chunk_stream in chosen:
            time, payload = draw(TIMES if writer.repeat else TELLING_TIMES), draw(payloads())
            if not writer.repeat:
                payload = payload.translate(TELLING)
            message = (draw(KINDS), time, draw(st.integers(0, 3)), payload)
            queues.append((message, writer.chunks(chunk_stream, message, draw(st.integers(0, 3)))))
        while queues:
            index = draw(st.integers(0, len(queues) - 1))
            message, chunks = queues[index]
            wire += chunks.pop(0)
            if not chunks:
                messages.append(message)
                queues.pop(index)
    return messages, wire
