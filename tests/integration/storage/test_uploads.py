"""Files on their way into a real object store that fails in every way; nothing is lost, sent twice or left over."""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.uploads import backoff, carrier, outages
from livereel.control.uploads.service import Uploads
from livereel.domain.errors import ResourceExists
from livereel.domain.naming import without_collision
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileEvent, FileState, TaskState, next_file_state
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template
from livereel.domain.tenancy import Project
from livereel.domain.uploads import Upload, UploadState
from livereel.observe.clock import SystemClock
from livereel.recorder.events import SliceReady
from livereel.recorder.muxing.playlist import Playlist
from livereel.storage.buckets import Buckets, LocalStores
from livereel.storage.config import BucketConfig, Second
from livereel.storage.multipart import Multipart
from livereel.storage.object_store import ObjectStore
from livereel.storage.port import Store
from tests.integration.storage.conftest import config
from tests.integration.storage.gateway import Gateway, Request
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.unit.media import KEY

NODE, PATIENCE = "node-1", 60.0
LONG = 200.0  # seconds, for what a store is started in
PART_SIZE = 5 << 20  # bytes: the smallest that S3 takes, and SeaweedFS
FIVE = 5 * PART_SIZE + 77  # five parts and a tail


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.1)
    monkeypatch.setattr(backoff, "LONGEST", 0.5)
    monkeypatch.setattr(outages, "PROBE_EVERY", 0.2)
    monkeypatch.setattr(Multipart, "part_size", PART_SIZE)


@pytest.fixture
def gateway(seaweed: Seaweed) -> Iterator[Gateway]:
    gateway = Gateway(seaweed.s3_port)
    yield gateway
    gateway.close()


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[Catalogue]:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    async with catalogue.write() as uow:
        await uow.projects.add(Project("p" * 32, "here", 0.0))
    yield catalogue
    await catalogue.close()


class Life:
    """One life of a server, as far as uploads are concerned. `die` is a kill: nothing is let go in order."""

    def __init__(self, catalogue: Catalogue, stores: Buckets, **seconds: Second) -> None:
        self.catalogue = catalogue
        self._stores = stores
        named = {name.replace("_", "-"): second for name, second in seconds.items()}
        self.uploads = Uploads(catalogue=catalogue, stores=stores, clock=SystemClock(), node=NODE, seconds=named)
        self.uploads.relocate = self._relocate
        self.files: dict[str, RecordFile] = {}

    async def begin(self, task: Task, file: RecordFile) -> None:
        self.files[file.job_id] = file
        async with self.catalogue.write() as uow:
            with contextlib.suppress(ResourceExists):
                await uow.tasks.add(task)
            if await uow.files.get(file.job_id) is None:
                await uow.files.add(file)
        await self.uploads.began(task, file)

    async def finish(self, task: Task, job_id: str, path: Path) -> RecordFile:
        """As finishing does it."""
        file = self.files[job_id]
        file = replace(file, state=next_file_state(FileState.WRITING, FileEvent.CLOSE))
        async with self.catalogue.write() as uow:
            await uow.files.update(file)
        self.files[job_id] = file
        await asyncio.wait_for(self.uploads.complete(task, file, path), LONG)
        file = replace(self.files[job_id], state=FileState.STORED)
        async with self.catalogue.write() as uow:
            await uow.files.update(file)
            await self.uploads.settle(uow, job_id)
        self.uploads.done(job_id)
        return file

    async def die(self) -> None:
        for each in self.uploads._carriers.values():
            assert each._working is not None
            each._working.cancel()
        await self.uploads.stop()
        # The threads of a process die with it. Those of this one go on, and must not be seen by the next life.
        for store in self._stores.object_stores.values():
            assert isinstance(store.parts, Multipart)
            requests = store.parts._requests
            await until(lambda r=requests: r._part_threads._open == r._other_threads._open == 0)

    async def _relocate(self, job_id: str, bucket: str, also: Callable[[UnitOfWork, str], object]) -> str:
        file = replace(self.files[job_id], bucket=bucket)
        async with self.catalogue.write() as uow:
            try:
                await uow.files.update(file)
            except ResourceExists:
                file = replace(file, object_key=without_collision(file.object_key, job_id))
                await uow.files.update(file)
            await also(uow, file.object_key)  # type: ignore[misc]
        self.files[job_id] = file
        return file.object_key


