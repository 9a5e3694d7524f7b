"""A real API server on a loopback port over a real SQLite catalogue. The test plays the owner of the streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from huaweicloudsdklive.v1 import LiveClient

from livereel.api.app import ApiServices, create_app
from livereel.api.auth.replay import Replays
from livereel.api.server import ApiServer
from livereel.callbacks.guard import TargetGuard
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.cluster.local import LocalCluster
from livereel.cluster.port import Answer, Command
from livereel.control.buckets import BucketService
from livereel.control.callbacks import CallbackService
from livereel.control.contents import ContentService
from livereel.control.domains import DomainService
from livereel.control.indexes import IndexService
from livereel.control.messages import MessageService
from livereel.control.notifications import NotificationService
from livereel.control.plans import PlanService
from livereel.control.pull_runner import PullRunner
from livereel.control.pulls import PullService
from livereel.control.recording import Recording
from livereel.control.recordings import RecordingService
from livereel.control.snapshots import SnapshotService
from livereel.control.streams import StreamService
from livereel.control.templates import TemplateService
from livereel.control.url_guard import UrlGuardService
from livereel.domain.keys import StreamKey
from livereel.iam.secrets import open_key_file
from livereel.iam.service import Iam, NewAccessKey
from livereel.iam.signature import SignedRequest, sign
from livereel.observe.clock import SystemClock
from livereel.settings import LOOPBACK
from livereel.storage.buckets import LocalStores
from livereel.storage.urls import DownloadUrls
from livereel.streams.registry import StreamRegistry

from .sdk import REGION, make_client

HOSTNAME = "live-rec-01"
PATIENCE = 120.0  # seconds for an answer; none of them is about how soon it comes


class Owner:
    """Plays the node that owns the streams: takes commands, refuses with `refusal` if one is set."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.refusal: Exception | None = None
        self.delay = 0.0
        self.ended_plans: list[tuple[StreamKey, str]] = []

    async def end_planned(self, key: StreamKey, plan_id: str) -> None:
        self.ended_plans.append((key, plan_id))

    async def __call__(self, command: Command) -> Answer:
        self.commands.append(command)
        await asyncio.sleep(self.delay)
        if self.refusal is not None:
            raise self.refusal
        return Answer(uuid4().hex)


class HeldClock(SystemClock):
    """The time of day is real, since signatures bear it; the monotonic half moves when told, and by no slow machine."""

    def __init__(self) -> None:
        self._monotonic = super().monotonic()

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds


@dataclass
class Api:
    """The server under test and a raw client for it."""

    services: ApiServices
    url: str
    key: NewAccessKey
    owner: Owner
    catalogue: Catalogue
    registry: StreamRegistry
    iam: Iam
    store_root: Path
    client: httpx2.AsyncClient
    clock: HeldClock
    woken: list[None]
    problems: dict[str, str | None] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def signed(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        key: NewAccessKey | None = None,
        at: datetime | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Request:
        """A request signed by hand. `target` is path and query as sent."""
        key = key or self.key
        path, _, query = target.partition("?")
        date = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": self.host, "x-sdk-date": date}
        if body:
            sent["content-type"] = "application/json"
        sent |= headers or {}
        names = tuple(sorted(sent))
        raw = SignedRequest(
            method, path.encode(), query.encode(), tuple((n.encode(), sent[n].encode()) for n in names), body
        )
        signature = sign(raw, names, key.secret)
        sent["authorization"] = (
            f"SDK-HMAC-SHA256 Access={key.access}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        url = httpx2.URL(self.url).copy_with(raw_path=target.encode())
        return httpx2.Request(method, url, headers=sent, content=body)

    async def call(self, method: str, target: str, body: Any = None, **more: Any) -> httpx2.Response:
        """Send a signed request to `/v1/{project_id}/target`; `body` is JSON or bytes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.client.send(self.signed(method, f"/v1/{self.key.project_id}/{target}", content, **more))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    clock = HeldClock()
    sealer = open_key_file(tmp_path / "secret.key")
    iam = Iam(catalogue, clock, sealer)
    key = await iam.bootstrap(REGION)
    assert key is not None
    owner = Owner()
    cluster = LocalCluster("node-1")
    cluster.serve(owner)
    stores = LocalStores(tmp_path / "store")
    registry = StreamRegistry()
    problems: dict[str, str | None] = {"catalogue": None}

    async def readiness() -> dict[str, str | None]:
        return problems

    woken = list[None]()
    services = ApiServices(
        iam=iam,
        recording=Recording(catalogue, cluster),
        recordings=RecordingService(catalogue, clock, lambda: woken.append(None)),
        templates=TemplateService(catalogue, stores, clock, lambda: uuid4().hex),
        domains=DomainService(catalogue, clock),
        notifications=NotificationService(catalogue),
        callbacks=CallbackService(catalogue, clock, lambda: uuid4().hex),
        messages=MessageService(catalogue, clock, lambda: woken.append(None)),
        contents=ContentService(catalogue),
        indexes=IndexService(catalogue, stores, clock),
        plans=PlanService(
            catalogue,
            clock,
            lambda: uuid4().hex,
            end_planned=owner.end_planned,
            wake_planner=lambda: woken.append(None),
        ),
        buckets=BucketService(catalogue, stores),
        snapshots=SnapshotService(catalogue, stores),
        pulls=PullService(
            catalogue,
            PullRunner(
                catalogue=catalogue,
                clock=clock,
                notes=tmp_path,
                ingest=lambda: "127.0.0.1:1",
                wake_dispatcher=lambda: woken.append(None),
            ),
            clock,
            lambda: uuid4().hex,
            guard=TargetGuard(setting="pulls.allow_private"),
            max_tasks=3,
        ),
        streams=StreamService(catalogue, registry, cluster, clock),
        url_guard=UrlGuardService(catalogue, clock),
        stores=stores,
        download_urls=DownloadUrls(sealer.derive("download links"), ""),
        readiness=readiness,
        clock=clock,
        catalogue=catalogue,
        replays=Replays(catalogue, clock),
        hostname=HOSTNAME,
        metrics_allow=LOOPBACK,
    )
    server = ApiServer(create_app(services), "127.0.0.1", 0, hostname=HOSTNAME)
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        store = tmp_path / "store"
        yield Api(services, url, key, owner, catalogue, registry, iam, store, client, clock, woken, problems)
    await server.stop()
    await services.replays.noted()
    await catalogue.close()


@pytest.fixture
def sdk(api: Api) -> LiveClient:
    """The unmodified official SDK against the server."""
    return make_client(api.url, api.key)
