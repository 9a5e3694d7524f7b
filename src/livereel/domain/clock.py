"""Time and ids are handed in, so that tests own them."""

from typing import Protocol


class Clock(Protocol):
    """Wall clock and monotonic clock, both in seconds."""

    def now(self) -> float:
        """Unix time, UTC."""
        ...

    def monotonic(self) -> float:
        """A clock that never goes back; its zero means nothing."""
        ...
