"""What is on its way into a store: kept over restarts, and shown to whoever waits for it. Times are Unix seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class UploadState(StrEnum):
    """Where an upload stands. What is stored has none any more."""

    SENDING = "sending"  #: it goes up, or waits for its store
    DISCARDING = "discarding"  #: what it left in its store is not wanted any more and has to be removed there


@dataclass(frozen=True, slots=True)
class Upload:
    """A record file on its way into a bucket.

    `upload_id` is the store's name of an upload in parts, each of `part_size` bytes; None for a file that goes up whole
    or in slices, or whose upload is just being begun. `size` counts the bytes that can be sent now and were not
    confirmed yet, and those that were: `sent`. `waiting_since` is None while nothing waits. `put_keys` are objects that
    may be there although nobody confirmed them; whoever discards the upload deletes them.
    """

    id: str
    job_id: str
    task_id: str
    project_id: str
    node: str
    bucket: str
    object_key: str
    state: UploadState
    created_at: float
    updated_at: float
    upload_id: str | None = None
    part_size: int = 0
    size: int = 0
    sent: int = 0
    waiting_since: float | None = None
    attempts: int = 0  # that failed since the last success
    last_error: str | None = None
    next_retry_at: float | None = None
    put_keys: list[str] = field(default_factory=list)


class BucketBacklog(NamedTuple):
    """What waits for a bucket: files, bytes that it has not confirmed, since when, and why."""

    bucket: str
    files: int
    bytes: int
    waiting_since: float | None
    last_error: str | None


class UploadPart(NamedTuple):
    """A part that the store has confirmed: MD5 (hex) of its bytes, and what the store calls it."""

    number: int  # from 1
    size: int
    md5: str
    etag: str
