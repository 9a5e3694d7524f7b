import uuid
from pathlib import Path

import pytest

from livereel.domain.keys import StreamKey
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import FormatConfig, RecordFormat, RecordType
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileStarted,
    PlaylistReady,
    Progress,
    RecorderEvent,
    Resume,
    SliceReady,
    TaskFailed,
    TaskFinished,
    TaskSpec,
    from_json,
    job_id,
    to_json,
)

TASK = "7a6b5c4d3e2f10987a6b5c4d3e2f1098"
RESUME = Resume(3, SpoolPosition(2, 4711), {"key": [2, 4711], "pending": []})
EVENTS = [
    FileStarted(TASK, "job", RecordFormat.FLV, 1, SpoolPosition(1, 13), 12.5, {"a": [1]}),
    SliceReady(TASK, "job", "1_2_0.ts", Path("/w/1_2_0.ts"), 0, 12.5, 14.5, 2.0, 188),
    PlaylistReady(TASK, "job", Path("/w/recording.m3u8")),
    FileFinished(
        TASK, "job", RecordFormat.HLS, 2, Path("/w/r"), 1.0, 3.0, 2.0, 99, 320, 180, "H264", "AAC", {}, RESUME
    ),
    FileFinished(TASK, "job", RecordFormat.MP4, 2, Path("/w/r"), 1.0, 3.0, 2.0, 99, 0, 0, "", "AAC", {"x": 1}),
    FileFailed(TASK, "job", RecordFormat.HLS, "AV1 does not go into MPEG-TS"),
    TaskFinished(TASK, {"tags": 5}),
    TaskFailed(TASK, "broken"),
    Progress(TASK, 4.5, SpoolPosition(1, 99), 12),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_the_pipe(event: RecorderEvent) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line.encode()) == event


@pytest.mark.parametrize("line", ["{}", "[]", '{"type":"Nothing"}', '{"type":"TaskFailed"}', "3", "{"])
def test_garbage_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        from_json(line)


def test_spec_survives_the_pipe() -> None:
    spec = TaskSpec(
        TASK,
        StreamKey("push.example.com", "live", "cam01"),
        RecordType.COMMAND,
        {RecordFormat.HLS: FormatConfig(60, "a/{stream}", -1, 6, "{ts_sequence_number}")},
        Path("/spool"),
        Path("/data/work"),
        {RecordFormat.HLS: RESUME},
        {"stream": "push.example.com/live/cam01", "request_id": "r1"},
    )
    assert TaskSpec.from_json(spec.to_json()) == spec


def test_job_ids_are_stable_and_distinct() -> None:
    ids = {job_id(TASK, record_format, sequence) for record_format in RecordFormat for sequence in range(3)}
    assert len(ids) == 9
    assert job_id(TASK, RecordFormat.FLV, 1) == str(uuid.uuid5(uuid.UUID(TASK), "FLV/1"))
