"""One bad receiver is its own problem: others get their messages at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from livereel.domain.messages import MessageState
from tests.integration.callbacks.conftest import LOOPBACK, Outbox, Receiver, Reply

Make = Callable[[], Awaitable[Receiver]]


async def test_a_slow_receiver_delays_nobody_else(outbox: Outbox, receivers: Make) -> None:
    slow, quick = await receivers(), await receivers()

    async def dawdle(_request: web.Request) -> Reply:
        await asyncio.sleep(60)
        return 200

    slow.behaviour = dawdle
    await outbox.configure("slow.example.com", slow.url)
    await outbox.configure("quick.example.com", quick.url)
    for n in range(300):
        await outbox.add("slow.example.com", f"cam{n}")
    dispatcher = await outbox.dispatch()
    async with asyncio.timeout(30):
        while not slow.bodies:
            await asyncio.sleep(0.02)
    for n in range(20):
        await outbox.add("quick.example.com", f"cam{n}")
        dispatcher.notify()
        # Behind the slow receiver's messages it would take over a minute.
        await outbox.until(MessageState.DELIVERED, n + 1, within=30)
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
    await outbox.until(MessageState.DELIVERED, 200, within=60)
    assert receiver.busiest <= LOOPBACK.places_per_host
    assert len({body["stream"] for body in receiver.bodies}) == len(receiver.bodies) == 200


async def test_places_are_bounded_over_all_hosts(outbox: Outbox, receivers: Make) -> None:
    made = [await receivers() for _ in range(4)]
    busiest = 0

    async def count(_request: web.Request) -> Reply:
        nonlocal busiest
        busiest = max(busiest, sum(receiver.busy for receiver in made))
        await asyncio.sleep(0.05)
        return 200

    for n, receiver in enumerate(made):
        receiver.behaviour = count
        await outbox.configure(f"d{n}", receiver.url)
        for stream in range(10):
            await outbox.add(f"d{n}", f"cam{stream}")
    await outbox.dispatch(replace(LOOPBACK, places=6))
    await outbox.until(MessageState.DELIVERED, 40, within=60)
    assert busiest == 6
