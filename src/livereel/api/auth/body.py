"""Taking a request body in, within the gateway's limit."""

from starlette.types import Message, Receive, Scope

from livereel.api.huawei.errors import BodyTooLarge
from livereel.domain.errors import RateLimited

BODY_MAX = 12_000_000  # bytes; the cloud's limit for signed requests (spec huawei-live-common.md section 1)

# Of a log-in, the only body that is parsed before anybody knows whose it is: JSON takes up to 30 times its size.
LOGIN_BODY_MAX = 64 * 1024

# What a refused client may still send before the connection is cut under it. Clients send first and read afterwards,
# and a connection that is closed with bytes unread is reset: they would see no answer at all.
DISCARD_MAX = 4 * BODY_MAX


# Of all requests under way. A body is taken in before anybody knows whose it is, since the signature covers it; without
# this a few hundred strangers could fill the memory. Five of the largest, and thousands of usual size.
BODIES_MAX = 5 * BODY_MAX


class Disconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


class Budget:
    """Bytes that all bodies under way take together."""

    def __init__(self, limit: int = BODIES_MAX) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Account for so many more bytes; raises RateLimited when there is no room for them."""
        if size > self._left:
            raise RateLimited("too many large requests are under way; try again in a moment")
        self._left -= size

    def give_back(self, size: int) -> None:
        """They are gone."""
        self._left += size


class Body:
    """The body of one request: read it, or discard it when the request is refused before. `close` it at the end."""

    def __init__(self, scope: Scope, receive: Receive, budget: Budget) -> None:
        self._receive = receive
        self._budget = budget
        self._held = 0
        self._announced = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
        self._taken = 0
        self._complete = False

    async def read(self, limit: int = BODY_MAX) -> bytes:
        """The body; raises BodyTooLarge, at once if the client announces too much, RateLimited and Disconnected."""
        parts: list[bytes] = []
        while not self._complete:
            if max(self._announced, self._taken) > limit:
                raise BodyTooLarge(f"a request body may have {limit} bytes")
            part = await self._next()
            self._budget.take(len(part))
            self._held += len(part)
            parts.append(part)
        if self._taken > limit:
            raise BodyTooLarge(f"a request body may have {limit} bytes")
        return b"".join(parts)

    async def discard(self) -> None:
        """Take what is left of a body of bearable size, and forget it. Raises Disconnected."""
        while not self._complete and max(self._announced, self._taken) <= DISCARD_MAX:
            await self._next()

    def close(self) -> None:
        """The request is answered, and its body gone."""
        self._budget.give_back(self._held)
        self._held = 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = bytes(message.get("body", b""))
        self._taken += len(part)
        self._complete = not message.get("more_body", False)
        return part


def replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then what the connection says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
