"""The `X-request-id` of every reply: `uuid-timestamp-hostname` (Submitting a Recording Command, 2026-04-22)."""

import re
from typing import NamedTuple
from uuid import UUID

HEADER = b"X-request-id"  # in the spelling of the documents

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


class RequestId(NamedTuple):
    """`timestamp` is Unix seconds; the documents leave the unit open."""

    uuid: UUID
    timestamp: int
    hostname: str

    def __str__(self) -> str:
        return f"{self.uuid}-{self.timestamp}-{_UNSAFE.sub('-', self.hostname) or 'livereel'}"
