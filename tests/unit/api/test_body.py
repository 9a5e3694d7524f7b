"""Request bodies share one budget, which is given back however a request ends."""

import pytest
from starlette.types import Message

from livereel.api.auth.body import BODY_MAX, Body, Budget
from livereel.api.huawei.errors import BodyTooLarge
from livereel.domain.errors import RateLimited


def body(parts: list[bytes], budget: Budget, announced: int = 0) -> Body:
    waiting = list(parts)

    async def receive() -> Message:
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    headers = [(b"content-length", str(announced).encode())] if announced else []
    return Body({"type": "http", "headers": headers}, receive, budget)


async def test_a_body_takes_its_size_and_gives_it_back() -> None:
    budget = Budget(10)
    first = body([b"1234", b"5678"], budget)
    assert await first.read() == b"12345678"
    second = body([b"123"], budget)
    with pytest.raises(RateLimited):
        await second.read()
    second.close()
    first.close()
    first.close()
    assert await body([b"1234567890"], budget).read() == b"1234567890"


async def test_what_is_too_large_takes_nothing() -> None:
    budget = Budget(10)
    with pytest.raises(BodyTooLarge):
        await body([b"x"], budget, announced=BODY_MAX + 1).read()
    with pytest.raises(BodyTooLarge):
        await body([b"123", b"456"], budget).read(limit=5)
