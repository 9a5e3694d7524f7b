"""How long to wait before something is tried again."""

import random
from typing import Final

# A store that is away comes back in seconds (restart) or hours (outage): look soon at first, then every half minute.
FIRST, LONGEST = 1.0, 30.0  # seconds
# Everything that a store lost at the same moment must not come back at the same moment.
_JITTER: Final = 0.5


class Backoff:
    """Delays that double from FIRST to LONGEST seconds, each shortened at random by up to a half."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311  nobody gains from guessing it
        self._next = FIRST

    def delay(self) -> float:
        """Seconds to wait now."""
        delay, self._next = self._next, min(self._next * 2, LONGEST)
        return min(delay, LONGEST) * (1 - _JITTER * self._chance.random())

    def reset(self) -> None:
        """It worked."""
        self._next = FIRST
