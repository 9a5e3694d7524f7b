"""Recovery that is killed before each of its transactions, one after the other, ends as one that is left alone.

In one process, since there are many steps; `test_kills` does the same to real servers at steps that chance picks.
"""

import asyncio
import contextlib
import copy
import shutil
from pathlib import Path

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP
from tests.integration.lifecycle import test_lifecycle
from tests.integration.lifecycle.node import Node
from tests.integration.lifecycle.parts import Dead
from tests.integration.lifecycle.test_lifecycle import COMMANDED, CONTINUOUS, CYCLE, Lifecycle

empty, quiet = test_lifecycle.empty, test_lifecycle.quiet  # fixtures

#: Frames of each stream: 70 s, so that each has a file that is complete and one that is not.
FRAMES = 35
#: The stream on command waits for its return, the other one is to be ended.
WINDOW = 30
STEPS_MAX = 200


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_recovery_killed_before_each_of_its_transactions(empty: Path, tmp_path: Path) -> None:
    crashed = Lifecycle(empty)
    try:
        crashed.begin(WINDOW, 0, CYCLE)
        crashed.publish(COMMANDED, FRAMES)
        crashed.start(COMMANDED, armed=False)
        crashed.publish(CONTINUOUS, FRAMES)
        crashed.record(3)
        steps = crashed._run(kill_at_each_step(crashed, tmp_path / "as it was"))
    finally:
        crashed.teardown()  # which checks the last of all recoveries once more
    assert steps > 10


async def kill_at_each_step(crashed: Lifecycle, as_it_was: Path) -> int:
    """How many steps there are. Each time the disk is as the first kill left it, and so is the clock."""
    await crashed.node.die()
    crashed._all_gone()
    shutil.rmtree(crashed._root / "work", ignore_errors=True)
    await crashed._catalogue.close()
    shutil.copytree(crashed._root, as_it_was)
    clock = copy.copy(crashed._clock.__dict__)
    for step in range(STEPS_MAX):
        shutil.rmtree(crashed._root)
        shutil.copytree(as_it_was, crashed._root)
        crashed._clock.__dict__.update(clock)
        crashed._catalogue = await open_catalogue(f"sqlite:///{crashed._root / 'catalogue.db'}")
        died = await dies(crashed, step)
        await crashed._next_node()
        await crashed._record(1)
        await crashed._pass(WINDOW + MIN_PAUSE_AFTER_STOP)
        await crashed._record(None)
        await crashed._check()
        if not died:
            return step
        await crashed.node.die()
        await crashed._catalogue.close()
    raise AssertionError(f"recovery takes more than {STEPS_MAX} steps")


async def dies(crashed: Lifecycle, step: int) -> bool:
    """A node that dies at `step` of recovery and of what follows from it; True if it came to that."""
    dying = Node(crashed._root, crashed._catalogue, crashed._clock, crashed._new_id)
    dying.catalogue.writes_left = step

    async def live() -> None:
        await dying.begin()
        await dying.recorder.run()
        await dying.timers.advance(WINDOW + 1, lambda: dying.settle(lambda _key: False))
        await dying.recorder.run()

    life = asyncio.create_task(live())
    while not life.done() and not dying.catalogue.dead:
        await asyncio.sleep(0.005)
    life.cancel()  # what waits for a dead catalogue would wait for ever
    with contextlib.suppress(Dead, asyncio.CancelledError):
        await life
    died = dying.catalogue.dead
    await dying.die()
    return died
