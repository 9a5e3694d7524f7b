"""Live streams as the application sees them: which are live, which may not be pushed, ending a push."""

from datetime import UTC, datetime

import structlog

from livereel.catalogue.port import Catalogue, Page
from livereel.cluster.port import Action, Cluster, Command
from livereel.control.domains import ingest_domain
from livereel.domain.clock import Clock
from livereel.domain.errors import ResourceNotFound
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import StreamInfo
from livereel.domain.streams import StreamBlock, resume_time
from livereel.streams.registry import StreamRegistry

log = structlog.get_logger()

CUT_ONCE = "the push was ended by command (stream/block-once); it may be begun again"


class StreamService:
    """`realtime/streams`, `stream/blocks` and `stream/block-once`."""

    def __init__(self, catalogue: Catalogue, registry: StreamRegistry, cluster: Cluster, clock: Clock) -> None:
        self._catalogue = catalogue
        self._registry = registry
        self._cluster = cluster
        self._clock = clock

    async def online(
        self,
        project_id: str,
        domain: str,
        *,
        app: str | None = None,
        stream: str | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[StreamInfo]:
        """Streams being pushed to an ingest domain, the oldest first. Raises UnknownDomain, InvalidParameter."""
        async with self._catalogue.read() as uow:
            await ingest_domain(uow, project_id, domain)
        found = [
            live
            for live in self._registry.live()
            if (live.project_id, live.key.domain) == (project_id, domain)
            and app in (None, live.key.app)
            and stream in (None, live.key.stream)
        ]
        now = self._clock.now()
        return Page(len(found), [live.info(now) for live in found[offset : offset + limit]])

    async def block(self, project_id: str, key: StreamKey, resume_at: float | None) -> None:
        """Refuse pushes of a stream until `resume_at` (Unix time; None: for the default time) and end the running one.

        Replaces a block that is there. Raises UnknownDomain, InvalidParameter.
        """
        now = self._clock.now()
        until = resume_time(resume_at, now)
        async with self._catalogue.write() as uow:
            await ingest_domain(uow, project_id, key.domain)
            await uow.stream_blocks.delete_expired(now)
            await uow.stream_blocks.put(StreamBlock(key.domain, key.app, key.stream, project_id, until, now))
        log.info("stream_blocked", stream=str(key), until=until)
        await self._cut(project_id, key, blocked_until(until))

    async def change_block(self, project_id: str, key: StreamKey, resume_at: float | None) -> None:
        """Move the end of a block. Raises ResourceNotFound when there is none, and what `block` raises."""
        async with self._catalogue.read() as uow:
            await ingest_domain(uow, project_id, key.domain)
            found = await uow.stream_blocks.get(key)
        if found is None or not found.in_force(self._clock.now()):
            raise ResourceNotFound(f"{key} is not forbidden; forbid it with POST stream/blocks")
        await self.block(project_id, key, resume_at)

    async def unblock(self, project_id: str, key: StreamKey) -> None:
        """Allow pushes again, at once; harmless when there is no block. Raises UnknownDomain."""
        async with self._catalogue.write() as uow:
            await ingest_domain(uow, project_id, key.domain)
            if await uow.stream_blocks.delete(key):
                log.info("stream_unblocked", stream=str(key))

    async def blocks(
        self, project_id: str, domain: str, *, app: str | None, stream: str | None, offset: int, limit: int
    ) -> Page[StreamBlock]:
        """A page of the blocks in force. Raises UnknownDomain."""
        async with self._catalogue.read() as uow:
            await ingest_domain(uow, project_id, domain)
            return await uow.stream_blocks.list(
                project_id,
                domain=domain,
                app=app,
                stream=stream,
                now=self._clock.now(),
                offset=offset,
                limit=limit,
            )

    async def cut_once(self, project_id: str, key: StreamKey) -> None:
        """End the running push of a stream; harmless when there is none. Raises UnknownDomain."""
        async with self._catalogue.read() as uow:
            await ingest_domain(uow, project_id, key.domain)
        await self._cut(project_id, key, CUT_ONCE)

    async def _cut(self, project_id: str, key: StreamKey, reason: str) -> None:
        await self._cluster.ask(Command(Action.CUT, project_id, key, reason=reason))


def blocked_until(resume_at: float) -> str:
    """What an encoder is told that pushes a blocked stream."""
    return f"the stream may not be pushed before {datetime.fromtimestamp(resume_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
