"""The composition root: builds every part, hands each what it needs, starts and stops them in order.

This is the only module that knows all of them. `Server` is used by `livereel serve`, by the demo and by tests.
"""

import asyncio
import contextlib
import fcntl
import os
import resource
import shutil
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import structlog

from livereel.api.app import create_app
from livereel.api.auth.replay import Replays
from livereel.api.limits import RateLimits
from livereel.api.server import ApiServer, bind
from livereel.api.services import ApiServices
from livereel.callbacks.dispatcher import Dispatcher, DispatcherConfig
from livereel.callbacks.guard import TargetGuard
from livereel.callbacks.sender import Sender
from livereel.callbacks.targets import Targets
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue, CatalogueError
from livereel.cluster.local import LocalCluster
from livereel.control import commands
from livereel.control.announcer import Announcer
from livereel.control.buckets import BucketService
from livereel.control.callbacks import CallbackService
from livereel.control.contents import ContentService
from livereel.control.damaged import DamagedSpools
from livereel.control.disk import DiskWatch, release_if_needed
from livereel.control.domains import DomainService, NewDomain
from livereel.control.erasing import Eraser
from livereel.control.finishing import Finishing
from livereel.control.indexes import IndexService
from livereel.control.messages import MessageService
from livereel.control.notifications import NotificationService
from livereel.control.on_demand import OnDemand
from livereel.control.owner import Owner
from livereel.control.pictures import SnapshotTaker
from livereel.control.planner import Planner
from livereel.control.plans import PlanService
from livereel.control.publishing import Publishing
from livereel.control.pull_runner import PullRunner
from livereel.control.pulls import PullService
from livereel.control.recording import Recording
from livereel.control.recordings import RecordingService
from livereel.control.recovery import recover
from livereel.control.retention import Retention
from livereel.control.snapshots import SnapshotService
from livereel.control.streams import StreamService
from livereel.control.templates import TemplateService
from livereel.control.uploads.service import Uploads
from livereel.control.url_guard import UrlGuardService
from livereel.control.verification import FileVerifier
from livereel.domain.clock import Clock
from livereel.domain.disk import DiskMarks
from livereel.domain.errors import LivereelError
from livereel.domain.tenancy import DomainType
from livereel.domain.verification import VerifyLevel
from livereel.iam.secrets import open_key_file
from livereel.iam.service import KEY_FILE_CHANGED, Iam, NewAccessKey
from livereel.ingest.config import IngestConfig
from livereel.ingest.listener import IngestServer
from livereel.observe.clock import SystemClock
from livereel.observe.garbage import collected_rarely
from livereel.recorder.supervisor import RecorderSupervisor
from livereel.rtmp.session import Timeouts
from livereel.settings import Settings
from livereel.snapshots.pool import PicturePool
from livereel.spool.directories import make_durable
from livereel.spool.pool import SpoolPool
from livereel.storage.buckets import Buckets, LocalStores
from livereel.storage.port import Stores
from livereel.storage.urls import DownloadUrls
from livereel.streams.registry import StreamRegistry
from livereel.verify.pool import VerifyPool

log = structlog.get_logger()


class DataDirectoryInUse(LivereelError):
    """Another server works on the same data directory."""


