"""Cuts: nothing is lost and nothing comes twice."""

from itertools import pairwise
from pathlib import Path

import pytest

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.flv.marks import encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tags
from livereel.recorder.events import FileFinished, RecorderEvent, SliceReady
from livereel.recorder.probe import probe
from livereel.spool.format import segment_path
from livereel.testing.media import assert_sound
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import (
    ALL,
    FLV,
    HLS,
    MP4,
    WALL,
    Spool,
    finished,
    flv_tags,
    frames,
    is_header,
    run,
    shifted,
    spec,
)

START_CODE = b"\0\0\0\1"


def nal_units(frame: bytes, record_format: RecordFormat) -> list[bytes]:
    """NAL units of a frame without those that a muxer may add: delimiters and parameter sets."""
    units = []
    if record_format is HLS:
        units = [unit.removesuffix(b"\0") for unit in frame.replace(START_CODE, START_CODE[1:]).split(START_CODE[1:])][
            1:
        ]
    else:
        at = 0
        while at < len(frame):
            size = int.from_bytes(frame[at : at + 4])
            units.append(frame[at + 4 : at + 4 + size])
            at += 4 + size
    return [unit.rstrip(b"\0") for unit in units if unit[0] & 0x1F in (1, 5)]


def contents(file: FileFinished) -> tuple[list[bytes], list[bytes]]:
    """Codec data of all (video, audio) packets; AAC in TS without its ADTS header."""
    facts = probe(file.path, payloads=True)
    assert facts.video is not None and facts.audio is not None
    audio = facts.audio.payloads
    return facts.video.payloads, [packet[7:] for packet in audio] if file.format is HLS else audio


def early_audio(tags: list[Tag]) -> int:
    """How many audio packets lie before the first key frame: no file has them."""
    first_video = next(tag.timestamp for tag in tags if tag.kind == TAG_VIDEO and not is_header(tag))
    return sum(tag.timestamp < first_video for tag in tags if tag.kind == TAG_AUDIO and not is_header(tag))


def assert_joined(files: list[FileFinished], tags: list[Tag], first_audio: int = 0) -> None:
    """The files in order hold exactly the frames of `tags`."""
    record_format = files[0].format
    video: list[bytes] = []
    audio: list[bytes] = []
    for file in files:
        more_video, more_audio = contents(file)
        video += more_video
        audio += more_audio
    assert audio == frames(tags, TAG_AUDIO)[first_audio:]
    expected = frames(tags, TAG_VIDEO)
    if record_format is HLS:
        assert len(video) == len(expected)
        for got, sent in zip(video, expected, strict=True):
            assert nal_units(got, HLS) == nal_units(sent, MP4)
    else:
        assert video == expected


@pytest.mark.parametrize("options", [{}, {"b_frames": 2}, {"fps": 25, "sample_rate": 44_100}], ids=str)
@pytest.mark.parametrize("record_format", ALL)
def test_cycles_lose_and_double_nothing(
    tmp_path: Path, source: Source, record_format: RecordFormat, options: dict[str, object]
) -> None:
    tags = source(17, **options)
    end = Spool(tmp_path / "spool").publish(tags, segment_bytes=300_000)
    files = finished(run(spec(tmp_path, [record_format], cycle=5), end), record_format)
    assert [file.sequence for file in files] == [1, 2, 3]
    assert [file.report["ended_by"] for file in files] == ["cycle", "cycle", "end"]
    assert_joined(files, tags, early_audio(tags))
    for file in files:
        assert_sound(file.path, video_frames=file.report["packets"]["video"])
        assert file.report["dropped"] == {} or file.sequence == 1
    assert [round(file.duration) for file in files] == [6, 6, 5]
    for before, after in pairwise(files):
        assert after.started_at == pytest.approx(before.ended_at, abs=0.03)


def test_flv_files_joined_are_the_tags_of_the_spool(tmp_path: Path, source: Source) -> None:
    tags = source(12)
    end = Spool(tmp_path / "spool").publish(tags)
    files = finished(run(spec(tmp_path, [FLV], cycle=3), end), FLV)
    assert len(files) == 3
    for kind in (TAG_VIDEO, TAG_AUDIO):
        wanted = [tag for tag in tags if tag.kind == kind and not is_header(tag) and frames([tag], kind)]
        got = [
            (tag.payload, round(file.started_at * 1000) + tag.timestamp)
            for file in files
            for tag in flv_tags(file.path)
            if tag.kind == kind and not is_header(tag)
        ]
        wanted = wanted[len(wanted) - len(got) :]  # audio before the first key frame
        start = round(WALL * 1000) - tags_start(tags)
        assert got == [(tag.payload, start + tag.timestamp) for tag in wanted]
    for file in files:
        assert [is_header(tag) for tag in flv_tags(file.path)[:4]] == [True, True, True, False]


