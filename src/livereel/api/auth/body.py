"""Reading a whole request body, within the gateway's limit."""

from starlette.types import Message, Receive, Scope

from livereel.api.huawei.errors import BodyTooLarge

BODY_MAX = 12 * 1024 * 1024  # bytes; the cloud's limit for signed requests (spec huawei-live-common.md section 1)


class Disconnected(Exception):
    """The client went away before its request was complete; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The body; raises BodyTooLarge, at once if the client announces too much, and Disconnected."""
    check_announced(scope)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_MAX:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def check_announced(scope: Scope) -> None:
    """Raises BodyTooLarge if the client announces too much; nothing is read."""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(announced) > BODY_MAX:
        raise _too_large()


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


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"a request body may have {BODY_MAX} bytes")
