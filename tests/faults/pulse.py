"""How late a server was when it died: what it had not read, written or synced in time because it waited.

A process that is stopped, has no turn, or waits for a disk reads and writes late, and what it has not written goes with
it. The promise is about one that keeps up, so the tests add to its bounds by how much this one did not. The server
process notes it in a file that is shared memory to it, which costs nothing and outlives any death.
"""

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

from livereel.ingest.pump import Pump

#: Seconds between two looks at the sockets of a server that keeps up.
INTERVAL = 0.5
#: Seconds that something takes which is worth to be remembered, and for how long it is: what gathered behind it is
#: written one after the other.
SLOW, REMEMBERED = 0.1, 2.0
_SLOT = struct.Struct("ddd")  # since when it is under way, or 0; when something slow was over, and how long it took


class Kind(IntEnum):
    """What a server may be late with."""

    READING = 0
    WRITING = 1
    SYNCING = 2


class Pulse:
    """For the server process; monotonic times."""

    def __init__(self, file: Path) -> None:
        working = file.with_suffix(".new")
        working.write_bytes(bytes(_SLOT.size * len(Kind)))
        with working.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0)
        working.replace(file)
        self._lock = threading.Lock()
        self._under_way: dict[Kind, dict[int, float]] = {kind: {} for kind in Kind}
        self._slow = dict.fromkeys(Kind, (0.0, 0.0))

    def watch(self) -> None:
        """Note what this process does from now on."""
        os.writev = self._around(Kind.WRITING, os.writev)
        os.fdatasync = self._around(Kind.SYNCING, os.fdatasync)
        visit = Pump._visit

        async def visited(pump: Pump, members: Any) -> None:
            await visit(pump, members)
            self._over(Kind.READING)  # what came before is read; from here on it gathers again
            self._begun(Kind.READING)

        Pump._visit = visited  # type: ignore[method-assign]

    def _around(self, kind: Kind, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            self._begun(kind)
            try:
                return call(*arguments)
            finally:
                self._over(kind)

        return noted

    def _begun(self, kind: Kind) -> None:
        with self._lock:
            self._under_way[kind][threading.get_ident()] = time.monotonic()
            self._note(kind)

    def _over(self, kind: Kind) -> None:
        with self._lock:
            now = time.monotonic()
            took = now - self._under_way[kind].pop(threading.get_ident(), now)
            if took - _usual(kind) > SLOW:
                self._slow[kind] = (now, took)
            self._note(kind)

    def _note(self, kind: Kind) -> None:
        since = min(self._under_way[kind].values(), default=0.0)
        _SLOT.pack_into(self._memory, _SLOT.size * kind, since, *self._slow[kind])


def late(file: Path, died: float) -> float:
    """How late the server was that used the file and died then (monotonic time), seconds; 0 if it kept up."""
    data = file.read_bytes() if file.exists() else b""
    found = 0.0
    for kind, (since, slow_until, took) in zip(Kind, _SLOT.iter_unpack(data), strict=False):
        if since:
            found += max(0.0, died - since - _usual(kind))
        if died - slow_until < REMEMBERED:
            found += took - _usual(kind)
    return found


def _usual(kind: Kind) -> float:
    return INTERVAL if kind is Kind.READING else 0.0
