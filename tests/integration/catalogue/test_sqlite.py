"""What only the catalogue in a file does: statements on the loop, commits shared."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livereel.catalogue import sqlite
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue, CatalogueError
from livereel.domain.errors import ResourceExists
from livereel.domain.tenancy import Project
from tests.integration.catalogue.nouns import NOW, make_id

WRITERS = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.db"


@pytest.fixture
async def catalogue(path: Path) -> AsyncIterator[Catalogue]:
    opened = await open_catalogue(f"sqlite:///{path}")
    yield opened
    await opened.close()


def on_disk(path: Path) -> list[str]:
    """The names that another connection sees."""
    other = sqlite3.connect(path)
    try:
        return sorted(name for (name,) in other.execute("SELECT name FROM projects"))
    finally:
        other.close()


async def add(catalogue: Catalogue, name: str, *, patient: bool = False) -> None:
    async with catalogue.write(patient=patient) as uow:
        await uow.projects.add(Project(make_id(), name, NOW))


async def test_a_unit_ends_when_it_is_committed(catalogue: Catalogue, path: Path) -> None:
    async def add_and_look(number: int) -> None:
        await add(catalogue, f"{number:02}")
        assert f"{number:02}" in on_disk(path)

    await asyncio.gather(*map(add_and_look, range(WRITERS)))


@pytest.fixture
async def commits(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with every commit, once something has been written."""
    calls: list[object] = []
    in_thread = sqlite._Connection.in_thread

    async def counted(self: sqlite._Connection, call: object) -> object:
        calls.append(call)
        return await in_thread(self, call)  # type: ignore[arg-type]

    await add(catalogue, "first")
    monkeypatch.setattr(sqlite._Connection, "in_thread", counted)
    return calls


async def test_units_that_wait_share_a_commit(catalogue: Catalogue, path: Path, commits: list[object]) -> None:
    await asyncio.gather(*(add(catalogue, f"{number:02}") for number in range(WRITERS)))
    assert len(on_disk(path)) == WRITERS + 1
    assert len(commits) <= 3  # the first alone, all that came meanwhile, nobody else


async def test_a_patient_unit_shares_the_commit_of_the_next(
    catalogue: Catalogue, path: Path, commits: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 3600)
    patient = [asyncio.create_task(add(catalogue, name, patient=True)) for name in ("patient", "patient too")]
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(Project(make_id(), "not awaited", NOW))
    await asyncio.sleep(0)
    assert not commits
    await add(catalogue, "urgent")
    await asyncio.gather(*patient)
    assert set(on_disk(path)) == {"first", "patient", "patient too", "not awaited", "urgent"}
    assert len(commits) == 1


async def test_a_reader_hurries_what_it_waits_for(
    catalogue: Catalogue, commits: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 3600)
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(Project(make_id(), "not awaited", NOW))
    async with catalogue.read(latest=False) as uow:
        assert not await uow.projects.find(name="not awaited")
    async with catalogue.read() as uow:
        assert await uow.projects.find(name="not awaited")
    assert len(commits) == 1


async def test_patience_ends(catalogue: Catalogue, path: Path) -> None:
    await add(catalogue, "patient", patient=True)
    assert "patient" in on_disk(path)


async def test_closing_hurries_what_is_left(
    catalogue: Catalogue, path: Path, commits: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 3600)
    async with catalogue.write(durable=False) as uow:
        await uow.projects.add(Project(make_id(), "not awaited", NOW))
    await catalogue.close()
    assert "not awaited" in on_disk(path)


async def test_closing_waits_for_who_writes(catalogue: Catalogue, path: Path) -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    async def write(*, patient: bool) -> None:
        async with catalogue.write(patient=patient) as uow:
            await uow.projects.add(Project(make_id(), "in time", NOW))
            writing.set()
            await go_on.wait()

    first = asyncio.create_task(write(patient=True))
    await writing.wait()
    closing = asyncio.create_task(catalogue.close())
    await asyncio.sleep(0)  # it waits
    late = asyncio.create_task(add(catalogue, "late"))
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(60):
        await asyncio.gather(first, closing)
        for attempt in (late, add(catalogue, "later"), look(catalogue)):
            with pytest.raises(CatalogueError, match="the catalogue is closed"):
                await attempt
    assert on_disk(path) == ["in time"]


async def look(catalogue: Catalogue) -> None:
    async with catalogue.read():
        pass


