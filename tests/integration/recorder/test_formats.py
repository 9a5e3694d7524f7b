"""A spool becomes files that decode from the first frame to the last."""

import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from livereel.amf.values import AmfLimits
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.flv.script import parse_script
from livereel.recorder import task as task_module
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileStarted,
    PlaylistReady,
    RecorderEvent,
    SliceReady,
    TaskFinished,
)
from livereel.recorder.probe import probe
from livereel.recorder.task import TaskRecorder
from livereel.testing.media import assert_sound, av_offset
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
    run,
    spec,
)

CODECS = [
    {},
    {"b_frames": 2},
    {"fps": 25, "sample_rate": 44_100, "channels": 1, "size": (322, 182)},
    {"video": "hevc"},
    {"video": "hevc", "b_frames": 2},
    {"audio": "mp3", "sample_rate": 44_100},
]


def record(tmp_path: Path, tags: list[Tag], **options: object) -> list[RecorderEvent]:
    end = Spool(tmp_path / "spool").publish(tags)
    events = run(spec(tmp_path, **options), end)  # type: ignore[arg-type]
    assert isinstance(events[-1], TaskFinished)
    return events


def one(events: list[RecorderEvent], record_format: object) -> FileFinished:
    [file] = [event for event in events if isinstance(event, FileFinished) and event.format is record_format]
    return file


def offset_of(tags: list[Tag]) -> float:
    first = {}
    for tag in tags:
        if frames([tag], tag.kind) if tag.kind in (TAG_VIDEO, TAG_AUDIO) else False:
            first.setdefault(tag.kind, tag.timestamp)
    return (first[TAG_AUDIO] - first[TAG_VIDEO]) / 1000


@pytest.mark.parametrize("options", CODECS, ids=str)
def test_every_frame_arrives_in_every_format(tmp_path: Path, source: Source, options: dict[str, object]) -> None:
    tags = source(5, **options)
    video, audio = frames(tags, TAG_VIDEO), frames(tags, TAG_AUDIO)
    events = record(tmp_path, tags)
    for record_format in ALL:
        file = one(events, record_format)
        # Audio stamped before the first key frame is outside of the file.
        early = file.report["dropped"].get("before the first key frame", 0)
        facts = assert_sound(file.path, video_frames=len(video), audio_packets=file.report["packets"]["audio"])
        assert len(audio) - 2 <= file.report["packets"]["audio"] + early <= len(audio)
        assert facts.duration == pytest.approx(file.duration, abs=0.05)
        assert file.duration == pytest.approx(5, abs=0.15)
        assert (file.width, file.height) == options.get("size", (320, 180))
        assert file.audio_codec == ("MP3" if options.get("audio") == "mp3" else "AAC")
        assert facts.video is not None and facts.audio is not None
        assert facts.audio.sample_rate == options.get("sample_rate", 48_000)
        assert facts.video.dts[0] == 0
        assert av_offset(facts) == pytest.approx(file.report["av_offset_ms"]["start"] / 1000, abs=0.0015)
        assert file.started_at == pytest.approx(WALL, abs=0.1)
        assert file.ended_at == pytest.approx(WALL + 5, abs=0.2)
        if record_format is not HLS:
            assert file.size == file.path.stat().st_size
    if options.get("video") == "hevc":
        mp4 = probe(one(events, MP4).path).video
        assert mp4 is not None and mp4.tag == "hvc1"


def test_mp4_shows_its_last_picture_wherever_it_ends(tmp_path: Path, source: Source) -> None:
    tags = source(4, b_frames=2, gop_seconds=1.5)  # fragments of 2 s begin amid groups of pictures
    places = [place for place, tag in enumerate(tags) if frames([tag], TAG_VIDEO)]
    for count in range(58, 66):
        events = record(tmp_path / str(count), tags[: places[count]], formats=(MP4,))
        assert_sound(one(events, MP4).path, video_frames=count)


