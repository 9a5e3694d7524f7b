"""Transactions: what is kept, what is undone, and what happens when many write at once."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue, CatalogueError
from livereel.domain.tenancy import Project
from tests.integration.catalogue.nouns import NOW, make_id, make_message, make_task


def project(name: str) -> Project:
    return Project(make_id(), name, NOW)


async def names(catalogue: Catalogue) -> list[str]:
    async with catalogue.read() as uow:
        return sorted(found.name for found in await uow.projects.find())


async def test_leaving_the_block_commits(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        await uow.projects.add(project("kept"))
    assert await names(catalogue) == ["kept"]


async def test_an_exception_undoes_everything(catalogue: Catalogue) -> None:
    with pytest.raises(LookupError):
        async with catalogue.write() as uow:
            await uow.projects.add(project("undone"))
            await uow.outbox.add(make_message())
            raise LookupError
    assert await names(catalogue) == []
    async with catalogue.read() as uow:
        assert await uow.outbox.list() == (0, [])


async def test_a_cancelled_writer_undoes_everything_and_blocks_nobody(catalogue: Catalogue) -> None:
    """Clients hang up at any moment, and somebody may hold on to the exception and the frames it refers to."""

    async def write(inside: asyncio.Event) -> None:
        async with catalogue.write() as uow:
            inside.set()
            for number in range(1000):
                await uow.projects.add(project(f"undone-{number}"))

    cancelled = []
    for number in range(25):
        inside = asyncio.Event()
        task = asyncio.create_task(write(inside))
        await inside.wait()
        await asyncio.sleep(number * 0.0004)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as error:
            await task
        cancelled.append(error)
        async with asyncio.timeout(60), catalogue.write() as uow:
            await uow.projects.add(project(f"kept-{number:02}"))
    assert await names(catalogue) == [f"kept-{number:02}" for number in range(25)]


async def test_a_reader_may_not_write(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match=r"read-?only"):
        async with catalogue.read() as uow:
            await uow.projects.add(project("never"))
    assert await names(catalogue) == []


async def test_a_reader_sees_one_moment(catalogue: Catalogue) -> None:
    async with catalogue.read() as uow:
        assert await uow.projects.find() == []
        async with catalogue.write() as other:  # a reader does not stop a writer
            await other.projects.add(project("later"))
        assert await uow.projects.find() == []
    assert await names(catalogue) == ["later"]


async def test_readers_do_not_wait_for_a_writer(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        await uow.projects.add(project("new"))
        async with asyncio.timeout(60):
            assert await names(catalogue) == []


async def test_many_writers_take_turns(catalogue: Catalogue) -> None:
    async def write(number: int) -> None:
        async with catalogue.write() as uow:
            await uow.projects.add(project(f"{number:03}"))
            await asyncio.sleep(0)

    await asyncio.gather(*map(write, range(60)))
    assert await names(catalogue) == [f"{number:03}" for number in range(60)]


async def test_no_update_is_lost_between_two_nodes(catalogue: Catalogue, url: str) -> None:
    task = make_task(ended_at=0.0)
    async with catalogue.write() as uow:
        await uow.tasks.add(task)
    second = await open_catalogue(url)

    async def count(node: Catalogue) -> None:
        async with node.write() as uow:
            found = await uow.tasks.get(task.id)
            assert found is not None
            assert found.ended_at is not None
            await asyncio.sleep(0)
            await uow.tasks.update(replace(found, ended_at=found.ended_at + 1))

    await asyncio.gather(*(count(node) for _ in range(15) for node in (catalogue, second)))
    await second.close()
    async with catalogue.read() as uow:
        assert (found := await uow.tasks.get(task.id)) is not None
        assert found.ended_at == 30


async def test_messages_of_a_channel_appear_in_the_order_of_their_ids(catalogue: Catalogue, url: str) -> None:
    """A message that became visible before an older one of its channel would be delivered before it."""
    second = await open_catalogue(url)

    async def add() -> int:
        async with second.write() as uow:
            return await uow.outbox.add(make_message())

    async with catalogue.write() as uow:
        first = await uow.outbox.add(make_message())
        adding = asyncio.create_task(add())
        await asyncio.sleep(0.2)
        assert not adding.done()
    assert await adding > first
    await second.close()


async def test_several_nodes_open_a_new_database_at_once(url: str) -> None:
    opened = await asyncio.gather(*(open_catalogue(url) for _ in range(4)))
    async with opened[0].write() as uow:
        await uow.projects.add(project("shared"))
    for catalogue in opened:
        assert await names(catalogue) == ["shared"]
        await catalogue.close()


async def test_what_was_committed_survives_a_kill_and_nothing_else(url: str) -> None:
    opened = await open_catalogue(url)
    await opened.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COMMIT_ONE_AND_HANG_IN_ANOTHER, url, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"writing\n"
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    catalogue = await open_catalogue(url)
    assert await names(catalogue) == ["committed"]
    async with asyncio.timeout(60), catalogue.write() as uow:
        await uow.projects.add(project("next"))
    await catalogue.close()


_COMMIT_ONE_AND_HANG_IN_ANOTHER = """
import asyncio, sys
from livereel.catalogue.engine import open_catalogue
from livereel.domain.tenancy import Project

async def main():
    catalogue = await open_catalogue(sys.argv[1])
    async with catalogue.write() as uow:
        await uow.projects.add(Project("1" * 32, "committed", 0.0))
    async with catalogue.write() as uow:
        await uow.projects.add(Project("2" * 32, "lost", 0.0))
        print("writing", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_writer_waits_for_another_process_at_the_file(tmp_path: Path) -> None:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        locked.set()
        release.wait(120)
        connection.execute("COMMIT")
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    await asyncio.to_thread(locked.wait)

    async def write() -> None:
        async with catalogue.write() as uow:
            await uow.projects.add(project("patient"))

    writer = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    assert not writer.done()
    release.set()
    await writer
    holder.join()
    assert await names(catalogue) == ["patient"]
    await catalogue.close()


async def test_connections_that_a_server_dropped_are_replaced(new_postgres_url: Callable[[], str]) -> None:
    url = new_postgres_url()
    catalogue = await open_catalogue(url)
    await asyncio.gather(*(names(catalogue) for _ in range(5)))
    with psycopg.connect(url, autocommit=True) as connection:
        dropped = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        ).fetchall()
    assert dropped
    async with catalogue.write() as uow:
        await uow.projects.add(project("after"))
    assert await names(catalogue) == ["after"]
    await catalogue.close()


async def test_one_that_need_not_be_durable_is_there_with_the_next(catalogue: Catalogue) -> None:
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(project("earlier"))
    async with catalogue.write() as uow:
        assert await uow.projects.find(name="earlier")
        await uow.projects.add(project("later"))
    assert await names(catalogue) == ["earlier", "later"]


async def test_one_that_need_not_be_durable_is_kept_when_nothing_follows(catalogue: Catalogue) -> None:
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(project("kept"))
    assert await names(catalogue) == ["kept"]


async def test_one_that_need_not_be_durable_is_kept_when_the_catalogue_closes(url: str) -> None:
    catalogue = await open_catalogue(url)
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(project("kept"))
    await catalogue.close()
    again = await open_catalogue(url)
    assert await names(again) == ["kept"]
    await again.close()
