import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.amf import amf0
from livereel.amf.values import AmfDate, AmfError, AmfLimits, EcmaArray

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    TEXT,
    st.builds(AmfDate, st.floats(allow_nan=False)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(TEXT, inner, max_size=5),
        st.dictionaries(TEXT, inner, max_size=5).map(EcmaArray),
    ),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=5))
def test_what_is_encoded_comes_back(values):
    try:
        assert amf0.decode(amf0.encode(*values)) == values
    except AmfError as error:
        assert "deeper" in str(error)


@given(st.binary(max_size=300))
def test_random_bytes_decode_or_raise_amf_error(data):
    with contextlib.suppress(AmfError):
        amf0.decode(data)


@given(st.lists(VALUES, min_size=1, max_size=3), st.data())
def test_a_cut_message_decodes_to_less_or_raises_amf_error(values, data):
    encoded = amf0.encode(*values)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with contextlib.suppress(AmfError):
        assert len(amf0.decode(encoded[:cut])) <= len(values)


def test_a_connect_command_from_the_wire():
    # "connect", 1, {app: "live", fpad: false, capabilities: 239, tail: null}, as a client sends it.
    wire = bytes.fromhex(
        "020007636f6e6e656374 003ff0000000000000 03 0003617070 0200046c697665 000466706164 0100"
        "000c6361706162696c6974696573 00406de00000000000 00047461696c 05 000009"
    )
    connect = ["connect", 1.0, {"app": "live", "fpad": False, "capabilities": 239.0, "tail": None}]
    assert amf0.decode(wire) == connect
    assert amf0.encode(*connect) == wire


def test_undefined_unsupported_xml_and_typed_objects():
    assert amf0.decode(b"\x06\x0d\x0f\x00\x00\x00\x03<a>") == [None, None, "<a>"]
    assert amf0.decode(b"\x10\x00\x03Foo\x00\x01a\x05\x00\x00\x09") == [{"a": None}]


def test_an_ecma_array_counts_by_its_end_marker_not_by_its_count():
    body = b"\x00\x01a\x01\x01\x00\x01b\x01\x00\x00\x00\x09"
    for count in (0, 1, 2, 0xFFFFFFFF):
        assert amf0.decode(b"\x08" + struct.pack(">I", count) + body + b"\x05") == [{"a": True, "b": False}, None]


def test_an_ecma_array_may_lack_its_end_marker_at_the_end_of_the_message():
    assert amf0.decode(b"\x08\x00\x00\x00\x01\x00\x01a\x01\x01") == [{"a": True}]


def test_an_empty_member_name_is_a_member():
    assert amf0.decode(b"\x03\x00\x00\x05\x00\x00\x09") == [{"": None}]


def test_long_strings_take_the_long_marker():
    text = "x" * 65536
    encoded = amf0.encode(text)
    assert encoded[:5] == b"\x0c\x00\x01\x00\x00"
    assert amf0.decode(encoded, limits=AmfLimits(size=70000)) == [text]


def test_broken_utf8_becomes_a_replacement_character():
    assert amf0.decode(b"\x02\x00\x02\xff\xfe") == ["\ufffd\ufffd"]


def test_numbers_keep_infinity_and_nan():
    assert amf0.decode(amf0.encode(math.inf)) == [math.inf]
    (nan,) = amf0.decode(amf0.encode(math.nan))
    assert isinstance(nan, float)
    assert math.isnan(nan)


@pytest.mark.parametrize("container", [b"\x0a\x00\x00\x00\x01", b"\x03\x00\x01a", b"\x08\x00\x00\x00\x01\x00\x01a"])
def test_nesting_is_bounded(container):
    assert amf0.decode(b"\x0a\x00\x00\x00\x01" * 16 + b"\x05")
    with pytest.raises(AmfError, match="nested deeper than 16"):
        amf0.decode(container * 5000)


def test_members_are_bounded_over_the_whole_message():
    assert len(amf0.decode(b"\x05" * 1000)) == 1000
    with pytest.raises(AmfError, match="more than 1000"):
        amf0.decode(b"\x05" * 1001)
    with pytest.raises(AmfError, match="more than 1000"):
        amf0.decode(b"\x0a\xff\xff\xff\xff" + b"\x05" * 2000)


def test_size_is_bounded():
    with pytest.raises(AmfError, match="more than the limit"):
        amf0.decode(b"\x05" * (64 * 1024 + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\x02\xff\xff",
        b"\x0c\xff\xff\xff\xffab",
        b"\x03\x00\x01a",
        b"\x07\x00\x00",  # a reference
        b"\x04",  # movie clip
        b"\x09",
        b"\xff",
    ],
)
def test_damage_is_an_amf_error(data):
    with pytest.raises(AmfError):
        amf0.decode(data)


def test_what_amf0_cannot_carry_is_refused():
    with pytest.raises(AmfError, match="bytes"):
        amf0.encode(b"raw")
    with pytest.raises(AmfError, match="member name"):
        amf0.encode({"k" * 65536: None})


def test_decode_first_says_where_it_stopped():
    data = amf0.encode("@setDataFrame", "onMetaData")
    assert amf0.decode_first(data) == ("@setDataFrame", 16)
