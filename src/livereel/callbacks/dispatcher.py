"""The outbox dispatcher: delivers messages at least once, in order within a channel, each host at its own pace.

One loop asks the catalogue which channels have a message due and hands each message to the lane of its target host.
A place in a lane is one attempt; its outcome goes back to the catalogue in one transaction with its line in the
delivery log, and the next message of the channel comes out of the same transaction. So how often the loop has to look
does not depend on how many messages there are. Messages of a host that has enough of them in hand, or that rests, are
left where they are. All state that matters is in the catalogue: a dispatcher that is killed and started again goes on,
and may repeat the attempts that were under way.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import structlog

from livereel import __version__
from livereel.callbacks import schedule
from livereel.callbacks.guard import Network, TargetGuard
from livereel.callbacks.lanes import Lane, Lanes, target_of
from livereel.callbacks.sender import Answer, Sender
from livereel.callbacks.signing import body_sign
from livereel.callbacks.targets import Target, Targets, source_of
from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.messages import Delivery, MessageState, OutboxMessage
from livereel.observe import metrics

log = structlog.get_logger()

BATCH = 64  # messages taken in one transaction
# Messages in memory; above it each host has as many as it has places, and the rest wait in the catalogue.
IN_HAND_MAX = 2048
EXCEPTIONS_MAX = 4096  # ids and sources named in a query for what is due; what is beyond is found and left out here
IDLE_POLL = 30.0  # seconds: the longest the loop sleeps without being woken (other nodes, a stepped clock)
LOOKING_SHARE = 0.25  # of the time may go into looks, which take longer the more messages wait
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
        self._in_hand: dict[str, int] = {}  # the message in hand of each channel
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._notified = 0
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
        self._notified += 1
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
            began = time.monotonic()
            try:
                wait = await self._look()
            except Exception:  # the catalogue may be away for a while; messages are safe in it
                log.exception("outbox_unreadable")
                wait = TROUBLE_PAUSE
            await asyncio.sleep((time.monotonic() - began) * (1 / LOOKING_SHARE - 1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _look(self) -> float:
        """Hand due messages to the lanes that take them; returns the seconds until there is something to do again."""
        self._lanes.begin_look()
        last = 0
        while True:
            # Channels in hand before the read: their messages look pending in what is read, however they end meanwhile.
            known = dict(self._in_hand)
            now = self._clock.now()
            closed = self._lanes.closed_sources(now, crowded=self._crowded)
            async with self._catalogue.read() as work:
                heads = await work.outbox.due(
                    now,
                    limit=BATCH,
                    after=last,
                    ids=list(islice(known.values(), EXCEPTIONS_MAX)),
                    sources=closed[:EXCEPTIONS_MAX],
                )
                next_due_at = await work.outbox.next_due_at(now) if len(heads) < BATCH else None
                fresh = await self._with_present_url(work, [head for head in heads if head.channel not in known])
            if any(head.channel in known and head.channel not in self._in_hand for head in heads):
                self._wake.set()  # a message has ended during the read, and another one has its turn
            for message in fresh:
                try:
                    self._admit(message)
                except ValueError as problem:
                    await self._give_up(message, str(problem))
            self._fill(self._clock.now())
            if len(heads) < BATCH:
                break
            last = heads[-1].id
        self._lanes.forget(now)
        next_times = [at for at in (next_due_at, self._lanes.next_rest_end(now)) if at is not None]
        return min(IDLE_POLL, *(max(0.0, at - self._clock.now()) for at in next_times)) if next_times else IDLE_POLL

    @property
    def _crowded(self) -> bool:
        return len(self._in_hand) >= IN_HAND_MAX

    def _admit(self, message: OutboxMessage) -> None:
        """Take a message in hand, or leave it for later. Raises ValueError for a URL that cannot be used."""
        self._in_hand.pop(message.channel, None)
        lane, now = self._lanes.lane(target_of(message.url)), self._clock.now()
        if lane.takes(now, crowded=self._crowded):
            self._in_hand[message.channel] = message.id
            lane.waiting.append(message)
        else:
            lane.hold_back(source_of(message), now)

    async def _give_up(self, message: OutboxMessage, why: str) -> None:
        async with self._catalogue.write() as work:
            await work.outbox.update(after := schedule.dead(message, why))
        self._wake.set()  # the next one of its channel has its turn
        _tell(after)

    def _fill(self, now: float) -> None:
        """Start attempts in all places that are free."""
        if self._loop is None:
            return
        for lane, message in self._lanes.next_messages(now, self._config.places - len(self._attempts)):
            attempt = asyncio.create_task(self._attempt(lane, message), name=f"message-{message.id}")
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempt_done)

    def _attempt_done(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._fill(self._clock.now())

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
        following, notified = None, self._notified
        try:
            try:
                answer = await self._send(message)
            finally:
                lane.active -= 1
            if answer is not None:
                self._learn(lane, answer)
            notified = self._notified
            following = await self._settle(message, answer)
        except Exception:  # nothing is lost: the message is still pending
            log.exception("message_unsettled", message=message.id)
            await asyncio.sleep(TROUBLE_PAUSE)
            self._wake.set()
        finally:
            if following is None:
                del self._in_hand[message.channel]
                if notified != self._notified:  # perhaps of the next one, too late for the transaction to see it
                    self._wake.set()
        if following is not None:
            try:
                self._admit(following)
            except ValueError:
                self._wake.set()  # the loop gives it up
        if lane.runs_dry(self._clock.now(), crowded=self._crowded):
            self._wake.set()

    def _learn(self, lane: Lane, answer: Answer) -> None:
        """What an answer, or none, says about the host; its place goes to the next message."""
        now = self._clock.now()
        if answer.status is None:
            lane.silent(now)
            for message in lane.waiting:
                del self._in_hand[message.channel]
            lane.waiting.clear()
            self._wake.set()  # they are due when it has rested
        else:
            lane.answered(answer.duration)
        self._fill(now)

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

    async def _settle(self, message: OutboxMessage, answer: Answer | None) -> OutboxMessage | None:
        """Write down how an attempt ended. Returns the next message of the channel if it is due."""
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
        following = None
        async with self._catalogue.write() as work:
            await work.outbox.update(after)
            if answer is not None:
                await _log_delivery(work, message, answer, now)
            if after.state is not MessageState.PENDING:
                head = await work.outbox.head(message.channel)
                if head is not None and head.due_at <= now:
                    [following] = await self._with_present_url(work, [head])
                elif head is not None:
                    self._wake.set()
        _tell(after)
        if after.state is MessageState.PENDING:
            self._wake.set()  # it is due again some time
        return following

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


def _subject(message: OutboxMessage) -> dict[str, Any]:
    """The stream and the task that a message is about, as far as it is about one."""
    body = message.body
    subject: dict[str, Any] = {}
    if stream := body.get("stream") or body.get("stream_name"):
        subject["stream"] = f"{message.domain}/{body.get('app')}/{stream}"
    if task := body.get("task_id"):
        subject["task"] = task
    return subject


def _tell(message: OutboxMessage) -> None:
    about: dict[str, Any] = {
        "message": message.id,
        "channel": message.channel,
        "message_event": message.event,
        "attempts": message.attempts,
        **_subject(message),
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
