"""How long listing recordings takes with 100 000 files in the catalogue (record/contents).

    python -m bench.contents [--files 100000] [--url postgresql://...]

Prints the median and the worst of the calls of each query. Aim: every one under 50 ms.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template

PROJECT = "0" * 32
DOMAIN = "push.example.com"
NEWEST = 1_784_614_528.0
FILES_PER_TASK = 100
STREAMS = 200
CALLS = 15
FILES_PER_COMMIT = 5_000


def make_task(number: int) -> Task:
    key = StreamKey(DOMAIN, "live", f"cam{number % STREAMS:04}")
    template = Template(
        *(uuid.uuid4().hex, PROJECT, DOMAIN, "live", "*", RecordType.COMMAND),
        ObsAddress("rec-a", "local"),
        {RecordFormat.MP4: FormatConfig(3600, "{stream}/{file_start_time}")},
        *(NEWEST, NEWEST),
    )
    return Task(
        uuid.uuid4().hex, PROJECT, key, RecordType.COMMAND, template, TaskState.COMPLETED, "node-1", NEWEST - number
    )


def make_files(count: int) -> Iterator[tuple[Task | None, RecordFile]]:
    """Record files, with their task where a new one begins."""
    report = {"packets": {"video": 108_000, "audio": 168_750}, "keyframes": 1800, "gaps": [], "repaired": 0}
    task = make_task(0)
    for number in range(count):
        begins = number % FILES_PER_TASK == 0
        if begins:
            task = make_task(number // FILES_PER_TASK)
        file = RecordFile(
            job_id=str(uuid.uuid4()),
            asset_id=uuid.uuid4().hex,
            task_id=task.id,
            project_id=PROJECT,
            key=task.key,
            record_type=task.record_type,
            format=RecordFormat.MP4,
            sequence=number % FILES_PER_TASK,
            state=FileState.STORED,
            bucket="rec-a",
            location="local",
            object_key=f"Record/{DOMAIN}/live/COMMAND_RECORD/MP4/{task.key.stream}_{number}/{number}.mp4",
            start=SpoolPosition(1, 13),
            started_at=NEWEST - number * 60,
            size=300_000_000,
            duration=3600.0,
            sha256="0" * 64,
            report=report,
        )
        yield (task if begins else None), replace(file, ended_at=file.started_at + 3600)


async def fill(catalogue: Catalogue, count: int) -> None:
    files = make_files(count)
    for first in range(0, count, FILES_PER_COMMIT):
        async with catalogue.write() as uow:
            for _ in range(min(FILES_PER_COMMIT, count - first)):
                task, file = next(files)
                if task:
                    await uow.tasks.add(task)
                await uow.files.add(file)
        print(f"\rfiles: {first + FILES_PER_COMMIT}", end="", flush=True)
    print()


def settle(url: str) -> None:
    """What PostgreSQL does by itself within a minute or so: note which pages need no second look."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE files")


async def measure(catalogue: Catalogue, **query: Any) -> tuple[int, list[float]]:
    took = []
    total = 0
    for _ in range(CALLS):
        begun = time.perf_counter()
        async with catalogue.read() as uow:
            total = (await uow.files.list(PROJECT, state=FileState.STORED, **query)).total
        took.append((time.perf_counter() - begun) * 1000)
    return total, took


async def main(count: int, url: str | None) -> None:
    with tempfile.TemporaryDirectory() as directory:
        catalogue = await open_catalogue(url or f"sqlite:///{directory}/catalogue.db")
        try:
            await fill(catalogue, count)
            if url:
                settle(url)
            day = NEWEST - 86_400
            queries: dict[str, dict[str, Any]] = {
                "everything, first page": {"started_from": 0.0},
                "everything, 100 of the last": {"started_from": 0.0, "offset": count - 100, "limit": 100},
                "one day": {"started_from": day, "limit": 100},
                "one stream": {"started_from": 0.0, "domain": DOMAIN, "app": "live", "stream": "cam0007"},
                "one stream, one day": {"started_from": day, "domain": DOMAIN, "app": "live", "stream": "cam0007"},
                "one domain": {"started_from": 0.0, "domain": DOMAIN, "limit": 100},
                "no such stream": {"started_from": 0.0, "stream": "cam9999"},
                "another record type": {"started_from": 0.0, "record_type": RecordType.CONTINUOUS},
            }
            print(f"{'query':32}{'total':>8}{'median ms':>12}{'worst ms':>12}")
            for name, query in queries.items():
                total, took = await measure(catalogue, **query)
                print(f"{name:32}{total:8}{statistics.median(took):12.1f}{max(took):12.1f}")
        finally:
            await catalogue.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--url", help="an empty PostgreSQL database; a temporary SQLite file without it")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.files, arguments.url))
