"""A node without sockets and libav: real catalogue, spool, registry and store; a recorder that only takes notes."""

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.cluster.local import LocalCluster
from livereel.control.announcer import Announcer
from livereel.control.callbacks import CallbackService
from livereel.control.domains import DomainService, NewDomain
from livereel.control.finishing import Finishing
from livereel.control.notifications import NotificationService
from livereel.control.owner import Owner
from livereel.control.publishing import Publishing
from livereel.control.recording import Recording
from livereel.control.templates import NewTemplate, TemplateService
from livereel.control.uploads.service import Uploads
from livereel.control.verification import FileVerifier
from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix
from livereel.domain.tenancy import DomainType, Project
from livereel.recorder.events import TaskSpec
from livereel.rtmp.url import PublishTarget
from livereel.spool.pool import SpoolPool
from livereel.storage.buckets import LocalStores
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream
from livereel.testing.clock import FakeClock
from livereel.testing.verify import TrustingPool

PROJECT = "0" * 31 + "1"
OTHER_PROJECT = "0" * 31 + "2"
KEY = StreamKey("push.example.com", "live", "cam01")
HEADERS = [
    Tag(TAG_VIDEO, 0, bytes.fromhex("17000000000142c01effe1000967 42c01eda01404a01000468ce3c80".replace(" ", ""))),
    Tag(TAG_AUDIO, 0, bytes.fromhex("af001210")),
]
KEY_FRAME = bytes.fromhex("1701000000") + b"\x00\x00\x00\x04\x65abc"
FRAME = bytes.fromhex("2701000000") + b"\x00\x00\x00\x04\x41abc"


@dataclass
class NoteTaker:
    """The recorder's side of `control`: what it was asked to do."""

    specs: dict[str, TaskSpec] = field(default_factory=dict)
    ends: dict[str, SpoolPosition] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    interruptions: list[tuple[str, SpoolPosition, list[RecordFormat]]] = field(default_factory=list)

    def record(self, spec: TaskSpec) -> None:
        self.specs[spec.task_id] = spec

    def finish(self, task_id: str, end: SpoolPosition) -> None:
        self.ends[task_id] = end

    def interrupt(self, task_id: str, at: SpoolPosition, formats: list[RecordFormat]) -> None:
        self.interruptions.append((task_id, at, formats))

    def forget(self, task_id: str) -> None:
        self.forgotten.append(task_id)


@dataclass
class Node:
    """Everything `control` works with."""

    new_owner: Callable[[], Owner]
    root: Path
    catalogue: Catalogue
    clock: FakeClock
    registry: StreamRegistry
    spools: SpoolPool
    recorder: NoteTaker
    finishing: Finishing
    uploads: Uploads
    owner: Owner
    announcer: Announcer
    callbacks: CallbackService
    publishing: Publishing
    recording: Recording
    templates: TemplateService
    domains: DomainService
    notifications: NotificationService
    stores: LocalStores
    woken: list[None]
    pool: TrustingPool
    verifier: FileVerifier

    async def template(
        self, record_type: RecordType = RecordType.COMMAND, stream: str = "*", **config: int
    ) -> Template:
        return await self.templates.create(
            PROJECT,
            NewTemplate(
                domain=KEY.domain,
                app="live",
                stream=stream,
                record_type=record_type,
                address=ObsAddress("recordings", "here", "archive/"),
                formats={RecordFormat.FLV: FormatConfig(3600, default_prefix(RecordFormat.FLV), **config)},
            ),
        )

    def impatient(self) -> None:
        """Have START wait for a key frame for a moment only."""
        self.owner._key_frame_timeout = 0.2

    async def push(self, key: StreamKey = KEY, *, query: str = "") -> Stream:
        target = PublishTarget(host="192.0.2.7", vhost=key.domain, app=key.app, stream=key.stream, query=query)
        return await self.publishing.admit(target, "198.51.100.7", "203.0.113.9")

    def feed(self, stream: Stream, *payloads: bytes, at: int = 0) -> None:
        tags = [Tag(TAG_VIDEO, at + 40 * index, payload) for index, payload in enumerate(payloads)]
        stream.feed(tags, self.clock.now())


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    clock, numbers = FakeClock(), itertools.count(1)

    def new_id() -> str:
        return f"{next(numbers):032x}"

    async with catalogue.write() as uow:
        await uow.projects.add(Project(PROJECT, "here", clock.now()))
        await uow.projects.add(Project(OTHER_PROJECT, "there", clock.now()))
    domains = DomainService(catalogue, clock)
    await domains.create(PROJECT, NewDomain(KEY.domain, DomainType.PUSH, "here"))
    registry, spools, recorder = StreamRegistry(), SpoolPool(tmp_path / "spool"), NoteTaker()
    stores = LocalStores(tmp_path / "store")
    woken = list[None]()
    announcer = Announcer(catalogue, clock, lambda: woken.append(None))
    uploads = Uploads(catalogue=catalogue, stores=stores, clock=clock, node="node-1")
    pool = TrustingPool()
    verifier = FileVerifier(
        pool=pool,
        stores=stores,
        announcer=announcer,
        clock=clock,
        work_dir=tmp_path / "work",
        damaged_dir=tmp_path / "damaged",
    )
    finishing = Finishing(
        catalogue=catalogue,
        uploads=uploads,
        verifier=verifier,
        announcer=announcer,
        clock=clock,
        spool_dir=tmp_path / "spool",
        work_dir=tmp_path / "work",
        endless_cycle=False,
    )
    finishing.attach(recorder)  # type: ignore[arg-type]

    def make_owner() -> Owner:
        return Owner(
            registry=registry,
            spools=spools,
            recorder=recorder,  # type: ignore[arg-type]
            finishing=finishing,
            announcer=announcer,
            clock=clock,
            new_id=new_id,
            node="node-1",
            spool_dir=tmp_path / "spool",
            key_frame_timeout=120.0,
        )

    owner = make_owner()
    cluster = LocalCluster("node-1")
    cluster.serve(owner.handle)
    publishing = Publishing(
        catalogue=catalogue,
        cluster=cluster,
        registry=registry,
        owner=owner,
        clock=clock,
        new_id=new_id,
        default_domain="publish.livereel.internal",
        wake_dispatcher=lambda: woken.append(None),
    )

    def new_owner() -> Owner:
        """A restarted node: nothing of the old owner's memory is left."""
        again = make_owner()
        cluster.serve(again.handle)
        publishing._owner = again
        return again

    yield Node(
        new_owner=new_owner,
        root=tmp_path,
        catalogue=catalogue,
        clock=clock,
        registry=registry,
        spools=spools,
        recorder=recorder,
        finishing=finishing,
        uploads=uploads,
        pool=pool,
        verifier=verifier,
        owner=owner,
        announcer=announcer,
        callbacks=CallbackService(catalogue, clock, new_id),
        publishing=publishing,
        recording=Recording(catalogue, cluster),
        templates=TemplateService(catalogue, stores, clock, new_id),
        domains=domains,
        notifications=NotificationService(catalogue),
        stores=stores,
        woken=woken,
    )
    await owner.close()
    await finishing.stop()
    await uploads.stop()
    await spools.close()
    await catalogue.close()