def recording(record_format: RecordFormat = RecordFormat.FLV) -> tuple[Task, RecordFile]:
    """A task that goes into bucket `rec-a`, and its only file."""
    template = Template(
        id="t" * 32,
        project_id="p" * 32,
        domain=KEY.domain,
        app=KEY.app,
        stream=KEY.stream,
        record_type=RecordType.COMMAND,
        address=ObsAddress("rec-a", "here"),
        formats={record_format: FormatConfig(3600, "x")},
        created_at=0.0,
        updated_at=0.0,
    )
    task = Task("a" * 32, "p" * 32, KEY, RecordType.COMMAND, template, TaskState.RECORDING, NODE, 1.0)
    name = {RecordFormat.FLV: "show.flv", RecordFormat.MP4: "show.mp4", RecordFormat.HLS: "show.m3u8"}[record_format]
    file = RecordFile(
        job_id="b" * 32,
        asset_id="b" * 32,
        task_id=task.id,
        project_id=task.project_id,
        key=KEY,
        record_type=RecordType.COMMAND,
        format=record_format,
        sequence=1,
        state=FileState.WRITING,
        bucket="rec-a",
        location="here",
        object_key=f"Record/{name}",
        start=SpoolPosition(1, 13),
        started_at=1.0,
    )
    return task, file


