"""A bucket in a local directory: objects are plain files, visible only when whole and on disk.

Every path is walked one component at a time from the bucket's directory without following symbolic links, so that no
key can name anything outside of it, whatever was checked or forgotten before. Needs a POSIX system.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path, PurePosixPath

from livereel.domain.errors import StoreError
from livereel.domain.naming import check_object_key
from livereel.spool.directories import DurableNames, make_durable
from livereel.storage.port import Space, StoredObject
from livereel.storage.source import open_source
from livereel.storage.threads import LOOKUP_TIMEOUT, BucketThreads

#: Where objects are built before they get their name. In the bucket, hence on its file system.
STAGING = ".livereel"
STAGING_MAX_AGE = 86_400.0  # seconds; older leftovers are of a process that died

# File systems allow 255 bytes. Shortened names are longer than this limit and kept names are not: they never meet.
COMPONENT_MAX_BYTES = 200
_EXTENSION_MAX_BYTES = 16

_PIECE = 256 * 1024  # bytes per read; a download holds one piece in memory

# Link not possible between these two places, or not allowed for this file: copy then.
_NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS})
# Something that is not a directory is in the way; for a symbolic link the systems answer one or the other.
_NOT_A_DIRECTORY = frozenset({errno.ENOTDIR, errno.ELOOP})

# A delete may remove a directory just as a put has opened it; the put then starts over.
_PUT_ATTEMPTS = 3

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStore:
    """`port.Store` in the directory `root`, which is made when the first object is put.

    All stores of one bucket share its `threads`, and what they know of its directories.
    """

    near = True

    def __init__(
        self, bucket: str, root: Path, threads: BucketThreads | None = None, names: DurableNames | None = None
    ) -> None:
        self.bucket = bucket
        self._root = root
        self._threads = threads or BucketThreads(bucket)
        self._names = names or DurableNames()

    @property
    def parts(self) -> None:
        """See `Store`: none, since a complete file becomes an object by a link."""
        return None

    async def put_file(self, key: str, path: Path, *, final: bool = False) -> StoredObject:
        """Store the file's present content; `final` promises that nobody writes to it again.

        A final file is hard-linked where the file system can do that: no time and no space for hours of media. Any
        other is copied, since a write to a linked file would change the stored object.
        """

        def stage(staging: int, name: str) -> None:
            source = open_source(path)
            try:
                if final and _link(path, staging, name, source):
                    os.fsync(source)
                else:
                    _write_new(staging, name, lambda target: _copy(source, target))
            finally:
                os.close(source)

        return await self._threads.run(self._put, key, stage)

    async def put_bytes(self, key: str, data: bytes) -> StoredObject:
        """Store `data`."""

        def stage(staging: int, name: str) -> None:
            _write_new(staging, name, lambda target: _write_all(target, data))

        return await self._threads.run(self._put, key, stage)

    async def stat(self, key: str) -> StoredObject | None:
        """The object, or None. Links, directories and devices are no objects."""
        return await self._threads.run(self._stat, key, timeout=LOOKUP_TIMEOUT)

    async def holds(self, key: str, path: Path) -> bool:
        """Never says so: linking a file costs less than comparing two."""
        return False

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) in pieces; raises StoreError if the object is missing or shorter."""
        descriptor = await self._threads.run(self._open, key, timeout=LOOKUP_TIMEOUT, abandoned=os.close)
        try:
            while start < end:
                size = min(_PIECE, end - start)
                piece = await self._threads.run(os.pread, descriptor, size, start, timeout=LOOKUP_TIMEOUT)
                if not piece:
                    raise StoreError(f"{self.describe(key)} ends at byte {start}, before {end}")
                start += len(piece)
                yield piece
        except OSError as error:
            raise self._error("read", key, error) from error
        finally:
            os.close(descriptor)

    async def objects(self, below: str = "") -> AsyncIterator[StoredObject]:
        """Regular files only, by directory. A name that was shortened is listed as it is on the disk."""
        waiting = [_components(below) if below else []]
        while waiting:
            directories, found = await self._threads.run(self._list, waiting.pop(), timeout=LOOKUP_TIMEOUT)
            waiting += reversed(directories)
            for stored in found:
                yield stored

    async def delete(self, key: str) -> bool:
        """Remove the object and the directories that it leaves empty."""
        return await self._threads.run(self._delete, key, timeout=LOOKUP_TIMEOUT)

    async def space(self) -> Space | None:
        """What users without privileges can still write."""
        return await self._threads.run(self._space, timeout=LOOKUP_TIMEOUT)

    def describe(self, key: str) -> str:
        """The object's path."""
        return str(self._root.joinpath(*_components(key)))

    async def check(self) -> None:
        """Write and remove a small object; clears up what a dead process left behind."""
        await self._threads.run(self._check)

    def _put(self, key: str, stage: Callable[[int, str], None]) -> StoredObject:
        *directories, name = _components(key)
        staged = f"{secrets.token_hex(16)}.part"
        with self._errors("store", key), self._walk([STAGING], make=True) as staging:
            try:
                stage(staging, staged)
                for attempt in range(1, _PUT_ATTEMPTS + 1):
                    try:
                        return self._publish(key, staging, staged, directories, name)
                    except FileNotFoundError:
                        if attempt == _PUT_ATTEMPTS:
                            raise
                raise AssertionError
            finally:
                # Still there after a failure, and when object and staged file are links to the same file already:
                # rename does nothing then.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged, dir_fd=staging)

    def _publish(self, key: str, staging: int, staged: str, directories: list[str], name: str) -> StoredObject:
        with self._walk(directories, make=True) as directory:
            os.rename(staged, name, src_dir_fd=staging, dst_dir_fd=directory)
            os.fsync(directory)
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        return StoredObject(key, found.st_size, found.st_mtime)

    def _stat(self, key: str) -> StoredObject | None:
        *directories, name = _components(key)
        with self._errors("look up", key):
            try:
                with self._walk(directories, make=False) as directory:
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError as error:
                if error.errno == errno.ENOENT or error.errno in _NOT_A_DIRECTORY:
                    return None
                raise
        return StoredObject(key, found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else None

    def _open(self, key: str) -> int:
        *directories, name = _components(key)
        with self._errors("read", key), self._walk(directories, make=False) as directory:
            descriptor = os.open(name, _SOURCE, dir_fd=directory)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            raise StoreError(f"{self.describe(key)} is not a regular file")

    def _list(self, parts: list[str]) -> tuple[list[list[str]], list[StoredObject]]:
        """The directories in a directory, and its objects."""
        directories: list[list[str]] = []
        objects: list[StoredObject] = []
        with self._errors("list", "/".join(parts) or "."):
            try:
                with self._walk(parts, make=False) as directory, os.scandir(directory) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        if not parts and entry.name == STAGING:
                            continue
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(found.st_mode):
                            directories.append([*parts, entry.name])
                        elif stat.S_ISREG(found.st_mode):
                            key = _key([*parts, entry.name])
                            objects.append(StoredObject(key, found.st_size, found.st_mtime))
            except OSError as error:
                if error.errno == errno.ENOENT or error.errno in _NOT_A_DIRECTORY:
                    return [], []
                raise
        return directories, objects

    def _delete(self, key: str) -> bool:
        *directories, name = _components(key)
        if self._stat(key) is None:
            return False
        with self._errors("delete", key):
            try:
                with self._walk(directories, make=False) as directory:
                    os.unlink(name, dir_fd=directory)
                    os.fsync(directory)
            except FileNotFoundError:
                return False
            with contextlib.suppress(OSError):  # not empty, or somebody else was faster
                while directories:
                    empty = directories.pop()
                    with self._walk(directories, make=False) as directory:
                        self._names.remove(empty, directory)
        return True

    def _space(self) -> Space | None:
        try:
            found = os.statvfs(self._root)
            return Space(self._root.stat().st_dev, found.f_bavail * found.f_frsize)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot look at {self._root}: {error.strerror}") from error

    def _check(self) -> None:
        try:
            with self._walk([STAGING], make=True) as staging:
                probe = f"{secrets.token_hex(16)}.part"
                _write_new(staging, probe, lambda target: _write_all(target, b"livereel"))
                os.unlink(probe, dir_fd=staging)
                self._clear_staging(staging)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._root}: {error.strerror}; make the directory writable for the user that "
                "livereel runs as, free some space, or configure another directory"
            ) from error

    def _clear_staging(self, staging: int) -> None:
        with os.scandir(staging) as leftovers:
            for leftover in leftovers:
                with contextlib.suppress(FileNotFoundError):
                    if leftover.stat(follow_symlinks=False).st_mtime < time.time() - STAGING_MAX_AGE:
                        os.unlink(leftover.name, dir_fd=staging)

    @contextlib.contextmanager
    def _walk(self, directories: list[str], *, make: bool) -> Iterator[int]:
        """A descriptor of the directory, opened step by step from the bucket's."""
        current = self._open_root(make=make)
        try:
            for name in directories:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, dir_fd=current)
                below = os.open(name, _DIRECTORY, dir_fd=current)
                above, current = current, below
                try:
                    if make and below not in self._names:
                        os.fsync(above)
                        self._names.add(below)
                finally:
                    os.close(above)
            yield current
        finally:
            os.close(current)

    def _open_root(self, *, make: bool) -> int:
        # The bucket's own directory may be a link: whoever can make one there is the operator.
        flags = _DIRECTORY & ~os.O_NOFOLLOW
        if make and not self._root.exists():
            make_durable(self._root)
        root = os.open(self._root, flags)
        if make and root not in self._names:
            try:
                make_durable(self._root)
            except OSError:
                os.close(root)
                raise
            self._names.add(root)
        return root

    @contextlib.contextmanager
    def _errors(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(action, key, error) from error

    def _error(self, action: str, key: str, error: OSError) -> StoreError:
        reason = error.strerror
        if error.errno in _NOT_A_DIRECTORY:
            reason = "part of the path is no directory (symbolic links inside a bucket are not followed)"
        return StoreError(f"cannot {action} {self.describe(key)}: {reason}")


def _components(key: str) -> list[str]:
    """The path of an object below its bucket; raises InvalidName."""
    parts = check_object_key(key).split("/")
    if parts[0].rstrip("~") == STAGING:
        parts[0] += "~"  # steps aside, and so does whatever it would land on
    return [_shortened(part) for part in parts]


def _key(parts: list[str]) -> str:
    """The inverse of `_components`, but for names that were shortened."""
    first = parts[0].removesuffix("~") if parts[0].rstrip("~") == STAGING else parts[0]
    return "/".join([first, *parts[1:]])


def _shortened(component: str) -> str:
    """`component`, or if it is too long for file systems its beginning, a hash of all of it, and its extension."""
    data = component.encode()
    if len(data) <= COMPONENT_MAX_BYTES:
        return component
    beginning = data[:COMPONENT_MAX_BYTES].decode(errors="ignore")
    extension = PurePosixPath(component).suffix
    if len(extension.encode()) > _EXTENSION_MAX_BYTES:
        extension = ""
    return f"{beginning}~{hashlib.sha256(data).hexdigest()[:32]}{extension}"


def _link(path: Path, directory: int, name: str, source: int) -> bool:
    """Give the file a second name; False if that is not possible here or `path` is not `source` any more."""
    try:
        os.link(path, name, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    if os.path.samestat(os.fstat(source), os.stat(name, dir_fd=directory, follow_symlinks=False)):
        return True
    os.unlink(name, dir_fd=directory)
    return False


def _write_new(directory: int, name: str, write: Callable[[int], None]) -> None:
    """Make a file and get it to the disk."""
    target = os.open(name, _NEW_FILE, 0o666, dir_fd=directory)
    try:
        write(target)
        os.fsync(target)
    finally:
        os.close(target)


def _copy(source: int, target: int) -> None:
    while piece := os.read(source, 1 << 20):
        _write_all(target, piece)


def _write_all(target: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
