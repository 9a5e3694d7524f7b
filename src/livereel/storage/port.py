"""What the rest of livereel asks of a store: a place that keeps whole objects under keys."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class StoredObject(NamedTuple):
    """What the store confirmed. `modified_at` is Unix seconds."""

    key: str
    size: int
    modified_at: float


class Space(NamedTuple):
    """The file system of a bucket: which one, and bytes that can still be written to it."""

    device: int
    free: int


class Part(NamedTuple):
    """A part of an object that the store has. `md5` (hex) is of what was sent, `etag` what the store calls the part."""

    number: int  # from 1
    size: int
    md5: str
    etag: str


class PartUploads(Protocol):
    """Objects that go up in parts, over hours and over restarts. Nobody sees one before it is complete.

    All parts but the last have the size of the first, `part_size` bytes or a multiple of it; `parts_max` parts at most.
    Everything raises StoreError.
    """

    part_size: int
    parts_max: int

    async def begin(self, key: str) -> str:
        """The id of a new upload."""
        ...

    async def put(self, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """Store part `number` (from 1), replacing it if it is there."""
        ...

    async def present(self, key: str, upload_id: str) -> dict[int, tuple[int, str]] | None:
        """Size and ETag of the parts that the store has, by number; None if it does not know the upload any more."""
        ...

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> StoredObject:
        """Make the parts the object, and look it up: size and checksum are those of what was sent."""
        ...

    async def confirm(self, key: str, parts: Sequence[Part]) -> StoredObject:
        """The object if it was made of these parts; for an upload whose completion got no answer."""
        ...

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts; nothing happens if there is none."""
        ...

    async def unfinished(self, key: str) -> list[str]:
        """Ids of the uploads of this object that are neither complete nor aborted."""
        ...


class Store(Protocol):
    """One bucket."""

    bucket: str
    #: Whether a final file becomes an object at once, whatever its size.
    near: bool

    @property
    def parts(self) -> PartUploads | None:
        """Uploads in parts, if the bucket has them; without, objects are put whole."""
        ...

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

    async def holds(self, key: str, path: Path) -> bool:
        """Whether the store says that the object has the file's present content; False also if it cannot tell."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) in pieces. Raises StoreError."""
        ...

    def objects(self, below: str = "") -> AsyncIterator[StoredObject]:
        """The objects whose keys begin with `below` and a slash, all of them without `below`. Raises StoreError."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove the object; False if there was none."""
        ...

    async def space(self) -> Space | None:
        """How much room there is, None if the store does not tell or nothing is stored yet. Raises StoreError."""
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
