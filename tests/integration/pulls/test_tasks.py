"""Pull tasks from the catalogue to the ingest: states, messages, changes, failures, restarts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from livereel.callbacks.guard import TargetGuard
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.control.domains import DomainService, NewDomain
from livereel.control.pull_runner import PullRunner
from livereel.control.pulls import NewPullTask, PullChange, PullService
from livereel.domain.errors import InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.streams import PullEvent, PullSource, PullState, PullTask, RefreshType
from livereel.domain.tenancy import AuthType, DomainType, KeyChain, Project
from livereel.iam import url_signing
from livereel.pulls import supervisor
from livereel.pulls.events import Position
from tests.integration.ingest.support import Recorder, ShiftableClock

from .conftest import LOOPBACK, Origin

PROJECT = "0" * 31 + "1"
OTHER_PROJECT = "0" * 31 + "2"
DOMAIN = "publish.example.com"
HOOK = "https://receiver.example.com/hook"


@dataclass
class Desk:
    """A runner over a real catalogue and a real ingest."""

    catalogue: Catalogue
    clock: ShiftableClock
    ingest: Recorder
    directory: Path
    runner: PullRunner = field(init=False)
    service: PullService = field(init=False)

    async def start(self, allow_private: tuple[str, ...] = LOOPBACK) -> None:
        self.runner = PullRunner(
            catalogue=self.catalogue,
            clock=self.clock,
            notes=self.directory / "pulls",
            ingest=lambda: f"127.0.0.1:{self.ingest.server.port}",
            wake_dispatcher=lambda: None,
            allow_private=allow_private,
        )
        guard = TargetGuard(map(ip_network, LOOPBACK), setting="pulls.allow_private")
        self.service = PullService(
            self.catalogue, self.runner, self.clock, lambda: uuid4().hex, guard=guard, max_tasks=3
        )
        await self.runner.start()

    async def create(self, *urls: str, **changes: Any) -> PullTask:
        new = NewPullTask(
            source_type=PullSource.VOD,
            source_urls=urls,
            domain=DOMAIN,
            app="live",
            stream="cam",
            callback_url=HOOK,
        )
        return await self.service.create(PROJECT, replace(new, **changes))

    async def task(self, task: PullTask) -> PullTask:
        async with self.catalogue.read() as uow:
            found = await uow.pull_tasks.get(PROJECT, task.id)
        assert found is not None
        return found

    async def until(self, task: PullTask, state: PullState, timeout: float = 60) -> PullTask:
        async with asyncio.timeout(timeout):
            while (found := await self.task(task)).state is not state:
                await asyncio.sleep(0.05)
        return found

    async def messages(self) -> list[dict[str, Any]]:
        async with self.catalogue.read() as uow:
            return [message.body for message in reversed((await uow.outbox.list(limit=1000)).items)]

    async def told(self) -> list[str]:
        return [body["event"] for body in await self.messages()]

    async def until_told(self, event: PullEvent, count: int = 1, timeout: float = 60) -> dict[str, Any]:
        """The message of an event that is the `count`th of its kind."""
        async with asyncio.timeout(timeout):
            while len(found := [body for body in await self.messages() if body["event"] == event]) < count:
                await asyncio.sleep(0.05)
        return found[count - 1]


@pytest.fixture
async def desk(tmp_path: Path, ingest: Recorder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(supervisor, "RESTART_DELAY_FIRST", 0.2)
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    clock = ShiftableClock()
    async with catalogue.write() as uow:
        await uow.projects.add(Project(PROJECT, "here", clock.now()))
    domains = DomainService(catalogue, clock)
    await domains.create(PROJECT, NewDomain(DOMAIN, DomainType.PUSH, "here"))
    await domains.create(PROJECT, NewDomain("pull.example.com", DomainType.PULL, "here"))
    made = Desk(catalogue, clock, ingest, tmp_path)
    await made.start()
    yield made
    await made.runner.stop()
    assert not made.runner.supervisor.running()
    await catalogue.close()


async def test_a_list_that_is_played_twice(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("other.flv"), loop_time=2)
    assert task.state is PullState.PENDING
    await desk.until(task, PullState.ENDED)
    assert await desk.told() == [
        "TaskStart",
        *("VodSourceFileStart", "VodSourceFileFinish") * 2,
        "TaskExit",
    ]
    start, *files, end = await desk.messages()
    assert start | {"event_time": ""} == {
        "event": "TaskStart",
        "event_time": "",
        "project_id": PROJECT,
        "task_id": task.id,
        "source_type": "PullVodPushLive",
        "domain": DOMAIN,
        "app": "live",
        "stream_name": "cam",
    }
    assert [(body["source_url"], body["vod_video_index"], body["loop"]) for body in files] == [
        (origin.url("other.flv"), 0, loop) for loop in (0, 0, 1, 1)
    ]
    assert end["reason"] == "finished"
    async with asyncio.timeout(60):  # the note of its place goes after the message
        while list((desk.directory / "pulls").iterdir()):
            await asyncio.sleep(0.05)


async def test_only_wanted_events_are_told(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("other.flv"), loop_time=1, callback_events=(PullEvent.TASK_EXIT,))
    await desk.until(task, PullState.ENDED)
    assert await desk.told() == ["TaskExit"]
    task = await desk.create(origin.url("other.flv"), loop_time=1, callback_url="")
    await desk.until(task, PullState.ENDED)
    assert await desk.told() == ["TaskExit"]


async def test_times(desk: Desk, origin: Origin) -> None:
    now = desk.clock.now()
    task = await desk.create(origin.url("long.mp4"), start_at=now + 100, end_at=now + 200)
    await asyncio.sleep(1.2)
    assert (await desk.task(task)).state is PullState.PENDING
    desk.clock.shift = 101
    await desk.until(task, PullState.RUNNING)
    await desk.until_told(PullEvent.TASK_START)
    desk.clock.shift = 201
    await desk.until(task, PullState.ENDED)
    assert (await desk.until_told(PullEvent.TASK_EXIT))["reason"] == "end_time"
    assert not desk.runner.supervisor.running()
    await desk.ingest.end_of("cam")


async def test_a_killed_worker_goes_on_where_it_was(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("long.mp4"))
    await desk.until_told(PullEvent.VOD_SOURCE_FILE_START)
    async with asyncio.timeout(60):
        while (desk.runner.position(task.id) or Position()).seconds < 1.5:
            await asyncio.sleep(0.05)
    worker = desk.runner.supervisor.process(task.id)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    alarm = await desk.until_told(PullEvent.TASK_ALARM)
    assert "died (exit code -9)" in alarm["error_message"]
    await desk.until_told(PullEvent.VOD_SOURCE_FILE_START, 2)
    async with asyncio.timeout(60):
        while len(desk.ingest.targets) < 2:
            await asyncio.sleep(0.05)
    assert (desk.runner.position(task.id) or Position()).seconds >= 1.5
    assert (await desk.told()).count("TaskStart") == 1


async def test_a_restart_goes_on(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("other.flv"), origin.url("long.mp4"))
    await desk.until_told(PullEvent.VOD_SOURCE_FILE_START, 2)
    await desk.runner.stop()
    assert (await desk.task(task)).state is PullState.RUNNING
    await desk.start()
    await desk.until_told(PullEvent.TASK_START, 2)
    begun = await desk.until_told(PullEvent.VOD_SOURCE_FILE_START, 3)
    assert begun["vod_video_index"] == 1


@pytest.mark.parametrize(
    ("refresh", "index", "moved"),
    [
        (RefreshType.IMMEDIATE, 0, False),
        (RefreshType.FROM_FILE_START, 2, False),
        (RefreshType.FROM_BREAK_POINT, 2, True),
    ],
)
async def test_a_changed_list(desk: Desk, origin: Origin, refresh: RefreshType, index: int, moved: bool) -> None:
    task = await desk.create(origin.url("long.mp4"))
    async with asyncio.timeout(60):
        while (desk.runner.position(task.id) or Position()).seconds < 1.5:
            await asyncio.sleep(0.05)
    urls = (origin.url("other.flv"), origin.url("a.flv"), origin.url("long.mp4"))
    await desk.service.modify(PROJECT, task.id, PullChange(source_urls=urls, refresh_type=refresh))
    position = desk.runner.position(task.id)
    assert position is not None
    assert (position.index, position.seconds >= 1.5) == (index, moved)
    begun = await desk.until_told(PullEvent.VOD_SOURCE_FILE_START, 2)
    assert begun["vod_video_index"] == index
    told = await desk.told()
    assert told[told.index("ResetTaskConfig") :][:2] == ["ResetTaskConfig", "TaskStart"]


async def test_pause_and_enable(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("long.mp4"))
    await desk.until_told(PullEvent.VOD_SOURCE_FILE_START)
    await desk.service.modify(PROJECT, task.id, PullChange(enabled=False))
    assert (await desk.task(task)).state is PullState.PAUSED
    assert not desk.runner.supervisor.running()
    await desk.ingest.end_of("cam")
    assert await desk.told() == ["TaskStart", "VodSourceFileStart", "TaskExit"]
    await asyncio.sleep(1.2)
    assert (await desk.task(task)).state is PullState.PAUSED
    await desk.service.modify(PROJECT, task.id, PullChange(enabled=True))
    await desk.until_told(PullEvent.TASK_START, 2)
    assert (await desk.task(task)).state is PullState.RUNNING


async def test_an_ended_task_can_be_enabled(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("other.flv"), loop_time=1)
    await desk.until(task, PullState.ENDED)
    with pytest.raises(InvalidParameter, match="ended already"):
        await desk.service.modify(PROJECT, task.id, PullChange(enabled=False))
    await desk.service.modify(PROJECT, task.id, PullChange(enabled=True))
    await desk.until_told(PullEvent.TASK_EXIT, 2)
    assert (await desk.task(task)).state is PullState.ENDED


async def test_deletion(desk: Desk, origin: Origin) -> None:
    task = await desk.create(origin.url("long.mp4"))
    await desk.until_told(PullEvent.VOD_SOURCE_FILE_START)
    await desk.service.delete(PROJECT, task.id)
    assert not desk.runner.supervisor.running()
    assert (await desk.messages())[-1]["reason"] == "deleted"
    assert not list((desk.directory / "pulls").iterdir())
    with pytest.raises(ResourceNotFound):
        await desk.service.delete(PROJECT, task.id)
    with pytest.raises(ResourceNotFound):
        await desk.service.modify(PROJECT, task.id, PullChange())


async def test_a_refused_address_ends_the_task(desk: Desk, origin: Origin) -> None:
    await desk.runner.stop()
    await desk.start(allow_private=())
    task = await desk.create(origin.url("a.mp4").replace("127.0.0.1", "localhost"))
    failed = await desk.until(task, PullState.FAILED)
    assert failed.error is not None
    assert "setting pulls.allow_private may allow it" in failed.error
    exit_ = await desk.until_told(PullEvent.TASK_EXIT)
    assert (exit_["reason"], exit_["error_message"]) == ("failed", failed.error)


async def test_an_interruption_is_told_once(desk: Desk, origin: Origin, media: Path) -> None:
    there = False

    async def sometimes(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(media / "other.flv") if there else web.Response(status=503)

    origin.routes["/sometimes"] = sometimes
    task = await desk.create(origin.url("sometimes"), loop_time=1)
    await desk.until_told(PullEvent.TASK_ALARM)
    async with asyncio.timeout(60):
        while len(origin.asked) < 3:
            await asyncio.sleep(0.05)
    there = True
    await desk.until(task, PullState.ENDED)
    assert await desk.told() == [
        "TaskAlarm",
        "TaskStart",
        "VodSourceFileStart",
        "VodSourceFileFinish",
        "TaskExit",
    ]


async def test_a_backup_takes_over(desk: Desk, origin: Origin) -> None:
    await desk.create(
        origin.url("missing.flv"),
        source_type=PullSource.LIVE,
        backup_source_type=PullSource.VOD,
        backup_source_urls=(origin.url("other.flv"),),
    )
    alarm = await desk.until_told(PullEvent.TASK_ALARM)
    assert alarm["error_message"].endswith("404 Not Found; going on with the backup source")
    begun = await desk.until_told(PullEvent.VOD_SOURCE_FILE_START)
    assert begun["source_url"] == origin.url("other.flv")
    async with asyncio.timeout(60):  # the backup ends, and its own source is tried again
        while [path for path, _ in origin.asked].count("/missing.flv") < 2:
            await asyncio.sleep(0.05)


async def test_pushes_into_guarded_domains_are_signed(desk: Desk, origin: Origin) -> None:
    chain = KeyChain(DOMAIN, "abcdefghijklmnop0123456789ABCDEF", AuthType.D_SHA256, 3600)
    async with desk.catalogue.write() as uow:
        await uow.key_chains.put(chain)
    task = await desk.create(origin.url("other.flv"), loop_time=1)
    await desk.until(task, PullState.ENDED)
    [target] = desk.ingest.targets
    assert (target.vhost, target.app, target.stream) == (DOMAIN, "live", "cam")
    assert url_signing.problem(chain, "live", "cam", target.query, desk.clock.now()) is None
    task = await desk.create(origin.url("other.flv"), loop_time=1, push_args="?own=1")
    await desk.until(task, PullState.ENDED)
    assert desk.ingest.targets[-1].query == "own=1"


async def test_a_domain_that_another_project_took_over_is_not_pushed_to(desk: Desk, origin: Origin) -> None:
    async with desk.catalogue.write() as uow:
        await uow.projects.add(Project(OTHER_PROJECT, "there", desk.clock.now()))
    task = await desk.create(origin.url("other.flv"), start_at=desk.clock.now() + 60)
    async with desk.catalogue.write() as uow:
        domain = await uow.domains.get(DOMAIN)
        assert domain is not None
        await uow.domains.update(replace(domain, project_id=OTHER_PROJECT))
    desk.clock.shift = 61
    failed = await desk.until(task, PullState.FAILED)
    assert failed.error == f"{DOMAIN} belongs to another project now"
    assert desk.ingest.targets == []


async def test_another_server(desk: Desk, origin: Origin) -> None:
    url = f"rtmp://127.0.0.1:{desk.ingest.server.port}/else/where?a=1"
    task = await desk.create(
        origin.url("other.flv"), loop_time=1, domain="", app="", stream="", destination_url=url, push_args="b=2"
    )
    await desk.until(task, PullState.ENDED)
    [target] = desk.ingest.targets
    assert (target.app, target.stream, target.query) == ("else", "where", "a=1&b=2")
    assert (await desk.messages())[0]["destination_url"] == url


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "pull.example.com"},
        {"source_urls": ()},
        {"source_urls": ("ftp://h/a",)},
        {"source_urls": ("rtmp://h/a/b",)},
        {"source_urls": ("http://10.0.0.1/a.mp4",)},
        {"source_urls": ("http://169.254.169.254/a.mp4",)},
        {"source_type": PullSource.LIVE, "source_urls": ("http://h/a", "http://h/b")},
        {"source_type": PullSource.LIVE, "source_urls": ("file:///etc/passwd",)},
        {"destination_url": "rtmp://h/a/b"},
        {"domain": "", "app": "", "stream": "", "destination_url": "rtmp://10.0.0.1/a/b"},
        {"domain": "", "app": "", "stream": "", "destination_url": "http://h/a/b"},
        {"end_at": 1.0},
        {"end_at": 9e9},
        {"loop_time": 0},
        {"loop_time": -2},
        {"start_index": 1},
        {"start_time": -1.0},
        {"callback_url": "ftp://h"},
        {"backup_source_urls": ("http://h/a",)},
        {"backup_source_type": PullSource.LIVE, "backup_source_urls": ("http://192.168.0.1/a",)},
        {"push_args": "x" * 1025},
    ],
)
async def test_what_is_refused(desk: Desk, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter):
        await desk.create(*changes.pop("source_urls", ("https://media.example.com/a.mp4",)), **changes)


async def test_other_refusals(desk: Desk) -> None:
    far = desk.clock.now() + 1000
    with pytest.raises(UnknownDomain):
        await desk.create("https://h/a", domain="unknown.example.com")
    live = await desk.create("https://h/a", source_type=PullSource.LIVE, start_at=far)
    with pytest.raises(InvalidParameter, match="PullVodPushLive"):
        await desk.service.modify(PROJECT, live.id, PullChange(enabled=False))
    with pytest.raises(ResourceNotFound):
        await desk.service.modify(OTHER_PROJECT, live.id, PullChange(enabled=False))
    with pytest.raises(ResourceNotFound):
        await desk.service.delete(OTHER_PROJECT, live.id)
    loop = await desk.create("https://h/a", start_at=far)
    with pytest.raises(InvalidParameter):
        await desk.service.modify(PROJECT, loop.id, PullChange(source_urls=("http://10.0.0.1/a",)))
    await desk.create("https://h/a", start_at=far)
    with pytest.raises(InvalidParameter, match=r"pulls\.max_tasks"):
        await desk.create("https://h/a", start_at=far)
    await desk.service.delete(PROJECT, live.id)
    await desk.create("https://h/a", start_at=far)
