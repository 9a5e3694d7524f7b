"""The pump's rhythm: passes, early visits, slices, faults. Its members are neighbours made up here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

from livereel.ingest.pump import TURNS_MAX, Pump


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Member:
    """Notes when it was visited; each visit takes `cost` seconds of the clock."""

    def __init__(self, clock: Clock, cost: float = 0.0, more: int = 0) -> None:
        self.clock = clock
        self.cost = cost
        self.more = more
        self.visits: list[float] = []
        self.failure: Exception | None = None
        self.failed_with: Exception | None = None
        self.on_visit: Callable[[], None] = lambda: None

    def visit(self) -> bool:
        self.visits.append(self.clock.time)
        self.clock.time += self.cost
        self.on_visit()
        if self.failure is not None:
            raise self.failure
        self.more -= 1
        return self.more >= 0

    def fail(self, error: Exception) -> None:
        self.failed_with = error


@contextlib.asynccontextmanager
async def running(clock: Clock, after: Callable[[], None] = lambda: None, **options: float) -> AsyncIterator[Pump]:
    settings = {"interval": 0.02, "slice_seconds": 0.004, **options}
    pump = Pump(clock=clock, after=after, tick=options.pop("tick", lambda: None), **settings)
    pump.start()
    try:
        yield pump
    finally:
        await pump.stop()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_every_member_is_visited_once_a_pass() -> None:
    clock = Clock()
    members = [Member(clock) for _ in range(5)]
    async with running(clock) as pump:
        for member in members:
            pump.add(member)
        await until(lambda: all(member.visits for member in members))
        await asyncio.sleep(0.05)
        assert all(len(member.visits) == 1 for member in members)  # and no more while time stands still
        clock.time += 0.02
        await until(lambda: all(len(member.visits) == 2 for member in members))
        pump.remove(members[0])
        clock.time += 0.02
        await until(lambda: len(members[1].visits) == 3)
        assert len(members[0].visits) == 2


async def test_an_early_visit_does_not_wait_for_the_pass() -> None:
    clock = Clock()
    early, other = Member(clock), Member(clock)
    async with running(clock, interval=1000.0) as pump:
        await turns()
        pump.add(early)
        pump.add(other)
        await turns()
        pump.hurry(early)
        pump.hurry(Member(clock))  # unknown, ignored
        await until(lambda: len(early.visits) == 1)
        assert not other.visits


async def test_a_member_with_more_is_visited_again_after_the_others() -> None:
    clock = Clock()
    order: list[str] = []
    big, small = Member(clock, more=2), Member(clock)
    big.on_visit = lambda: order.append("big")
    small.on_visit = lambda: order.append("small")
    async with running(clock, interval=1000.0) as pump:
        pump.add(big)
        pump.add(small)
        await until(lambda: len(order) >= 4)
        assert order == ["big", "small", "big", "big"]


async def test_the_loop_runs_between_slices_and_what_was_read_is_handed_on() -> None:
    clock = Clock()
    handed_on: list[int] = []
    members = [Member(clock, cost=0.003) for _ in range(10)]

    def after() -> None:
        handed_on.append(sum(len(member.visits) for member in members))

    async with running(clock, after, interval=1000.0) as pump:
        for member in members:
            pump.add(member)
        seen: list[int] = []
        while sum(len(member.visits) for member in members) < 10:
            await asyncio.sleep(0)
            seen.append(sum(len(member.visits) for member in members))
        assert [count for count in dict.fromkeys(seen) if count] == [2, 4, 6, 8, 10]
        await turns()
        assert handed_on[:5] == [2, 4, 6, 8, 10]


async def test_others_who_are_busy_get_several_turns_after_a_slice() -> None:
    clock = Clock()
    slices: list[int] = []
    turns_taken = 0

    async def other(busy: int) -> None:
        nonlocal turns_taken
        while True:
            await asyncio.sleep(0)
            turns_taken += 1
            if turns_taken <= busy:
                clock.time += 0.001

    async with running(clock, after=lambda: slices.append(turns_taken), interval=1000.0) as pump:
        for _ in range(5):
            pump.add(Member(clock, cost=0.004))
        job = asyncio.create_task(other(busy=TURNS_MAX + 2))
        await turns(40)
        job.cancel()
    between = [later - earlier for earlier, later in pairwise(slices)]
    # The others begin after the first slice; then a pause as long as may be, one of two turns and a look, and one of
    # a look.
    assert between[:4] == [0, TURNS_MAX, 3, 1]


async def test_a_faulty_member_does_not_stop_the_others() -> None:
    clock = Clock()
    bad, good = Member(clock), Member(clock)
    bad.failure = ZeroDivisionError("no")
    async with running(clock, interval=1000.0) as pump:
        pump.add(bad)
        pump.add(good)
        await until(lambda: len(good.visits) == 1)
        assert bad.failed_with is bad.failure


async def test_a_fault_after_a_slice_is_not_the_end_of_all_passes() -> None:
    clock = Clock()
    member = Member(clock)

    def after() -> None:
        raise ZeroDivisionError

    async with running(clock, after) as pump:
        pump.add(member)
        for count in range(1, 4):
            clock.time += 0.02
            await until(lambda count=count: len(member.visits) >= count)


async def test_a_member_removed_during_a_pass_is_not_visited_any_more() -> None:
    clock = Clock()
    first, second = Member(clock, more=5), Member(clock)
    async with running(clock, interval=1000.0) as pump:

        def leave() -> None:
            pump.remove(first)
            pump.remove(second)

        first.on_visit = leave
        pump.add(first)
        pump.add(second)
        await until(lambda: len(first.visits) == 1)
        await turns()
        assert len(first.visits) == 1
        assert not second.visits


async def test_the_time_is_looked_at_once_a_second() -> None:
    clock = Clock()
    looks: list[float] = []
    pump = Pump(interval=0.005, slice_seconds=1, clock=clock, after=lambda: None, tick=lambda: looks.append(clock.time))
    pump.start()
    for _ in range(30):
        clock.time += 0.1
        await asyncio.sleep(0.008)
    await pump.stop()
    await pump.stop()
    assert 2 <= len(looks) <= 4