class Growing:
    """A file as a muxer writes it: it grows, and its head changes at the end."""

    def __init__(self, path: Path, size: int = FIVE) -> None:
        self.path = path
        self.final = os.urandom(size)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.again()

    def again(self) -> None:
        """Made once more, from its start."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(bytes(1000))

    def grow(self, end: int) -> int:
        self.path.write_bytes(bytes(1000) + self.final[1000:end])
        return end

    def close(self) -> Path:
        self.path.write_bytes(self.final)
        return self.path


NewLife = Callable[..., Life]


@pytest.fixture
async def new_life(catalogue: Catalogue, stores: Buckets) -> AsyncIterator[NewLife]:
    """Begins one life after the other; all are over at the end."""
    lives: list[Life] = []

    def begin(**seconds: Second) -> Life:
        lives.append(Life(catalogue, stores, **seconds))
        return lives[-1]

    yield begin
    for life in lives:
        await life.uploads.stop()


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "work" / "recording.flv")


@pytest.fixture
def stores(seaweed: Seaweed, prefix: str, gateway: Gateway, tmp_path: Path) -> Buckets:
    """Bucket `rec-a` behind the gateway."""
    return Buckets(LocalStores(tmp_path / "local"), {"rec-a": config(seaweed, prefix, endpoint=gateway.endpoint)})


async def until(condition: Callable[[], object], what: str = "") -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def check_stored(life: Life, seaweed: Seaweed, prefix: str, file: RecordFile, growing: Growing) -> None:
    """What must hold in the end, whatever went wrong: stored once, whole, and nothing else is left of it."""
    assert file.bucket == "rec-a"
    direct = ObjectStore("direct", config(seaweed, prefix))
    assert hashlib.sha256(await whole(direct, file.object_key)).digest() == hashlib.sha256(growing.final).digest()
    await asyncio.wait_for(life.uploads.discards.wait_idle(), PATIENCE)
    assert seaweed.unfinished_uploads(below=prefix) == []
    async with life.catalogue.read() as uow:
        assert (await uow.uploads.list()).total == 0
    assert life.uploads.backlog("rec-a") == (0, 0, 0.0)
    assert growing.path.exists()  # deleting it is up to whoever heard that it is stored


async def test_after_the_end_only_the_first_part_and_the_tail_are_left(
    catalogue: Catalogue, new_life: NewLife, seaweed: Seaweed, prefix: str, gateway: Gateway, growing: Growing
) -> None:
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(2 * PART_SIZE - 1))
    life.uploads.grown(file.job_id, growing.path, growing.grow(3 * PART_SIZE + 5))
    await until(lambda: sorted(gateway.parts()) == [2, 3])
    await until(lambda: life.uploads.backlog("rec-a").files == 0)
    life.uploads.grown(file.job_id, growing.path, growing.grow(5 * PART_SIZE))
    await until(lambda: sorted(gateway.parts()) == [2, 3, 4, 5])
    await until(lambda: not life.uploads.busy(task.id))
    async with catalogue.read() as uow:
        [row] = (await uow.uploads.list()).items
        assert [part.number for part in await uow.uploads.parts(row.id)] == [2, 3, 4, 5]
    before = len(gateway.requests)
    stored = await life.finish(task, file.job_id, growing.close())
    after = gateway.requests[before:]
    assert sorted(request.part or 0 for request in after if request.method == "PUT") == [1, 6]
    assert len(after) <= 4  # two parts, the completion, the look at the object
    await check_stored(life, seaweed, prefix, stored, growing)


async def test_a_file_that_is_made_again_is_not_sent_again(
    catalogue: Catalogue, new_life: NewLife, seaweed: Seaweed, prefix: str, gateway: Gateway, growing: Growing
) -> None:
    """A worker died: the same bytes count, other ones go up in place of the old."""
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(4 * PART_SIZE))
    await until(lambda: sorted(gateway.parts()) == [2, 3, 4])
    growing.again()
    at = 2 * PART_SIZE + 100  # within part 3
    growing.final = growing.final[:at] + b"another" + growing.final[at + 7 :]
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(5 * PART_SIZE))
    await until(lambda: len(gateway.parts()) == 5)
    assert sorted(gateway.parts()) == [2, 3, 3, 4, 5]
    stored = await life.finish(task, file.job_id, growing.close())
    assert sorted(gateway.parts()) == [1, 2, 3, 3, 4, 5, 6]
    await check_stored(life, seaweed, prefix, stored, growing)


# What a request of the first life is followed by its death, and how many parts the second life may send again.
KILLS = {
    "before the upload has an id": lambda request: request.method == "POST" and "uploads" in request.query,
    "in the middle of the parts": lambda request: request.part == 4,
    "before the last part": lambda request: request.part == 1,
    "before the completion": lambda request: request.method == "POST" and "uploadId" in request.query,
    "before anybody learns of the completion": lambda request: request.method == "HEAD",
}


@pytest.mark.parametrize("moment", KILLS)
async def test_a_server_killed_in_mid_upload_goes_on_where_it_was(
    catalogue: Catalogue,
    new_life: NewLife,
    seaweed: Seaweed,
    prefix: str,
    gateway: Gateway,
    growing: Growing,
    moment: str,
) -> None:
    loop, reached = asyncio.get_running_loop(), asyncio.Event()

    def at_the_moment(request: Request) -> int | None:
        if reached.is_set() or not KILLS[moment](request):
            return None
        loop.call_soon_threadsafe(reached.set)
        return gateway.RESET

    gateway.on_request = at_the_moment
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(5 * PART_SIZE))
    finishing = asyncio.create_task(life.finish(task, file.job_id, growing.close()))
    await asyncio.wait_for(reached.wait(), PATIENCE)
    finishing.cancel()
    await life.die()
    await asyncio.gather(finishing, return_exceptions=True)
    await asyncio.to_thread(gateway.settle)  # what its threads had sent already arrives
    gateway.on_request = lambda _request: None

    growing.again()
    again = new_life()
    await again.begin(task, file)
    await again.uploads.start()
    again.uploads.grown(file.job_id, growing.path, growing.grow(5 * PART_SIZE))
    stored = await again.finish(task, file.job_id, growing.close())
    sent = gateway.parts()
    assert sorted(set(sent)) == [1, 2, 3, 4, 5, 6]
    assert len(sent) == 6, sent  # no part arrived twice
    assert sum(request.method == "POST" and "uploadId" in request.query for request in gateway.requests) == 1
    await check_stored(again, seaweed, prefix, stored, growing)


async def test_an_upload_that_begins_when_nobody_awaits_it_any_more(
    new_life: NewLife, stores: Buckets, seaweed: Seaweed, prefix: str, growing: Growing, gateway: Gateway
) -> None:
    """A connection that hung lets the request through when the next upload is on its way already."""
    go_on, held = threading.Event(), []

    def hang(request: Request) -> None:
        if request.method == "POST" and "uploads" in request.query and not held:
            held.append(request)
            assert go_on.wait(PATIENCE)

    gateway.on_request = hang
    hanging = config(seaweed, prefix, endpoint=gateway.endpoint)
    stores.object_stores["rec-a"] = ObjectStore("rec-a", hanging, request_timeout=3.0)
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(3 * PART_SIZE))
    await until(lambda: set(gateway.parts()) == {2, 3})
    assert held
    go_on.set()
    await until(lambda: len(seaweed.unfinished_uploads(below=prefix)) >= 2)
    stored = await life.finish(task, file.job_id, growing.close())
    await check_stored(life, seaweed, prefix, stored, growing)


async def test_what_is_not_wanted_any_more_is_aborted(
    catalogue: Catalogue, new_life: NewLife, seaweed: Seaweed, prefix: str, growing: Growing, gateway: Gateway
) -> None:
    """A file that fails, at once and by the next start if the server dies first."""
    life = new_life()
    task, file = recording()
    for dies in (False, True):
        await life.begin(task, file)
        life.uploads.grown(file.job_id, growing.path, growing.grow(4 * PART_SIZE))
        await until(lambda: len(seaweed.unfinished_uploads(below=prefix)) == 1)
        if dies:
            await life.die()
            async with catalogue.write() as uow:
                await uow.files.update(replace(file, state=FileState.FAILED))
            life = new_life()
            await life.uploads.start()
        else:
            await life.uploads.forget(file.job_id)
        await asyncio.wait_for(life.uploads.discards.wait_idle(), PATIENCE)
        assert seaweed.unfinished_uploads(below=prefix) == []
        async with catalogue.read() as uow:
            assert (await uow.uploads.list()).total == 0


async def test_what_is_on_its_way_is_waited_for_before_it_is_aborted(
    new_life: NewLife, seaweed: Seaweed, prefix: str, growing: Growing, gateway: Gateway
) -> None:
    """A part that arrives behind the abort would bring the upload back, which nobody would know of then."""
    held, go_on = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.part == 3:
            held.set()
            assert go_on.wait(PATIENCE)
        elif request.method == "DELETE":
            go_on.set()

    gateway.on_request = hold
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(3 * PART_SIZE))
    assert await asyncio.to_thread(held.wait, PATIENCE)
    await life.uploads.forget(file.job_id)
    await asyncio.sleep(0.3)  # for an abort that does not wait
    go_on.set()
    await asyncio.wait_for(life.uploads.discards.wait_idle(), PATIENCE)
    assert sorted(gateway.parts()) == [2, 3]
    assert gateway.requests[-1].method == "DELETE"
    assert seaweed.unfinished_uploads(below=prefix) == []


FAULTS: dict[str, Callable[[Request], int | None]] = {
    "5xx": lambda request: 503 if request.part in (2, 5) else None,
    "a reset in mid-part": lambda request: Gateway.RESET if request.part == 3 else None,
    "a refused part": lambda request: 403 if request.part else None,
    "a completion that fails": lambda request: (
        500 if request.method == "POST" and "uploadId" in request.query else None
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_in_trouble(
    catalogue: Catalogue,
    new_life: NewLife,
    seaweed: Seaweed,
    prefix: str,
    gateway: Gateway,
    growing: Growing,
    fault: str,
) -> None:
    left, wrong = 3, FAULTS[fault]

    def trouble(request: Request) -> int | None:
        nonlocal left
        answer = wrong(request)
        left -= answer is not None
        return answer if answer is not None and left >= 0 else None

    gateway.on_request = trouble
    life = new_life()
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(4 * PART_SIZE))
    stored = await life.finish(task, file.job_id, growing.close())
    assert left < 0 or left < 3
    assert sorted(gateway.parts()) == [1, 2, 3, 4, 5, 6]
    await check_stored(life, seaweed, prefix, stored, growing)


@pytest.mark.parametrize("fault", ["killed", "hung", "wrong credentials", "wrong bucket"])
async def test_a_store_that_is_away(
    catalogue: Catalogue, request: pytest.FixtureRequest, prefix: str, growing: Growing, tmp_path: Path, fault: str
) -> None:
    """Parts that were sent before are not sent again, the backlog says what waits and why, and it goes back to 0."""
    server: Seaweed = request.getfixturevalue("own_seaweed" if fault in ("killed", "hung") else "seaweed")
    with contextlib.closing(Gateway(server.s3_port)) as gateway:
        right = config(server, prefix, endpoint=gateway.endpoint)
        stores = Buckets(LocalStores(tmp_path / "local"), {"rec-a": right})
        life = Life(catalogue, stores)
        try:
            await _is_away(life, stores, server, gateway, right, prefix, growing, fault)
        finally:
            await life.uploads.stop()


async def _is_away(
    life: Life,
    stores: Buckets,
    server: Seaweed,
    gateway: Gateway,
    right: BucketConfig,
    prefix: str,
    growing: Growing,
    fault: str,
) -> None:
    changes: dict[str, object] = {
        "wrong credentials": {"credentials": {"access_key": ACCESS_KEY, "secret_key": "no"}},
        "wrong bucket": {"url": "s3://no-such-bucket"},
    }.get(fault, {})
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(3 * PART_SIZE))
    await until(lambda: sorted(gateway.parts()) == [2, 3])
    good = stores.object_stores["rec-a"]
    match fault:
        case "killed":
            server.kill()
        case "hung":
            server.freeze()
            stores.object_stores["rec-a"] = ObjectStore("rec-a", right, request_timeout=3.0)
        case _:
            bad = BucketConfig(**{name: getattr(right, name) for name in right.__slots__} | changes)  # type: ignore[arg-type]
            stores.object_stores["rec-a"] = ObjectStore("rec-a", bad)
    finishing = asyncio.create_task(life.finish(task, file.job_id, growing.close()))
    async with asyncio.timeout(PATIENCE):
        while not (row := await only_row(life.catalogue)).attempts:
            await asyncio.sleep(0.05)
    assert row.last_error
    assert SECRET_KEY not in row.last_error
    assert row.next_retry_at is not None
    assert life.uploads.outages.last_error("rec-a")
    backlog = life.uploads.backlog("rec-a")
    assert backlog.files == 1
    assert PART_SIZE <= backlog.bytes <= FIVE
    assert backlog.oldest_seconds > 0
    assert not finishing.done()
    assert growing.path.read_bytes() == growing.final  # the only copy
    match fault:
        case "killed":
            await asyncio.to_thread(server.start)
        case "hung":
            gateway.on_request = lambda _request: 503  # what it was sent before it takes first
            server.thaw()
            await asyncio.to_thread(gateway.settle)
            gateway.on_request = lambda _request: None
    stores.object_stores["rec-a"] = good
    stored = await asyncio.wait_for(finishing, LONG)
    if fault != "wrong bucket":  # a bucket that says it never heard of the upload has lost it
        assert [gateway.parts().count(number) for number in (2, 3)] == [1, 1]
    if fault != "hung":  # what it was sent before it woke up it takes then
        assert {*gateway.parts()} == {1, 2, 3, 4, 5, 6}
    await check_stored(life, server, prefix, stored, growing)


async def only_row(catalogue: Catalogue) -> Upload:
    async with catalogue.read() as uow:
        [row] = (await uow.uploads.list()).items
    return row


async def test_what_takes_long_is_shown_before_it_fails(
    catalogue: Catalogue, new_life: NewLife, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that hangs takes a minute to fail a request; and nothing is left of the row when it answers after all."""
    monkeypatch.setattr(carrier, "SHOWN_AFTER", 0.1)
    answers = threading.Event()

    def hang(_request: Request) -> None:
        answers.wait(PATIENCE)

    gateway.on_request = hang
    life = new_life()
    task, file = recording()
    small = Growing(tmp_path / "small.flv", 2000)
    await life.begin(task, file)
    finishing = asyncio.create_task(life.finish(task, file.job_id, small.close()))
    async with asyncio.timeout(PATIENCE):
        while True:
            async with catalogue.read() as uow:
                if backlog := await uow.uploads.backlog():
                    break
            await asyncio.sleep(0.05)
    assert [(each.bucket, each.files, each.bytes, each.last_error) for each in backlog] == [("rec-a", 1, 2000, None)]
    answers.set()
    assert (await asyncio.wait_for(finishing, PATIENCE)).state is FileState.STORED
    async with catalogue.read() as uow:
        assert (await uow.uploads.list()).total == 0


