"""One bad receiver is its own problem: others get their messages at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from livereel.callbacks import dispatcher, lanes
from livereel.catalogue.repositories.messages import SqlOutbox
from livereel.domain.messages import MessageState, OutboxMessage, PublishEvent
from tests.integration.callbacks.conftest import LOOPBACK, PATIENCE, Outbox, Receiver, Reply

Make = Callable[[], Awaitable[Receiver]]
PATIENT = replace(LOOPBACK, timeout=600.0)  # no attempt ends by itself here


async def hang(_request: web.Request) -> Reply:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_slow_receiver_delays_nobody_else(outbox: Outbox, receivers: Make) -> None:
    slow, quick = await receivers(), await receivers()

    slow.behaviour = hang
    await outbox.configure("slow.example.com", slow.url)
    await outbox.configure("quick.example.com", quick.url)
    for n in range(300):
        await outbox.add("slow.example.com", f"cam{n}")
    running = await outbox.dispatch(PATIENT)
    async with asyncio.timeout(PATIENCE):
        while not slow.bodies:
            await asyncio.sleep(0.02)
    for n in range(20):
        await outbox.add("quick.example.com", f"cam{n}")
        running.notify()
        await outbox.until(MessageState.DELIVERED, n + 1)  # behind the slow receiver's messages it would never be
    assert slow.busiest <= LOOPBACK.places_per_host


async def test_a_receiver_is_not_flooded_when_it_comes_back(outbox: Outbox, receiver: Receiver) -> None:
    async def think(_request: web.Request) -> Reply:
        await asyncio.sleep(0.02)
        return 200

    receiver.behaviour = think
    await outbox.configure("d", receiver.url)
    for n in range(200):
        await outbox.add("d", f"cam{n}")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 200)
    assert receiver.busiest <= LOOPBACK.places_per_host
    assert len({body["stream"] for body in receiver.bodies}) == len(receiver.bodies) == 200


async def test_places_are_bounded_over_all_hosts(outbox: Outbox, receivers: Make) -> None:
    made = [await receivers() for _ in range(4)]
    busiest, all_taken = 0, asyncio.Event()

    async def count(_request: web.Request) -> Reply:
        nonlocal busiest
        busiest = max(busiest, sum(receiver.busy for receiver in made))
        if busiest == 6:
            all_taken.set()
        await all_taken.wait()
        await asyncio.sleep(0.05)
        return 200

    for n, receiver in enumerate(made):
        receiver.behaviour = count
        await outbox.configure(f"d{n}", receiver.url)
        for stream in range(10):
            await outbox.add(f"d{n}", f"cam{stream}")
    await outbox.dispatch(replace(PATIENT, places=6))
    await outbox.until(MessageState.DELIVERED, 40)
    assert busiest == 6


async def test_looks_are_few_however_many_messages_there_are(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    due = SqlOutbox.due

    async def counted(*arguments: Any, **options: Any) -> list[OutboxMessage]:
        nonlocal looks
        looks += 1
        return await due(*arguments, **options)

    monkeypatch.setattr(SqlOutbox, "due", counted)
    await outbox.configure("d", receiver.url)
    events = [PublishEvent.PUBLISH, PublishEvent.PUBLISH_DONE] * 20
    for event in events:
        for n in range(5):
            await outbox.add("d", f"cam{n}", event=event)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 200)
    for n in range(5):
        assert [body["event"] for body in receiver.bodies if body["stream"] == f"cam{n}"] == events
    assert looks < 20


async def test_more_than_fits_in_hand_is_delivered_without_being_rewritten(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAITING_MAX", 10)
    monkeypatch.setattr(lanes, "WAITING_LOW", 3)
    monkeypatch.setattr(dispatcher, "BATCH", 8)
    monkeypatch.setattr(dispatcher, "IDLE_POLL", 3600.0)  # it does not look again by itself
    written: list[OutboxMessage] = []
    update = SqlOutbox.update

    async def noted(repository: SqlOutbox, message: OutboxMessage) -> None:
        written.append(message)
        await update(repository, message)

    monkeypatch.setattr(SqlOutbox, "update", noted)
    await outbox.configure("d", receiver.url)
    for n in range(100):
        await outbox.add("d", f"cam{n}")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 100)
    assert len(written) == len(receiver.bodies) == 100


async def test_a_domain_that_leaves_a_receiver_that_hangs_leaves_it_behind(
    outbox: Outbox, receivers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAITING_MAX", 4)
    monkeypatch.setattr(lanes, "SOURCE_AGE", 0.5)
    hanging, quick = await receivers(), await receivers()
    hanging.behaviour = hang
    for n in range(20):
        for domain in ("stays.example.com", "moves.example.com"):
            await outbox.configure(domain, hanging.url)
            await outbox.add(domain, f"cam{n}")
    running = await outbox.dispatch(replace(PATIENT, places_per_host=2))
    async with asyncio.timeout(PATIENCE):
        while len(hanging.bodies) < 2:
            await asyncio.sleep(0.02)
    await outbox.configure("moves.example.com", quick.url)
    async with asyncio.timeout(PATIENCE):
        while len(quick.bodies) < 17:  # the other three were in hand
            running.notify()
            await asyncio.sleep(0.1)
    assert {body["domain"] for body in quick.bodies} == {"moves.example.com"}


async def test_messages_wait_for_a_host_that_rests_as_they_are(outbox: Outbox, returning: Receiver) -> None:
    await outbox.configure("d", returning.url)
    await returning.stop()
    ids = [await outbox.add("d", f"cam{n}") for n in range(30)]
    due = {message.id: message.due_at for message in await outbox.messages()}
    await outbox.dispatch(replace(LOOPBACK, places_per_host=1))
    await outbox.until_attempts(ids[0], 1)
    untouched = [message.id for message in await outbox.messages() if message.due_at == due[message.id]]
    assert len(untouched) > 20
    await returning.start()
    await outbox.until(MessageState.DELIVERED, 30)
    assert len(returning.bodies) == 30
