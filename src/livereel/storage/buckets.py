"""Which buckets there are: those that settings place in an object store, and directories below one root."""

from collections.abc import Mapping
from pathlib import Path

from livereel.domain.errors import InvalidParameter
from livereel.spool.directories import DurableNames
from livereel.storage.config import BucketConfig, check_bucket
from livereel.storage.local import LocalStore
from livereel.storage.object_store import ObjectStore
from livereel.storage.port import Store
from livereel.storage.threads import BucketThreads


class LocalStores:
    """`port.Stores`: the bucket `b` is the directory `root/b`.

    With `create` any valid bucket exists and its directory is made when it is needed; without, only those whose
    directory the operator has made.
    """

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self._root = root
        self._create = create
        self._known: dict[str, tuple[BucketThreads, DurableNames]] = {}

    def get(self, bucket: str) -> LocalStore:
        """Raises InvalidParameter for a bucket that may not be used."""
        directory = self._root / check_bucket(bucket)
        if (known := self._known.get(bucket)) is None:
            # Asked once only: later it may be a file system that hangs, and this is not one of the bucket's threads.
            if not self._create and not directory.is_dir():
                raise InvalidParameter(
                    f"there is no bucket {bucket}: make the directory {directory} or name another one"
                )
            known = self._known[bucket] = BucketThreads(bucket), DurableNames()
        return LocalStore(bucket, directory, *known)


class Buckets:
    """`port.Stores`: a bucket of `configured` is in an object store, any other one of `local`.

    Raises StoreError for a configuration that the client library does not take.
    """

    def __init__(self, local: LocalStores, configured: Mapping[str, BucketConfig]) -> None:
        self._local = local
        #: The buckets in object stores, by the name that templates use.
        self.object_stores = {name: ObjectStore(name, config) for name, config in configured.items()}

    def get(self, bucket: str) -> Store:
        """Raises InvalidParameter for a bucket that may not be used."""
        return self.object_stores.get(bucket) or self._local.get(bucket)