def tags_start(tags: list[Tag]) -> int:
    return next(tag.timestamp for tag in tags if not is_header(tag))


def test_audio_far_from_the_picture_is_cut_by_time(tmp_path: Path, source: Source) -> None:
    """Audio arrives 1.5 s before the picture of the same time; the spool begins with a key frame, as always."""
    media = [tag for tag in source(12) if tag.kind != TAG_SCRIPT]
    skewed = sorted(media, key=lambda tag: tag.timestamp + (0 if tag.kind == TAG_AUDIO or is_header(tag) else 1500))
    headers = [tag for tag in skewed if is_header(tag)]
    frames_from_key = [tag for tag in skewed if not is_header(tag)]
    first = next(number for number, tag in enumerate(frames_from_key) if tag.kind == TAG_VIDEO)
    media = headers + frames_from_key[first:]
    end = Spool(tmp_path / "spool").publish(media)
    for record_format in ALL:
        files = finished(run(spec(tmp_path, [record_format], cycle=4), end), record_format)
        assert len(files) == 3
        assert_joined(files, media, early_audio(media))
        for file in files:
            offset = file.report["av_offset_ms"]
            assert abs(offset["start"]) < (30 if file.sequence > 1 else 1550) and abs(offset["end"]) < 60


def test_audio_only_is_cut_by_time(tmp_path: Path, source: Source) -> None:
    tags = source(7, video=None)
    end = Spool(tmp_path / "spool").publish(tags)
    events = run(spec(tmp_path, cycle=3), end)
    for record_format in ALL:
        files = finished(events, record_format)
        assert [round(file.duration) for file in files] == [3, 3, 1]
        assert sum(file.report["packets"]["audio"] for file in files) == len(frames(tags, TAG_AUDIO))
        for file in files:
            assert_sound(file.path, audio_packets=file.report["packets"]["audio"])


def changed_midway(first: list[Tag], second: list[Tag]) -> list[Tag]:
    """The second source goes on where the first ends, within one publish."""
    return first + shifted([tag for tag in second if tag.kind != TAG_SCRIPT], first[-1].timestamp + 33)


def publish_inline(spool: Spool, tags: list[Tag], headers: int) -> SpoolPosition:
    """Publish `tags` with the first `headers` tags as headers and later ones where they stand."""
    data = FLV_HEADER + encode_tags([encode_mark(WALL, "p1", "begin"), *tags])
    segment_path(spool.task_dir, 1).write_bytes(data)
    assert all(is_header(tag) for tag in tags[:headers])
    return spool.end


@pytest.mark.parametrize(
    "second",
    [{"size": (160, 120)}, {"sample_rate": 44_100}, {"channels": 1}, {"video": "hevc"}, {"audio": None}],
    ids=str,
)
def test_change_of_parameters_cuts(tmp_path: Path, source: Source, second: dict[str, object]) -> None:
    before, after = source(4), source(4, **second)
    tags = changed_midway(before, after)
    end = publish_inline(Spool(tmp_path / "spool"), tags, 3)
    events = run(spec(tmp_path), end)
    for record_format in ALL:
        files = finished(events, record_format)
        if second.get("audio", "") is None:  # silence is no change
            assert len(files) == 1
            continue
        assert [file.report["ended_by"] for file in files] == ["parameters", "end"]
        for file in files:
            assert_sound(file.path, video_frames=120)
        facts = probe(files[1].path)
        assert facts.video is not None and facts.audio is not None
        assert (facts.video.width, facts.video.height) == second.get("size", (320, 180))
        assert (files[1].width, files[1].height) == second.get("size", (320, 180))
        assert facts.audio.sample_rate == second.get("sample_rate", 48_000)
        lost = sum(count for file in files for count in file.report["dropped"].values())
        assert lost <= 3  # audio of the new kind before the key frame of its time


