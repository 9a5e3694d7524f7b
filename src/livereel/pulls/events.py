"""What supervisor and worker say to each other, as JSON lines."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Position:
    """Where a loop of files stands: the file, the time in it (seconds), and how often the list was played through."""

    index: int = 0
    seconds: float = 0.0
    loops: int = 0


@dataclass(frozen=True, slots=True)
class PullSpec:
    """One life of a task. `destination` is an RTMP URL; `tc_url` is what its server is told it was reached by.

    `loop_time` -1 never ends. `trusted` is our own ingest, whose address needs no check; `allow_private` are networks.
    """

    task_id: str
    live: bool
    urls: tuple[str, ...]
    destination: str
    tc_url: str
    trusted: bool
    loop_time: int = -1
    position: Position = Position()
    allow_private: tuple[str, ...] = ()
    setting: str = "pulls.allow_private"

    def to_json(self) -> str:
        """One line without its end."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "PullSpec":
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(line)
        values["position"] = Position(**values["position"])
        values["urls"] = tuple(values["urls"])
        values["allow_private"] = tuple(values["allow_private"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Started:
    """The push was accepted."""


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file of the list is being played."""

    index: int
    url: str
    loops: int


@dataclass(frozen=True, slots=True)
class FileFinished:
    """A file was played to its end."""

    index: int
    url: str
    loops: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come; `sent` is seconds of media pushed in this life."""

    position: Position
    sent: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something went wrong that does not end this life: a file was left out, a track cannot be pushed."""

    error: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All files were played as often as wanted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """This life is over. `fatal`: another one would end alike."""

    error: str
    fault: Literal["source", "destination"]
    fatal: bool = False


PullEventMessage: TypeAlias = Started | FileStarted | FileFinished | Progress | Alarm | Finished | Failed

_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Started, FileStarted, FileFinished, Progress, Alarm, Finished, Failed)
}


def to_json(event: PullEventMessage) -> str:
    """One line without its end."""
    return json.dumps({"kind": type(event).__name__, **asdict(event)}, separators=(",", ":"))


def from_json(line: str | bytes) -> PullEventMessage:
    """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
    values: dict[str, Any] = json.loads(line)
    kind = _KINDS[values.pop("kind")]
    if "position" in values:
        values["position"] = Position(**values["position"])
    event: PullEventMessage = kind(**values)
    return event
