"""Which buckets there are: directories below one root."""

import re
from pathlib import Path

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.domain.keys import is_address
from livereel.storage.local import LocalStore

# The common ground of S3 and OBS, so that a template works unchanged when its bucket moves to an object store.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_bucket(name: str) -> str:
    """Return `name` if it is a bucket name of S3 and OBS (3 to 63 characters); raises InvalidName."""
    if not _BUCKET.fullmatch(name) or any(pair in name for pair in ("..", ".-", "-.")) or is_address(name):
        raise InvalidName(
            f"bucket {name[:64]!r} must have 3 to 63 lower-case letters, digits, '-' and '.', begin and end with a "
            "letter or digit, and not look like an IP address"
        )
    return name


class LocalStores:
    """`port.Stores`: the bucket `b` is the directory `root/b`.

    With `create` any valid bucket exists and its directory is made when it is needed; without, only those whose
    directory the operator has made.
    """

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self._root = root
        self._create = create

    def get(self, bucket: str) -> LocalStore:
        """Raises InvalidParameter for a bucket that may not be used."""
        directory = self._root / check_bucket(bucket)
        if not self._create and not directory.is_dir():
            raise InvalidParameter(f"there is no bucket {bucket}: make the directory {directory} or name another one")
        return LocalStore(bucket, directory)
