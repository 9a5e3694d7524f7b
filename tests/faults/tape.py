"""What power cuts can leave of a directory: every call that changes it is taped, then lost, torn and reordered.

`Tape` stands between the code under test and the system, lets every call through and notes it. `states` then gives
directories as they may look after a power cut at any point of the tape. The rules are those of the systems at their
worst: what was synced is there; of what was not, any write may be there or not, in any order and torn at any sector;
any name may be there or not, but a rename is all or nothing.
"""

import io
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECTORS = (512, 4096)


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    file: int


@dataclass(frozen=True, slots=True)
class Names:
    """Names that change at once: (directory, name, file or directory or None for gone)."""

    changes: tuple[tuple[int, str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A new file or directory, without a name yet."""

    file: int
    directory: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Something the test knew at this point."""

    value: Any


Step = Write | Truncate | Sync | Names | Made | Note


class Bang(BaseException):
    """The process is killed."""


class Tape:
    """Notes what happens below `root`. Set `dies_at` to have the process killed instead of taking that step."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.dies_at: int | None = None
        self._lock = threading.RLock()
        self._numbers: dict[tuple[int, int], int] = {}
        self._next = 1
        self._known = {0: True}
        info = root.stat()
        self._numbers[info.st_dev, info.st_ino] = 0
        for path in sorted(root.rglob("*")):  # what is there is on disk
            self._take_over(path)
        self.begin = len(self.steps)
        self._wrap(monkeypatch)

    def note(self, value: Any) -> None:
        with self._lock:
            self.steps.append(Note(value))

    def _take_over(self, path: Path) -> None:
        made = path.is_dir()
        number = self._new(os.stat(path), made)
        self._step(Names(((self._number(os.stat(path.parent)), path.name, number),)))
        self._step(Sync(self._number(os.stat(path.parent))))
        if not made:
            self._step(Write(number, 0, path.read_bytes()))
            self._step(Sync(number))

    def _step(self, step: Step) -> None:
        self.steps.append(step)

    def _mortal(self) -> None:
        if self.dies_at is not None and len(self.steps) >= self.dies_at:
            raise Bang

    def _new(self, info: os.stat_result, directory: bool) -> int:
        number, self._next = self._next, self._next + 1
        self._numbers[info.st_dev, info.st_ino] = number
        self._step(Made(number, directory))
        return number

    def _number(self, info: os.stat_result) -> int:
        return self._numbers[info.st_dev, info.st_ino]

    def _inside(self, path: str) -> bool:
        return path == str(self.root) or path.startswith(f"{self.root}/")

    def _place(self, path: Any, directory: int | None) -> tuple[str, str]:
        """(directory, name) of a path as a system call was given it."""
        text = os.fspath(path)
        if directory is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), text)
        return os.path.split(os.path.abspath(text))

    def _wrap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real: dict[str, Callable[..., Any]] = {}

        def wrapped(name: str) -> Callable[[Callable[..., Any]], None]:
            def wrap(replacement: Callable[..., Any]) -> None:
                real[name] = getattr(os, name)
                monkeypatch.setattr(os, name, replacement)

            return wrap

        @wrapped("open")
        def _(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            parent, name = self._place(path, dir_fd)
            if not self._inside(parent) or not flags & (os.O_CREAT | os.O_TRUNC):
                return int(real["open"](path, flags, mode, dir_fd=dir_fd))
            with self._lock:
                there = os.path.lexists(os.path.join(parent, name))
                self._mortal()
                descriptor = int(real["open"](path, flags, mode, dir_fd=dir_fd))
                if not there:
                    number = self._new(os.fstat(descriptor), False)
                    self._step(Names(((self._number(os.stat(parent)), name, number),)))
                elif flags & os.O_TRUNC:
                    self._step(Truncate(self._number(os.fstat(descriptor)), 0))
                return descriptor

        @wrapped("write")
        def _(descriptor: int, data: Any) -> int:
            return self._written(descriptor, bytes(data), lambda: real["write"](descriptor, data))

        @wrapped("writev")
        def _(descriptor: int, pieces: list[bytes]) -> int:
            return self._written(descriptor, b"".join(pieces), lambda: real["writev"](descriptor, pieces))

        for name in ("ftruncate", "fsync", "fdatasync", "mkdir", "unlink", "rename", "replace", "link", "rmdir"):
            real[name] = getattr(os, name)

        @wrapped("ftruncate")
        def _(descriptor: int, size: int) -> None:
            with self._lock:
                if (number := self._known_file(descriptor)) is not None:
                    self._mortal()
                    self._step(Truncate(number, size))
                real["ftruncate"](descriptor, size)

        for name in ("fsync", "fdatasync"):

            def sync(descriptor: int, name: str = name) -> None:
                with self._lock:
                    real[name](descriptor)
                    if (number := self._known_file(descriptor)) is not None:
                        self._step(Sync(number))

            monkeypatch.setattr(os, name, sync)

        @wrapped("mkdir")
        def _(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            parent, name = self._place(path, dir_fd)
            with self._lock:
                if self._inside(parent):
                    self._mortal()
                real["mkdir"](path, mode, dir_fd=dir_fd)
                if self._inside(parent):
                    number = self._new(os.stat(os.path.join(parent, name)), True)
                    self._step(Names(((self._number(os.stat(parent)), name, number),)))

        for name in ("unlink", "rmdir"):

            def remove(path: Any, *, dir_fd: int | None = None, name: str = name) -> None:
                parent, last = self._place(path, dir_fd)
                with self._lock:
                    if self._inside(parent):
                        self._mortal()
                    real[name](path, dir_fd=dir_fd)
                    if self._inside(parent):
                        self._step(Names(((self._number(os.stat(parent)), last, None),)))

            monkeypatch.setattr(os, name, remove)

        for name in ("rename", "replace"):

            def rename(
                source: Any,
                target: Any,
                *,
                src_dir_fd: int | None = None,
                dst_dir_fd: int | None = None,
                name: str = name,
            ) -> None:
                old, new = self._place(source, src_dir_fd), self._place(target, dst_dir_fd)
                with self._lock:
                    if self._inside(old[0]):
                        self._mortal()
                        number = self._number(os.lstat(os.path.join(*old)))
                        parents = [self._number(os.stat(place[0])) for place in (old, new)]
                    real[name](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
                    if self._inside(old[0]):
                        self._step(Names(((parents[0], old[1], None), (parents[1], new[1], number))))

            monkeypatch.setattr(os, name, rename)

        @wrapped("link")
        def _(
            source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, **how: Any
        ) -> None:
            parent, name = self._place(target, dst_dir_fd)
            with self._lock:
                if self._inside(parent):
                    self._mortal()
                real["link"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **how)
                if self._inside(parent):
                    number = self._number(os.lstat(os.path.join(parent, name)))
                    self._step(Names(((self._number(os.stat(parent)), name, number),)))

        open_path = Path.open

        def opened(path: Path, mode: str = "r", *rest: Any, **how: Any) -> Any:
            if not self._inside(self._place(path, None)[0]) or mode != "wb":
                return open_path(path, mode, *rest, **how)
            return _Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC))

        monkeypatch.setattr(Path, "open", opened)

    def _known_file(self, descriptor: int) -> int | None:
        info = os.fstat(descriptor)
        return self._numbers.get((info.st_dev, info.st_ino))

    def _written(self, descriptor: int, data: bytes, write: Callable[[], int]) -> int:
        with self._lock:
            number = self._known_file(descriptor)
            if number is None:
                return write()
            self._mortal()
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            done = write()
            self._step(Write(number, offset, data[:done]))
            return done


class _Descriptor(io.RawIOBase):
    """A file opened for writing, whose calls are those of `os`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
            super().close()


@dataclass(slots=True)
class _File:
    directory: bool
    data: bytearray = field(default_factory=bytearray)  # on disk
    names: dict[str, int] = field(default_factory=dict)  # on disk
    pending: list[Step] = field(default_factory=list)


class Disk:
    """The steps of a tape up to some point: what is on disk, and what may be."""

    def __init__(self) -> None:
        self._files = {0: _File(True)}

    def play(self, step: Step) -> None:
        match step:
            case Made(file, directory):
                self._files[file] = _File(directory)
            case Write(file) | Truncate(file):
                self._files[file].pending.append(step)
            case Names(changes):
                for parent in dict.fromkeys(change[0] for change in changes):
                    self._files[parent].pending.append(step)
            case Sync(file):
                self._sync(file)

    def _sync(self, number: int) -> None:
        file = self._files[number]
        pending, file.pending = file.pending, []
        for step in pending:
            if isinstance(step, Names):
                for parent, name, what in step.changes:
                    if parent != number and step not in self._files[parent].pending:
                        continue
                    _rename(self._files[parent].names, name, what)
                    if parent != number:  # the other half of a rename
                        self._files[parent].pending.remove(step)
            else:
                _apply(file.data, step, None)

    @contextmanager
    def tried(self, step: Write) -> Iterator[None]:
        """As if this write had come now."""
        self.play(step)
        yield
        self._files[step.file].pending.pop()

    def now(self) -> dict[str, bytes]:
        """What a process sees, and another one after it was killed: everything is there."""
        return self._look(lambda step, data: _apply(data, step, None), lambda _step: True)

    def after_power_cut(self, chance: random.Random) -> dict[str, bytes]:
        """What may be there when the power is cut now: contents of files by their path below the root."""
        sector = chance.choice(SECTORS)
        likely = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        kept: dict[int, bool] = {}

        def keep(step: Names) -> bool:
            return kept.setdefault(id(step), chance.random() < likely)

        def write(step: Step, data: bytearray) -> None:
            fate = chance.random()
            if fate < likely:
                _apply(data, step, None)
            elif fate < likely + (1 - likely) / 2 and isinstance(step, Write):
                sectors = range(step.offset // sector, (step.offset + len(step.data) - 1) // sector + 1)
                share = chance.random()
                _apply(data, step, (sector, {number for number in sectors if chance.random() < share}))

        return self._look(write, keep)

    def _look(self, write: Callable[[Step, bytearray], None], keep: Callable[[Names], bool]) -> dict[str, bytes]:
        contents: dict[int, bytes] = {}
        found: dict[str, bytes] = {}

        def content(number: int) -> bytes:
            if number not in contents:
                file = self._files[number]
                if file.pending:
                    data = bytearray(file.data)
                    for step in file.pending:
                        write(step, data)
                    contents[number] = bytes(data)
                else:
                    contents[number] = bytes(file.data)
            return contents[number]

        def look(number: int, path: str) -> None:
            names = dict(self._files[number].names)
            for step in self._files[number].pending:
                if isinstance(step, Names) and keep(step):
                    for parent, name, what in step.changes:
                        if parent == number:
                            _rename(names, name, what)
            for name, what in names.items():
                if self._files[what].directory:
                    look(what, f"{path}{name}/")
                else:
                    found[path + name] = content(what)

        look(0, "")
        return found


def _rename(names: dict[str, int], name: str, what: int | None) -> None:
    if what is None:
        names.pop(name, None)
    else:
        names[name] = what


def _apply(data: bytearray, step: Step, only: tuple[int, set[int]] | None) -> None:
    """Do a write or a truncation; of a write the sectors of `only` (size, numbers) if it is given."""
    if isinstance(step, Truncate):
        del data[step.size :]
        data.extend(bytes(step.size - len(data)))
    elif isinstance(step, Write):
        sector, wanted = only or (len(step.data) + 1, None)
        position, end = step.offset, step.offset + len(step.data)
        while position < end:
            number = position // sector if wanted is not None else 0
            after = min(end, (number + 1) * sector) if wanted is not None else end
            if wanted is None or number in wanted:
                data.extend(bytes(max(0, after - len(data))))
                data[position:after] = step.data[position - step.offset : after - step.offset]
            position = after


def torn(step: Step) -> Iterator[Step]:
    """A step as far as it came when the process was killed in the middle of it."""
    if isinstance(step, Write):
        for size in {1, len(step.data) // 3, len(step.data) // 2, len(step.data) - 1}:
            if 0 < size < len(step.data):
                yield Write(step.file, step.offset, step.data[:size])


@contextmanager
def laid_out(files: dict[str, bytes], target: Path) -> Iterator[Path]:
    """A directory with these files, gone afterwards."""
    target.mkdir()
    for name, data in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    yield target
    shutil.rmtree(target)
