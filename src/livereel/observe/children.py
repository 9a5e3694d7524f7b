"""Ends of processes that this one started and talks to over pipes."""

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Collection
from typing import Final

_PIECE: Final = 64 * 1024  # bytes


async def kill(process: Process) -> int:
    """Kill a process, if it still runs, and wait until it is gone; its exit code.

    What it has said and nobody has read is thrown away: nobody may be reading it.
    """
    _kill(process)
    return await _gone(process)


async def dismiss(processes: Collection[Process], grace: float) -> None:
    """Close the input of workers, which has them end; after `grace` seconds, or when cancelled, kill those that remain.

    What they have said and nobody has read is thrown away: nobody may be reading it.
    """
    if not processes:
        return
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    ends = [asyncio.ensure_future(_gone(process)) for process in processes]
    try:
        await asyncio.wait(ends, timeout=grace)
    finally:
        for process in processes:
            _kill(process)
        await asyncio.wait(ends)


async def _gone(process: Process) -> int:
    # asyncio lets nobody know of the end before all output was read, and it stops reading while much of it waits.
    if process.stdout is not None:
        with contextlib.suppress(OSError):
            while await process.stdout.read(_PIECE):
                pass
    return await process.wait()


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
