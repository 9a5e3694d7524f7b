"""recording.json: what a task left behind, in one document beside its files.

Our own format (version 1). Times are RFC 3339 UTC, durations seconds, sizes bytes.
"""

from typing import Any

from livereel.domain.clock import rfc3339
from livereel.domain.recordings import RecordFile, Task

FORMAT_VERSION = 1


def recording_json(task: Task, files: list[RecordFile], spool: dict[str, Any]) -> dict[str, Any]:
    """The document for a task that has ended. `spool` is what the recorder says of all that was received."""
    return {
        "livereel_recording": FORMAT_VERSION,
        "task_id": task.id,
        "project_id": task.project_id,
        "publish_domain": task.key.domain,
        "app": task.key.app,
        "stream": task.key.stream,
        "record_type": task.record_type,
        "template_id": task.template.id,
        "state": task.state,
        "error": task.error,
        "started_at": _time(task.started_at),
        "ended_at": _time(task.ended_at),
        "end_reason": task.end_reason,
        "spool": spool,
        "files": [_file(file) for file in files],
    }


def _file(file: RecordFile) -> dict[str, Any]:
    return {
        "job_id": file.job_id,
        "format": file.format,
        "sequence": file.sequence,
        "state": file.state,
        "error": file.error,
        "bucket": file.bucket,
        "object": file.object_key,
        "size": file.size,
        "sha256": file.sha256,
        "started_at": _time(file.started_at),
        "ended_at": _time(file.ended_at),
        "duration": file.duration,
        "width": file.width,
        "height": file.height,
        "video_codec": file.video_codec,
        "audio_codec": file.audio_codec,
        "verification": file.verification,
        "verification_reasons": [damage.to_json() for damage in file.damages],
        "verified_at": _time(file.verified_at),
        **file.report,
    }


def _time(unix: float | None) -> str | None:
    return None if unix is None else rfc3339(unix)
