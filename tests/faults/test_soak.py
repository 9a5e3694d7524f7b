"""Fifty streams that join, drop out and come back: nothing grows, and every recording is verified.

Two minutes by default; `LIVEREEL_SOAK_SECONDS=1800` for half an hour (`make nightly`).
"""

import os
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from livereel.callbacks import sender
from livereel.catalogue import sqlite
from livereel.spool import pool as spool_pool
from livereel.storage import threads as storage_threads
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import Instance
from tests.faults.numbered import Media, numbers_in

SECONDS = float(os.environ.get("LIVEREEL_SOAK_SECONDS", "120"))
STREAMS = 50
SEED = 20261122
MERGE_WINDOW = 3  # seconds; absences are shorter and longer
PRESENT, ABSENT = (8.0, 25.0), (0.5, 6.0)  # seconds
#: What is measured before this share of the time has passed is warming up: pools fill, caches and arenas grow.
WARM_UP = 0.35
SAMPLE_EVERY = 1.0  # seconds
#: Seconds for the last recordings to be finished, on a machine that has been busy for long.
DRAIN = 240.0

#: How much the trend of a figure may come to in the time it is watched: a share of its median, and something besides.
#: A leak of 1 KiB a packet would be 200 MiB in two minutes, one open file a recording 600.
GROWTH = {"memory": (0.08, 24.0), "workers_memory": (0.08, 48.0), "files": (0.15, 12.0), "threads": (0.05, 2.0)}


#: Threads that the server may have come to: its own, and those of pools, which make one when all that they have are
#: busy, so sooner or later all of them. A disk that hangs is helped by some more for a while.
POOLED = (
    1
    + min(32, (os.cpu_count() or 1) + 4)  # those of asyncio
    + sqlite.READERS + 1
    + sender.RESOLVER_THREADS
    + storage_threads.BUCKET_THREADS
    + spool_pool._WRITING_THREADS + spool_pool._SYNCING_THREADS
)  # fmt: skip


class Sample(NamedTuple):
    """At one moment: MiB of the server and of all its workers, open files of the server, its threads beyond POOLED."""

    at: float
    memory: float
    workers_memory: float
    files: float
    threads: float


