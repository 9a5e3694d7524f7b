"""Good files are verified, and every kind of damage is found and named. Real files, real damage."""

from dataclasses import replace
from pathlib import Path

import pytest

from livereel.domain.media import TAG_VIDEO
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import DamageReason, Verdict, Verification, VerifyLevel, reasons
from livereel.flv.tags import TagReader
from tests.integration.recorder.spools import ALL, FLV, HLS, MP4
from tests.integration.verify.conftest import Made, Make

OFF, PACKETS, KEYFRAMES, FULL = VerifyLevel
HLS_CODECS: list[dict[str, object]] = [
    {},
    {"b_frames": 2},
    {"video": "hevc"},
    {"video": "hevc", "b_frames": 2},
    {"audio": "mp3", "sample_rate": 44_100},
    {"video": None},
    {"audio": None},
]
OTHER_CODECS: list[dict[str, object]] = [
    {"video": "av1"},
    {"video": "av1", "audio": "opus"},
    {"video": "vp9"},
    {"video": None, "audio": "opus"},
]
COMBINATIONS = [(options, ALL) for options in HLS_CODECS] + [(options, (FLV, MP4)) for options in OTHER_CODECS]


def words(verdict: Verdict) -> list[str]:
    assert (verdict.verification is Verification.DAMAGED) == bool(verdict.damages)
    return reasons(verdict.damages)


