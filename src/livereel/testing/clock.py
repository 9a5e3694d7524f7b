"""A clock that tests own, and timers that go by it."""

import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Any


class FakeClock:
    """`domain.clock.Clock` that stands still until `advance` is called."""

    def __init__(self, now: float = 1_784_614_528.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Unix time in seconds."""
        return self._now

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def set(self, now: float) -> None:
        """Step the wall clock, as NTP or a person does."""
        self._now = now


class _Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTimers:
    """`domain.clock.Timers` on a `FakeClock`: they fire in `advance`, each at its own time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, _Timer]] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> _Timer:
        """Call `callback(*args)` when the clock has been moved on by `delay` seconds."""
        timer = _Timer(lambda: callback(*args))
        heapq.heappush(self._waiting, (self._clock.monotonic() + delay, next(self._numbers), timer))
        return timer

    def forget(self) -> None:
        """Whoever set timers is gone."""
        self._waiting.clear()

    async def advance(self, seconds: float, settle: Callable[[], Awaitable[None]]) -> None:
        """Let `seconds` pass; after each timer what it set off is awaited with `settle`."""
        until = self._clock.monotonic() + seconds
        while self._waiting and self._waiting[0][0] <= until:
            due, _, timer = heapq.heappop(self._waiting)
            if not timer.cancelled:
                self._clock.advance(max(0.0, due - self._clock.monotonic()))
                timer.callback()
                await settle()
        self._clock.advance(max(0.0, until - self._clock.monotonic()))
