"""Taking snapshots of live streams: when, of what, where to and whom to tell.

One loop looks which streams are due; a picture is a task of its own, a bounded number of them at a time. A stream whose
picture fails is asked less and less often; nothing else notices.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from livereel.callbacks.snapshots import SNAPSHOT, snapshot_callback
from livereel.catalogue.port import Catalogue
from livereel.control.buckets import is_authorised
from livereel.control.snapshots import key_of
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError
from livereel.domain.keys import StreamKey
from livereel.domain.messages import MessageState
from livereel.domain.streams import SnapshotConfig, SnapshotMode
from livereel.observe import metrics
from livereel.snapshots.pool import Picture, PictureFailed, PicturePool
from livereel.storage.port import Stores
from livereel.streams.pictures import CodedPicture, PictureTap
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream

log = structlog.get_logger()

TICK = 0.5  # seconds between looks: intervals are at least 5
CONFIG_AGE = 5.0  # seconds a configuration is used without looking again (another process may have changed it)
UNDER_WAY_MAX = 16  # pictures at a time: with at most 8 MiB of frames and as much JPEG each, 256 MiB at the worst
KEY_FRAME_TIMEOUT = 20.0  # seconds to wait for a key frame; longer groups of pictures are not kept anywhere either
FRAMES_AFTER = 25  # of a group, at most, are decoded for a picture between key frames: about its first second
WAITING_MAX = 1000  # messages of a domain; with so many undelivered nobody looks at the pictures, and rows are not free
LONGEST_PAUSE = 3600.0  # seconds between pictures of a stream that fail; the longest interval that can be configured


@dataclass(slots=True)
class _Subject:
    """A live stream that has its picture taken. Times are monotonic seconds."""

    next_at: float
    failures: int = 0
    busy: bool = False


class SnapshotTaker:
    """Takes pictures of all live streams that a configuration covers."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        registry: StreamRegistry,
        pool: PicturePool,
        stores: Stores,
        clock: Clock,
        wake_dispatcher: Callable[[], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._catalogue = catalogue
        self._registry = registry
        self._pool = pool
        self._stores = stores
        self._clock = clock
        self._wake_dispatcher = wake_dispatcher
        self._chance = chance
        self._configs: dict[tuple[str, str], SnapshotConfig | None] = {}
        self._configs_until = 0.0
        self._subjects: dict[str, _Subject] = {}  # by publish id
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.create_task(self._run(), name="snapshots")

    async def stop(self) -> None:
        """Take no more pictures; those under way are dropped."""
        tasks = [*self._under_way, *([self._loop] if self._loop else [])]
        self._loop = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pool.stop()

    def changed(self) -> None:
        """A configuration was changed: look it up again."""
        self._configs.clear()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # the catalogue may be away for a while
                log.exception("snapshots_not_looked_at")
            await asyncio.sleep(TICK)

    async def look(self) -> None:
        """Begin the pictures that are due now."""
        live = self._registry.live()
        now = self._clock.monotonic()
        configs = await self._present_configs({(stream.key.domain, stream.key.app) for stream in live}, now)
        subjects: dict[str, _Subject] = {}
        due: list[tuple[float, Stream, SnapshotConfig, _Subject]] = []
        for stream in live:
            config = configs[stream.key.domain, stream.key.app]
            if config is None or config.project_id != stream.project_id:
                continue
            subject = self._subjects.get(stream.publish.id) or _Subject(now)
            subjects[stream.publish.id] = subject
            # A shortened interval counts at once.
            subject.next_at = min(subject.next_at, now + _pause(config, subject.failures))
            if not subject.busy and subject.next_at <= now:
                due.append((subject.next_at, stream, config, subject))
        self._subjects = subjects
        due.sort(key=lambda entry: entry[0])
        for _, stream, config, subject in due[: UNDER_WAY_MAX - len(self._under_way)]:
            subject.busy = True
            task = asyncio.create_task(self._take(stream, config, subject), name=f"snapshot {stream.key}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _present_configs(
        self, wanted: set[tuple[str, str]], now: float
    ) -> dict[tuple[str, str], SnapshotConfig | None]:
        if now >= self._configs_until:
            self._configs, self._configs_until = {}, now + CONFIG_AGE
        unknown = [names for names in wanted if names not in self._configs]
        if unknown:
            async with self._catalogue.read() as uow:
                for domain, app in unknown:
                    self._configs[domain, app] = await uow.snapshots.get(domain, app)
        return dict.fromkeys(wanted) | self._configs

    async def _take(self, stream: Stream, config: SnapshotConfig, subject: _Subject) -> None:
        began = self._clock.monotonic()
        try:
            coded = await self._frames(stream, self._after(config.mode))
            began = self._clock.monotonic()  # a key frame may have been waited for
            await self._picture(stream, config, coded)
        except LivereelError as error:
            subject.failures += 1
            metrics.snapshots.labels("failed").inc()
            log.warning("snapshot_failed", stream=str(stream.key), failures=subject.failures, reason=error.detail)
        except Exception:
            subject.failures += 1
            metrics.snapshots.labels("failed").inc()
            log.exception("snapshot_failed", stream=str(stream.key))
        else:
            subject.failures = 0
        finally:
            subject.busy = False
            subject.next_at = max(began + _pause(config, subject.failures), self._clock.monotonic())

    async def _picture(self, stream: Stream, config: SnapshotConfig, coded: CodedPicture) -> None:
        taken_at = self._clock.now()
        picture = await self._pool.make(coded)
        object_key = key_of(config, stream.key, taken_at)
        async with self._catalogue.read() as uow:
            if not await is_authorised(uow, config.project_id, config.address.bucket):
                raise PictureFailed(f"the bucket {config.address.bucket} is not authorised any more")
        await self._stores.get(config.address.bucket).put_bytes(object_key, picture.jpeg)
        metrics.snapshots.labels("stored").inc()
        log.debug("snapshot_stored", stream=str(stream.key), object=object_key, size=len(picture.jpeg))
        if config.callback_on and config.callback_url:
            await self._tell(config, stream.key, object_key, picture)

    async def _tell(self, config: SnapshotConfig, key: StreamKey, object_key: str, picture: Picture) -> None:
        async with self._catalogue.read() as uow:
            waiting = await uow.outbox.list(
                project_id=config.project_id,
                domain=config.domain,
                kind=SNAPSHOT,
                state=MessageState.PENDING,
                limit=1,
            )
        if waiting.total >= WAITING_MAX:
            log.warning("snapshot_not_told", stream=str(key), waiting=waiting.total)
            return
        async with self._catalogue.write() as uow:
            await uow.outbox.add(
                snapshot_callback(config, key, object_key, picture.width, picture.height, self._clock.now())
            )
        self._wake_dispatcher()

    def _after(self, mode: SnapshotMode) -> int:
        """How many frames after a key frame the picture is."""
        if mode is SnapshotMode.KEYFRAME:
            return 0
        first = 1 if mode is SnapshotMode.NOKEYFRAME else 0
        return first + int(self._chance() * (FRAMES_AFTER + 1 - first))

    async def _frames(self, stream: Stream, after: int) -> CodedPicture:
        """The coded frames of the next picture. Raises PictureFailed."""
        found: asyncio.Future[CodedPicture | None] = asyncio.get_running_loop().create_future()

        def done(coded: CodedPicture | None) -> None:
            if not found.done():
                found.set_result(coded)

        tap = PictureTap(after, done)
        stream.tap(tap, self._clock.now())
        try:
            async with asyncio.timeout(KEY_FRAME_TIMEOUT):
                coded = await found
        except TimeoutError:
            raise PictureFailed(f"no key frame came within {KEY_FRAME_TIMEOUT:g} s") from None
        finally:
            stream.untap(tap)
        if coded is None:
            raise PictureFailed("the video cannot be read")
        return coded


def _pause(config: SnapshotConfig, failures: int) -> float:
    """Seconds from one picture to the next; doubled with each failure."""
    return max(float(config.interval), min(config.interval * 2.0 ** min(failures, 10), LONGEST_PAUSE))
