"""Full collections come by the clock only."""

import asyncio
import gc
import weakref

import pytest

from livereel.observe import garbage


async def test_only_while_it_is_asked_for() -> None:
    before = gc.get_threshold()
    with garbage.collected_rarely():
        assert gc.get_threshold() == (garbage.YOUNG, garbage.MIDDLE, garbage.NEVER)
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


async def test_old_garbage_goes_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        pass

    gone = []
    monkeypatch.setattr(garbage, "FULL_PERIOD", 0.01)
    with garbage.collected_rarely():
        old = Old()
        old.itself = old  # type: ignore[attr-defined]
        weakref.finalize(old, lambda: gone.append(True))
        for _ in range(3):
            gc.collect(0)
        del old
        async with asyncio.timeout(30):
            while not gone:
                await asyncio.sleep(0.01)
