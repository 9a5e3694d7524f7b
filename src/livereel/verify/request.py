"""What is asked of a verification worker, and what it answers: one JSON object per line.

A worker answers with any number of `Progress` lines, which say that it is alive, and one line with the result.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import VerifyLevel
from livereel.recorder.events import TaskSpec


@dataclass(frozen=True, slots=True)
class Account:
    """What a file has to hold: `report` as the recorder made it (or recording.json keeps it), `duration` in seconds.

    `sha256` is that of the file or playlist if it is known from before. Codecs are named as in RecordFile.
    """

    format: RecordFormat
    report: dict[str, Any]
    duration: float
    video_codec: str
    audio_codec: str
    size: int | None = None
    sha256: str | None = None

    @property
    def slices(self) -> list[dict[str, Any]]:
        """The slices of an HLS file: name, duration, size, sha256."""
        return list(self.report.get("slices", ()))

    @property
    def main_size(self) -> int | None:
        """Bytes of the file, or of the playlist alone."""
        return None if self.size is None else self.size - sum(piece["size"] for piece in self.slices)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": self.format.value,
            "report": self.report,
            "duration": self.duration,
            "video_codec": self.video_codec,
            "audio_codec": self.audio_codec,
            "size": self.size,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Account":
        """The inverse of `to_json`."""
        return cls(**(value | {"format": RecordFormat(value["format"])}))


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """Read the file at `path` again; slices lie beside the playlist under their own names."""

    path: Path
    account: Account
    level: VerifyLevel


@dataclass(frozen=True, slots=True)
class RemakeRequest:
    """Make one file from the spool again. `spec` names its format only, and where the file begins; `end` bounds it."""

    spec: TaskSpec
    job_id: str
    end: SpoolPosition


def to_line(request: CheckRequest | RemakeRequest) -> bytes:
    """A request as a line."""
    if isinstance(request, CheckRequest):
        value: dict[str, Any] = {
            "do": "check",
            "path": str(request.path),
            "account": request.account.to_json(),
            "level": request.level.value,
        }
    else:
        value = {
            "do": "remake",
            "spec": request.spec.to_json(),
            "job_id": request.job_id,
            "end": list(request.end),
        }
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> CheckRequest | RemakeRequest:
    """The inverse of `to_line`."""
    value = json.loads(line)
    if value["do"] == "check":
        return CheckRequest(Path(value["path"]), Account.from_json(value["account"]), VerifyLevel(value["level"]))
    return RemakeRequest(TaskSpec.from_json(value["spec"]), value["job_id"], SpoolPosition(*value["end"]))
