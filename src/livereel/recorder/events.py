"""What the supervisor tells a worker and what a worker tells back: one JSON object per line, `type` names the class.

Order per task and format: FileStarted(n), [SliceReady, PlaylistReady, FileGrown]*, FileFinished(n) or FileFailed(n),
FileStarted(n + 1) ...; then TaskFinished or TaskFailed, once. After a worker was restarted the events of a file that
was not finished come again: same job id, same names, same bytes.
"""

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from livereel.domain.keys import StreamKey
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import FormatConfig, RecordFormat, RecordType


@dataclass(frozen=True, slots=True)
class Resume:
    """From where one format goes on: with file `sequence`, whose first tag is at `start`.

    `checkpoint` is the worker's own state at that place; only a worker reads it.
    """

    sequence: int
    start: SpoolPosition
    checkpoint: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"sequence": self.sequence, "start": list(self.start), "checkpoint": self.checkpoint}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Resume":
        """The inverse of `to_json`."""
        return cls(value["sequence"], SpoolPosition(*value["start"]), value["checkpoint"])


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """All that a worker needs to know about a task. A `record_cycle` of 0 means: never cut by time.

    A format that is absent from `resume` starts at the beginning of the spool.
    """

    task_id: str
    key: StreamKey
    record_type: RecordType
    formats: dict[RecordFormat, FormatConfig]
    spool_dir: Path
    work_dir: Path
    resume: dict[RecordFormat, Resume] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    """What the worker's log lines tell beside the task: the stream, the request that began it."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "task_id": self.task_id,
            "key": str(self.key),
            "record_type": self.record_type.value,
            "formats": {
                record_format.value: {
                    "record_cycle": config.record_cycle,
                    "record_prefix": config.record_prefix,
                    "merge_window": config.merge_window,
                    "slice_duration": config.slice_duration,
                    "ts_prefix": config.ts_prefix,
                }
                for record_format, config in self.formats.items()
            },
            "spool_dir": str(self.spool_dir),
            "work_dir": str(self.work_dir),
            "resume": {record_format.value: resume.to_json() for record_format, resume in self.resume.items()},
            "about": self.about,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TaskSpec":
        """The inverse of `to_json`."""
        return cls(
            task_id=value["task_id"],
            key=StreamKey.from_text(value["key"]),
            record_type=RecordType(value["record_type"]),
            formats={RecordFormat(name): FormatConfig(**config) for name, config in value["formats"].items()},
            spool_dir=Path(value["spool_dir"]),
            work_dir=Path(value["work_dir"]),
            resume={RecordFormat(name): Resume.from_json(resume) for name, resume in value["resume"].items()},
            about=value.get("about", {}),
        )


def job_id(task_id: str, record_format: RecordFormat, sequence: int) -> str:
    """The id of a record file: the same whenever the same file is made again."""
    return str(uuid.uuid5(uuid.UUID(task_id), f"{record_format.value}/{sequence}"))


@dataclass(frozen=True, slots=True)
class RecorderEvent:
    """Base of what a worker reports. Times are Unix seconds, durations seconds, sizes bytes."""

    task_id: str


@dataclass(frozen=True, slots=True)
class FileStarted(RecorderEvent):
    """A record file was begun. `start` and `checkpoint` make a `Resume` that makes this file again.

    A file without video has a `width` and `height` of 0.
    """

    job_id: str
    format: RecordFormat
    sequence: int
    start: SpoolPosition
    started_at: float
    checkpoint: dict[str, Any]
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class SliceReady(RecorderEvent):
    """A TS slice is complete at `path` and will not change. `name` is its file name beside the playlist.

    `number` counts from 0 within the file. `duration` is of its media; `ended_at` - `started_at` is longer where an
    interruption lies within the slice.
    """

    job_id: str
    name: str
    path: Path
    number: int
    started_at: float
    ended_at: float
    duration: float
    size: int


@dataclass(frozen=True, slots=True)
class PlaylistReady(RecorderEvent):
    """The playlist at `path` was replaced; it names only slices that were reported before."""

    job_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class FileGrown(RecorderEvent):
    """What stands in the file at `path` before `stable_end` (bytes) will not change, but for the head.

    The head is the first `muxing.port.HEAD_MAX` bytes at most, which are rewritten when the file is completed.
    """

    job_id: str
    path: Path
    stable_end: int


@dataclass(frozen=True, slots=True)
class FileFinished(RecorderEvent):
    """A record file is complete. For HLS `path` is the playlist's, `size` the sum of all parts.

    `resume` says from where the format goes on after this file; it saves making this one again.
    """

    job_id: str
    format: RecordFormat
    sequence: int
    path: Path
    started_at: float
    ended_at: float
    duration: float
    size: int
    width: int
    height: int
    video_codec: str
    audio_codec: str
    report: dict[str, Any]
    resume: Resume | None = None


@dataclass(frozen=True, slots=True)
class FileFailed(RecorderEvent):
    """A record file could not be made. The format makes no further files in this task; other formats go on."""

    job_id: str
    format: RecordFormat
    error: str


@dataclass(frozen=True, slots=True)
class TaskFinished(RecorderEvent):
    """The spool was read up to its end and every file of every format was reported."""

    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TaskFailed(RecorderEvent):
    """The worker can do nothing more for this task."""

    error: str


@dataclass(frozen=True, slots=True)
class OutOfRoom(RecorderEvent):
    """The disk is full: the worker has let go of the task, which has to be handed over again when there is room."""

    error: str


@dataclass(frozen=True, slots=True)
class Progress(RecorderEvent):
    """How far a worker has read. `lag_bytes` is what lies unread in the spool."""

    media_seconds: float
    spool_position: SpoolPosition
    lag_bytes: int


_EVENTS: dict[str, type[RecorderEvent]] = {
    event.__name__: event
    for event in (
        FileStarted,
        SliceReady,
        PlaylistReady,
        FileGrown,
        FileFinished,
        FileFailed,
        TaskFinished,
        TaskFailed,
        OutOfRoom,
        Progress,
    )
}


class _Codec:
    """How members that JSON does not know are written and read."""

    READ: ClassVar[dict[str, Any]] = {
        "format": RecordFormat,
        "path": Path,
        "start": lambda value: SpoolPosition(*value),
        "spool_position": lambda value: SpoolPosition(*value),
        "resume": lambda value: None if value is None else Resume.from_json(value),
    }

    @staticmethod
    def write(value: Any) -> Any:
        if isinstance(value, Resume):
            return value.to_json()
        if isinstance(value, Path):
            return str(value)
        return value


def to_json(event: RecorderEvent) -> str:
    """One line of JSON, without the line end."""
    names = [name for cls in reversed(type(event).__mro__) for name in getattr(cls, "__slots__", ())]
    members = {name: _Codec.write(getattr(event, name)) for name in names}
    return json.dumps({"type": type(event).__name__} | members, separators=(",", ":"))


def from_json(line: str | bytes) -> RecorderEvent:
    """The inverse of `to_json`; raises ValueError for anything else."""
    try:
        members = json.loads(line)
        event = _EVENTS[members.pop("type")]
        return event(**{name: _Codec.READ.get(name, lambda value: value)(value) for name, value in members.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of a recorder worker: {line[:200]!r}") from error
