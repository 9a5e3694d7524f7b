"""Recording tasks, record files and their parts. All times are Unix seconds (UTC), all durations seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from livereel.domain.keys import StreamKey
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import RecordFormat, RecordType, Template

MIN_PAUSE_AFTER_STOP = 10.0  # seconds between STOP and the next START (spec huawei-live-recording.md section 1)


class SpoolPosition(NamedTuple):
    """A place in a task's spool: segment number (from 1) and byte offset in it. They order as they were written."""

    segment: int
    offset: int


class EndReason(StrEnum):
    """Why a task took no more tags."""

    STOP = "stop"  #: STOP command
    PUBLISH_DONE = "publish_done"  #: the push ended and no merge window was open
    MERGE_WINDOW = "merge_window"  #: the stream did not come back in time
    RECOVERY = "recovery"  #: the server stopped or died; ended at the next start
    SHUTDOWN = "shutdown"  #: orderly stop of the server
    SPOOL_FAILED = "spool_failed"  #: the spool could not be written any more


class StreamInfo(NamedTuple):
    """What the API tells about a live stream (realtime/streams). Rates are kbit/s."""

    key: StreamKey
    client_ip: str
    started_at: float
    video_codec: str
    audio_codec: str
    width: int
    height: int
    frame_rate: float
    video_bitrate: int
    audio_bitrate: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Media that is missing from a record file: where in the file (seconds from its start) and how long."""

    at: float
    duration: float
    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """One recording from START (or publish) to its end."""

    id: str
    project_id: str
    key: StreamKey
    record_type: RecordType
    template: Template
    state: TaskState
    node: str
    started_at: float
    ended_at: float | None = None
    end_reason: EndReason | None = None
    spool_end: SpoolPosition | None = None
    completed_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One output file of one format of a task.

    `job_id` names the file in callbacks. `checkpoint` is the recorder's own state at the file's first tag; with
    `start` it lets a new worker make the same file again. `report` holds counts, gaps and offsets for recording.json.
    """

    job_id: str
    asset_id: str
    task_id: str
    project_id: str
    key: StreamKey
    record_type: RecordType
    format: RecordFormat
    sequence: int
    state: FileState
    bucket: str
    location: str
    object_key: str
    start: SpoolPosition
    started_at: float
    checkpoint: dict[str, Any] = field(default_factory=dict)
    ended_at: float | None = None
    size: int | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    sha256: str | None = None
    report: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