async def test_a_second_bucket_takes_over_and_the_first_is_cleared_when_it_is_back(
    catalogue: Catalogue,
    new_life: NewLife,
    stores: Buckets,
    seaweed: Seaweed,
    prefix: str,
    gateway: Gateway,
    growing: Growing,
) -> None:
    life = new_life(rec_a=Second("rec-b", 0.3))
    task, file = recording()
    await life.begin(task, file)
    life.uploads.grown(file.job_id, growing.path, growing.grow(3 * PART_SIZE))
    await until(lambda: sorted(gateway.parts()) == [2, 3])
    probing = asyncio.create_task(life.uploads.outages.probe())
    gateway.on_request = lambda _request: 503
    stored = await life.finish(task, file.job_id, growing.close())
    assert (stored.bucket, stored.object_key) == ("rec-b", file.object_key)
    second = stores.get("rec-b")
    found = await second.stat(file.object_key)
    assert found is not None and found.size == FIVE
    async with catalogue.read() as uow:
        [left] = (await uow.uploads.list()).items  # what the first one has of it
    assert (left.bucket, left.state) == ("rec-a", UploadState.DISCARDING)
    assert len(seaweed.unfinished_uploads(below=prefix)) == 1

    gateway.on_request = lambda _request: None
    await asyncio.wait_for(life.uploads.discards.wait_idle(), PATIENCE)
    await until(lambda: life.uploads.outages.last_error("rec-a") is None)
    assert seaweed.unfinished_uploads(below=prefix) == []
    assert life.uploads.backlog("rec-a") == life.uploads.backlog("rec-b") == (0, 0, 0.0)
    task, again = (
        replace(task, id="c" * 32),
        replace(file, job_id="d" * 32, task_id="c" * 32, object_key="Record/2.flv"),
    )
    await life.begin(replace(task, state=TaskState.FINISHING), again)
    stored = await life.finish(task, again.job_id, growing.close())
    assert stored.bucket == "rec-a"  # what is new goes to the first again
    assert await ObjectStore("direct", config(seaweed, prefix)).stat("Record/2.flv") is not None
    probing.cancel()


