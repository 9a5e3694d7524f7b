"""kill -9 at random instants: of the server, its workers, both, again during recovery, and while files are stored.

What is killed and when follows from a seed. 20 seeds by default; `make nightly` runs 200 (`KILL_RUNS`, `KILL_FIRST`).
A story that fails names its seed and leaves its directory; `KILL_RUNS=1 KILL_FIRST=<seed>` tells it again.
"""

import os
import queue
import shutil
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.faults.checks import Loss, bound, check
from tests.faults.encoders import Crew
from tests.faults.instance import Instance
from tests.faults.numbered import Media
from tests.faults.story import Plan, Story

RUNS = int(os.environ.get("KILL_RUNS", "20"))
FIRST = int(os.environ.get("KILL_FIRST", "0"))
#: Servers at a time: a story mostly waits.
SERVERS = 3
#: A lane with so many failures has said enough.
FAILURES_MAX = 2


class Lane:
    """One server after another, each taken through stories until one goes wrong."""

    def __init__(self, directory: Path, crew: Crew, media: Media, seeds: "queue.SimpleQueue[int]") -> None:
        self._directory = directory
        self._crew = crew
        self._media = media
        self._seeds = seeds
        self.failures: list[str] = []
        self.losses: dict[str, list[Loss]] = defaultdict(list)
        self.thread = threading.Thread(target=self._run, name=directory.name)

    def _run(self) -> None:
        number = 0
        while not self._seeds.empty() and len(self.failures) < FAILURES_MAX:
            number += 1
            receiver = Receiver()
            instance = Instance(self._directory / f"server-{number}", receiver)
            try:
                instance.set_up()
                while self._tell(instance):
                    pass
            except Exception:
                self.failures.append(f"{instance.directory}:\n{traceback.format_exc()}")
                return
            finally:
                instance.clean_up()
                receiver.close()

    def _tell(self, instance: Instance) -> bool:
        """One story; False if this server is of no use any more or there are no more stories."""
        try:
            plan = Plan.of(self._seeds.get_nowait())
        except queue.Empty:
            return False
        begun = time.monotonic()
        try:
            story = Story(plan, instance, self._crew, self._media)
            story.run()
            self.losses[bound(story)] += check(story)
        except Exception:
            self.failures.append(f"{plan}\n{instance.directory}\n{traceback.format_exc()}")
            return False
        print(f"seed {plan.seed}: {plan.fault}, {time.monotonic() - begun:.1f} s")
        return True


@pytest.mark.slow
@pytest.mark.timeout(max(600, RUNS * 30))
def test_killed_at_random_instants(crew: Crew, numbered: Media) -> None:
    directory = Path(tempfile.mkdtemp(prefix="livereel-kills-"))  # pytest gives its own away to later runs
    seeds: queue.SimpleQueue[int] = queue.SimpleQueue()
    for seed in range(FIRST, FIRST + RUNS):
        seeds.put(seed)
    lanes = [Lane(directory / f"lane-{number}", crew, numbered, seeds) for number in range(min(SERVERS, RUNS))]
    for lane in lanes:
        lane.thread.start()
    for lane in lanes:
        lane.thread.join()
    for what in sorted({what for lane in lanes for what in lane.losses}):
        print(f"{what}: {_summary([loss for lane in lanes for loss in lane.losses[what]])}")
    failures = [failure for lane in lanes for failure in lane.failures]
    assert not failures, f"{len(failures)} of {RUNS} stories failed\n\n" + "\n\n".join(failures)
    shutil.rmtree(directory)


def _summary(losses: list[Loss]) -> str:
    seconds = sorted(loss.seconds for loss in losses)
    lost = [second for second in seconds if second]
    if not lost:
        return f"{len(seconds)} pushes, nothing lost"
    return (
        f"{len(seconds)} pushes, {len(lost)} lost something: half of these up to {lost[len(lost) // 2]:.2f} s,"
        f" the worst {lost[-1]:.2f} s, {sum(loss.packets for loss in losses)} packets in all"
    )
