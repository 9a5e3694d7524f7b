"""The real clock. Everything else gets a `domain.clock.Clock` handed in."""

import time


class SystemClock:
    """`domain.clock.Clock` of the operating system."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()
