"""Time and ids are handed in, so that tests own them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol


def rfc3339(unix: float) -> str:
    """`2026-07-21T06:15:28.125Z`."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock(Protocol):
    """Wall clock and monotonic clock, both in seconds."""

    def now(self) -> float:
        """Unix time, UTC."""
        ...

    def monotonic(self) -> float:
        """A clock that never goes back; its zero means nothing."""
        ...


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None:
        """Do not call it; harmless afterwards."""
        ...


class Timers(Protocol):
    """What calls back when time has passed."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` in `delay` seconds."""
        ...
