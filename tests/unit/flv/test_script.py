import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.amf import amf0
from livereel.amf.values import AmfLimits
from livereel.domain.media import TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv import marks
from livereel.flv.script import encode_script, parse_script
from livereel.flv.tags import FlvError


def test_metadata_is_an_ecma_array():
    body = encode_script("onMetaData", {"width": 1280.0, "encoder": "x"})
    assert body[13:14] == b"\x08"
    assert parse_script(body) == ("onMetaData", {"width": 1280.0, "encoder": "x"})


def test_metadata_as_an_object_and_script_data_without_members():
    assert parse_script(amf0.encode("onMetaData", {"width": 1.0})) == ("onMetaData", {"width": 1.0})
    assert parse_script(amf0.encode("onCuePoint")) == ("onCuePoint", {})


def test_a_long_index_needs_wider_limits():
    body = encode_script("onMetaData", {"keyframes": {"times": [float(n) for n in range(2000)]}})
    with pytest.raises(FlvError):
        parse_script(body)
    assert parse_script(body, limits=AmfLimits(members=10_000))[1]["keyframes"]


@pytest.mark.parametrize("body", [b"", b"\x05", b"\x02\xff\xff", bytes(10)])
def test_damage_is_an_flv_error(body):
    with pytest.raises(FlvError):
        parse_script(body)


@given(
    st.floats(0, 1e11),
    st.text("0123456789abcdef-", min_size=1, max_size=36),
    st.sampled_from((marks.BEGIN, marks.SEGMENT, marks.TIME)),
    st.integers(0, 0xFFFFFFFF),
)
def test_marks_come_back(wall, publish, reason, timestamp):
    tag = marks.encode_mark(wall, publish, reason, timestamp)
    assert tag.timestamp == timestamp
    assert marks.is_mark(tag)
    assert marks.parse_mark(tag) == marks.Mark(wall, publish, reason)


def test_other_tags_are_no_marks():
    mark = marks.encode_mark(1.0, "p", marks.TIME)
    assert marks.parse_mark(Tag(TAG_SCRIPT, 0, encode_script("onMetaData", {}))) is None
    assert marks.parse_mark(Tag(TAG_VIDEO, 0, mark.payload)) is None
    assert marks.parse_mark(Tag(TAG_SCRIPT, 0, mark.payload[:-6])) is None
    assert marks.parse_mark(Tag(TAG_SCRIPT, 0, encode_script(marks.MARK_NAME, {"wall": "now"}))) is None