async def test_a_playlist_moves_with_all_of_its_slices(
    catalogue: Catalogue, new_life: NewLife, stores: Buckets, gateway: Gateway, tmp_path: Path
) -> None:
    life = new_life(rec_a=Second("rec-b", 0.3))
    task, file = recording(RecordFormat.HLS)
    await life.begin(task, file)
    playlist = Playlist(1)
    work = tmp_path / "work"
    work.mkdir()

    def make(number: int) -> None:
        path = work / f"{number}.ts"
        path.write_bytes(os.urandom(1000))
        playlist.add(path.name, float(number), 1.0)
        (work / "show.m3u8").write_text(playlist.text(complete=False))
        life.uploads.slice_ready(
            SliceReady(task.id, file.job_id, path.name, path, number, float(number), number + 1.0, 1.0, 1000)
        )
        life.uploads.playlist_ready(file.job_id, work / "show.m3u8")

    for number in range(5):
        make(number)
    await until(lambda: not life.uploads.busy(task.id))
    assert await stores.get("rec-a").stat("Record/show.m3u8") is not None
    gateway.on_request = lambda _request: 503
    for number in range(5, 9):
        make(number)
    await until(lambda: life.files[file.job_id].bucket == "rec-b")
    await until(lambda: not life.uploads.busy(task.id))
    (work / "show.m3u8").write_text(playlist.text(complete=True))
    stored = await life.finish(task, file.job_id, work / "show.m3u8")
    assert stored.bucket == "rec-b"
    async with catalogue.read() as uow:
        assert [piece.sequence for piece in await uow.slices.of_file(file.job_id)] == list(range(9))
    for number in range(9):
        assert await whole(stores.get("rec-b"), f"Record/{number}.ts") == (work / f"{number}.ts").read_bytes()
    gateway.on_request = lambda _request: None
    await asyncio.wait_for(life.uploads.discards.wait_idle(), PATIENCE)
    for name in ("show.m3u8", *(f"{number}.ts" for number in range(9))):
        assert await stores.get("rec-a").stat(f"Record/{name}") is None


