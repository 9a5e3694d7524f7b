"""Spools of damaged files, which are kept for whoever wants to look into them: how many there are, and how long."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from livereel.catalogue.port import Catalogue
from livereel.domain.clock import Clock
from livereel.domain.states import FileState
from livereel.observe import metrics
from livereel.spool.directories import fsync_directory, fsync_file, make_durable

log = structlog.get_logger()

# Says what was kept and why; written last (see `verification`).
_ABOUT = "file.json"
# Job ids. What else somebody put beside them is not ours to delete.
_JOB = re.compile(r"[0-9a-f-]{32,36}")


class KeptSpool(NamedTuple):
    """The spool of one damaged file. `kept_at` is Unix seconds, `size` bytes that go when it goes."""

    job_id: str
    kept_at: float
    size: int


def kept_spools(directory: Path) -> list[KeptSpool]:
    """What is kept, the oldest first. Raises OSError."""
    return sorted(_found(directory), key=lambda kept: kept.kept_at)


def keep_spool(directory: Path, job_id: str, of_file: Iterable[Path], about: dict[str, Any]) -> None:
    """Give segments of a spool second names: they take no room, and outlive the spool of their task.

    All of it is on disk when this returns, since the task's own spool goes then. Raises OSError.
    """
    kept = directory / job_id
    shutil.rmtree(kept, ignore_errors=True)
    make_durable(kept)
    for segment in of_file:
        os.link(segment, kept / segment.name)
    with (kept / _ABOUT).open("wb") as file:
        file.write(json.dumps(about, indent=2).encode())
    fsync_file(kept / _ABOUT)
    fsync_directory(kept)


class DamagedSpools:
    """Removes what is older than `max_age` (seconds; None: nothing is), and what belongs to no recording any more.

    What belongs to a held recording stays, however old.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock, directory: Path, max_age: float | None) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._directory = directory
        self._max_age = max_age

    async def sweep(self) -> int:
        """Remove what has to go, and show what stays; returns how many were removed. Raises OSError."""
        stay, removed = [], 0
        for kept in await asyncio.to_thread(kept_spools, self._directory):
            if (why := await self._why_not(kept)) is None:
                stay.append(kept)
                continue
            await asyncio.to_thread(shutil.rmtree, self._directory / kept.job_id)
            removed += 1
            log.info("damaged_spool_removed", job=kept.job_id, bytes=kept.size, why=why)
        metrics.damaged_spools.set(len(stay))
        metrics.damaged_spool_bytes.set(sum(kept.size for kept in stay))
        return removed

    async def _why_not(self, kept: KeptSpool) -> str | None:
        async with self._catalogue.read() as uow:
            file = await uow.files.get(kept.job_id)
            held = file is not None and await uow.holds.held_since(file.task_id) is not None
        if file is None or file.state in (FileState.DELETING, FileState.DELETED):
            return "its recording was deleted"
        if held or self._max_age is None or self._clock.now() - kept.kept_at < self._max_age:
            return None
        return f"kept for more than {self._max_age:.0f} s"


def _found(directory: Path) -> Iterator[KeptSpool]:
    if not directory.is_dir():
        return
    for place in directory.iterdir():
        if not _JOB.fullmatch(place.name) or not place.is_dir() or place.is_symlink():
            continue
        about = place / _ABOUT
        kept_at = (about if about.exists() else place).stat().st_mtime
        yield KeptSpool(place.name, kept_at, sum(each.stat().st_size for each in place.iterdir()))
