"""Reads all publishing sockets in rare, large batches.

A publisher sends some 75 messages a second, mostly one packet each; a read for every packet costs more than everything
else that is done with it. A recorder may read late, so the pump visits every publishing socket a few times a second and
takes what has gathered in the kernel. Sockets that fill up faster, are closed or reset ask for an earlier visit by
their low-water mark. Measured in docs/decisions/0003-batched-reading.md.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from livereel.domain.clock import Clock
from livereel.observe import metrics

log = structlog.get_logger()

#: Seconds between the first request for an early visit and the visit, so that those which come close together are
#: served at once. Short against the time in which an encoder fills what is left of its window.
EAGER_DELAY = 0.02
#: Seconds between two looks at the timeouts of all connections.
TICK_SECONDS = 1.0
#: Turns of the loop that others get after a slice as long as they use them. What a client waits for takes a dozen
#: turns, one after the other, and a slice between any two of them would make that long; more turns would let many
#: clients hold up the reading.
TURNS_MAX = 4
#: Seconds of a turn in which nobody did anything.
IDLE_TURN = 0.0001


class Visited(Protocol):
    """What the pump visits."""

    def visit(self) -> bool:
        """Read what is there, a bounded part of it; True if there may be more at once."""
        ...

    def fail(self, error: Exception) -> None:
        """`visit` raised."""
        ...


class Pump:
    """Visits its members every `interval` seconds, holding the loop for about `slice_seconds` at a time.

    `after` is called whenever the loop is let go, `passed` at the end of a pass and `tick` about once a second.
    """

    def __init__(
        self,
        *,
        interval: float,
        slice_seconds: float,
        clock: Clock,
        after: Callable[[], None],
        tick: Callable[[], None],
        passed: Callable[[], None] = lambda: None,
    ) -> None:
        self._interval = interval
        self._slice_seconds = slice_seconds
        self._clock = clock
        self._after = after
        self._tick = tick
        self._passed = passed
        # Dicts as ordered sets.
        self._members: dict[Visited, None] = {}
        self._eager: dict[Visited, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to visit."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ingest-pump")

    async def stop(self) -> None:
        """Visit nobody any more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def add(self, member: Visited) -> None:
        """Visit `member` in every pass from now on."""
        self._members[member] = None

    def remove(self, member: Visited) -> None:
        """Visit `member` no more."""
        self._members.pop(member, None)
        self._eager.pop(member, None)

    def hurry(self, member: Visited) -> None:
        """Visit `member` before the next pass."""
        if member in self._members:
            self._eager[member] = None
            self._wake.set()

    async def _run(self) -> None:
        next_pass = next_tick = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            if now >= next_pass:
                # Never two passes at once, never a backlog of passes.
                next_pass = max(next_pass + self._interval, now)
                self._eager.clear()
                await self._visit(list(self._members))
                self._safely(self._passed)
            elif self._eager:
                eager, self._eager = self._eager, {}
                await self._visit(eager)
            else:
                await self._rest(next_pass - now)
                continue
            if now >= next_tick:
                next_tick = now + TICK_SECONDS
                self._safely(self._tick)
                await asyncio.sleep(0)

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
                await asyncio.sleep(EAGER_DELAY)

    async def _visit(self, members: Iterable[Visited]) -> None:
        begun = self._clock.monotonic()
        for member in members:
            if member not in self._members:
                continue
            try:
                if member.visit() and member in self._members:
                    self._eager[member] = None
            except Exception as error:  # one connection must not stop the others
                member.fail(error)
            if self._clock.monotonic() - begun >= self._slice_seconds:
                begun = await self._let_go(begun)
        await self._let_go(begun)

    async def _let_go(self, begun: float) -> float:
        """End a slice: hand on what was read, so that it does not gather in memory, and let others run."""
        self._safely(self._after)
        now = self._clock.monotonic()
        metrics.sweep_seconds.observe(now - begun)
        for _ in range(TURNS_MAX):
            let_go, now = now, await self._turn()
            if now - let_go <= IDLE_TURN:
                break
        return now

    async def _turn(self) -> float:
        await asyncio.sleep(0)
        return self._clock.monotonic()

    def _safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # a fault in one pass must not be the last of all passes
            log.exception("pump_failed")
