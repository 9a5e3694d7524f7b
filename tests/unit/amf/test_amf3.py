import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.amf import amf0, amf3
from livereel.amf.values import AmfDate, AmfError

DOUBLE = b"\x3f\xf8\x00\x00\x00\x00\x00\x00"  # 1.5


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x00", None),
        (b"\x01", None),
        (b"\x02", False),
        (b"\x03", True),
        (b"\x04\x05", 5.0),
        (b"\x04\x81\x00", 128.0),
        (b"\x04\xff\xff\xff\xff", -1.0),
        (b"\x04\xbf\xff\xff\xff", 268435455.0),
        (b"\x04\xc0\x80\x80\x00", -268435456.0),
        (b"\x05" + DOUBLE, 1.5),
        (b"\x06\x07abc", "abc"),
        (b"\x06\x01", ""),
        (b"\x07\x07<a>", "<a>"),
        (b"\x0b\x07<a>", "<a>"),
        (b"\x08\x01" + DOUBLE, AmfDate(1.5)),
        (b"\x09\x05\x01\x04\x01\x04\x02", [1.0, 2.0]),
        (b"\x09\x03\x03k\x03\x01\x02", {"k": True, "0": False}),
        (b"\x0a\x0b\x01\x03k\x04\x07\x01", {"k": 7.0}),  # a dynamic object without a class
        (b"\x0a\x23\x01\x03a\x03b\x03\x02", {"a": True, "b": False}),  # two sealed members
        (b"\x0c\x07abc", b"abc"),
        (b"\x0d\x03\x00\xff\xff\xff\xff", [-1.0]),
        (b"\x0e\x03\x00\xff\xff\xff\xff", [4294967295.0]),
        (b"\x0f\x03\x00" + DOUBLE, [1.5]),
        (b"\x10\x03\x00\x01\x03", [True]),
        (b"\x11\x03\x00\x06\x03k\x03", {"k": True}),
    ],
)
def test_each_type(data, value):
    assert amf3.decode(data) == [value]


def test_strings_and_traits_are_remembered_within_a_value():
    assert amf3.decode(b"\x09\x05\x01\x06\x05hi\x06\x00") == [["hi", "hi"]]
    assert amf3.decode(b"\x09\x05\x01\x0a\x13\x01\x03a\x03\x0a\x01\x02") == [[{"a": True}, {"a": False}]]


def test_amf0_switches_to_amf3_by_a_marker():
    assert amf0.decode(amf0.encode("connect", 1) + b"\x11\x0a\x0b\x01\x03k\x04\x07\x01" + amf0.encode(None)) == [
        "connect",
        1.0,
        {"k": 7.0},
        None,
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x12",  # no such type
        b"\x06\x02",  # a string that was never sent
        b"\x0a\x05",  # traits that were never sent
        b"\x0a\x02",  # an object reference
        b"\x0a\x07\x01",  # externalizable
        b"\x09\x04",  # an array reference
        b"\x0c\xff\xff\xff\xff",
        b"\x09\xff\xff\xff\xff\x01",
        b"\x05\x00",
    ],
)
def test_damage_is_an_amf_error(data):
    with pytest.raises(AmfError):
        amf3.decode(data)


def test_nesting_and_members_are_bounded():
    with pytest.raises(AmfError, match="deeper"):
        amf3.decode(b"\x09\x03\x01" * 100)
    with pytest.raises(AmfError, match="more than 1000"):
        amf3.decode(b"\x09\xbf\xff\xff\xff\x01" + b"\x01" * 2000)
    with pytest.raises(AmfError, match="more than 1000"):
        amf3.decode(b"\x0d\xbf\xff\xff\xff\x00" + b"\x00" * 8000)
    with pytest.raises(AmfError, match="more than 1000"):
        amf3.decode(b"\x0a\xbf\xff\xff\xfb\x01" + b"\x01" * 2000)


@given(st.binary(max_size=300))
def test_random_bytes_decode_or_raise_amf_error(data):
    with contextlib.suppress(AmfError):
        amf3.decode(data)
