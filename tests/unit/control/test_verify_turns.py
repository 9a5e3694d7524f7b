"""Which files are read at once, and how long the others wait."""

import asyncio

from livereel.control.verify_turns import BESIDE, Turns


async def test_a_few_files_are_read_at_once() -> None:
    turns = Turns()
    assert [turns.closed(f"job-{number}", "rec") for number in range(BESIDE + 2)] == [True] * BESIDE + [False] * 2
    waiting = asyncio.create_task(turns.wait("rec"))
    for number in range(BESIDE + 1):
        turns.arrived(f"job-{number}")
        turns.arrived(f"job-{number}")
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
    assert turns.closed("job-0", "rec")
    turns.arrived(f"job-{BESIDE + 1}")
    turns.arrived("job-0")
    await waiting


async def test_a_store_that_is_away_puts_nothing_off_for_ever() -> None:
    turns = Turns(put_off=0.0)
    for number in range(BESIDE + 1):
        turns.closed(f"job-{number}", "rec")
    await turns.wait("rec")


async def test_a_bucket_that_is_away_puts_off_nothing_of_another() -> None:
    turns = Turns()
    for number in range(BESIDE + 1):
        turns.closed(f"job-{number}", "away")
    assert turns.closed("other", "rec")
    turns.arrived("other")
    await asyncio.wait_for(turns.wait("rec"), 30)
