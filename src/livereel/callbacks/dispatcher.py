"""The outbox dispatcher: delivers messages at least once, in order within a channel, each host at its own pace.

One loop asks the catalogue which channels have a message due and hands each message to the lane of its target host.
A place in a lane is one attempt; its outcome goes back to the catalogue in one transaction with its line in the
delivery log. All state that matters is in the catalogue: a dispatcher that is killed and started again goes on, and
may repeat the attempts that were under way.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from livereel import __version__
from livereel.callbacks import schedule
from livereel.callbacks.guard import Network, TargetGuard
from livereel.callbacks.lanes import Lane, Lanes, target_of
from livereel.callbacks.sender import Answer, Sender
from livereel.callbacks.signing import body_sign
from livereel.callbacks.targets import Target, Targets
from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.messages import Delivery, MessageState, OutboxMessage
from livereel.observe import metrics

log = structlog.get_logger()

BATCH = 64  # messages taken in one transaction
IN_HAND_MAX = 512  # messages in memory; the rest wait in the catalogue
LANE_WAITING_MAX = 256  # messages in hand for one host that have no place yet; more would crowd out other hosts
POSTPONE = (1.0, 3.0)  # seconds that a message for a crowded host is put off
IDLE_POLL = 30.0  # seconds: the longest the loop sleeps without being woken (other nodes, a stepped clock)
BUSY_POLL = 1.0  # seconds between looks while messages are in hand
TROUBLE_PAUSE = 2.0  # seconds after the catalogue failed
RETENTION = 30 * 86_400.0  # seconds delivered and dead messages are kept: as long as the cloud keeps its events
UPKEEP_EVERY = 60.0  # seconds between counting what waits and deleting what is old
DELETE_BATCH = 500  # messages deleted in one transaction: SQLite has one writer at a time


@dataclass(frozen=True, slots=True)
class DispatcherConfig:
    """What the operator may choose. Times are seconds."""

    allow_private: Sequence[Network] = ()
    timeout: float = 10.0
    retry_horizon: float = 86_400.0
    places: int = 128  # attempts at a time, all hosts together
    places_per_host: int = 8


class Dispatcher:
    """Delivers the outbox of one catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        targets: Targets,
        config: DispatcherConfig = DispatcherConfig(),
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._targets = targets
        self._config = config
        self._chance = chance
        self._lanes = Lanes(config.places_per_host)
        self._in_hand: set[str] = set()  # channels
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._sender: Sender | None = None

    async def start(self) -> None:
        """Begin to deliver what is due, also from before."""
        self._sender = Sender(TargetGuard(self._config.allow_private), self._config.timeout)
        self._loop = asyncio.create_task(self._run(), name="outbox-dispatcher")
        self._upkeep = asyncio.create_task(self._keep_up(), name="outbox-upkeep")

    def notify(self) -> None:
        """There may be a new message: look now. Call on the event loop, after the commit."""
        self._wake.set()

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more messages, let attempts under way end within `grace` seconds, then drop them.

        A dropped attempt is made again at the next start.
        """
        loops = [task for task in (self._loop, self._upkeep) if task is not None]
        self._loop = self._upkeep = None
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=grace)
            for attempt in late:
                attempt.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    # The loop.

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait = await self._take_due()
            except Exception:  # the catalogue may be away for a while; messages are safe in it
                log.exception("outbox_unreadable")
                wait = TROUBLE_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _take_due(self) -> float:
        """Hand all due messages to their lanes; returns the seconds until there is something to look at again."""
        while True:
            # Channels in hand before the read: their messages look pending in what is read, however they end meanwhile.
            known = frozenset(self._in_hand)
            now = self._clock.now()
            async with self._catalogue.read() as work:
                heads = await work.outbox.due(now, limit=len(known) + BATCH)
                next_due_at = await work.outbox.next_due_at()
                fresh = await self._with_present_url(work, [head for head in heads if head.channel not in known])
            if fresh:
                await self._admit(fresh, now)
            self._fill(self._clock.now())
            if len(heads) < len(known) + BATCH:
                break
        self._lanes.forget(now)
        if next_due_at is None:
            return IDLE_POLL
        return min(next_due_at - now, IDLE_POLL) if next_due_at > now else BUSY_POLL

    async def _admit(self, messages: Iterable[OutboxMessage], now: float) -> None:
        """Take messages in hand, or put them off while their host rests or is crowded."""
        put_off: list[OutboxMessage] = []
        for message in messages:
            try:
                lane = self._lanes.lane(target_of(message.url))
            except ValueError as problem:
                put_off.append(schedule.dead(message, str(problem)))
                continue
            if now < lane.rests_until:
                put_off.append(replace(message, due_at=lane.rests_until + self._chance()))
            elif self._takes(lane):
                self._in_hand.add(message.channel)
                lane.waiting.append(message)
            else:
                least, most = POSTPONE
                put_off.append(replace(message, due_at=now + least + (most - least) * self._chance()))
        if put_off:
            async with self._catalogue.write() as work:
                for message in put_off:
                    await work.outbox.update(message)

    def _takes(self, lane: Lane) -> bool:
        """Whether a message for this lane is taken in hand. A host with few of them always has its share."""
        if len(lane.waiting) < self._config.places_per_host:
            return True
        return len(lane.waiting) < LANE_WAITING_MAX and len(self._in_hand) < IN_HAND_MAX

    def _fill(self, now: float) -> None:
        """Start attempts in all places that are free."""
        for lane, message in self._lanes.next_messages(now, self._config.places - len(self._attempts)):
            attempt = asyncio.create_task(self._attempt(lane, message), name=f"message-{message.id}")
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempt_done)

    def _attempt_done(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        if self._loop is not None:
            self._fill(self._clock.now())
            self._wake.set()

    async def _keep_up(self) -> None:
        """Count what waits, and delete what nobody will ask for any more."""
        while True:
            try:
                async with self._catalogue.read() as work:
                    metrics.outbox_pending.set(await work.outbox.pending())
                deleted = DELETE_BATCH
                while deleted == DELETE_BATCH:
                    async with self._catalogue.write() as work:
                        deleted = await work.outbox.delete_settled(self._clock.now() - RETENTION, limit=DELETE_BATCH)
            except Exception:  # the catalogue may be away for a while
                log.exception("outbox_upkeep_failed")
            await asyncio.sleep(UPKEEP_EVERY)

    # One attempt.

    async def _attempt(self, lane: Lane, message: OutboxMessage) -> None:
        released = [message]
        try:
            answer = await self._send(message)
            if answer is not None and answer.status is None:
                lane.silent(self._clock.now())
                released.extend(lane.waiting)
                lane.waiting.clear()
            elif answer is not None:
                lane.answered(answer.duration)
            await self._settle(message, answer)
            await self._put_off(released[1:], lane.rests_until)
        except Exception:  # nothing is lost: the message is still pending
            log.exception("message_unsettled", message=message.id)
            await asyncio.sleep(TROUBLE_PAUSE)
        finally:
            lane.active -= 1
            self._in_hand.difference_update(other.channel for other in released)

    async def _send(self, message: OutboxMessage) -> Answer | None:
        """One POST, signed for now; None if nobody wants the message any more."""
        assert self._sender is not None
        async with self._catalogue.read() as work:
            target = await self._targets.find(work, message)
        if target is None:
            return None
        now = self._clock.now()
        body = target.sign(message.body, now)
        content = json.dumps(body, separators=(",", ":")).encode()  # pure ASCII: `user_args` may hold anything
        return await self._sender.post(message.url, _headers(message, content, target.key, now), content)

    async def _settle(self, message: OutboxMessage, answer: Answer | None) -> None:
        """Write down how an attempt ended."""
        now = self._clock.now()
        if answer is None:
            after = schedule.dead(message, f"the {message.kind} configuration was removed")
        elif answer.error is None:
            after = schedule.delivered(message)
        else:
            after = schedule.failed(
                message,
                answer.error,
                now=now,
                horizon=self._config.retry_horizon,
                chance=self._chance(),
                retry_after=answer.retry_after,
            )
        async with self._catalogue.write() as work:
            await work.outbox.update(after)
            if answer is not None:
                await _log_delivery(work, message, answer, now)
        _tell(after)

    async def _with_present_url(self, work: UnitOfWork, messages: list[OutboxMessage]) -> list[OutboxMessage]:
        """The messages with the URL that is configured now; the lane of its host is theirs."""
        known: dict[tuple[object, ...], Target | None] = {}
        present: list[OutboxMessage] = []
        for message in messages:
            # What finders look at: settings of a domain or an app, or the URL of the message itself.
            shared = (message.kind, message.project_id, message.domain, message.body.get("app"), message.url)
            if shared not in known:
                known[shared] = await self._targets.find(work, message)
            target = known[shared]
            present.append(message if target is None else replace(message, url=target.url))
        return present

    async def _put_off(self, messages: Sequence[OutboxMessage], until: float) -> None:
        if messages:
            async with self._catalogue.write() as work:
                for message in messages:
                    await work.outbox.update(replace(message, due_at=until + self._chance()))


def _headers(message: OutboxMessage, content: bytes, key: str, now: float) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"livereel/{__version__}",
        "Livereel-Message-Id": str(message.id),
        "Livereel-Timestamp": str(int(now)),
    }
    if key:
        sign = body_sign(key, timestamp=int(now), message_id=str(message.id), body=content)
        headers["Livereel-Signature"] = sign
    return headers


async def _log_delivery(work: UnitOfWork, message: OutboxMessage, answer: Answer, now: float) -> None:
    await work.outbox.log(Delivery(message.id, now - answer.duration, answer.duration, answer.status, answer.error))


def _tell(message: OutboxMessage) -> None:
    about: dict[str, Any] = {
        "message": message.id,
        "channel": message.channel,
        "message_event": message.event,
        "attempts": message.attempts,
    }
    if message.state is MessageState.DELIVERED:
        metrics.messages.labels("delivered").inc()
        log.info("message_delivered", **about)
    elif message.state is MessageState.DEAD:
        metrics.messages.labels("dead").inc()
        log.error("message_given_up", **about, reason=message.last_error)
    else:
        metrics.messages.labels("failed").inc()
        log.warning("message_failed", **about, reason=message.last_error, next_attempt_at=message.due_at)
