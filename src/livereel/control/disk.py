"""Disk pressure: refuses new recordings above a high-water mark, and ends running ones while they can be finished.

What is watched is the file system of the spools and of the files under way (often one, and often that of the buckets in
directories too). Receiving never stops: pushes are accepted and go on whatever the disk says.

`domain.disk` decides; `DiskWatch` looks, tells and acts.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from livereel.domain.clock import Clock
from livereel.domain.disk import MIB, DiskMarks, DiskState, DiskUse, next_state, to_end
from livereel.domain.errors import DiskFull
from livereel.observe import metrics

log = structlog.get_logger()

#: Seconds between looks. 100 streams of 2.7 Mbit/s in three formats grow by 130 MiB in that time.
LOOK_EVERY = 1.0
#: When they can, but the reserve is still touched, one more is ended after so many seconds: finishing frees spools.
ONE_MORE_AFTER = 10.0
#: Seconds that a look waits for recordings to have ended. They let go of their streams at once.
ENDING_WAIT = 0.5
#: Real bytes kept in a file for finishing when everything else is used up, as a share of the file system at most.
RESERVE_FILE, RESERVE_FILE_SHARE = 64 * MIB, 1 / 64


class Growth(NamedTuple):
    """A running recording: bytes of spool and files that it has written so far."""

    task_id: str
    written: int


class Recordings(Protocol):
    """What is done with the recordings of this node."""

    def growth(self) -> list[Growth]:
        """Those that take tags."""
        ...

    async def end_for_disk(self, task_id: str) -> None:
        """End one while there is room to finish it."""
        ...

    def room_again(self) -> None:
        """Begin what had to wait."""
        ...


class Disk(Protocol):
    """What others ask of the disk."""

    @property
    def low(self) -> bool:
        """Whether running recordings are being ended."""
        ...

    def check_room(self) -> None:
        """Raises DiskFull, saying why, if no recording may begin."""
        ...


class AlwaysRoom:
    """A `Disk` that is never full."""

    low = False

    def check_room(self) -> None:
        """Nothing is wrong."""


def look_at(places: Sequence[Path]) -> DiskUse:
    """The fullest file system of these directories or of those above them, if they are not made yet."""
    uses: list[DiskUse] = []
    for place in places:
        found = os.statvfs(next(one for one in (place, *place.parents) if one.exists()))
        free, used = found.f_bavail * found.f_frsize, (found.f_blocks - found.f_bfree) * found.f_frsize
        uses.append(DiskUse(found.f_blocks * found.f_frsize, free, used / max(1, used + free)))
    fullest = min(uses, key=lambda use: use.free)
    return fullest._replace(share=max(use.share for use in uses))


class ReserveFile:
    """Bytes that only finishing may have: a file that is deleted when nothing else is free."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.held = path.exists()

    def fill(self, size: int) -> None:
        """Take `size` bytes of disk. Does nothing where that is not possible: it is a second line of defence."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
                self.held = True
            finally:
                os.close(descriptor)
                if not self.held:
                    self.release()

    def release(self) -> None:
        """Give them back."""
        self._path.unlink(missing_ok=True)
        self.held = False


def release_if_needed(path: Path) -> None:
    """Before a start: a catalogue cannot even be opened on a disk that is full to the last byte."""
    file, use = ReserveFile(path), look_at([path.parent])
    if use.free < _reserve_size(use) // 4:
        file.release()


def _reserve_size(use: DiskUse) -> int:
    return min(RESERVE_FILE, int(use.total * RESERVE_FILE_SHARE))


class DiskWatch:
    """A `Disk`. `start` it when recordings may begin; `look` is a single look."""

    def __init__(
        self,
        places: Sequence[Path],
        marks: DiskMarks,
        clock: Clock,
        *,
        recordings: Recordings,
        under_way: Callable[[], Sequence[tuple[int, int]]],
        reserve_file: Path,
        on_room: Callable[[], None] = lambda: None,
        measure: Callable[[Sequence[Path]], DiskUse] = look_at,
    ) -> None:
        self._places = places
        self._marks = marks
        self._clock = clock
        self._recordings = recordings
        self._under_way = under_way
        self._reserve_file = ReserveFile(reserve_file)
        self._on_room = on_room
        self._measure = measure
        self._loop: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._out_of_room = False
        self._before: tuple[float, dict[str, int]] | None = None  # monotonic, bytes written by task
        self._rates: dict[str, float] = {}
        self._ended_at = float("-inf")
        self._endings: set[asyncio.Task[None]] = set()
        self.state = DiskState.ROOM
        self.use: DiskUse | None = None

    @property
    def low(self) -> bool:
        """See `Disk`."""
        return self.state is DiskState.LOW

    def problem(self) -> str | None:
        """What is wrong, in words, or None."""
        if self.state is DiskState.ROOM or self.use is None:
            return None
        use, reserve = self.use, self._marks.reserved(self._under_way())
        why = f"{use.share:.0%} used, {use.free >> 20} MiB free in {self._places[0]}"
        if use.share < self._marks.high_water:
            why += f" of which {reserve >> 20} MiB are kept for finishing recordings"
        return f"the recorder's disk is full ({why}); make room there, or raise disk.high_water"

    def check_room(self) -> None:
        """See `Disk`."""
        if (problem := self.problem()) is not None:
            raise DiskFull(problem)

    def out_of_room(self) -> None:
        """Somebody could not write: end what runs and let finishing have the last reserve, at once."""
        self._out_of_room = True
        self._woken.set()

    async def start(self) -> None:
        """Look once, then again and again."""
        await self.look()
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more; what was reserved stays reserved for the next start."""
        jobs = [*self._endings, *([self._loop] if self._loop is not None else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def look(self) -> None:
        """Measure, and do what follows from it."""
        self.use = use = await asyncio.to_thread(self._measure, self._places)
        hit, self._out_of_room = self._out_of_room, False
        reserve = self._marks.reserved(self._under_way())
        state = next_state(self.state, use, high_water=self._marks.high_water, reserve=reserve)
        self._enter(DiskState.LOW if hit else state)
        metrics.disk_free_bytes.set(use.free)
        metrics.disk_used_ratio.set(use.share)
        metrics.disk_reserve_bytes.set(reserve)
        rates = self._measure_growth()
        if hit or use.free < reserve:
            await self._make_room(0 if hit else use.free, reserve, rates)
        await self._keep_reserve_file(use, hit=hit)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._woken.wait()
            try:
                await self.look()
            except Exception:
                log.exception("disk_not_watched")

    def _enter(self, state: DiskState) -> None:
        before, self.state = self.state, state
        metrics.disk_state.set(state)
        if state is before:
            return
        said = log.info if state is DiskState.ROOM else log.error
        said("disk_state", state=state.name.lower(), before=before.name.lower(), problem=self.problem())
        if before is DiskState.LOW:
            self._on_room()
        if state is DiskState.ROOM:
            self._recordings.room_again()

    def _measure_growth(self) -> dict[str, float]:
        """Bytes a second by task; the faster of now and lately, since encoders come in bursts."""
        now = self._clock.monotonic()
        written = {growth.task_id: growth.written for growth in self._recordings.growth()}
        if self._before is not None and (passed := now - self._before[0]) > 0:
            earlier = self._before[1]
            self._rates = {
                task_id: max((size - earlier.get(task_id, size)) / passed, 0.8 * self._rates.get(task_id, 0.0))
                for task_id, size in written.items()
            }
        self._before = (now, written)
        return {task_id: self._rates.get(task_id, 0.0) for task_id in written}

    async def _make_room(self, free: int, reserve: int, rates: dict[str, float]) -> None:
        now = self._clock.monotonic()
        ended = to_end(free, reserve, rates, at_least=int(now - self._ended_at >= ONE_MORE_AFTER))
        if not ended:
            return
        self._ended_at = now
        log.error("recordings_ended_for_disk", recordings=len(ended), of=len(rates), free=free, reserve=reserve)
        # Not waited for to the end: writing it down may need the very room that the next step gives.
        jobs = [asyncio.create_task(self._end(task_id)) for task_id in ended]
        self._endings.update(jobs)
        for job in jobs:
            job.add_done_callback(self._endings.discard)
        await asyncio.wait(jobs, timeout=ENDING_WAIT)
        metrics.disk_ended.inc(len(ended))

    async def _end(self, task_id: str) -> None:
        try:
            await self._recordings.end_for_disk(task_id)
        except Exception as error:
            log.error("recording_not_ended", task=task_id, error=repr(error))  # noqa: TRY400 - the reason is enough

    async def _keep_reserve_file(self, use: DiskUse, *, hit: bool) -> None:
        file = self._reserve_file
        size = _reserve_size(use)
        nothing_left = hit or use.free < size // 4
        if file.held and nothing_left and not self._recordings.growth():
            await asyncio.to_thread(file.release)
            log.error("disk_reserve_used", bytes=size)
        elif not file.held and self.state is DiskState.ROOM and use.free > 4 * size:
            await asyncio.to_thread(file.fill, size)
