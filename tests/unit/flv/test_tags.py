import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.tags import FLV_HEADER, TAG_OVERHEAD, FlvError, TagReader, encode_tag, encode_tags

TAGS = st.lists(
    st.builds(
        Tag,
        st.sampled_from((TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT)),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=50),
    ),
    max_size=8,
)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


@given(TAGS, st.lists(st.integers(0, 1000), max_size=6))
def test_tags_come_back_however_the_file_is_cut(tags, cuts):
    file = FLV_HEADER + encode_tags(tags)
    reader = TagReader()
    found = [tag for piece in in_pieces(file, cuts) for tag in reader.feed(piece)]
    assert found == tags
    assert reader.position == len(file)


@given(TAGS, st.integers(0, 10_000))
def test_position_counts_whole_tags_only(tags, cut):
    file = FLV_HEADER + encode_tags(tags)
    file = file[: cut % (len(file) + 1)]
    reader = TagReader()
    whole = reader.feed(file)
    if len(file) >= len(FLV_HEADER):
        assert reader.position == len(FLV_HEADER) + sum(len(encode_tag(tag)) for tag in whole)
    else:
        assert reader.position == 0
    assert whole == tags[: len(whole)]


@given(TAGS, st.binary(max_size=60))
def test_garbage_after_tags_never_loses_them(tags, garbage):
    file = FLV_HEADER + encode_tags(tags)
    reader = TagReader()
    found = []
    try:
        found += reader.feed(file + garbage)
        reader.feed(b"")
    except FlvError:
        pass
    if tags:
        assert found[: len(tags)] == tags


def test_the_bytes_of_a_tag():
    assert encode_tag(Tag(TAG_VIDEO, 0x12345678, b"abc")) == bytes.fromhex(
        "09 000003 345678 12 000000 616263 0000000e"
    ), "type, size, time with its high byte last, stream id, body, size of all that"
    assert len(encode_tag(Tag(TAG_AUDIO, 0, b""))) == TAG_OVERHEAD


def test_reading_from_the_middle():
    tags = [Tag(TAG_AUDIO, time, bytes(time)) for time in range(5)]
    file = FLV_HEADER + encode_tags(tags)
    start = len(FLV_HEADER) + len(encode_tags(tags[:2]))
    reader = TagReader(start)
    assert reader.feed(file[start:]) == tags[2:]
    assert reader.position == len(file)


@pytest.mark.parametrize(
    "damaged",
    [
        b"not an FLV file",
        b"FLV\x02\x05\x00\x00\x00\x09\x00\x00\x00\x00",
        b"FLV\x01\x05\xff\xff\xff\xff\x00\x00\x00\x00",
        b"FLV\x01\x05\x00\x00\x00\x00\x00\x00\x00\x00",
        FLV_HEADER + bytes(100),
        FLV_HEADER + encode_tag(Tag(TAG_AUDIO, 0, b"abc"))[:-1] + b"\xff",
    ],
)
def test_damage_raises_and_stays(damaged):
    reader = TagReader()
    with pytest.raises(FlvError):
        reader.feed(damaged)
    with pytest.raises(FlvError):
        reader.feed(FLV_HEADER)


def test_whole_tags_in_front_of_damage_are_returned_first():
    tags = [Tag(TAG_AUDIO, 0, b"one"), Tag(TAG_AUDIO, 1, b"two")]
    good = FLV_HEADER + encode_tags(tags)
    reader = TagReader()
    assert reader.feed(good + bytes(100)) == tags
    assert reader.position == len(good)
    with pytest.raises(FlvError, match=f"offset {len(good)}"):
        reader.feed(b"")


def test_a_longer_file_header_is_skipped():
    file = b"FLV\x01\x05\x00\x00\x00\x0b\xff\xff\x00\x00\x00\x00" + encode_tag(Tag(TAG_AUDIO, 0, b"a"))
    assert TagReader().feed(file) == [Tag(TAG_AUDIO, 0, b"a")]


def test_a_body_that_does_not_fit_is_refused():
    with pytest.raises(FlvError, match="24-bit"):
        encode_tag(Tag(TAG_VIDEO, 0, bytes(1 << 24)))
