import itertools
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livereel.rtmp.chunks import BUFFER_MAX, CHUNK_STREAMS_MAX, MESSAGE_MAX, ChunkWriter
from livereel.rtmp.errors import ProtocolError
from tests.unit.rtmp.streams import AnyWriter, wires

RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


def in_pieces(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def set_chunk_size(size):
    return ChunkWriter().write(2, (1, 0, 0, size.to_bytes(4, "big")))


def read_all(reader, data):
    messages = reader.feed(data)
    assert reader.failure is None
    return messages


def failure_of(reader, data):
    reader.feed(data)
    assert reader.failure is not None
    with pytest.raises(ProtocolError):
        reader.feed(b"")
    return str(reader.failure)


@RELAXED
@given(wires(), st.lists(st.integers(0, 100_000), max_size=10))
def test_any_split_gives_the_messages_that_were_sent(reader_class, sent, cuts):
    messages, wire = sent
    reader = reader_class()
    found = [message for piece in in_pieces(wire, cuts) for message in reader.feed(piece)]
    assert reader.failure is None
    assert found == messages


@settings(RELAXED, max_examples=30)
@given(wires())
def test_byte_by_byte(reader_class, sent):
    messages, wire = sent
    reader = reader_class()
    found = [message for at in range(len(wire)) for message in reader.feed(wire[at : at + 1])]
    assert found == messages


@RELAXED
@given(wires(), st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), max_size=5), st.integers(0, 100_000))
def test_damaged_bytes_end_in_a_protocol_error_at_worst(reader_class, sent, hits, cut):
    wire = bytearray(sent[1])
    for at, value in hits:
        wire[at % len(wire)] = value
    whole, parts = reader_class(), reader_class()
    found = whole.feed(bytes(wire))
    pieces = in_pieces(bytes(wire), [cut])
    again = parts.feed(pieces[0])
    if parts.failure is None:
        again = again + parts.feed(pieces[1])
    assert found == again
    assert str(whole.failure) == str(parts.failure)


@RELAXED
@given(st.binary(max_size=500))
def test_random_bytes_end_in_a_protocol_error_at_worst(reader_class, data):
    reader_class().feed(data)


@RELAXED
@given(
    st.integers(2, 65599),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=600),
    st.sampled_from([1, 127, 128, 4096]),
)
def test_what_the_writer_writes_the_reader_reads(reader_class, chunk_stream, timestamp, payload, size):
    message = (9, timestamp, 1, payload)
    wire = set_chunk_size(size) + ChunkWriter(size).write(chunk_stream, message)
    assert read_all(reader_class(), wire) == [message]


def test_header_types_as_in_the_specification(reader_class):
    """The two examples of RTMP specification 1.0, section 5.3.2."""
    audio = b"".join(
        (
            b"\x03\x00\x03\xe8\x00\x00\x20\x08\x39\x30\x00\x00" + b"a" * 32,
            b"\x83\x00\x00\x14" + b"b" * 32,
            b"\xc3" + b"c" * 32,
            b"\xc3" + b"d" * 32,
        )
    )
    assert read_all(reader_class(), audio) == [
        (8, 1000, 12345, b"a" * 32),
        (8, 1020, 12345, b"b" * 32),
        (8, 1040, 12345, b"c" * 32),
        (8, 1060, 12345, b"d" * 32),
    ]
    video = (
        b"\x04\x00\x03\xe8\x00\x01\x33\x09\x3a\x30\x00\x00" + b"x" * 128 + b"\xc4" + b"y" * 128 + b"\xc4" + b"z" * 51
    )
    assert read_all(reader_class(), video) == [(9, 1000, 12346, b"x" * 128 + b"y" * 128 + b"z" * 51)]


def test_a_type_3_message_after_a_type_0_takes_its_timestamp_for_the_delta(reader_class):
    wire = b"\x04\x00\x00\x17\x00\x00\x01\x08\x01\x00\x00\x00a" + b"\xc4b" + b"\xc4c"
    assert [message[1] for message in read_all(reader_class(), wire)] == [23, 46, 69]


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize("size", [1, 5, 128, 4096])
def test_extended_timestamps_repeated_or_not(reader_class, repeat, size):
    writer = AnyWriter(repeat=repeat)
    wire = b"".join(writer.chunks(2, (1, 0, 0, size.to_bytes(4, "big"))))
    writer.chunk_size = size
    messages = [(9, 0x01000000 + 40 * index, 1, bytes(range(200))) for index in range(5)]
    messages.append((9, 0xFFFFFFFF, 1, b"\xff" * 300))
    for message in messages:
        wire += b"".join(writer.chunks(6, message, 0))
    for piece in (len(wire), 1, 3):
        reader = reader_class()
        found = [each for at in range(0, len(wire), piece) for each in reader.feed(wire[at : at + piece])]
        assert found == messages


def test_time_goes_round(reader_class):
    writer = AnyWriter()
    wire = b"".join(writer.chunks(4, (8, 0xFFFFFFF0, 1, b"a")))
    wire += b"\x44\x00\x00\x20\x00\x00\x01\x08b"
    assert [message[1] for message in read_all(reader_class(), wire)] == [0xFFFFFFF0, 0x10]


def test_abort_drops_the_message_under_way(reader_class):
    reader = reader_class()
    first = ChunkWriter().write(6, (9, 0, 1, b"x" * 300))
    assert read_all(reader, first[: 12 + 128]) == []
    abort = ChunkWriter().write(2, (2, 0, 0, (6).to_bytes(4, "big")))
    assert read_all(reader, abort + ChunkWriter().write(6, (9, 40, 1, b"y"))) == [(9, 40, 1, b"y")]
    assert read_all(reader, ChunkWriter().write(2, (2, 0, 0, (999).to_bytes(4, "big")))) == []


