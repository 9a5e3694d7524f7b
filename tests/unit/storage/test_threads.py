"""Threads of a bucket: bounded, its own, and never in the way of anybody else."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from livereel.domain.errors import StoreError
from livereel.storage import threads
from livereel.storage.threads import BUCKET_THREADS, BucketThreads

PATIENCE, SHORT = 60.0, 0.05  # seconds


class Hung:
    """Calls that hang until they are let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self._free = threading.Event()

    def __call__(self) -> int:
        self.calls += 1
        self.begun.set()
        assert self._free.wait(PATIENCE)
        return 7

    def let_go(self) -> None:
        self._free.set()


@pytest.fixture
def hung() -> Iterator[Hung]:
    calls = Hung()
    yield calls
    calls.let_go()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_results_and_errors_come_back() -> None:
    bucket = BucketThreads("rec-a")
    assert await bucket.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await bucket.run(divmod, 1, 0)
    assert await bucket.run(threading.get_ident) != threading.get_ident()


async def test_a_bucket_that_hangs_ties_up_its_own_threads_only(hung: Hung) -> None:
    slow, other = BucketThreads("rec-a"), BucketThreads("rec-b")
    waiting = [asyncio.create_task(slow.run(hung)) for _ in range(BUCKET_THREADS + 20)]
    await until(lambda: hung.calls == BUCKET_THREADS)
    assert await other.run(sum, (1, 2)) == 3
    assert await asyncio.to_thread(sum, (3, 4)) == 7
    assert hung.calls == BUCKET_THREADS
    hung.let_go()
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*waiting) == [7] * len(waiting)


async def test_what_waits_is_bounded(hung: Hung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WAITING_MAX", 3)
    bucket = BucketThreads("rec-a")
    waiting = [asyncio.create_task(bucket.run(hung)) for _ in range(BUCKET_THREADS + 3)]
    await until(lambda: hung.calls == BUCKET_THREADS)
    with pytest.raises(StoreError, match="rec-a does not answer: 7 operations wait"):
        await bucket.run(hung)
    hung.let_go()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)
    assert await bucket.run(sum, (1, 2)) == 3


async def test_nobody_waits_for_ever_for_an_answer(hung: Hung) -> None:
    bucket, left = BucketThreads("rec-a"), list[int]()
    running = asyncio.create_task(bucket.run(hung, timeout=SHORT, abandoned=left.append))
    await asyncio.sleep(0)
    assert hung.begun.wait(PATIENCE)  # nothing else runs here meanwhile: the limit comes after it
    with pytest.raises(StoreError, match=r"has not answered for 0\.05 s"):
        await running
    assert left == []
    hung.let_go()
    await until(lambda: left == [7])  # what came late is given to whom can give it back


async def test_what_nobody_waits_for_is_not_begun(hung: Hung) -> None:
    bucket, begun = BucketThreads("rec-a"), list[int]()
    busy = [asyncio.create_task(bucket.run(hung)) for _ in range(BUCKET_THREADS)]
    await until(lambda: hung.calls == BUCKET_THREADS)
    late = asyncio.create_task(bucket.run(begun.append, 1))
    await asyncio.sleep(0)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    hung.let_go()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*busy)
    await bucket.run(begun.append, 2)
    assert begun == [2]


async def test_the_end_of_every_call_is_told(hung: Hung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that nobody awaits any more, one that is left out, one that is refused and one that fails."""
    monkeypatch.setattr(threads, "WAITING_MAX", 1)
    bucket, over = BucketThreads("rec-a"), list[str]()
    calls = [
        asyncio.create_task(bucket.run(hung, ended=lambda number=number: over.append(f"call {number}")))
        for number in range(BUCKET_THREADS)
    ]
    await until(lambda: hung.calls == BUCKET_THREADS)
    late = asyncio.create_task(bucket.run(abs, 1, ended=lambda: over.append("left out")))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="does not answer"):
        await bucket.run(abs, 1, ended=lambda: over.append("refused"))
    for call in (calls[0], late):
        call.cancel()
    await asyncio.wait({calls[0], late})
    assert over == ["refused"]
    hung.let_go()
    await until(lambda: len(over) == BUCKET_THREADS + 2)
    assert set(over) == {"refused", "left out", *(f"call {number}" for number in range(BUCKET_THREADS))}
    with pytest.raises(ZeroDivisionError):
        await bucket.run(divmod, 1, 0, ended=lambda: over.append("failed"))
    await until(lambda: over[-1] == "failed")
    await asyncio.wait(calls)


async def test_threads_without_work_end_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE", 0.01)
    bucket = BucketThreads("of-this-test")
    for number in range(20):
        assert await bucket.run(abs, -number) == number
        await asyncio.sleep(0.01)
    await until(lambda: not any(thread.name == "bucket-of-this-test" for thread in threading.enumerate()))


async def test_the_error_of_a_file_system_that_timed_out_is_its_own() -> None:
    def call() -> None:
        raise TimeoutError("the server does not answer")

    with pytest.raises(TimeoutError, match="the server does not answer"):
        await BucketThreads("rec-a").run(call, timeout=PATIENCE)


class Late:
    """A call whose result and whose end of patience reach the loop at the same moment: it was busy meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: list[int] = []
        self._on_its_way = threading.Event()
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe

        def noted(*arguments: Any, **options: Any) -> asyncio.Handle:
            handle = real(*arguments, **options)
            self._on_its_way.set()
            return handle

        monkeypatch.setattr(loop, "call_soon_threadsafe", noted)

    def __call__(self) -> int:
        return 7

    async def while_busy(self, end: Callable[[], object]) -> None:
        await asyncio.sleep(0)  # whoever calls waits now
        assert self._on_its_way.wait(PATIENCE)
        time.sleep(2 * SHORT)  # and the limit passes
        end()


async def test_a_result_that_comes_when_patience_ends_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(monkeypatch)
    running = asyncio.create_task(BucketThreads("rec-a").run(late, timeout=SHORT, abandoned=late.left.append))
    await late.while_busy(lambda: None)
    assert await running == 7
    assert late.left == []


async def test_a_result_that_comes_when_its_caller_is_cancelled_is_left_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = Late(monkeypatch)
    running = asyncio.create_task(BucketThreads("rec-a").run(late, abandoned=late.left.append))
    await late.while_busy(lambda: asyncio.get_running_loop().call_soon(running.cancel))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert late.left == [7]
