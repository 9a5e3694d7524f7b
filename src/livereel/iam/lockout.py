"""Locks somebody out after too many failures in a row. Sans-clock, in memory.

A restart forgets the counts: an attacker gains six more guesses, an operator gets a way out.
"""

from typing import Any

MAX_FAILURES = 5  # consecutive; the next one locks (Common Errors Related to IAM Authentication Information)
LOCK_SECONDS = 5 * 60
MAX_NAMES = 10_000  # remembered at most, a few MB; the oldest are forgotten first


class Lockout:
    """Counts failures by name: whatever identifies who tries what."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, float] = {}

    def locked(self, name: str, now: float) -> bool:
        """True while `name` is locked. `now` is in seconds, of any clock that never goes back."""
        until = self._locked_until.get(name)
        if until is None:
            return False
        if now < until:
            return True
        del self._locked_until[name]
        return False

    def failed(self, name: str, now: float) -> None:
        """Note a failure."""
        count = self._failures.get(name, 0) + 1
        if count > MAX_FAILURES:
            self._failures.pop(name, None)
            self._locked_until[name] = now + LOCK_SECONDS
            _forget_oldest(self._locked_until)
        else:
            self._failures[name] = count
            _forget_oldest(self._failures)

    def succeeded(self, name: str) -> None:
        """Forget the failures of `name`."""
        self._failures.pop(name, None)


def _forget_oldest(names: dict[str, Any]) -> None:
    if len(names) > MAX_NAMES:
        del names[next(iter(names))]
