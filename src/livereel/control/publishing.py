"""Who may push what: admission of publishers and what happens when a push begins or ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from livereel.callbacks.payloads import publish_notification
from livereel.catalogue.port import Catalogue
from livereel.cluster.port import Cluster
from livereel.control.owner import Owner
from livereel.control.streams import blocked_until
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidName, PublishRefused
from livereel.domain.keys import StreamKey, is_address
from livereel.domain.messages import AnnouncedPush, Publish, PublishEvent
from livereel.domain.templates import match
from livereel.domain.tenancy import DomainStatus, DomainType, LiveDomain
from livereel.iam import url_signing
from livereel.observe import metrics
from livereel.rtmp.url import PublishTarget
from livereel.streams.registry import StreamRegistry
from livereel.streams.standby import Push, Standby
from livereel.streams.stream import Stream

log = structlog.get_logger()

_SHOWN = 256  # characters logged of a stream that nobody has checked yet

#: Seconds that a push waits for the end of the one before it to be written down, before it is refused. An encoder that
#: comes back at once must not be turned away by a slow disk of ours; more patience few of them have.
ENDING_WAIT = 10.0


@dataclass(slots=True, eq=False)
class _Admission:
    """A push that is being admitted; `cut` is why it must not be."""

    key: StreamKey
    cut: str | None = None


async def _nobody(_key: StreamKey, _reason: str) -> None:
    """There are no pushes to cut yet."""


class Publishing:
    """`ingest.admission.Admission` over catalogue, cluster and registry."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        cluster: Cluster,
        registry: StreamRegistry,
        owner: Owner,
        clock: Clock,
        new_id: Callable[[], str],
        default_domain: str,
        wake_dispatcher: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._cluster = cluster
        self._registry = registry
        self._owner = owner
        self._clock = clock
        self._new_id = new_id
        self._default_domain = default_domain
        self._wake_dispatcher = wake_dispatcher
        self._closing = False
        self._admissions: set[_Admission] = set()
        self._begun: set[StreamKey] = set()  # streams behind which pushes may wait
        self._endings: dict[StreamKey, asyncio.Event] = {}  # streams that are over and not free yet
        #: Ends all pushes of a stream, telling encoders the reason, and returns when `ended` has been called for each;
        #: set by the composition root, since ingest lies above.
        self.cut_pushes: Callable[[StreamKey, str], Awaitable[None]] = _nobody

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Push:
        """Open the stream that an encoder wants to push, or a place behind it.

        Raises PublishRefused with a reason for the encoder.
        """
        admission: _Admission | None = None
        try:
            admission = _Admission(self._key(target))
            self._admissions.add(admission)
            return await self._admit(admission, target, client_ip, node_ip)
        except PublishRefused as refused:
            metrics.publishes.labels("refused").inc()
            wanted = admission.key if admission is not None else f"{target.vhost}/{target.app}/{target.stream}"
            log.warning("publish_refused", stream=str(wanted)[:_SHOWN], client_ip=client_ip, reason=refused.detail)
            raise
        finally:
            if admission is not None:
                self._admissions.discard(admission)

    async def _admit(self, admission: _Admission, target: PublishTarget, client_ip: str, node_ip: str) -> Push:
        key = admission.key
        await self._end_of_last(key)
        domain = await self._checked(key, target.query)
        publish = Publish(self._new_id(), client_ip, node_ip, target.query, self._clock.now())
        live = self._registry.get(key)
        if domain.stream_backup and live is not None and key in self._begun:
            return self._stand_by(admission, live, publish)
        if not await self._cluster.claim(key):
            raise PublishRefused(f"{key} is being pushed already")
        try:
            stream = self._registry.open(key, publish, domain.project_id, publish.started_at)
            async with self._catalogue.read() as uow:
                template = match(await uow.templates.for_domain(key.domain), key)
            await self._notify(stream, PublishEvent.PUBLISH)
            if admission.cut is not None:
                await self._notify(stream, PublishEvent.PUBLISH_DONE)
                raise PublishRefused(admission.cut)
        except BaseException:
            if opened := self._registry.get(key):
                self._registry.close(opened)
            await self._cluster.release(key)
            raise
        self._begun.add(key)
        self._owner.publish_began(stream, template)
        metrics.publishes.labels("accepted").inc()
        log.info("publish", stream=str(key), publish=publish.id, client_ip=client_ip)
        return stream

    async def _end_of_last(self, key: StreamKey) -> None:
        if (ending := self._endings.get(key)) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDING_WAIT):
                    await ending.wait()

    def _stand_by(self, admission: _Admission, live: Stream, publish: Publish) -> Standby:
        if admission.cut is not None:
            raise PublishRefused(admission.cut)
        standby = self._registry.stand_by(live, publish, self._clock.now())
        metrics.publishes.labels("accepted").inc()
        log.info("standby", stream=str(live.key), publish=publish.id, client_ip=publish.client_ip)
        return standby

    async def ended(self, push: Push, reason: str) -> None:
        """The push is over and its last tags were fed: the next in line takes over, or the stream ends.

        The application is told of the stream, not of the pushes that it is made of: one PUBLISH and one PUBLISH_DONE.
        """
        publish = push.publish  # a stream that goes on has another one's afterwards
        self._owner.drain(push.key)  # whoever takes over shall have sent all that has arrived
        stream, is_over, successor, seamless = self._registry.leave(push, self._clock.now())
        if successor is not None:
            log.warning(
                "publish_taken_over",
                stream=str(push.key),
                publish=successor.publish.id,
                client_ip=successor.publish.client_ip,
                reason=reason,
                seamless=seamless,
            )
        if not is_over:
            log.info("push_over", stream=str(push.key), publish=publish.id, reason=reason)
            return
        self._begun.discard(stream.key)
        self._endings[stream.key] = free = asyncio.Event()
        try:
            await self._owner.publish_ended(stream)
            await self._notify(stream, PublishEvent.PUBLISH_DONE)
        finally:
            try:
                await self._cluster.release(stream.key)
            finally:
                self._endings.pop(stream.key, None)
                free.set()
        log.info("publish_done", stream=str(stream.key), publish=publish.id, reason=reason)

    async def cut(self, key: StreamKey, reason: str) -> None:
        """End all pushes of a stream, those that are just being admitted among them; harmless when there is none."""
        for admission in self._admissions:
            if admission.key == key:
                admission.cut = reason
        await self.cut_pushes(key, reason)

    def close(self) -> None:
        """Admit nobody any more."""
        self._closing = True

    def _key(self, target: PublishTarget) -> StreamKey:
        if self._closing:
            raise PublishRefused("the server is stopping")
        named = target.vhost.lower()
        domain = self._default_domain if not named or is_address(named) else named
        try:
            return StreamKey.parse(domain, target.app, target.stream)
        except InvalidName as error:
            raise PublishRefused(error.detail) from None

    async def _checked(self, key: StreamKey, query: str) -> LiveDomain:
        """The domain, if it takes this push."""
        async with self._catalogue.read() as uow:
            domain = await uow.domains.get(key.domain)
            block = await uow.stream_blocks.get(key)
            chain = await uow.key_chains.get(key.domain)
        if domain is None or domain.type is not DomainType.PUSH:
            raise PublishRefused(f"unknown ingest domain {key.domain}; push to a domain of POST /domain or add ?vhost=")
        if domain.status is not DomainStatus.ON:
            raise PublishRefused(f"the ingest domain {key.domain} is switched off")
        now = self._clock.now()
        if chain is not None and (problem := url_signing.problem(chain, key.app, key.stream, query, now)):
            raise PublishRefused(problem)
        if block is not None and block.in_force(now):
            raise PublishRefused(blocked_until(block.resume_at))
        return domain

    async def _notify(self, stream: Stream, event: PublishEvent) -> None:
        begins = event is PublishEvent.PUBLISH
        async with self._catalogue.read() as uow:
            config = await uow.notifications.get(stream.key.domain)
            announced = not begins and await uow.announced_pushes.get(stream.key) is not None
        told = config is not None and bool(config.url)
        if not (told or announced):
            return
        now = self._clock.now()
        async with self._catalogue.write() as uow:
            if config is not None and told:
                message = publish_notification(config, stream.key, stream.first_publish, event, stream.project_id, now)
                await uow.outbox.add(message)
            if begins:
                push = AnnouncedPush(stream.key, stream.project_id, self._cluster.node, stream.first_publish)
                await uow.announced_pushes.put(push)
            else:
                await uow.announced_pushes.delete(stream.key)
        self._wake_dispatcher()
