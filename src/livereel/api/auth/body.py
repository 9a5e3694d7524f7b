"""Taking a request body in, within the gateway's limit."""

from starlette.types import Message, Receive, Scope

from livereel.api.huawei.errors import BodyTooLarge

BODY_MAX = 12_000_000  # bytes; the cloud's limit for signed requests (spec huawei-live-common.md section 1)

# What a refused client may still send before the connection is cut under it. Clients send first and read afterwards,
# and a connection that is closed with bytes unread is reset: they would see no answer at all.
DISCARD_MAX = 4 * BODY_MAX


class Disconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


class Body:
    """The body of one request: read it, or discard it when the request is refused before."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._announced = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
        self._taken = 0
        self._complete = False

    async def read(self) -> bytes:
        """The body; raises BodyTooLarge, at once if the client announces too much, and Disconnected."""
        parts: list[bytes] = []
        while not self._complete:
            if max(self._announced, self._taken) > BODY_MAX:
                raise BodyTooLarge(f"a request body may have {BODY_MAX} bytes")
            parts.append(await self._next())
        if self._taken > BODY_MAX:
            raise BodyTooLarge(f"a request body may have {BODY_MAX} bytes")
        return b"".join(parts)

    async def discard(self) -> None:
        """Take what is left of a body of bearable size, and forget it. Raises Disconnected."""
        while not self._complete and max(self._announced, self._taken) <= DISCARD_MAX:
            await self._next()

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