@pytest.mark.parametrize("size", [1, 2, 0x7FFFFFFF])
def test_every_chunk_size_is_honoured_without_allocating_by_it(reader_class, size):
    message = (9, 0, 1, b"m" * 1000)
    wire = set_chunk_size(size) + ChunkWriter(size).write(6, message)
    reader = reader_class()
    tracemalloc.start()
    try:
        assert read_all(reader, wire) == [message]
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF])
def test_other_chunk_sizes_are_faults(reader_class, size):
    assert "chunk size" in failure_of(reader_class(), set_chunk_size(size))


def test_a_chunk_size_change_applies_inside_another_message(reader_class):
    begun = ChunkWriter().write(6, (9, 0, 1, b"x" * 300))
    wire = begun[: 12 + 128] + set_chunk_size(1000) + b"\xc6" + b"x" * 172
    assert read_all(reader_class(), wire) == [(9, 0, 1, b"x" * 300)]


def test_declared_length_allocates_nothing(reader_class):
    reader = reader_class()
    tracemalloc.start()
    try:
        wire = (
            set_chunk_size(0x7FFFFFFF) + b"\x06\x00\x00\x00" + MESSAGE_MAX.to_bytes(3, "big") + b"\x09\x01\x00\x00\x00"
        )
        assert read_all(reader, wire + b"x" * 10) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_message_over_the_limit_is_a_fault(reader_class):
    header = b"\x06\x00\x00\x00" + (MESSAGE_MAX + 1).to_bytes(3, "big") + b"\x09\x01\x00\x00\x00"
    assert "limit" in failure_of(reader_class(), header)


def test_the_largest_message_arrives_in_small_pieces_in_linear_time(reader_class):
    payload = b"k" * MESSAGE_MAX
    wire = set_chunk_size(4096) + ChunkWriter(4096).write(6, (9, 0, 1, payload))
    reader = reader_class()
    begun = time.process_time()
    found = [message for at in range(0, len(wire), 1500) for message in reader.feed(wire[at : at + 1500])]
    assert found == [(9, 0, 1, payload)]
    assert time.process_time() - begun < 2


def test_unfinished_messages_are_bounded_together(reader_class):
    reader = reader_class(10_000)
    wire = set_chunk_size(4096)
    for chunk_stream in range(3, 8):
        wire += ChunkWriter(4096).write(chunk_stream, (9, 0, 1, bytes(5000)))[: 12 + 4096]
    assert "10000 bytes" in failure_of(reader, wire)
    assert BUFFER_MAX >= MESSAGE_MAX


def test_finished_messages_free_their_share(reader_class):
    reader = reader_class(10_000)
    writer = ChunkWriter(4096)
    wire = set_chunk_size(4096) + b"".join(writer.write(6, (9, 0, 1, bytes(5000))) for _ in range(20))
    found = [message for at in range(0, len(wire), 100) for message in reader.feed(wire[at : at + 100])]
    assert len(found) == 20
    assert reader.failure is None


def test_chunk_streams_are_bounded(reader_class):
    wires_ = [ChunkWriter().write(3 + index, (8, 0, 1, b"a")) for index in range(CHUNK_STREAMS_MAX + 1)]
    reader = reader_class()
    assert len(read_all(reader, b"".join(wires_[:-1]))) == CHUNK_STREAMS_MAX
    assert "chunk streams" in failure_of(reader, wires_[-1])


@pytest.mark.parametrize("first", [b"\x83\x00\x00\x00", b"\xc3"])
def test_a_chunk_stream_cannot_begin_with_a_short_header(reader_class, first):
    assert "begins with" in failure_of(reader_class(), first)


def test_a_chunk_stream_may_begin_with_a_type_1_header(reader_class):
    assert read_all(reader_class(), b"\x42\x00\x00\x05\x00\x00\x04\x05\x00\x26\x25\xa0") == [
        (5, 5, 0, b"\x00\x26\x25\xa0")
    ]


def test_a_new_header_inside_a_message_is_a_fault(reader_class):
    begun = ChunkWriter().write(6, (9, 0, 1, b"x" * 300))[: 12 + 128]
    assert "inside another" in failure_of(reader_class(), begun + begun)


@pytest.mark.parametrize("kind", [1, 2])
def test_a_short_control_message_is_a_fault(reader_class, kind):
    assert "control message" in failure_of(reader_class(), ChunkWriter().write(2, (kind, 0, 0, b"\x00")))


def test_messages_before_a_fault_are_delivered(reader_class):
    reader = reader_class()
    good = ChunkWriter().write(4, (8, 0, 1, b"good"))
    assert reader.feed(good + b"\xff") == [(8, 0, 1, b"good")]
    assert reader.failure is not None


@pytest.mark.parametrize("size", [1, 2, 128])
def test_interleaving_costs_no_more_than_linear_time(reader_class, size):
    """Odd headers at every other chunk must not make the look-ahead scan the buffer again and again."""
    writer = AnyWriter()
    head = set_chunk_size(size)
    writer.chunk_size = size
    count = 30_000
    one = writer.chunks(4, (8, 0, 1, b"\xc6" * (count * size)))
    other = writer.chunks(6, (9, 0, 1, b"\xc4" * (count * size)))
    wire = head + b"".join(itertools.chain.from_iterable(zip(one, other, strict=True)))
    begun = time.process_time()
    assert len(read_all(reader_class(), wire)) == 2
    assert time.process_time() - begun < 3
