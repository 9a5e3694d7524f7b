"""A node without sockets and processes: everything that records, on a real catalogue, spool and store.

It can stop in order, and it can die at any transaction; the next one begins with what is on disk.
"""

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from livereel.catalogue.port import Catalogue
from livereel.cluster.local import LocalCluster
from livereel.cluster.port import StartOptions
from livereel.control.announcer import Announcer
from livereel.control.finishing import Finishing
from livereel.control.owner import Owner
from livereel.control.publishing import Publishing
from livereel.control.recording import Recording
from livereel.control.recovery import recover
from livereel.control.uploads.service import Uploads
from livereel.control.verification import FileVerifier
from livereel.domain.keys import StreamKey
from livereel.recorder.events import RecorderEvent
from livereel.rtmp.url import PublishTarget
from livereel.spool.pool import SpoolPool
from livereel.storage.buckets import LocalStores
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream
from livereel.testing.clock import FakeClock, FakeTimers
from livereel.testing.verify import TrustingPool
from tests.integration.lifecycle.parts import MortalCatalogue, Recorder

NODE = "node-1"
PROJECT = "0" * 31 + "1"
KEY_FRAME_TIMEOUT = 0.2  # seconds of real time
SETTLE_TIMEOUT = 90.0


class Node:
    """One life of the node. `begin` it; `stop` it or let it `die`."""

    def __init__(self, root: Path, catalogue: Catalogue, clock: FakeClock, new_id: Callable[[], str]) -> None:
        self.catalogue = MortalCatalogue(catalogue)
        self._root = root
        self._clock = clock
        self._registry = StreamRegistry()
        self.spools = SpoolPool(root / "spool")
        self.timers = FakeTimers(clock)
        self._announcer = Announcer(self.catalogue, clock, lambda: None)
        self._uploads = Uploads(catalogue=self.catalogue, stores=LocalStores(root / "store"), clock=clock, node=NODE)
        self._verifier = FileVerifier(
            pool=TrustingPool(),
            stores=LocalStores(root / "store"),
            announcer=self._announcer,
            clock=clock,
            work_dir=root / "work",
            damaged_dir=root / "damaged",
        )
        self._finishing = Finishing(
            catalogue=self.catalogue,
            uploads=self._uploads,
            verifier=self._verifier,
            announcer=self._announcer,
            clock=clock,
            spool_dir=root / "spool",
            work_dir=root / "work",
            endless_cycle=False,
        )
        self.recorder = Recorder(clock, self._handle)
        self._finishing.attach(self.recorder)  # type: ignore[arg-type]
        self.owner = Owner(
            registry=self._registry,
            spools=self.spools,
            recorder=self.recorder,  # type: ignore[arg-type]
            finishing=self._finishing,
            announcer=self._announcer,
            clock=clock,
            new_id=new_id,
            node=NODE,
            spool_dir=root / "spool",
            key_frame_timeout=KEY_FRAME_TIMEOUT,
            timers=self.timers,
        )
        cluster = LocalCluster(NODE)
        cluster.serve(self.owner.handle)
        self._publishing = Publishing(
            catalogue=self.catalogue,
            cluster=cluster,
            registry=self._registry,
            owner=self.owner,
            clock=clock,
            new_id=new_id,
            default_domain="publish.livereel.internal",
            wake_dispatcher=lambda: None,
        )
        self._recording = Recording(self.catalogue, cluster)

    async def begin(self) -> None:
        """What the server does at its start."""
        self._threads = ThreadPoolExecutor()
        asyncio.get_running_loop().set_default_executor(self._threads)
        shutil.rmtree(self._root / "work", ignore_errors=True)
        await recover(
            catalogue=self.catalogue,
            recorder=self.recorder,  # type: ignore[arg-type]
            finishing=self._finishing,
            owner=self.owner,
            announcer=self._announcer,
            clock=self._clock,
            node=NODE,
            spool_dir=self._root / "spool",
        )
        await self._uploads.start()

    async def stop(self) -> None:
        """An orderly stop; what the recorder has not done yet is left for the next start."""
        self._publishing.close()
        await self.owner.close()
        for stream in self._registry.live():
            await self._publishing.ended(stream, "the server is stopping")
        await self.die()

    async def die(self) -> None:
        """From here on nothing of this life reaches the catalogue. What was received is in the spool."""
        self.catalogue.dead = True
        self.timers.forget()
        background = list(self.owner._background)
        for job in background:
            job.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        self.recorder.die()
        await self._finishing.stop()
        await self._uploads.stop()
        await self.spools.close()
        self._threads.shutdown()  # nothing that this life was at happens in the next one
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())  # for who is there between two lives

    async def _handle(self, event: RecorderEvent) -> None:
        """Deal with one event to its end: files are stored in the background otherwise."""
        await self._finishing.handle(event)
        await self._finishing.settled(event.task_id)
        async with asyncio.timeout(SETTLE_TIMEOUT):
            while self._uploads.busy(event.task_id) and not self.catalogue.dead:
                await asyncio.sleep(0.001)

    async def push(self, key: StreamKey) -> Stream:
        target = PublishTarget(host="192.0.2.7", vhost=key.domain, app=key.app, stream=key.stream, query="")
        push = await self._publishing.admit(target, "198.51.100.7", "203.0.113.9")
        assert isinstance(push, Stream)
        return push

    async def drop(self, stream: Stream) -> None:
        await self._publishing.ended(stream, "gone")

    async def start(self, key: StreamKey, options: StartOptions) -> str:
        return await self._recording.start(PROJECT, key, options)

    async def stop_recording(self, key: StreamKey) -> str:
        return await self._recording.stop(PROJECT, key)

    def running(self, key: StreamKey) -> str | None:
        """The task that takes the tags of a stream."""
        return next((task.id for task in self.owner.running() if task.key == key), None)

    def awaits_key_frame(self, key: StreamKey) -> bool:
        """Whether something begins or goes on as soon as a key frame is on disk."""
        return self.owner._key_frames.waiting_for(key) is not None

    async def settle(self, fed: Callable[[StreamKey], bool]) -> None:
        """Let everything go on until it waits for the outside; `fed` says whose awaited key frames have been sent."""
        self.spools.flush()
        async with asyncio.timeout(SETTLE_TIMEOUT):
            while not self.catalogue.dead:
                waiting = {task.key for task in self.owner._key_frames.waiting()}
                queueing = sum(users - 1 for _, users in self.owner._locks._locks.values())
                if len(self.owner._background) <= len(waiting) + queueing and not any(map(fed, waiting)):
                    break
                await asyncio.sleep(0.001)
