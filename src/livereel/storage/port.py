"""What the rest of livereel asks of a store: a place that keeps whole objects under keys."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, Protocol


class StoredObject(NamedTuple):
    """What the store confirmed. `modified_at` is Unix seconds."""

    key: str
    size: int
    modified_at: float


class Store(Protocol):
    """One bucket."""

    bucket: str

    async def put_file(self, key: str, path: Path, *, final: bool) -> StoredObject:
        """Make the file's present content the object `key`, replacing it in one step; raises StoreError.

        The file stays. `final` promises that nobody writes to it any more, so a store may share its bytes.
        """
        ...

    async def put_bytes(self, key: str, data: bytes) -> StoredObject:
        """Make `data` the object `key`, replacing it in one step. Raises StoreError."""
        ...

    async def stat(self, key: str) -> StoredObject | None:
        """The object, or None."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) in pieces. Raises StoreError."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove the object; False if there was none."""
        ...

    def describe(self, key: str) -> str:
        """Where a person finds the object: a path or URL without credentials."""
        ...

    async def check(self) -> None:
        """Raises StoreError, saying what to do, if the store cannot be written."""
        ...


class Stores(Protocol):
    """The configured buckets."""

    def get(self, bucket: str) -> Store:
        """Raises InvalidParameter for a bucket that is not configured and may not be made."""
        ...