def test_track_that_appears_later_cuts(tmp_path: Path, source: Source) -> None:
    before, after = source(4, audio=None), source(4)
    end = publish_inline(Spool(tmp_path / "spool"), changed_midway(before, after), 2)
    for record_format in ALL:
        files = finished(run(spec(tmp_path, [record_format]), end), record_format)
        assert [file.audio_codec for file in files] == ["", "AAC"]
        assert_sound(files[1].path, video_frames=120)


def test_repeated_headers_do_not_cut(tmp_path: Path, source: Source) -> None:
    tags = source(4)
    headers = [tag for tag in tags if is_header(tag)]
    again: list[Tag] = []
    for tag in tags:
        if tag.kind == TAG_VIDEO and not is_header(tag) and tag.payload[0] >> 4 == 1:
            again += [header._replace(timestamp=tag.timestamp) for header in headers]
        again.append(tag)
    end = publish_inline(Spool(tmp_path / "spool"), again, 3)
    events = run(spec(tmp_path), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert_sound(file.path, video_frames=120)


def interrupted(tmp_path: Path, tags: list[Tag], gap: float, merge: int) -> list[RecorderEvent]:
    spool = Spool(tmp_path / "spool")
    spool.publish(tags, wall=WALL, name="p1")
    end = spool.publish(tags, wall=WALL + 4 + gap, name="p2")
    return run(spec(tmp_path, merge=merge), end)


def test_without_a_merge_window_a_new_publish_is_a_new_file(tmp_path: Path, source: Source) -> None:
    events = interrupted(tmp_path, source(4), 3, 0)
    for record_format in ALL:
        files = finished(events, record_format)
        assert [file.report["ended_by"] for file in files] == ["interruption", "end"]
        assert files[0].ended_at == pytest.approx(WALL + 4, abs=0.2)
        assert files[1].started_at == pytest.approx(WALL + 7, abs=0.2)
        for file in files:
            assert_sound(file.path, video_frames=120)


@pytest.mark.parametrize("gap", [0.5, 30, 59])
def test_within_the_merge_window_the_file_goes_on(tmp_path: Path, source: Source, gap: float) -> None:
    tags = source(4)
    events = interrupted(tmp_path, tags, gap, 60)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert_sound(file.path, video_frames=240)
        assert file.duration == pytest.approx(8, abs=0.2)  # the joint is a step, not a hole
        [hole] = file.report["gaps"]
        assert hole["reason"] == "reconnect"
        assert hole["media_at"] == pytest.approx(4, abs=0.1)
        assert hole["wall_start"].startswith("2026-07-21T06:15:32") and hole["wall_end"].endswith("Z")
        assert hole["duration"] == pytest.approx(gap, abs=0.2)
        assert file.ended_at == pytest.approx(WALL + 8 + gap, abs=0.3)
    dates = finished(events, HLS)[0].path.read_text().split("#EXT-X-PROGRAM-DATE-TIME:")[1:]
    assert len(dates) == 4


@pytest.mark.parametrize(("gap", "times"), [(0.5, [0, 5.5, 5.5, 6.5]), (30, [0, 3, 33, 36])])
def test_no_slice_reaches_over_an_interruption(tmp_path: Path, source: Source, gap: float, times: list[float]) -> None:
    spool, tags = Spool(tmp_path / "spool"), source(3)
    spool.publish(tags, wall=WALL, name="p1")
    end = spool.publish(tags, wall=WALL + 3 + gap, name="p2")
    events = run(spec(tmp_path, merge=60, slice_duration=4), end)
    assert_sound(finished(events, HLS)[0].path, video_frames=180)
    pieces = [event for event in events if isinstance(event, SliceReady)]
    found = [time - WALL for piece in pieces for time in (piece.started_at, piece.ended_at)]
    assert found == pytest.approx(times, abs=0.2)


def test_beyond_the_merge_window_a_new_file_begins(tmp_path: Path, source: Source) -> None:
    events = interrupted(tmp_path, source(4), 62, 60)
    assert all(len(finished(events, record_format)) == 2 for record_format in ALL)


def test_new_publish_with_other_parameters_is_not_merged(tmp_path: Path, source: Source) -> None:
    spool = Spool(tmp_path / "spool")
    spool.publish(source(4), name="p1")
    end = spool.publish(source(4, size=(160, 120)), wall=WALL + 6, name="p2")
    events = run(spec(tmp_path, merge=60), end)
    for record_format in ALL:
        files = finished(events, record_format)
        assert [file.width for file in files] == [320, 160]
        for file in files:
            assert_sound(file.path, video_frames=120)
