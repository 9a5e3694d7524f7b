"""HLS files whose playlists are in one directory: whether slices of one could get the names of slices of the other.

Names tell seconds at best, so what matters is which variables of `record_prefix` and `record_ts_prefix` differ.
"""

import re
from collections.abc import Iterable
from typing import Final

from livereel.domain.recordings import RecordFile
from livereel.domain.states import FileState

_TIMES: Final = ("{file_start_time}", "{file_start_time_unix}", "{file_end_time}", "{file_end_time_unix}")
_STARTS: Final = _TIMES[:2]
#: What says whose file it is.
_WHOSE: Final = ("{publish_domain}", "{app}", "{stream}")
_NUMBER: Final = "{ts_sequence_number}"
#: Seconds by which the end of a file may lie behind the start of the next: both are the time of one frame.
SLACK: Final = 0.5
_NAMED: Final = 1.0  # seconds that names tell apart
_VARIABLE: Final = re.compile(r"\{[^{}]*\}")


def is_alone(record_prefix: str) -> bool:
    """Whether each file with this prefix has a directory of its own, but for files that have the same name, too."""
    found = set(_VARIABLE.findall(record_prefix.rpartition("/")[0]))
    return found.issuperset(_WHOSE) and not found.isdisjoint(_STARTS)


def ended_after(ts_prefix: str, file: RecordFile) -> float | None:
    """Files that ended before this Unix time cannot meet `file`; None: all can."""
    if not _has(ts_prefix, _TIMES):
        return None
    return file.started_at - _NAMED


def may_meet(ts_prefix: str, file: RecordFile, others: Iterable[RecordFile]) -> bool:
    """Whether names of slices of `file` can be those of slices of `others`, files in the same directory."""
    return any(_may_meet(ts_prefix, file, other) for other in others)


def _may_meet(ts_prefix: str, file: RecordFile, other: RecordFile) -> bool:
    mine, its = file.key.stream, other.key.stream
    if "{stream}" in ts_prefix and not mine.startswith(its) and not its.startswith(mine):
        return False
    if not _has(ts_prefix, _TIMES):
        return True
    if other.ended_at is None:
        return other.state is not FileState.FAILED  # which has not gone on since
    if other.ended_at > file.started_at + SLACK:
        return True
    if _has(ts_prefix, _STARTS) and _NUMBER in ts_prefix:
        # The same number in the same second: only the first slice is both late in one file and early in the next.
        return int(other.started_at) >= int(file.started_at)
    return int(other.ended_at) >= int(file.started_at)


def _has(prefix: str, variables: Iterable[str]) -> bool:
    return any(variable in prefix for variable in variables)