class Server:
    """One livereel node. `start` it, `stop` it; it is not started twice."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stack = contextlib.AsyncExitStack()
        self._ready = False
        self._disk: DiskWatch | None = None
        self._refuse_starts: Callable[[], None] = lambda: None
        #: The access key made at the very first start; None at every other.
        self.first_key: NewAccessKey | None = None
        #: The real ports, once started.
        self.rtmp_port = self.api_port = 0

    async def start(self) -> None:
        """Bring everything up, recover what an earlier run left, then take pushes and commands.

        Raises LivereelError or OSError when something is not usable; then everything is down again.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        settings, clock = self._settings, self._clock
        self._claim_data(settings.data_dir)
        catalogue = await open_catalogue(settings.catalogue_url())
        self._stack.push_async_callback(catalogue.close)
        sealer = open_key_file(settings.key_file())
        iam = Iam(catalogue, clock, sealer)
        domains = DomainService(catalogue, clock)
        await self._first_start(iam, domains)

        stores = Buckets(
            LocalStores(settings.storage_root(), create=settings.storage.create_buckets), settings.bucket_configs()
        )
        api_listener = self._bind_api()
        links = DownloadUrls(sealer.derive("download links"), settings.public_url(self.api_port))
        dispatcher = Dispatcher(
            catalogue,
            clock,
            Targets(lambda bucket, key, now: links.sign(bucket, key, now, settings.callbacks.download_lifetime)),
            DispatcherConfig(
                allow_private=settings.callbacks.allow_private,
                timeout=settings.callbacks.timeout,
                retry_horizon=settings.callbacks.retry_horizon,
            ),
        )
        await dispatcher.start()
        self._stack.push_async_callback(dispatcher.stop)

        registry = StreamRegistry()
        await asyncio.to_thread(make_durable, settings.spool_dir())
        spools = SpoolPool(
            settings.spool_dir(),
            max_backlog_bytes=settings.spool.max_backlog,
            fsync_interval=settings.spool.sync_seconds,
        )
        self._stack.push_async_callback(spools.close)
        announcer = Announcer(catalogue, clock, dispatcher.notify)
        uploads = Uploads(
            catalogue=catalogue, stores=stores, clock=clock, node=settings.node, seconds=settings.second_buckets()
        )
        self._stack.push_async_callback(uploads.stop)
        finishing = Finishing(
            catalogue=catalogue,
            uploads=uploads,
            verifier=self._make_verifier(stores, announcer, clock),
            announcer=announcer,
            clock=clock,
            spool_dir=settings.spool_dir(),
            work_dir=settings.work_dir(),
            endless_cycle=settings.recorder.record_cycle_zero == "whole",
        )
        recorder = RecorderSupervisor(
            workers=settings.recorder.workers,
            spool_dir=settings.spool_dir(),
            work_dir=settings.work_dir(),
            on_event=finishing.handle,
            clock=clock,
            again_after=(CatalogueError,),
        )
        self._stack.push_async_callback(finishing.stop)
        finishing.attach(recorder)
        # What is in there belongs to an earlier run; unfinished files are made again from their spools.
        await asyncio.to_thread(shutil.rmtree, settings.work_dir(), ignore_errors=True)
        await recorder.start()
        self._stack.push_async_callback(recorder.stop)
        cluster = LocalCluster(settings.node)
        owner = Owner(
            registry=registry,
            spools=spools,
            recorder=recorder,
            finishing=finishing,
            announcer=announcer,
            clock=clock,
            new_id=_new_id,
            node=settings.node,
            spool_dir=settings.spool_dir(),
            key_frame_timeout=settings.recorder.first_key_frame_timeout,
            pre_roll_keep=settings.recorder.pre_roll_keep,
        )
        await recover(
            catalogue=catalogue,
            recorder=recorder,
            finishing=finishing,
            owner=owner,
            announcer=announcer,
            clock=clock,
            node=settings.node,
            spool_dir=settings.spool_dir(),
        )
        await uploads.start()
        self._disk = await self._watch_disk(owner, recorder, clock)
        publishing = Publishing(
            catalogue=catalogue,
            cluster=cluster,
            registry=registry,
            owner=owner,
            clock=clock,
            new_id=_new_id,
            default_domain=settings.rtmp.default_domain,
            wake_dispatcher=dispatcher.notify,
        )
        self._ask_tenants(owner, catalogue, clock)
        cluster.serve(commands.handler(owner, publishing))
        self._refuse_starts = owner.refuse_starts
        ingest = IngestServer(
            host=settings.rtmp.host,
            port=settings.rtmp.port,
            admission=publishing,
            config=IngestConfig(
                max_connections=settings.rtmp.max_connections,
                timeouts=Timeouts(
                    settings.rtmp.handshake_timeout, settings.rtmp.publish_timeout, settings.rtmp.idle_timeout
                ),
            ),
            clock=clock,
            on_slice=spools.slice_over,
            on_pass=spools.pass_over,
        )
        owner.drain = ingest.drain
        publishing.cut_pushes = ingest.cut
        self._stack.push_async_callback(self._finish_recordings, publishing, ingest, owner, finishing)
        planner = self._start_planner(Planner(catalogue, owner, clock), owner)
        await ingest.start()
        self.rtmp_port = ingest.port
        snapshots, pulls = await self._start_snapshots_and_pulls(catalogue, registry, stores, clock, dispatcher.notify)

        services = ApiServices(
            iam=iam,
            recording=Recording(catalogue, cluster),
            recordings=RecordingService(catalogue, clock, self._start_deletions(catalogue, stores, clock).wake),
            templates=TemplateService(catalogue, stores, clock, _new_id),
            domains=domains,
            notifications=NotificationService(catalogue),
            callbacks=CallbackService(catalogue, clock, _new_id),
            messages=MessageService(catalogue, clock, dispatcher.notify),
            contents=ContentService(catalogue),
            indexes=IndexService(catalogue, stores, clock),
            plans=PlanService(catalogue, clock, _new_id, end_planned=owner.end_planned, wake_planner=planner.wake),
            buckets=BucketService(catalogue, stores),
            pulls=PullService(
                catalogue,
                pulls,
                clock,
                _new_id,
                guard=TargetGuard(settings.pulls.allow_private, setting="pulls.allow_private"),
                max_tasks=settings.pulls.max_tasks,
            ),
            snapshots=SnapshotService(catalogue, stores, snapshots.changed),
            streams=StreamService(catalogue, registry, cluster, clock),
            url_guard=UrlGuardService(catalogue, clock),
            stores=stores,
            download_urls=links,
            download_lifetime=settings.api.download_lifetime,
            rate_limits=RateLimits(clock, factor=settings.api.rate_limit_factor) if settings.api.rate_limits else None,
            metrics_allow=settings.api.metrics_allow,
            readiness=self._readiness(catalogue),
            clock=clock,
            catalogue=catalogue,
            replays=Replays(catalogue, clock),
            hostname=settings.node,
        )
        self._stack.push_async_callback(services.replays.noted)
        await self._start_api(services, api_listener)
        self._ready = True
        log.info("ready", rtmp_port=self.rtmp_port, api_port=self.api_port, data_dir=str(settings.data_dir))

    async def stop(self) -> None:
        """Refuse new work, finish open recordings within the grace time, leave the rest for the next start."""
        self._ready = False
        self._refuse_starts()
        await self._stack.aclose()

    def _readiness(self, catalogue: Catalogue) -> Callable[[], Awaitable[dict[str, str | None]]]:
        async def look() -> dict[str, str | None]:
            return {
                "server": None if self._ready else "starting or stopping",
                "catalogue": await _catalogue_problem(catalogue),
                "disk": self._disk.problem() if self._disk is not None else None,
            }

        return look

    def _reserve_file(self) -> Path:
        return self._settings.data_dir / "reserve"

    def _claim_data(self, directory: Path) -> None:
        make_durable(directory)
        self._stack.enter_context(_locked(directory / "lock"))
        release_if_needed(self._reserve_file())

    async def _first_start(self, iam: Iam, domains: DomainService) -> None:
        self.first_key = await iam.bootstrap(self._settings.region)
        if self.first_key is not None:
            first = NewDomain(self._settings.rtmp.default_domain, DomainType.PUSH, self._settings.region)
            await domains.create(self.first_key.project_id, first)
        for access in await iam.lost_keys():
            log.error("access_key_lost", access=access, reason=KEY_FILE_CHANGED)

    def _ask_tenants(self, owner: Owner, catalogue: Catalogue, clock: Clock) -> None:
        settings = self._settings.callbacks
        sender = Sender(TargetGuard(settings.allow_private), settings.on_demand_timeout)
        self._stack.push_async_callback(sender.close)
        owner.decide_on_demand = OnDemand(
            catalogue, sender, clock, _new_id, record_on_failure=settings.on_demand_failure == "record"
        ).decide

    async def _watch_disk(self, owner: Owner, recorder: RecorderSupervisor, clock: Clock) -> DiskWatch:
        settings = self._settings
        owner.disk = watch = DiskWatch(
            [settings.spool_dir(), settings.work_dir()],
            DiskMarks(settings.disk.high_water, settings.disk.reserve),
            clock,
            recordings=owner,
            under_way=recorder.under_way,
            reserve_file=self._reserve_file(),
            on_room=recorder.room_again,
        )
        recorder.on_out_of_room = watch.out_of_room
        await watch.start()
        self._stack.push_async_callback(watch.stop)
        return watch

    def _make_verifier(self, stores: Stores, announcer: Announcer, clock: Clock) -> FileVerifier:
        settings = self._settings
        pool = VerifyPool(settings.recorder.verify_workers, VerifyLevel(settings.recorder.verify))
        self._stack.push_async_callback(pool.stop)
        return FileVerifier(
            pool=pool,
            stores=stores,
            announcer=announcer,
            clock=clock,
            work_dir=settings.work_dir(),
            damaged_dir=settings.damaged_dir(),
        )

    def _start_planner(self, planner: Planner, owner: Owner) -> Planner:
        owner.on_change = planner.wake
        planner.start()
        self._stack.push_async_callback(planner.stop)
        return planner

    def _bind_api(self) -> socket.socket:
        """Download links hold the port, so it is ours before anything that signs them is built."""
        listener = bind(self._settings.api.host, self._settings.api.port)
        self._stack.callback(listener.close)
        self.api_port = int(listener.getsockname()[1])
        return listener

    def _start_deletions(self, catalogue: Catalogue, stores: Stores, clock: Clock) -> Eraser:
        eraser = Eraser(catalogue, stores, clock, self._settings.spool_dir())
        eraser.start()
        self._stack.push_async_callback(eraser.stop)
        default = self._settings.retention.rule()
        kept = self._settings.retention.damaged_seconds
        damaged = DamagedSpools(catalogue, clock, self._settings.damaged_dir(), kept)
        retention = Retention(catalogue, stores, clock, default=default, wake_eraser=eraser.wake, damaged=damaged)
        retention.start()
        self._stack.push_async_callback(retention.stop)
        return eraser

    async def _start_api(self, services: ApiServices, listener: socket.socket) -> None:
        api = ApiServer(
            create_app(services),
            self._settings.api.host,
            self.api_port,
            hostname=self._settings.node,
            listener=listener,
            tls_certificate=self._settings.api.tls_certificate,
            tls_key=self._settings.api.tls_key,
            max_connections=self._settings.api.max_connections,
            request_timeout=self._settings.api.request_timeout,
        )
        await api.start()
        self._stack.push_async_callback(api.stop)

    async def _start_snapshots_and_pulls(
        self,
        catalogue: Catalogue,
        registry: StreamRegistry,
        stores: Stores,
        clock: Clock,
        wake_dispatcher: Callable[[], None],
    ) -> tuple[SnapshotTaker, PullRunner]:
        snapshots = SnapshotTaker(
            catalogue=catalogue,
            registry=registry,
            pool=PicturePool(self._settings.snapshots.workers),
            stores=stores,
            clock=clock,
            wake_dispatcher=wake_dispatcher,
        )
        snapshots.start()
        self._stack.push_async_callback(snapshots.stop)
        pulls = PullRunner(
            catalogue=catalogue,
            clock=clock,
            notes=self._settings.pulls_dir(),
            ingest=lambda: self._settings.rtmp_address(self.rtmp_port),
            wake_dispatcher=wake_dispatcher,
            allow_private=tuple(map(str, self._settings.pulls.allow_private)),
        )
        await pulls.start()
        self._stack.push_async_callback(pulls.stop)
        return snapshots, pulls

    async def _finish_recordings(
        self, publishing: Publishing, ingest: IngestServer, owner: Owner, finishing: Finishing
    ) -> None:
        publishing.close()
        await owner.close()
        await ingest.stop()
        try:
            async with asyncio.timeout(self._settings.stop_grace):
                await finishing.wait_idle()
        except TimeoutError:
            log.warning("recordings_left_for_next_start")


async def run(settings: Settings, announce: Callable[[Server], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called when everything is up. A second signal ends at once."""
    server = Server(settings)
    _allow_files()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_in_order() -> None:
        # Before anybody is told that the server stops: who reads it may send the second signal at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            # A KeyboardInterrupt, which is asyncio's choice for SIGINT, would be one more orderly stop.
            signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_in_order)
    await server.start()
    try:
        announce(server)
        with collected_rarely():
            await stopping.wait()
        log.info("stopping", grace=settings.stop_grace)
    finally:
        await server.stop()
        log.info("stopped")


def _allow_files() -> None:
    """Take all open files that the system grants; the soft limit of 1024 is for programs that call select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the data directory for this process alone; the lock goes with the process, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirectoryInUse(
            f"{path.parent} is in use by another livereel server; stop it or choose another data_dir"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


async def _catalogue_problem(catalogue: Catalogue) -> str | None:
    try:
        async with catalogue.read() as uow:
            await uow.projects.find(name="")
    except Exception as error:  # whatever the driver raises, the answer is the same
        log.warning("catalogue_not_ready", error=str(error))
        return "the catalogue cannot be read"
    return None


def _new_id() -> str:
    return uuid.uuid4().hex