def test_audio_offset_is_that_of_the_source(tmp_path: Path, source: Source) -> None:
    late = [tag._replace(timestamp=tag.timestamp + 450) if tag.kind == TAG_AUDIO else tag for tag in source(5)]
    tags = sorted(late, key=lambda tag: tag.timestamp)
    events = record(tmp_path, tags)
    for record_format in ALL:
        assert av_offset(probe(one(events, record_format).path)) == pytest.approx(offset_of(tags), abs=0.0015)


@pytest.mark.parametrize("audio", ["aac", "opus"])
def test_av1_goes_into_flv_and_mp4_but_not_into_hls(tmp_path: Path, source: Source, audio: str) -> None:
    tags = source(4, video="av1", audio=audio)
    events = record(tmp_path, tags)
    for record_format in (FLV, MP4):
        assert_sound(one(events, record_format).path, video_frames=len(frames(tags, TAG_VIDEO)))
        assert one(events, record_format).video_codec == "AV1"
    [failed] = [event for event in events if isinstance(event, FileFailed)]
    assert failed.format is HLS and "AV1" in failed.error
    assert any(isinstance(event, FileStarted) and event.job_id == failed.job_id for event in events)


def test_audio_only(tmp_path: Path, source: Source) -> None:
    tags = source(6, video=None)
    events = record(tmp_path, tags)
    for record_format in ALL:
        file = one(events, record_format)
        facts = assert_sound(file.path, audio_packets=len(frames(tags, TAG_AUDIO)))
        assert facts.video is None
        assert (file.video_codec, file.width, file.height) == ("", 0, 0)
        assert file.duration == pytest.approx(6, abs=0.1)
    durations = [piece["duration"] for piece in one(events, HLS).report["slices"]]
    assert all(duration == pytest.approx(2, abs=0.05) for duration in durations[:3])


def test_slices_tell_when_they_were_received(tmp_path: Path, source: Source) -> None:
    events = record(tmp_path, source(9), formats=[HLS])
    slices = [event for event in events if isinstance(event, SliceReady)]
    assert [piece.number for piece in slices] == list(range(len(slices)))
    assert len(slices) > 2
    assert slices[0].started_at == pytest.approx(WALL, abs=0.1)
    assert slices[-1].ended_at == one(events, HLS).ended_at
    for piece, following in pairwise(slices):
        assert piece.ended_at == pytest.approx(following.started_at, abs=0.05)
        assert piece.ended_at - piece.started_at == pytest.approx(piece.duration, abs=0.05)
    assert all(piece.size == piece.path.stat().st_size for piece in slices)
    [begun] = [event for event in events if isinstance(event, FileStarted)]
    assert (begun.width, begun.height) == (320, 180)


def test_video_only(tmp_path: Path, source: Source) -> None:
    tags = source(6, audio=None)
    events = record(tmp_path, tags)
    for record_format in ALL:
        file = one(events, record_format)
        facts = assert_sound(file.path, video_frames=len(frames(tags, TAG_VIDEO)))
        assert facts.audio is None and file.audio_codec == ""
        assert file.duration == pytest.approx(6, abs=0.1)


def test_flv_head_tells_what_is_in_the_file(tmp_path: Path, source: Source) -> None:
    file = one(record(tmp_path, source(6), formats=[FLV]), FLV)
    tags = flv_tags(file.path)
    name, values = parse_script(tags[0].payload, limits=AmfLimits())
    assert name == "onMetaData"
    assert values["duration"] == file.duration
    assert values["filesize"] == file.size
    assert (values["width"], values["height"], values["videocodecid"], values["audiocodecid"]) == (320, 180, 7, 10)
    index = values["keyframes"]
    assert isinstance(index, dict)
    times, places = index["times"], index["filepositions"]
    assert isinstance(times, list) and isinstance(places, list)
    assert len(times) == file.report["key_frames"] == 3
    data = file.path.read_bytes()
    for time, place in zip(times, places, strict=True):
        assert isinstance(time, float) and isinstance(place, float)
        at = int(place)
        assert data[at] == TAG_VIDEO and data[at + 11] == 0x17
        assert int.from_bytes(data[at + 4 : at + 7]) == round(time * 1000)


