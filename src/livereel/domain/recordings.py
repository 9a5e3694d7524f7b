"""Recording tasks, record files and their parts. All times are Unix seconds (UTC), all durations seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import RecordFormat, RecordType, Template
from livereel.domain.verification import Damage, Verification

ARMED_LIMIT_DEFAULT = 7 * 86_400.0  # seconds an armed START holds unless it says otherwise: a weekly show
ARMED_LIMIT_MIN, ARMED_LIMIT_MAX = 60.0, 30 * 86_400.0
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
    PLAN_END = "plan_end"  #: the planned interval ended, or the plan was deleted
    ARMED_LIMIT = "armed_limit"  #: an armed START reached its limit before STOP
    DOMAIN = "domain"  #: it waited for its stream, and the ingest domain became another project's
    SPOOL_FAILED = "spool_failed"  #: the spool could not be written any more
    DISK = "disk"  #: the disk was nearly full; ended while there was room to finish the files


class DeleteReason(StrEnum):
    """Why a record file is not there any more."""

    RETENTION = "retention"  #: too old, or others needed the room
    API = "api"  #: somebody deleted the recording


class StreamInfo(NamedTuple):
    """What the API tells about a live stream (realtime/streams). Bit rates are kbit/s, frame rates frames/s."""

    key: StreamKey
    client_ip: str
    started_at: float
    video_codec: str
    audio_codec: str
    width: int
    height: int
    frame_rate: float
    audio_frame_rate: float
    video_bitrate: int
    audio_bitrate: int


class GapReason(StrEnum):
    """Why media is missing."""

    RECONNECT = "reconnect"  #: the push broke and came back within the merge window
    TAKEOVER = "takeover"  #: a standby went on when the live push broke
    SILENCE = "silence"  #: the encoder sent nothing; its clock went on, and so does the file's
    TIMESTAMP_JUMP = "timestamp_jump"  #: more time passed than the encoder's stamps say; they were set, or it was late
    SPOOL = "spool"  #: what was received cannot be read any more


@dataclass(frozen=True, slots=True)
class Gap:
    """Media that is missing from a record file.

    `media_at` is where in the file, seconds from its start. `duration` is how many seconds are missing, None if nobody
    knows. `wall_start` and `wall_end` are Unix times: nothing of what was sent in between is in the file.
    """

    reason: GapReason
    media_at: float
    duration: float | None
    wall_start: float
    wall_end: float | None


@dataclass(frozen=True, slots=True)
class Task:
    """One recording from START (or publish) to its end.

    `armed` and `pre_roll` (seconds) are what this START asked for. `deadline` is when the task ends by itself: the end
    of the open merge window, of the planned interval or of an armed START. `plan_id` names the plan that began it.
    """

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
    armed: bool = False
    pre_roll: float = 0.0
    deadline: float | None = None
    plan_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One output file of one format of a task.

    `job_id` names the file in callbacks. `checkpoint` is the recorder's own state at the file's first tag; with
    `start` it lets a new worker make the same file again. `report` holds counts, gaps and offsets for recording.json.
    `deleted_at` is when its deletion was decided. `verification` is None for a file that nobody was to look at yet;
    `damages` is what reading it again found wrong, and `verified_at` when that was.
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
    deleted_at: float | None = None
    delete_reason: DeleteReason | None = None
    verification: Verification | None = None
    damages: tuple[Damage, ...] = ()
    verified_at: float | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """One stored TS slice of an HLS record file: what `record/indexes` lists. `size` is bytes."""

    job_id: str
    sequence: int  # from 0, within the file
    object_key: str
    started_at: float
    ended_at: float
    duration: float
    size: int


# Limits of schedule/record/tasks (spec huawei-live-recording.md section 7), seconds.
PLAN_MAX_SPAN = 24 * 3600.0
PLAN_MAX_AHEAD = 7 * 86_400.0
PLAN_LIST_MAX_SPAN = 7 * 86_400.0
PLAN_LIST_MAX_AGE = 90 * 86_400.0


@dataclass(frozen=True, slots=True)
class PlanTask:
    """A planned recording: the stream is recorded with the template if it is pushed within the interval.

    `stop_at` is when the plan ended by itself or was deleted, None while it is in force. `recording_task_id` is the
    latest recording that it began.
    """

    id: str
    project_id: str
    key: StreamKey
    start_at: float
    end_at: float
    template_id: str
    created_at: float
    stop_at: float | None = None
    recording_task_id: str | None = None

    def __post_init__(self) -> None:
        if self.end_at <= self.start_at:
            raise InvalidParameter("end_time must be after start_time")
        if self.end_at - self.start_at > PLAN_MAX_SPAN:
            raise InvalidParameter("end_time may be at most 24 hours after start_time")


def check_plan_end(end_at: float, now: float) -> float:
    """Return `end_at` if a plan made `now` may end then; raises InvalidParameter."""
    if end_at <= now:
        raise InvalidParameter("end_time must be in the future")
    if end_at >= now + PLAN_MAX_AHEAD:
        raise InvalidParameter("end_time must be less than 7 days ahead")
    return end_at


def plan_list_window(start: float | None, end: float, now: float) -> tuple[float, float]:
    """The interval within which listed plans must lie; without `start` the longest one. Raises InvalidParameter."""
    if start is None:
        start = end - PLAN_LIST_MAX_SPAN
    elif start < now - PLAN_LIST_MAX_AGE:
        raise InvalidParameter("start_time may be at most 90 days ago")
    if end <= start:
        raise InvalidParameter("end_time must be after start_time")
    if end < now - PLAN_LIST_MAX_AGE:
        raise InvalidParameter("end_time may be at most 90 days ago")
    if end - start > PLAN_LIST_MAX_SPAN:
        raise InvalidParameter("end_time may be at most 7 days after start_time")
    return start, end


INDEX_MAX_SPAN = 12 * 3600.0  # seconds (spec huawei-live-recording.md section 5)
INDEX_MAX_AGE = 30 * 86_400.0


def check_index_window(start: float, end: float, now: float) -> tuple[float, float]:
    """Return (`start`, `end`) if `record/indexes` may be asked for it; raises InvalidParameter.

    `end` may lie ahead: the newest pages ask only that it is after the start.
    """
    if start > now:
        raise InvalidParameter("start_time may not be later than now")
    if start < now - INDEX_MAX_AGE:
        raise InvalidParameter("start_time may be at most 30 days ago")
    if end <= start:
        raise InvalidParameter("end_time must be after start_time")
    if end - start > INDEX_MAX_SPAN:
        raise InvalidParameter("end_time may be at most 12 hours after start_time")
    return start, end