async def test_a_slice_is_known_at_once_though_another_hangs(
    catalogue: Catalogue, new_life: NewLife, gateway: Gateway, tmp_path: Path
) -> None:
    """Otherwise nobody would know, after a kill and in a second bucket, what the first one has."""
    task, file = recording(RecordFormat.HLS)
    hangs = threading.Event()
    gateway.on_request = lambda request: 503 if request.key.endswith("/1.ts") and not hangs.wait(PATIENCE) else None
    life = new_life()
    await life.begin(task, file)
    for number in range(3):
        path = tmp_path / f"{number}.ts"
        path.write_bytes(os.urandom(2000))
        life.uploads.slice_ready(
            SliceReady(task.id, file.job_id, path.name, path, number, float(number), number + 1.0, 1.0, 2000)
        )
    noted: list[int] = []
    async with asyncio.timeout(PATIENCE / 2):
        while noted != [0, 2]:
            await asyncio.sleep(0.05)
            async with catalogue.read() as uow:
                noted = [piece.sequence for piece in await uow.slices.of_file(file.job_id)]
    hangs.set()
    await until(lambda: not life.uploads.busy(task.id))


async def test_slices_that_are_there_are_not_put_again_and_no_playlist_names_what_is_not(
    catalogue: Catalogue, new_life: NewLife, stores: Buckets, gateway: Gateway, tmp_path: Path
) -> None:
    """A server that died makes its slices again; a playlist in the store is complete at every moment."""
    task, file = recording(RecordFormat.HLS)
    playlist = Playlist(1)
    paths = [tmp_path / f"{number}.ts" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(2000))
        playlist.add(path.name, float(number), 1.0)
    listed = tmp_path / "show.m3u8"
    listed.write_text(playlist.text(complete=True))

    def report(life: Life, numbers: range) -> None:
        for number in numbers:
            path = paths[number]
            life.uploads.slice_ready(
                SliceReady(task.id, file.job_id, path.name, path, number, float(number), number + 1.0, 1.0, 2000)
            )
        life.uploads.playlist_ready(file.job_id, listed)

    first = new_life()
    await first.begin(task, file)
    report(first, range(30))
    await until(lambda: not first.uploads.busy(task.id))
    text = (await whole(stores.get("rec-a"), file.object_key)).decode()
    for name in [line for line in text.splitlines() if not line.startswith("#")]:
        assert await stores.get("rec-a").stat(f"Record/{name}") is not None
    await first.die()
    put = [request for request in gateway.requests if request.method == "PUT" and request.key.endswith(".ts")]
    assert len(put) == 30
    # Far fewer playlists than slices: they may not become most of the traffic.
    assert sum(request.size for request in gateway.requests if request.key.endswith(".m3u8")) < 0.2 * 30 * 2000

    again = new_life()
    await again.begin(task, file)
    report(again, range(40))
    await until(lambda: not again.uploads.busy(task.id))
    put = [request for request in gateway.requests if request.method == "PUT" and request.key.endswith(".ts")]
    assert len(put) == 40
    assert (await again.finish(task, file.job_id, listed)).bucket == "rec-a"
    assert await whole(stores.get("rec-a"), file.object_key) == listed.read_bytes()


async def whole(store: Store, key: str) -> bytes:
    found = await store.stat(key)
    assert found is not None, key
    return b"".join([piece async for piece in store.read(key, 0, found.size)])
