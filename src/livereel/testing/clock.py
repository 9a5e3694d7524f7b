"""A clock that tests own."""


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
