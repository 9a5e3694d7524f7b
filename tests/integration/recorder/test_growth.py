"""What a growing file promises: bytes that were reported final are those of the completed file."""

from pathlib import Path

import pytest

from livereel.domain.media import Tag
from livereel.domain.templates import RecordFormat
from livereel.recorder import output, task
from livereel.recorder.events import FileFinished, FileGrown, FileStarted, RecorderEvent
from livereel.recorder.muxing.port import HEAD_MAX
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import FLV, HLS, MP4, Spool, spec

MEDIA = {
    "h264 and aac": {},
    "h265 and aac, B-frames": {"video": "hevc", "b_frames": 2},
    "av1 and opus": {"video": "av1", "audio": "opus"},
    "sound only": {"video": None, "fps": 1},
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Growth is reported often, and the spool is read in small steps."""
    monkeypatch.setattr(output, "_GROWTH_SECONDS", 0.0)
    monkeypatch.setattr(output, "_GROWTH_BYTES", 1)
    monkeypatch.setattr(task, "STEP_BYTES", 50_000)


@pytest.mark.parametrize("record_format", [FLV, MP4])
@pytest.mark.parametrize("media", MEDIA)
def test_only_the_head_changes_at_the_end(
    tmp_path: Path, source: Source, record_format: RecordFormat, media: str
) -> None:
    grown, finished, seen = recorded(tmp_path, source(20, **MEDIA[media]), record_format)
    final = finished.path.read_bytes()
    assert len(final) == finished.size
    assert len(grown) >= 2
    assert [event.stable_end for event in grown] == sorted({event.stable_end for event in grown})
    for event, before in zip(grown, seen, strict=True):
        assert event.path == finished.path
        assert len(before) >= event.stable_end
        assert before[HEAD_MAX : event.stable_end] == final[HEAD_MAX : event.stable_end]
    changed = [at for at, (one, other) in enumerate(zip(seen[-1], final, strict=False)) if one != other]
    # MP4: the type and size of one box. FLV: the metadata, which begins behind the header of the file.
    assert changed[-1] < (52 if record_format is MP4 else 16 * 1024)
    assert changed[0] >= (36 if record_format is MP4 else 13)


@pytest.mark.parametrize("record_format", [FLV, MP4])
def test_a_file_made_again_has_the_same_bytes(tmp_path: Path, source: Source, record_format: RecordFormat) -> None:
    """Also when the spool is read in other steps: what went up before a worker died need not go up again."""
    tags = source(12)
    _, first, _ = recorded(tmp_path, tags, record_format)
    before = first.path.read_bytes()
    task.STEP_BYTES = 1 << 20  # the fixture puts it back
    _, again, _ = recorded(tmp_path, tags, record_format)
    assert again.path == first.path
    assert again.path.read_bytes() == before


def test_slices_are_not_growth(tmp_path: Path, source: Source) -> None:
    grown, _, _ = recorded(tmp_path, source(20), HLS)
    assert grown == []


def test_each_part_is_reported_as_soon_as_it_is_complete(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags, part = source(20), 40_000
    every, finished, _ = recorded(tmp_path, tags, FLV)
    monkeypatch.setattr(output, "_GROWTH_BYTES", part)
    grown, _, _ = recorded(tmp_path, tags, FLV)
    first = {event.stable_end // part: event.stable_end for event in reversed(every)}
    assert finished.size > 4 * part and len(first) > 3
    assert [event.stable_end for event in grown] == [end for number, end in sorted(first.items()) if number]


def recorded(
    directory: Path, tags: list[Tag], record_format: RecordFormat
) -> tuple[list[FileGrown], FileFinished, list[bytes]]:
    """Record a spool of `tags`: growth, the end, and the whole file as it was at each report of growth."""
    spool = Spool(directory / "spool")
    if not spool.task_dir.joinpath("000001.flv").exists():
        spool.publish(tags)
    events: list[RecorderEvent] = []
    seen: list[bytes] = []
    recorder = task.TaskRecorder(spec(directory, [record_format]), 0.0)
    recorder.finish_at(spool.end, 0.0)
    while not recorder.over:
        recorder.step(0.0)
        for event in recorder.events():
            events.append(event)
            if isinstance(event, FileGrown):
                seen.append(event.path.read_bytes())
    assert sum(isinstance(event, FileStarted) for event in events) == 1
    [finished] = [event for event in events if isinstance(event, FileFinished)]
    return [event for event in events if isinstance(event, FileGrown)], finished, seen
