"""The catalogue after kills and power cuts: what was committed is there, whole units of work only, and it opens.

SQLite's write-ahead log is synced by each commit (synchronous = FULL), so a power cut leaves the log up to some byte
behind the last commit, and perhaps something torn after that.
"""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.sqlite import SqliteCatalogue
from livereel.domain.tenancy import Project

SECTORS = (512, 4096)
WAL_HEADER, FRAME_HEADER = 32, 24


def project(number: int, half: str) -> Project:
    return Project(f"{number:031x}{half}", f"region-{number}-{half}", 1_700_000_000.0)


async def add(catalogue: SqliteCatalogue, number: int) -> None:
    """A unit of work with two rows, so that half of one shows."""
    async with catalogue.write() as uow:
        await uow.projects.add(project(number, "a"))
        await uow.projects.add(project(number, "b"))


async def test_every_length_of_the_log_has_the_commits_that_were_reported(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    catalogue = await open_catalogue(f"sqlite:///{path}")
    assert isinstance(catalogue, SqliteCatalogue)
    log = path.with_name("catalogue.db-wal")
    before = path.read_bytes()
    reported: list[tuple[int, int]] = []  # (length of the log, unit)

    async def one(number: int) -> None:
        await add(catalogue, number)
        reported.append((log.stat().st_size, number))

    for number in range(0, 16, 4):  # one by one, and four that share a commit
        await one(number)
        await asyncio.gather(*(one(number + more) for more in (1, 2, 3)))
    data = log.read_bytes()
    assert path.read_bytes() == before  # no checkpoint in between: all is in the log
    await catalogue.close()

    page = int.from_bytes(data[8:12])
    frames = range(WAL_HEADER, len(data) + 1, FRAME_HEADER + page)
    cuts = {0, 1, WAL_HEADER - 1, len(data)} | {frame + more for frame in frames for more in (0, FRAME_HEADER)}
    chance = random.Random(5)
    cuts |= {chance.randrange(len(data)) for _ in range(60)}
    for cut in sorted(cut for cut in cuts if cut <= len(data)):
        # Behind the cut nothing, zeros, or what is there with a sector missing.
        sector = chance.choice(SECTORS)
        hole = cut // sector * sector + sector
        tail = chance.choice((b"", bytes(len(data) - cut), bytes(hole - cut) + data[hole:]))
        kept = data[:cut] + tail[: len(data) - cut]
        found = units_in(tmp_path / "cut", before, kept)
        assert found >= {number for length, number in reported if length <= cut}
    (tmp_path / "cut" / "catalogue.db-wal").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "cut" / "catalogue.db").write_bytes(before)
    again = await open_catalogue(f"sqlite:///{tmp_path / 'cut' / 'catalogue.db'}")
    assert isinstance(again, SqliteCatalogue)
    await add(again, 1000)
    await again.close()


def units_in(directory: Path, database: bytes, log: bytes) -> set[int]:
    """The units of work that a database and its log hold; they must be whole, and so must the database."""
    directory.mkdir(exist_ok=True)
    path = directory / "catalogue.db"
    for leftover in directory.iterdir():
        leftover.unlink()
    path.write_bytes(database)
    path.with_name("catalogue.db-wal").write_bytes(log)
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        found = {row[0] for row in connection.execute("SELECT id FROM projects")}
    finally:
        connection.close()
    numbers = {int(name[:-1], 16) for name in found}
    assert found == {project(number, half).id for number in numbers for half in "ab"}
    return numbers


async def test_the_connection_that_writes_is_the_durable_one(tmp_path: Path) -> None:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    assert isinstance(catalogue, SqliteCatalogue)
    await add(catalogue, 1)
    assert catalogue._writer is not None
    raw = catalogue._writer.raw
    assert raw.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert raw.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    await catalogue.close()


COMMIT_FOREVER = """
import asyncio, itertools, pathlib, sys
from livereel.catalogue.engine import open_catalogue
from tests.faults.test_crash_catalogue import add

async def main():
    catalogue = await open_catalogue(sys.argv[1])
    numbers = itertools.count(int(sys.argv[2]))
    async def commit():
        while True:
            number = next(numbers)
            await add(catalogue, number)
            print(number, flush=True)
    await asyncio.gather(*(commit() for _ in range(8)))

asyncio.run(main())
"""


def test_kill_9_keeps_every_commit_that_was_reported(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    chance = random.Random(17)
    reported: set[int] = set()
    for life in range(3):
        command = [sys.executable, "-c", COMMIT_FOREVER, url, str(life * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()) as process:
            assert process.stdout is not None
            wanted = chance.randrange(5, 150)
            for _ in range(wanted):
                reported.add(int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            # What was printed and not read yet was reported as well; the last line may be torn.
            reported |= {int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
    with sqlite3.connect(tmp_path / "catalogue.db") as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM projects")}
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    numbers = {int(name[:-1], 16) for name in found}
    assert found == {project(number, half).id for number in numbers for half in "ab"}
    assert numbers >= reported
