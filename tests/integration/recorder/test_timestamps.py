"""Whatever encoders stamp, files play and last as long as the media."""

from collections.abc import Callable
from pathlib import Path

import pytest

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.testing.media import assert_sound
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, WALL, Spool, finished, frames, is_header, run, shifted, spec

Change = Callable[[list[Tag]], list[Tag]]
HOUR = 3_600_000


def midway(milliseconds: int) -> Change:
    """From the middle on every stamp is off by so much."""

    def change(tags: list[Tag]) -> list[Tag]:
        middle = tags[-1].timestamp // 2
        return [shifted([tag], milliseconds)[0] if tag.timestamp >= middle else tag for tag in tags]

    return change


def equal_pairs(tags: list[Tag]) -> list[Tag]:
    last: dict[int, int] = {}
    result = []
    for number, tag in enumerate(tags):
        timestamp = tag.timestamp
        if not is_header(tag):
            timestamp = last.get(tag.kind, timestamp) if number % 2 else timestamp
            last[tag.kind] = timestamp
        result.append(tag._replace(timestamp=timestamp))
    return result


def jitter(tags: list[Tag]) -> list[Tag]:
    """Every seventh frame is stamped 60 ms too early."""
    return [
        tag._replace(timestamp=max(0, tag.timestamp - 60)) if number % 7 == 6 and not is_header(tag) else tag
        for number, tag in enumerate(tags)
    ]


def audio_epoch(tags: list[Tag]) -> list[Tag]:
    """Audio counts from another zero."""
    return [shifted([tag], 1_000_000_000)[0] if tag.kind == TAG_AUDIO else tag for tag in tags]


ZOO: dict[str, Change] = {
    "as sent": lambda tags: tags,
    "wraps": lambda tags: shifted(tags, (1 << 32) - 3000),
    "sign bit": lambda tags: shifted(tags, (1 << 31) - 3000),
    "24 bits": lambda tags: shifted(tags, (1 << 24) - 3000),
    "jumps an hour": midway(HOUR),
    "jumps back an hour": lambda tags: midway(-HOUR)(shifted(tags, 2 * HOUR)),
    "falls back to nearly zero": midway(-2900),
    "steps back a little": midway(-120),
    "equal stamps": equal_pairs,
    "jitter": jitter,
    "audio from another zero": audio_epoch,
}


@pytest.mark.parametrize("name", ZOO)
def test_zoo(tmp_path: Path, source: Source, name: str) -> None:
    tags = source(8)
    end = Spool(tmp_path / "spool").publish(ZOO[name](tags), arrived=tags)
    events = run(spec(tmp_path), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert_sound(file.path, video_frames=len(frames(tags, TAG_VIDEO)))
        assert file.report["packets"]["audio"] >= len(frames(tags, TAG_AUDIO)) - 4
        assert file.duration == pytest.approx(8, abs=0.2)
        offset = file.report["av_offset_ms"]
        assert abs(offset["end"]) < 150, offset


def test_restart_at_zero_on_a_new_publish(tmp_path: Path, source: Source) -> None:
    spool = Spool(tmp_path / "spool")
    spool.publish(shifted(source(4), 5 * HOUR), name="p1")
    end = spool.publish(source(4), wall=WALL + 5, name="p2")
    events = run(spec(tmp_path, merge=60), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert_sound(file.path, video_frames=240)
        assert file.duration == pytest.approx(8, abs=0.2)


def test_true_pause_stays_and_is_reported(tmp_path: Path, source: Source) -> None:
    tags = midway(6000)(source(4))
    end = Spool(tmp_path / "spool").publish(tags)
    events = run(spec(tmp_path), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert file.duration == pytest.approx(10, abs=0.2)
        [gap] = file.report["gaps"]
        assert gap["reason"] == "silence" and gap["duration"] == pytest.approx(6, abs=0.1)


def test_slow_video_keeps_its_time(tmp_path: Path, source: Source) -> None:
    """One frame a second and no audio: durations come from stamps, never from a frame rate."""
    tags = source(60, fps=1, audio=None)
    end = Spool(tmp_path / "spool").publish(tags)
    events = run(spec(tmp_path), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert_sound(file.path, video_frames=60)
        assert file.duration == pytest.approx(60, abs=1.1)


def test_media_that_is_missing_behind_a_set_clock_is_a_gap(tmp_path: Path, source: Source) -> None:
    """The encoder lost 7 s and set its clock back: stamps go on without a hole, the wall clock knows better."""
    tags = source(12)
    before = [tag for tag in tags if is_header(tag) or tag.timestamp < 4000]
    after = [tag for tag in tags if not is_header(tag) and tag.timestamp >= 4000]
    late = before + shifted(after, 7000)
    end = Spool(tmp_path / "spool").publish(before + after, arrived=late)
    for record_format, [file] in ((name, finished(run(spec(tmp_path, [name]), end), name)) for name in ALL):
        [gap] = file.report["gaps"]
        assert (gap["reason"], gap["duration"]) == ("timestamp_jump", pytest.approx(7, abs=0.1)), record_format
        assert gap["media_at"] == pytest.approx(4, abs=0.1)
        assert gap["wall_start"] < gap["wall_end"]


def test_what_cannot_be_read_of_the_spool_is_a_gap(tmp_path: Path, source: Source) -> None:
    spool = Spool(tmp_path / "spool")
    end = spool.publish(source(8), segment_bytes=200_000)
    second = spool.task_dir / sorted(path.name for path in spool.task_dir.iterdir())[1]
    second.write_bytes(b"no FLV at all" + second.read_bytes()[13:])
    for record_format in ALL:
        [file] = finished(run(spec(tmp_path, [record_format]), end), record_format)
        [gap] = file.report["gaps"]
        assert (gap["reason"], gap["duration"], gap["wall_end"]) == ("spool", None, None)
        assert gap["media_at"] == file.duration