def test_playlist_is_valid_at_every_moment(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    names: list[str] = []
    end = Spool(tmp_path / "spool").publish(source(9))
    task_spec = spec(tmp_path, [HLS])
    monkeypatch.setattr(task_module, "STEP_BYTES", 20_000)
    task = TaskRecorder(task_spec, 0.0)
    task.finish_at(end, 0.0)
    while not task.over:
        task.step(0.0)
        for event in task.events():
            if isinstance(event, SliceReady):
                assert event.path.name == event.name
                names.append(event.name)
            if isinstance(event, PlaylistReady):
                text = event.path.read_text()
                listed = [line for line in text.splitlines() if not line.startswith("#")]
                assert listed == names[: len(listed)]
                assert all((event.path.parent / name).exists() for name in listed)
                seen.append(text)
    assert len(seen) == 5
    for text in seen[:-1]:
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text and "ENDLIST" not in text
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in seen[-1] and seen[-1].endswith("#EXT-X-ENDLIST\n")
    for text in seen:
        target = int(re.findall(r"TARGETDURATION:(\d+)", text)[0])
        assert target == 2
        assert all(round(float(duration)) <= target for duration in re.findall(r"EXTINF:([\d.]+)", text))
    assert re.findall(r"DATE-TIME:(\S+)", seen[-1])[0].startswith("2026-07-21T06:15:28.0")


def test_slices_stand_alone_and_continue_each_other(tmp_path: Path, source: Source) -> None:
    file = one(record(tmp_path, source(9), formats=[HLS]), HLS)
    slices = file.report["slices"]
    assert [piece["name"].rsplit("_", 1)[1] for piece in slices] == [f"{n}.ts" for n in range(5)]
    counters: dict[int, int] = {}
    total = 0
    for piece in slices:
        path = file.path.parent / piece["name"]
        data = path.read_bytes()
        assert_sound(path)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (piece["size"], piece["sha256"])
        total += len(data)
        for at in range(0, len(data), 188):
            packet = data[at : at + 188]
            assert packet[0] == 0x47
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if packet[3] & 0x10:  # has a payload
                assert pid not in counters or packet[3] & 0x0F == (counters[pid] + 1) & 0x0F
                counters[pid] = packet[3] & 0x0F
    assert total + file.path.stat().st_size == file.size
    assert not list(file.path.parent.glob("*.part"))


def test_slice_names_that_repeat_are_told_apart(tmp_path: Path, source: Source) -> None:
    task_spec = spec(tmp_path, [HLS])
    config = replace(task_spec.formats[HLS], ts_prefix="{stream} 100%")
    end = Spool(tmp_path / "spool").publish(source(6))
    [file] = finished(run(replace(task_spec, formats={HLS: config}), end), HLS)
    assert [piece["name"] for piece in file.report["slices"]] == [
        "cam01 100%.ts",
        "cam01 100%-1.ts",
        "cam01 100%-2.ts",
    ]
    listed = [line for line in file.path.read_text().splitlines() if not line.startswith("#")]
    assert listed[0] == "cam01%20100%25.ts"  # a URI, not a file name
    assert sum(probe(file.path.parent / piece["name"]).video.packets for piece in file.report["slices"]) == 180


def test_rare_key_frames_make_longer_slices(tmp_path: Path, source: Source) -> None:
    file = one(record(tmp_path, source(12, gop_seconds=5), formats=[HLS]), HLS)
    assert [piece["duration"] for piece in file.report["slices"]] == [
        pytest.approx(5, abs=0.05),
        pytest.approx(5, abs=0.05),
        pytest.approx(2, abs=0.1),
    ]
    assert "#EXT-X-TARGETDURATION:5\n" in file.path.read_text()
    assert_sound(file.path, video_frames=360)


def test_stream_without_a_frame_makes_no_file(tmp_path: Path, source: Source) -> None:
    tags = [tag for tag in source(3) if not (tag.kind == TAG_VIDEO and tag.payload[0] >> 4 == 1 and tag.payload[1])]
    events = record(tmp_path, tags)
    assert [type(event) for event in events] == [TaskFinished]
