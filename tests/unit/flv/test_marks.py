"""Marks and checks: what a spool says about itself."""

import zlib

import pytest

from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.flv.marks import (
    BEGIN,
    CHECK_TAG_SIZE,
    CHECK_UNCOVERED,
    Check,
    Mark,
    boot_of,
    encode_check,
    encode_mark,
    is_check,
    is_mark,
    parse_check,
    parse_mark,
)
from livereel.flv.script import parse_script
from livereel.flv.tags import FLV_HEADER, TagReader, encode_tags
from tests.unit.media import HEADERS, NOW, gop

DATA = FLV_HEADER + encode_tags([*HEADERS, *gop(4_000_000_000)])


def body(check: bytes) -> bytes:
    return check[11:-4]


def test_a_mark_names_the_run_of_the_system_if_it_is_told() -> None:
    mark = encode_mark(NOW, "publish-1", BEGIN, 40, boot="this run")
    assert boot_of(mark.payload) == "this run"
    assert parse_mark(mark) == Mark(NOW, "publish-1", BEGIN)
    assert boot_of(encode_mark(NOW, "publish-1", BEGIN).payload) == ""
    assert boot_of(mark.payload[:40]) == boot_of(HEADERS[0].payload) == boot_of(b"") == ""


def test_a_check_is_a_tag_like_any_other() -> None:
    check, total = encode_check(DATA, 3, 999, 17)
    assert len(check) == CHECK_TAG_SIZE
    tag = TagReader().feed(DATA + check)[-1]
    assert (tag.kind, tag.timestamp) == (TAG_SCRIPT, gop(4_000_000_000)[-1].timestamp)
    assert is_mark(tag)
    assert is_check(tag.payload)
    assert parse_mark(tag) is None
    values = {"segment": 3.0, "offset": 999.0, "before": 17.0, "sum": float(total)}
    assert parse_script(tag.payload) == ("onLivereelMark", values)
    assert parse_check(tag.payload) == Check(3, 999, 17, total)


def test_the_sum_goes_on_from_the_check_before_and_covers_all_but_itself() -> None:
    check, total = encode_check(DATA, 3, 999, 17)
    covered = (DATA + check)[:-CHECK_UNCOVERED]
    assert zlib.crc32(covered, 17) == total
    assert encode_check(DATA, 3, 1000, 17)[1] != total
    assert encode_check(DATA, 3, 999, 18)[1] != total


@pytest.mark.parametrize("turned", range(0, CHECK_TAG_SIZE - 7, 5))
def test_a_damaged_check_is_none_or_is_not_right(turned: int) -> None:
    check, _ = encode_check(DATA, 3, 999, 17)
    damaged = bytearray(check)
    damaged[turned] ^= 0x81
    found = parse_check(body(bytes(damaged)))
    assert found is None or zlib.crc32((DATA + damaged)[:-CHECK_UNCOVERED], found.before) != found.sum


def test_nothing_else_is_a_check() -> None:
    for tag in (*HEADERS, encode_mark(NOW, "publish-1", BEGIN), Tag(TAG_SCRIPT, 0, b"")):
        assert not is_check(tag.payload)
        assert parse_check(tag.payload) is None