class Player:
    """One stream's encoder: there for a while, gone for a while, politely or not."""

    def __init__(self, server: Instance, crew: Crew, media: Media, number: int) -> None:
        self.name = f"cam{number:02}"
        self.joined = 0
        #: Encoders that were told to go.
        self.leaving: list[Future[None]] = []
        self._server, self._crew, self._media = server, crew, media
        self._chance = random.Random(SEED * 100 + number)
        self._encoder: Encoder | None = None
        self._next = time.monotonic() + self._chance.uniform(0, 8)

    def turn(self) -> None:
        """Do what is due."""
        if time.monotonic() < self._next:
            return
        if self._encoder is None:
            first = self._media.key_from(self._chance.randrange(len(self._media.packets) // 2))
            self._encoder = Encoder(self._crew, self._media, lambda: self._server.rtmp_port, self.name, first=first)
            self._encoder.start()
            self.joined += 1
            self._next = time.monotonic() + self._chance.uniform(*PRESENT)
        else:
            self.leave(polite=self._chance.random() < 0.5)
            self._next = time.monotonic() + self._chance.uniform(*ABSENT)

    def leave(self, *, polite: bool) -> None:
        """End the push, or drop the connection."""
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        self.leaving.append(encoder._job)
        if polite:
            self._crew.submit(encoder._leave())
        else:
            encoder._job.cancel()


def sample(server: Instance) -> Sample:
    process = server._process
    assert process is not None
    workers = [_memory(number) for number in server.processes() if number != process.pid]
    directory = Path("/proc") / str(process.pid)
    return Sample(
        time.monotonic(),
        _memory(process.pid),
        sum(workers),
        len(list((directory / "fd").iterdir())),
        max(0, len(list((directory / "task").iterdir())) - POOLED),
    )


def _memory(process: int) -> float:
    with suppress(OSError, StopIteration):
        lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return 0.0


def trend(samples: list[Sample], figure: str) -> float:
    """What `figure` gains a second: the median of the slopes between all pairs (Theil and Sen), so that peaks and the
    coming and going of streams do not count.
    """
    thinned = samples[:: max(1, len(samples) // 200)]
    points = [(each.at, getattr(each, figure)) for each in thinned]
    return statistics.median(
        (after[1] - before[1]) / (after[0] - before[0]) for before, after in combinations(points, 2)
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Instance]:
    receiver = Receiver()
    server = Instance(tmp_path / "server", receiver, LIVEREEL_RECORDER__WORKERS="2", LIVEREEL_LOG__LEVEL="info")
    try:
        yield server.set_up()
    finally:
        server.clean_up()
        receiver.close()


def unfinished(server: Instance) -> int:
    """Recordings and files that are not in their final state. Messages may wait for the receiver of this process."""
    [tasks] = server.query("SELECT count(*) AS n FROM tasks WHERE state NOT IN ('completed', 'failed')")
    [files] = server.query("SELECT count(*) AS n FROM files WHERE state NOT IN ('stored', 'failed')")
    return int(tasks["n"] + files["n"])


@pytest.mark.timeout(SECONDS + DRAIN + 120)
def test_soak(server: Instance, crew: Crew, numbered: Media) -> None:
    players = [Player(server, crew, numbered, number) for number in range(STREAMS)]
    for player in players:
        server.template(player.name, kind="CONTINUOUS_RECORD", merge=MERGE_WINDOW)
    samples = []
    begun = due = time.monotonic()
    while time.monotonic() < begun + SECONDS:
        for player in players:
            player.turn()
        if time.monotonic() >= due:
            samples.append(sample(server))
            due += SAMPLE_EVERY
        time.sleep(0.05)
    for player in players:
        player.leave(polite=True)
    assert not wait([job for player in players for job in player.leaving], DRAIN).not_done
    wait_until(lambda: not unfinished(server), DRAIN, f"{unfinished(server)} to be finished")

    warm = [each for each in samples if each.at > begun + WARM_UP * SECONDS]
    watched = warm[-1].at - warm[0].at
    for figure, (share, besides) in GROWTH.items():
        gained = trend(warm, figure) * watched
        allowed = share * statistics.median(getattr(each, figure) for each in warm) + besides
        print(
            f"{figure}: {getattr(warm[0], figure):.0f} at first, {getattr(warm[-1], figure):.0f} at last,",
            f"trend {gained:+.1f}",
        )
        assert gained < allowed, f"{figure} gained {gained:.1f} in {watched:.0f} s, allowed are {allowed:.1f}"

    tasks = server.query("SELECT * FROM tasks")
    files = server.query("SELECT * FROM files")
    print(f"{len(tasks)} recordings, {len(files)} files, {sum(player.joined for player in players)} pushes")
    assert {task["stream"] for task in tasks} == {player.name for player in players}
    # An encoder that was gone before it had sent a picture, which a slow machine makes of some.
    failed = [task for task in tasks if task["state"] != "completed"]
    assert {(task["state"], task["error"]) for task in failed} <= {("failed", "no key frame arrived")}
    assert len(failed) < len(tasks) / 4, f"{len(failed)} of {len(tasks)} pushes came to nothing"
    assert {file["state"] for file in files} == {"stored"}
    assert {file["verification"] for file in files} == {"verified"}, [
        file for file in files if file["verification"] != "verified"
    ][:3]
    formats = {task["id"]: set[str]() for task in tasks if task["state"] == "completed"}
    for file in files:
        formats[file["task_id"]].add(file["format"])
    assert all(found == {"HLS", "FLV", "MP4"} for found in formats.values())
    # The server says so of all; whether it is true is looked at in some.
    for file in random.Random(SEED).sample(files, 10):
        assert numbers_in(server.path(file), numbered), file["object_key"]
    wait_until(lambda: not list((server.data_dir / "spool").glob("*/")), DRAIN, "the spools to be gone")
    server.check_logs()
