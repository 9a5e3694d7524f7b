"""The receiver that docs/api/notifications.md shows accepts what is sent, and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livereel.domain.messages import MessageState
from tests.integration.callbacks.conftest import Outbox, Receiver

PAGE = Path(__file__).parents[3] / "docs" / "api" / "notifications.md"
KEY = "0123456789abcdef0123456789ABCDEF"


async def test_the_documented_check(outbox: Outbox, receiver: Receiver) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    shown: dict[str, Any] = {}
    exec(found[1], shown)
    is_genuine: Callable[[Any, bytes, str], bool] = shown["is_genuine"]

    await outbox.configure("d", receiver.url, KEY)
    await outbox.add("d")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    headers, body = receiver.requests[0].headers, receiver.raw[0]
    assert is_genuine(headers, body, KEY)
    assert not is_genuine(headers, body.replace(b"cam01", b"cam02"), KEY)
    assert not is_genuine(headers, body, KEY.lower())
    stale = dict(headers) | {"Livereel-Timestamp": str(int(headers["Livereel-Timestamp"]) - 3600)}
    assert not is_genuine(stale, body, KEY)
