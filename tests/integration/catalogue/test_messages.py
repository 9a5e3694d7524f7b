"""Notification settings and the outbox."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.domain.errors import ResourceNotFound
from livereel.domain.messages import LONGEST_PAUSE, AnnouncedPush, Delivery, MessageState, NotificationConfig, Publish
from tests.integration.catalogue.nouns import KEY, NOW, PROJECT, make_message


async def test_notification_settings_are_put_and_deleted(catalogue: Catalogue) -> None:
    config = NotificationConfig("push.example.com", "https://example.org/a", "k" * 32, "mainland_china")
    async with catalogue.write() as uow:
        assert await uow.notifications.get(config.domain) is None
        assert await uow.notifications.put(config)
        assert await uow.notifications.get(config.domain) == config
        assert not await uow.notifications.put(changed := replace(config, url="https://example.org/b", key=""))
        assert await uow.notifications.get(config.domain) == changed
        assert await uow.notifications.delete(config.domain)
        assert not await uow.notifications.delete(config.domain)


async def test_announced_pushes_are_listed_by_node(catalogue: Catalogue) -> None:
    publish = Publish("p1", "198.51.100.7", "203.0.113.9", "odd=\x00\ud83d%20", NOW + 0.25)
    push = AnnouncedPush(KEY, PROJECT, "node-1", publish)
    others = [
        replace(push, key=replace(KEY, stream=name), node=node) for name, node in (("b", "node-1"), ("c", "node-2"))
    ]
    async with catalogue.write() as uow:
        for other in reversed(others):
            assert await uow.announced_pushes.put(other)
        assert await uow.announced_pushes.put(replace(push, publish=replace(publish, id="p0")))
        assert not await uow.announced_pushes.put(push)
        assert await uow.announced_pushes.get(KEY) == push
        assert await uow.announced_pushes.list(node="node-1") == [others[0], push]
        assert await uow.announced_pushes.delete(KEY)
        assert not await uow.announced_pushes.delete(KEY)
        assert await uow.announced_pushes.get(KEY) is None


async def test_a_clock_that_is_set_back_holds_nothing_up(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        for wait in (1.0, LONGEST_PAUSE, LONGEST_PAUSE + 1, 5 * 3600.0):
            await uow.outbox.add(make_message(channel=f"{wait:g}", due_at=NOW + wait))
        assert [found.channel for found in await uow.outbox.due(NOW, limit=10)] == ["901", "18000"]


async def test_messages_come_back_as_they_were(catalogue: Catalogue) -> None:
    message = make_message()
    async with catalogue.write() as uow:
        number = await uow.outbox.add(message)
    async with catalogue.write() as uow:
        [found] = await uow.outbox.due(NOW, limit=10)
        assert found == replace(message, id=number)
        assert list(found.body) == list(message.body)  # members keep their order: the receiver sees what was written
        await uow.outbox.update(dead := replace(found, state=MessageState.DEAD, attempts=9, last_error="410 Gone"))
        assert await uow.outbox.list() == (1, [dead])
        with pytest.raises(ResourceNotFound):
            await uow.outbox.update(replace(found, id=number + 1))


async def test_a_channel_waits_for_its_first_message(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        a1 = await uow.outbox.add(make_message(channel="a", due_at=NOW + 60))
        a2 = await uow.outbox.add(make_message(channel="a", due_at=NOW))
        b1 = await uow.outbox.add(make_message(channel="b", due_at=NOW + 30))
        c1 = await uow.outbox.add(make_message(channel="c", due_at=NOW))
        assert [message.id for message in await uow.outbox.due(NOW, limit=10)] == [c1]
        assert [message.id for message in await uow.outbox.due(NOW + 30, limit=10)] == [b1, c1]
        assert [message.id for message in await uow.outbox.due(NOW + 60, limit=10)] == [a1, b1, c1]
        assert [message.id for message in await uow.outbox.due(NOW + 60, limit=2)] == [a1, b1]
        first = (await uow.outbox.due(NOW + 60, limit=1))[0]
        await uow.outbox.update(replace(first, state=MessageState.DELIVERED))
        assert [message.id for message in await uow.outbox.due(NOW, limit=10)] == [a2, c1]


async def test_some_of_what_is_due_is_left_out(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        rows = [("a", "callback", "x"), ("b", "callback", "y"), ("c", "notification", "x"), ("d", "callback", "y")]
        ids = [
            await uow.outbox.add(make_message(channel=channel, kind=kind, domain=domain, due_at=NOW))
            for channel, kind, domain in rows
        ]
        cases: list[tuple[dict[str, Any], list[int]]] = [
            ({"ids": ids[1:3]}, [0, 3]),
            ({"sources": [("callback", "x"), ("notification", "y")]}, [1, 2, 3]),
            ({"sources": [("callback", "y")], "ids": ids[:1]}, [2]),
            ({"after": ids[1]}, [2, 3]),
        ]
        for options, places in cases:
            due = await uow.outbox.due(NOW, limit=10, **options)
            assert [message.id for message in due] == [ids[place] for place in places], options


async def test_the_head_of_a_channel(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        assert await uow.outbox.head("a") is None
        first = await uow.outbox.add(make_message(channel="a", due_at=NOW + 60))
        second = await uow.outbox.add(make_message(channel="a"))
        await uow.outbox.add(make_message(channel="b"))
        for expected, state in ((first, MessageState.DELIVERED), (second, MessageState.DEAD)):
            head = await uow.outbox.head("a")
            assert head is not None
            assert head.id == expected
            await uow.outbox.update(replace(head, state=state))
        assert await uow.outbox.head("a") is None


async def test_sqlite_goes_by_channel(tmp_path: Path) -> None:
    """Through the index of states it would go through all that waits, for every message that is delivered."""
    asked: list[str] = []
    catalogue = await open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    async with catalogue.write() as uow:
        connection = uow._connection.raw  # type: ignore[attr-defined]
        connection.set_trace_callback(asked.append)
        await uow.outbox.head("a")
        await uow.outbox.due(NOW, limit=10)
        await uow.outbox.next_due_at(NOW)
        connection.set_trace_callback(None)
        plans = [[row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in asked]
    await catalogue.close()
    assert len(plans) == 3
    assert all(any("ix_outbox_pending" in step for step in plan) for plan in plans), plans


async def test_next_due_looks_at_first_messages_only(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        assert await uow.outbox.next_due_at() is None
        await uow.outbox.add(make_message(channel="a", due_at=NOW + 60))
        # Behind the first one, which is waiting for its next attempt: waking up for it would be a busy loop.
        await uow.outbox.add(make_message(channel="a", due_at=NOW))
        assert await uow.outbox.next_due_at() == NOW + 60
        await uow.outbox.add(make_message(channel="b", due_at=NOW + 30))
        assert await uow.outbox.next_due_at() == NOW + 30
        assert await uow.outbox.next_due_at(NOW + 30) == NOW + 60
        assert await uow.outbox.next_due_at(NOW + 60) is None


async def test_ids_never_come_back(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        numbers = [await uow.outbox.add(make_message()) for _ in range(3)]
    assert numbers == sorted(set(numbers))


async def test_outbox_is_listed_newest_first_by_state(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        for number in range(4):
            state = MessageState.DEAD if number % 2 else MessageState.PENDING
            await uow.outbox.add(make_message(event=str(number), state=state))
        assert [message.event for message in (await uow.outbox.list()).items] == ["3", "2", "1", "0"]
        assert [message.event for message in (await uow.outbox.list(state="dead", limit=1)).items] == ["3"]
        assert [message.event for message in (await uow.outbox.list(state=MessageState.PENDING)).items] == ["2", "0"]


async def test_deliveries_are_logged_in_order(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        number = await uow.outbox.add(make_message())
        attempts = [
            Delivery(number, NOW + 5, 10.0, None, "timed out"),
            Delivery(number, NOW + 1, 0.2, 200, None),  # clocks may step back; the log keeps the order of events
        ]
        for attempt in attempts:
            await uow.outbox.log(attempt)
    async with catalogue.read() as uow:
        assert await uow.outbox.deliveries(number) == attempts
        assert await uow.outbox.deliveries(number + 1) == []


async def test_settled_messages_are_deleted_with_their_log(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        numbers = [
            await uow.outbox.add(make_message(state=state, created_at=created_at))
            for created_at in (NOW - 2, NOW - 1, NOW)
            for state in MessageState
        ]
        for number in numbers:
            await uow.outbox.log(Delivery(number, NOW, 0.1, 200, None))
        assert await uow.outbox.pending() == 3
        assert await uow.outbox.delete_settled(NOW, limit=3) == 3
        assert await uow.outbox.delete_settled(NOW, limit=3) == 1
        assert await uow.outbox.delete_settled(NOW, limit=3) == 0
        assert await uow.outbox.pending() == 3
        left = [message for number in numbers if (message := await uow.outbox.get(number))]
        assert [message.state for message in left if message.created_at < NOW] == [MessageState.PENDING] * 2
        assert len(left) == 5
        for number in numbers:
            kept = number in {message.id for message in left}
            assert len(await uow.outbox.deliveries(number)) == kept


async def test_the_outbox_is_listed_with_every_filter(catalogue: Catalogue) -> None:
    rows = [
        {"project_id": "f" * 32},
        {"domain": "other.example.com"},
        {"kind": "callback", "event": "RECORD_OVER"},
        {"kind": "callback", "event": "RECORD_START", "state": MessageState.DEAD},
    ]
    async with catalogue.write() as uow:
        numbers = [await uow.outbox.add(make_message(**row)) for row in rows]
    filters: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [3, 2, 1, 0]),
        ({"project_id": PROJECT}, [3, 2, 1]),
        ({"domain": "other.example.com"}, [1]),
        ({"kind": "callback"}, [3, 2]),
        ({"kind": "callback", "state": "pending"}, [2]),
        ({"event": "RECORD_START"}, [3]),
        ({"event": "RECORD_START", "project_id": "f" * 32}, []),
    ]
    async with catalogue.read() as uow:
        for wanted, places in filters:
            page = await uow.outbox.list(**wanted)
            assert page.total == len(places), wanted
            assert [message.id for message in page.items] == [numbers[place] for place in places], wanted
        page = await uow.outbox.list(project_id=PROJECT, offset=1, limit=1)
        assert (page.total, [message.id for message in page.items]) == (3, [numbers[2]])


@pytest.mark.parametrize("state", MessageState)
async def test_a_message_is_replayed_before_newer_ones(catalogue: Catalogue, state: MessageState) -> None:
    async with catalogue.write() as uow:
        first = await uow.outbox.add(make_message(state=state, attempts=9, due_at=NOW + 7200, last_error="500"))
        second = await uow.outbox.add(make_message())
        await uow.outbox.log(Delivery(first, NOW, 0.1, 500, "500"))
    async with catalogue.write() as uow:
        again = await uow.outbox.replay(first, NOW + 3600)
        assert again == await uow.outbox.get(first)
        assert again is not None
        assert (again.state, again.attempts, again.created_at, again.due_at) == ("pending", 0, NOW + 3600, NOW + 3600)
        assert [message.id for message in await uow.outbox.due(NOW + 3600, limit=10)] == [first]
        assert len(await uow.outbox.deliveries(first)) == 1
        assert await uow.outbox.replay(second + 1, NOW) is None
