"""Host names of receivers whose addresses change while messages wait."""

import asyncio
import socket
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from livereel.domain.messages import MessageState, PublishEvent
from tests.integration.callbacks.conftest import LOOPBACK, Outbox, Receiver

NAME = "hooks.example.com"
OLD, NEW = "127.0.0.2", "127.0.0.1"  # nobody listens at the old one


class Names:
    """What the name server says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address = OLD
        real = socket.getaddrinfo

        def look_up(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            return real(self.address if host == NAME else host, port, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


async def test_a_receiver_that_moves_gets_all_its_messages_in_order(
    outbox: Outbox, receiver: Receiver, names: Names
) -> None:
    await outbox.configure("d", f"http://{NAME}:{receiver.port}/hook")
    story = [PublishEvent.PUBLISH, PublishEvent.PUBLISH_DONE]
    ids = [await outbox.add("d", event=event) for event in story]
    await outbox.dispatch()
    await outbox.until_attempts(ids[0], 1)
    assert receiver.requests == []
    names.address = NEW
    await outbox.until(MessageState.DELIVERED, len(story))
    assert [body["event"] for body in receiver.bodies] == story


async def test_a_name_that_turns_inward_is_refused_at_that_attempt(
    outbox: Outbox, receiver: Receiver, names: Names
) -> None:
    """The address is checked when it is used, and not when it was configured."""
    names.address = NEW
    await outbox.configure("d", f"http://{NAME}:{receiver.port}/hook")
    config = replace(LOOPBACK, allow_private=(ip_network(f"{NEW}/32"),))
    await outbox.dispatch(config)
    first = await outbox.add("d", "cam01")
    outbox.dispatchers[0].notify()
    await outbox.until(MessageState.DELIVERED, 1)
    names.address = OLD
    second = await outbox.add("d", "cam02")
    outbox.dispatchers[0].notify()
    message = await outbox.until_attempts(second, 1)
    assert first != second
    assert f"{OLD} is not a public address" in (message.last_error or "")
    assert message.state is MessageState.PENDING
    names.address = NEW
    await outbox.until(MessageState.DELIVERED, 2)
    await asyncio.sleep(0)
    assert len(receiver.bodies) == 2