def flip(path: Path, at: int, count: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for offset in range(at, at + count):
        data[offset] ^= 0x55
    path.write_bytes(data)


def frame_data(path: Path, number: int) -> int:
    """Where the data of the n-th video tag of an FLV file is, well behind its head."""
    position, found = 13, 0
    for tag in TagReader().feed(path.read_bytes()):
        if tag.kind == TAG_VIDEO and len(tag.payload) > 200:
            if found == number:
                return position + 11 + len(tag.payload) * 3 // 4
            found += 1
        position += len(tag.payload) + 15
    raise AssertionError


@pytest.mark.parametrize(("options", "formats"), COMBINATIONS, ids=str)
def test_good_files_are_verified(make: Make, options: dict[str, object], formats: list[RecordFormat]) -> None:
    for record_format in formats:
        made = make(record_format, 3, gop_seconds=1, **options)
        for level in (PACKETS, KEYFRAMES, FULL):
            verdict = made.check(level)
            assert verdict == Verdict(Verification.VERIFIED, (), verdict.sha256)
        again = replace(made.account, sha256=verdict.sha256)
        assert Made(made.event, again).check(OFF) == Verdict(Verification.OFF, (), verdict.sha256)


def test_another_bit_is_found_in_whatever_frame_it_is(make: Make) -> None:
    made = make(FLV)
    flip(made.path, frame_data(made.path, 3))  # no key frame: nothing decodes it at this level
    assert words(made.check()) == ["content"]


@pytest.mark.parametrize("level", [PACKETS, KEYFRAMES])
def test_a_flipped_bit_in_an_mp4(make: Make, level: VerifyLevel) -> None:
    made = make(MP4)
    data = made.path.read_bytes()
    flip(made.path, data.index(b"mdat") + 30_000)
    assert "content" in words(made.check(level))


def test_frames_that_do_not_decode(make: Make) -> None:
    """The account says the same bytes were received: then it is the encoder's doing, and is told apart."""
    made = make(FLV)
    flip(made.path, frame_data(made.path, 0), 60)
    assert words(made.check(PACKETS)) == ["content"]
    assert words(made.check(KEYFRAMES)) == words(made.check(FULL)) == ["content", "undecodable"]
    report = {name: value for name, value in made.account.report.items() if name != "content_crc32"}
    received = replace(made.account, report=report)
    for level in (KEYFRAMES, FULL):
        verdict = Made(made.event, received).check(level)
        assert words(verdict) == ["undecodable"] and verdict.as_received
    assert Made(made.event, received).check(PACKETS).verification is Verification.VERIFIED


@pytest.mark.parametrize("record_format", [FLV, MP4])
def test_a_file_that_was_cut_off(make: Make, record_format: RecordFormat) -> None:
    made = make(record_format)
    made.path.write_bytes(made.path.read_bytes()[: made.event.size * 2 // 3])
    found = words(made.check())
    assert "size" in found
    assert "packets" in found if record_format is FLV else "unreadable" in found


@pytest.mark.parametrize("record_format", ALL)
def test_a_file_that_is_gone_or_something_else(make: Make, record_format: RecordFormat) -> None:
    made = make(record_format)
    made.path.write_bytes(b"#!/bin/sh\n" * 500)
    found = words(made.check())
    assert ("playlist" if record_format is HLS else "unreadable") in found
    made.path.unlink()
    assert words(made.check()) == ["missing"]


@pytest.mark.parametrize("record_format", ALL)
def test_packets_that_the_spool_held_and_the_file_does_not(make: Make, record_format: RecordFormat) -> None:
    made = make(record_format)
    packets = made.account.report["packets"]
    longer = made.account.report | {"packets": packets | {"audio": packets["audio"] + 1}}
    assert words(Made(made.event, replace(made.account, report=longer)).check()) == ["packets"]
    spooled = made.account.report["spooled"]
    lost = made.account.report | {"spooled": spooled | {"video": spooled["video"] + 1}}
    assert words(Made(made.event, replace(made.account, report=lost)).check()) == ["packets"]


@pytest.mark.parametrize("record_format", ALL)
def test_another_account(make: Make, record_format: RecordFormat) -> None:
    made = make(record_format)
    report = made.account.report

    def told(**changes: object) -> list[str]:
        return words(Made(made.event, replace(made.account, **changes)).check(PACKETS))

    assert told(duration=made.account.duration + 1) == ["duration"]
    assert told(video_codec="H265") == ["tracks"]
    assert told(report=report | {"packets": {"video": report["packets"]["video"], "audio": 0}})[0] == "tracks"
    assert told(report=report | {"last_dts": report["last_dts"] | {"audio": 4.0}}) == ["times"]
    assert told(report=report | {"first_dts": report["first_dts"] | {"audio": 0.5}}) == ["times"]
    if record_format is not HLS:
        assert told(report=report | {"key_frames": 2}) == ["key_frames"]
        assert told(sha256="0" * 64) == ["checksum"]
        assert told(size=1) == ["size"]


def test_slices_that_are_missing_cut_swapped_or_changed(make: Make) -> None:
    made = make(HLS, 9)
    first, second, third, *_ = made.slices
    whole = {path: path.read_bytes() for path in made.slices}

    third.unlink()
    found = made.check()
    assert words(found)[0] == "missing" and "packets" in words(found)
    assert [damage.object for damage in found.damages if damage.reason is DamageReason.MISSING] == [third.name]
    third.write_bytes(whole[third])

    second.write_bytes(whole[second][: len(whole[second]) // 376 * 188])
    found = made.check()
    assert "size" in words(found) and "packets" in words(found)
    assert {damage.object for damage in found.damages} == {second.name, ""}
    second.write_bytes(whole[second])

    first.write_bytes(whole[second])
    second.write_bytes(whole[first])
    found = made.check()
    assert "order" in words(found)
    assert {damage.object for damage in found.damages} >= {first.name, second.name}
    first.write_bytes(whole[first])
    second.write_bytes(whole[second])

    flip(third, 188 * 40 + 100)
    found = made.check(PACKETS)
    assert [(damage.reason.value, damage.object) for damage in found.damages] == [("checksum", third.name)]
    third.write_bytes(whole[third])
    assert made.check().verification is Verification.VERIFIED


def test_a_slice_that_begins_with_no_key_frame(make: Make) -> None:
    """Slices cut elsewhere: all packets are there and in order, but a player cannot begin with each."""
    made = make(HLS, 9)
    first, second, *_ = made.slices
    data = first.read_bytes() + second.read_bytes()
    middle = len(first.read_bytes()) // 376 * 188
    first.write_bytes(data[:middle])
    second.write_bytes(data[middle:])
    found = made.check(PACKETS)
    assert ("key_frame_first", second.name) in [(damage.reason.value, damage.object) for damage in found.damages]


def test_playlists_that_name_other_slices(make: Make) -> None:
    made = make(HLS, 9)
    text = made.path.read_text()
    head, *pieces, tail = text.split("#EXT-X-PROGRAM-DATE-TIME")
    pieces = ["#EXT-X-PROGRAM-DATE-TIME" + piece for piece in pieces]
    tail, end = tail.split("#EXT-X-ENDLIST")
    pieces.append("#EXT-X-PROGRAM-DATE-TIME" + tail)
    end = "#EXT-X-ENDLIST" + end

    def told(text: str) -> list[tuple[str, str]]:
        made.path.write_text(text)
        return [(damage.reason.value, damage.detail) for damage in made.check(PACKETS).damages]

    assert told(text) == []
    without = told(head + "".join(pieces[1:]) + end)
    assert [word for word, _ in without] == ["size", "playlist", "duration"]
    assert made.slices[0].name in without[1][1]
    swapped = told(head + "".join([pieces[1], pieces[0], *pieces[2:]]) + end)
    assert swapped == [("playlist", "it names slices out of order")]
    assert [word for word, _ in told(head + "".join(pieces))] == ["size", "playlist"]
    elsewhere = told(text.replace(made.slices[0].name, "../other.ts"))
    assert elsewhere[-1] == ("playlist", f"it does not name {made.slices[0].name}, it names ../other.ts")
    made.path.write_bytes(b"\xff\xfe")
    assert "playlist" in words(made.check(PACKETS))