def test_a_loop_that_cancels_all_it_has_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the end of `asyncio.run` after an error: the commit that units wait for is cancelled too."""

    async def leave() -> None:
        catalogue = await open_catalogue(f"sqlite:///{path}")
        await add(catalogue, "urgent")
        monkeypatch.setattr(sqlite, "PATIENCE", 1.0)
        units = [asyncio.create_task(add(catalogue, name, patient=True)) for name in ("patient", "too")]
        await asyncio.sleep(0.05)
        assert not any(unit.done() for unit in units)

    left = threading.Thread(target=lambda: asyncio.run(leave()), daemon=True)
    left.start()
    left.join(60)
    assert not left.is_alive()
    assert on_disk(path) == ["patient", "too", "urgent"]


async def test_one_that_fails_takes_no_other_with_it(catalogue: Catalogue, path: Path) -> None:
    async def fail(number: int) -> None:
        with pytest.raises(LookupError):
            async with catalogue.write() as uow:
                await uow.projects.add(Project(make_id(), f"never-{number}", NOW))
                raise LookupError

    async def refuse() -> None:
        async with catalogue.write() as uow:
            with pytest.raises(ResourceExists):
                await uow.projects.add(Project(make_id(), "00", NOW))
            await uow.projects.add(Project(make_id(), "refused, went on", NOW))

    jobs = [add(catalogue, f"{number:02}") for number in range(WRITERS)]
    for number in (0, 1, 7, WRITERS):
        jobs.insert(number, fail(number))
    await asyncio.gather(*jobs, refuse())
    assert on_disk(path) == [f"{number:02}" for number in range(WRITERS)] + ["refused, went on"]


async def test_one_that_is_cancelled_takes_no_other_with_it(catalogue: Catalogue, path: Path) -> None:
    tasks = [asyncio.create_task(add(catalogue, f"{number:02}")) for number in range(WRITERS)]
    for task in tasks[5::7]:
        await asyncio.sleep(0)
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    went_well = {f"{number:02}" for number, result in enumerate(ended) if result is None}
    assert len(went_well) >= WRITERS - len(tasks[5::7])
    assert went_well <= set(on_disk(path))
    await add(catalogue, "next")


async def test_a_batch_that_cannot_be_written_fails_as_a_whole(
    catalogue: Catalogue, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: nobody is told that it went well."""
    await add(catalogue, "before")
    monkeypatch.setattr(sqlite._RawConnection, "commit", _refuse, raising=False)
    ended = await asyncio.gather(*(add(catalogue, f"{number:02}") for number in range(WRITERS)), return_exceptions=True)
    assert all(isinstance(error, CatalogueError) and "disk is full" in error.detail for error in ended)
    monkeypatch.undo()
    assert on_disk(path) == ["before"]
    await add(catalogue, "after")
    assert on_disk(path) == ["after", "before"]


def _refuse(_connection: sqlite3.Connection) -> None:
    raise sqlite3.OperationalError("database or disk is full")


async def test_a_file_that_may_not_grow(catalogue: Catalogue, path: Path) -> None:
    """A real refusal of the operating system, in the middle of a transaction that others have a part in."""
    await add(catalogue, "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("catalogue.db-wal").stat().st_size, limits[1]))
    try:
        ended = await asyncio.gather(
            *(add(catalogue, f"{number:02}") for number in range(WRITERS)), return_exceptions=True
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all(isinstance(error, CatalogueError) for error in ended)
    await add(catalogue, "after")
    assert on_disk(path) == ["after", "before"]


async def test_a_long_read_leaves_the_loop(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "READ_STEPS", 1000)
    async with catalogue.write() as uow:
        for number in range(3000):
            await uow.projects.add(Project(make_id(), f"{number:04}", NOW))
    threads = set()
    patiently = sqlite._Connection._patiently

    def noted(self: sqlite._Connection, run: object) -> object:
        threads.add(threading.get_ident())
        return patiently(self, run)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite._Connection, "_patiently", noted)
    async with catalogue.read() as uow:
        assert len(await uow.projects.find()) == 3000
    assert threads
    assert threading.get_ident() not in threads


async def test_a_unit_that_only_looks_writes_nothing(catalogue: Catalogue, path: Path) -> None:
    await add(catalogue, "there")
    log = path.with_name("catalogue.db-wal")
    before = log.stat().st_size
    async with catalogue.write() as uow:
        assert await uow.projects.find(name="there")
    assert log.stat().st_size == before
