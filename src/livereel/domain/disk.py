"""When a disk is full: marks with hysteresis, and which recordings to end. Bytes, shares from 0 to 1, seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MIB = 1 << 20
#: A state is left only when there is this much more room than when it was entered: share of the file system, and
#: multiples of the reserve. Without, every deleted file would let one recording begin and end.
CALM_SHARE = 0.02
HIGH_RESERVES, CALM_RESERVES, SAFE_RESERVES = 2.0, 2.5, 1.5
#: What finishing may need besides files: catalogue, its journal, what is being written between two looks.
RESERVE_BASE = 64 * MIB
#: What finishing one open file may need besides what is unread in the spool: a worker reads every half second, reports
#: its lag every 5 s, and completes a file with an index. 5 s of 10 Mbit/s are 6 MiB.
RESERVE_PER_FILE = 8 * MIB
#: Recordings are ended until the others can go on for this many seconds with half of the reserve left.
HORIZON = 30.0


class DiskState(IntEnum):
    """How much room there is."""

    ROOM = 0
    HIGH = 1  #: new recordings are refused
    LOW = 2  #: running recordings are ended


class DiskUse(NamedTuple):
    """A file system: its size and what users without privileges can still write, bytes; `share` of it is used."""

    total: int
    free: int
    share: float


def next_state(state: DiskState, use: DiskUse, *, high_water: float, reserve: int) -> DiskState:
    """The state after a look. `high_water` is a share, `reserve` bytes."""
    if use.free < reserve or (state is DiskState.LOW and use.free < reserve * SAFE_RESERVES):
        return DiskState.LOW
    if use.share >= high_water or use.free < reserve * HIGH_RESERVES:
        return DiskState.HIGH
    calm = use.share < high_water - CALM_SHARE and use.free >= reserve * CALM_RESERVES
    return DiskState.ROOM if calm or state is DiskState.ROOM else DiskState.HIGH


def to_end(free: int, reserve: int, rates: Mapping[str, float], *, at_least: int) -> list[str]:
    """Which recordings to end, the fastest-growing first: `at_least` so many, all if half of the reserve is gone.

    `rates` are bytes a second by task. What is left could go on for HORIZON seconds without touching that half.
    """
    left = sorted(rates, key=lambda task_id: (-rates[task_id], task_id))
    rate, ended = sum(rates.values()), list[str]()
    while left and (len(ended) < at_least or free - rate * HORIZON < reserve / 2):
        rate -= rates[left[0]]
        ended.append(left.pop(0))
    return ended


@dataclass(frozen=True, slots=True)
class DiskMarks:
    """A disk is full above the share `high_water`; `reserve` bytes are for finishing (None: as many as needed)."""

    high_water: float
    reserve: int | None = None

    def reserved(self, under_way: Sequence[tuple[int, int]]) -> int:
        """Bytes to finish tasks of so many formats and unread bytes each: files are copies of their spool."""
        if self.reserve is not None:
            return self.reserve
        return RESERVE_BASE + sum(formats * (RESERVE_PER_FILE + lag) for formats, lag in under_way)
