"""Byte ranges and validators of downloads (RFC 9110 sections 13 and 14). Pure."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple

from livereel.storage.port import StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class Span(NamedTuple):
    """The bytes [start, end) of an object."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The range begins after the end of the object."""


def parse_range(header: str | None, size: int) -> Span | None:
    """The range that is asked for; None for the whole object. Raises Unsatisfiable.

    Several ranges, other units and malformed headers are answered with the whole object, as RFC 9110 section 14.2
    lets a server do.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if not found or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = int(found[2])
        if length == 0 or size == 0:
            raise Unsatisfiable
        return Span(max(0, size - length), size)
    start = int(found[1])
    end = int(found[2]) + 1 if found[2] else size
    if found[2] and end <= start:
        return None
    if start >= size:
        raise Unsatisfiable
    return Span(start, min(end, size))


def etag(stored: StoredObject) -> str:
    """A strong validator: objects are replaced whole, never changed in place."""
    return f'"{stored.size:x}-{int(stored.modified_at * 1_000_000):x}"'


def http_date(unix: float) -> str:
    """An IMF-fixdate."""
    return format_datetime(datetime.fromtimestamp(int(unix), UTC), usegmt=True)


def names_etag(header: str | None, tag: str) -> bool:
    """True if an `If-None-Match` header names `tag` or anything (`*`). Compares weakly, as that header must."""
    if not header:
        return False
    names = {part.strip().removeprefix("W/") for part in header.split(",")}
    return "*" in names or tag in names


def range_applies(if_range: str | None, stored: StoredObject) -> bool:
    """False if an `If-Range` header speaks of another version of the object: then the whole of it is due."""
    return if_range is None or if_range.strip() in {etag(stored), http_date(stored.modified_at)}
