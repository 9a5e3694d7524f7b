"""How often an operation may be called: token buckets, in memory, of this node alone.

Each operation has a bucket per user and one for all users together. A bucket holds a minute's worth and fills evenly,
so a quiet user may send a whole minute's requests at once. Numbers: spec huawei-live-common.md section 6 (Cloud Live
restrictions, 2026-02-24); operations that have no row there get the numbers of the recording operations, which is our
choice. Paths that are not Live's (`/v3`, downloads, health) are not limited.
"""

from typing import NamedTuple

from livereel.api.huawei.operations import Operation
from livereel.domain.clock import Clock
from livereel.domain.errors import RateLimited

PERIOD = 60.0  # seconds; the numbers are requests per minute


class Limit(NamedTuple):
    """Requests per minute of one operation: by one user, and by all users together."""

    user: int
    everybody: int


DEFAULT = Limit(300, 3000)  # recording templates and record/control; ours where the table names nothing

#: By path below /v1/{project_id}, "/{id}" left out; a method in front where the methods differ.
LIMITS: dict[str, Limit] = {
    "POST /domain": Limit(300, 3000),
    "GET /domain": Limit(300, 3000),
    "PUT /domain": Limit(100, 1000),
    "DELETE /domain": Limit(100, 1000),
    "/domains_mapping": Limit(100, 1000),
    "POST /stream/blocks": Limit(4000, 12_000),
    "PUT /stream/blocks": Limit(4000, 12_000),
    "GET /stream/blocks": Limit(3000, 6000),
    "DELETE /stream/blocks": Limit(3000, 6000),
    "/realtime/streams": Limit(1000, 2000),
    "/notifications/publish": Limit(300, 3000),
    "/guard/key-chain": Limit(150, 300),
    "/auth/chain": Limit(300, 3000),
    "/stream/snapshot": Limit(150, 300),
    "/record/rules": Limit(300, 3000),
    "/record/control": Limit(300, 3000),
    "/record/indexes": Limit(1200, 3000),
    "/record/callbacks": Limit(300, 300),
    "/obs/authority": Limit(150, 300),
}

_ROOT = "/v1/{project_id}"


def limit_of(operation: Operation) -> Limit | None:
    """The limit of an operation; None if it has none."""
    if not operation.path.startswith(_ROOT + "/"):
        return None
    path = operation.path.removeprefix(_ROOT).partition("/{")[0]
    return LIMITS.get(path) or LIMITS.get(f"{operation.method} {path}") or DEFAULT


class _Bucket:
    __slots__ = ("_rate", "_size", "_tokens", "_updated_at")

    def __init__(self, size: float, now: float) -> None:
        self._size = self._tokens = size
        self._rate = size / PERIOD
        self._updated_at = now

    def fill(self, now: float) -> bool:
        """Let in what time has brought; True if there is a whole token."""
        self._tokens = min(self._size, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        return self._tokens >= 1

    def take(self) -> None:
        self._tokens -= 1


class RateLimits:
    """Counts requests. `factor` multiplies every number of the table."""

    def __init__(self, clock: Clock, *, factor: float = 1.0) -> None:
        self._clock = clock
        self._factor = factor
        self._buckets: dict[tuple[str, str | None], _Bucket] = {}

    def admit(self, operation: Operation, user_id: str) -> None:
        """Count a request; raises RateLimited, and then neither bucket has lost anything."""
        limit = limit_of(operation)
        if limit is None:
            return
        now = self._clock.monotonic()
        of_user = self._bucket(operation, user_id, limit.user, now)
        of_all = self._bucket(operation, None, limit.everybody, now)
        if not of_user.fill(now):
            raise RateLimited(f"{operation.name}: at most {limit.user * self._factor:g} requests a minute by one user")
        if not of_all.fill(now):
            raise RateLimited(f"{operation.name}: at most {limit.everybody * self._factor:g} requests a minute in all")
        of_user.take()
        of_all.take()

    def _bucket(self, operation: Operation, user_id: str | None, size: int, now: float) -> _Bucket:
        key = (operation.name, user_id)
        bucket = self._buckets.get(key)
        if bucket is None:
            # A factor below 1/size must not shut an operation off for good.
            bucket = self._buckets[key] = _Bucket(max(1.0, size * self._factor), now)
        return bucket
