"""Turns, delays and the choice of a bucket, without any store."""

import asyncio
import random

import pytest

from livereel.control.uploads import backoff
from livereel.control.uploads.backoff import Backoff
from livereel.control.uploads.outages import Outages
from livereel.control.uploads.slots import Slots
from livereel.storage.config import Second
from livereel.testing.clock import FakeClock


async def test_the_urgent_get_in_first() -> None:
    slots, order = Slots(2), list[str]()
    let_go = asyncio.Event()

    async def work(name: str, urgent: bool) -> None:
        async with slots.hold(urgent=urgent):
            order.append(name)
            await let_go.wait()

    holders = [asyncio.create_task(work(name, urgent=False)) for name in ("a", "b", "c", "d")]
    await asyncio.sleep(0)
    late = [asyncio.create_task(work("late", urgent=True)), asyncio.create_task(work("gone", urgent=True))]
    await asyncio.sleep(0)
    late[1].cancel()
    await asyncio.sleep(0)
    assert order == ["a", "b"]
    let_go.set()
    await asyncio.gather(*holders, *late, return_exceptions=True)
    assert order == ["a", "b", "late", "c", "d"]
    async with slots.hold(urgent=False), slots.hold(urgent=False):  # both are free again
        pass


def test_delays_double_to_a_limit_and_never_agree() -> None:
    one, other = (Backoff(random.Random(seed)) for seed in (1, 2))
    delays = [one.delay() for _ in range(12)]
    for number, delay in enumerate(delays):
        most = min(backoff.FIRST * 2**number, backoff.LONGEST)
        assert most / 2 <= delay <= most
    assert delays != [other.delay() for _ in range(12)]
    one.reset()
    assert one.delay() <= backoff.FIRST


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_the_second_takes_over_after_its_time_and_only_then(clock: FakeClock) -> None:
    outages = Outages(None, clock, {"a": Second("b", 300.0)})  # type: ignore[arg-type]  stores are asked by `probe` only
    assert outages.choose("a", "a") == "a"
    outages.failed("a", "no connection")
    clock.advance(299)
    outages.failed("a", "no connection still")  # the first failure counts
    assert outages.choose("a", "a") == "a"
    clock.advance(1)
    assert outages.choose("a", "a") == "b"
    assert outages.last_error("a") == "no connection still"
    assert outages.choose("other", "other") == "other"
    # There it stays, also when the first is back, unless the second fails then.
    outages.succeeded("a")
    assert outages.choose("a", "b") == "b"
    outages.failed("b", "away")
    assert outages.choose("a", "b") == "a"
    outages.failed("a", "away")
    assert outages.choose("a", "b") == "b"
    outages.succeeded("a")
    assert outages.choose("a", "a") == "a"
