"""The real clock and its timers. Everything else gets a `domain.clock.Clock` and `Timers` handed in."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


class SystemClock:
    """`domain.clock.Clock` of the operating system."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()


class LoopTimers:
    """`domain.clock.Timers` of the running event loop."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call `callback(*args)` in `delay` seconds, on the loop."""
        return asyncio.get_running_loop().call_later(delay, callback, *args)
