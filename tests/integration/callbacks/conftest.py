"""Fixtures: a real catalogue and real receivers on the loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from livereel.callbacks.dispatcher import Dispatcher, DispatcherConfig
from livereel.callbacks.payloads import publish_notification
from livereel.callbacks.targets import Targets
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.domain.keys import StreamKey
from livereel.domain.messages import MessageState, NotificationConfig, OutboxMessage, Publish, PublishEvent
from livereel.observe.clock import SystemClock
from tests.ports import free_port

LOOPBACK = DispatcherConfig(allow_private=(ip_network("127.0.0.0/8"), ip_network("::1/128")), timeout=30.0)
Reply = web.StreamResponse | int
PATIENCE = 120.0  # seconds for whatever has to come about


def link(bucket: str, key: str, now: float) -> str:
    """A download link as the server would make it, readable."""
    return f"https://rec.example.com/files/{bucket}/{key}?expires={int(now) + 3600}"


class Receiver:
    """An HTTP server that writes down what it is sent. `behaviour` decides the answer; by default 200."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []
        self.raw: list[bytes] = []
        self.port = 0  # one that the kernel picks; one of `free_port` for who is to be away and come back
        self.busy = self.busiest = 0
        self.behaviour: Callable[[web.Request], Awaitable[Reply]] = self._accept
        self._runner: web.AppRunner | None = None

    async def _accept(self, _request: web.Request) -> Reply:
        return 200

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append(request)
        self.raw.append(raw)
        self.bodies.append(json.loads(raw))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            reply = await self.behaviour(request)
        finally:
            self.busy -= 1
        return web.json_response({"result": "ok"}, status=reply) if isinstance(reply, int) else reply

    async def start(self) -> "Receiver":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


class Outbox:
    """What tests do with a catalogue and its dispatchers."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.dispatchers: list[Dispatcher] = []

    async def dispatch(self, config: DispatcherConfig = LOOPBACK, **options: Any) -> Dispatcher:
        """A running dispatcher whose pauses are as short as chance allows."""
        clock = options.pop("clock", SystemClock())
        dispatcher = Dispatcher(self.catalogue, clock, Targets(link), config, chance=lambda: 0.999)
        await dispatcher.start()
        self.dispatchers.append(dispatcher)
        return dispatcher

    async def configure(self, domain: str, url: str, key: str = "") -> NotificationConfig:
        config = NotificationConfig(domain, url, key)
        async with self.catalogue.write() as work:
            await work.notifications.put(config)
        return config

    async def add(
        self,
        domain: str,
        stream: str = "cam01",
        event: PublishEvent = PublishEvent.PUBLISH,
        *,
        now: float | None = None,
        **changes: Any,
    ) -> int:
        """Queue a notification for a configured domain."""
        now = SystemClock().now() if now is None else now
        async with self.catalogue.write() as work:
            config = await work.notifications.get(domain)
            assert config is not None
            publish = Publish(f"publish-{stream}", "198.51.100.7", "203.0.113.9", "a=b", now)
            message = publish_notification(config, StreamKey(domain, "live", stream), publish, event, "p" * 32, now)
            return await work.outbox.add(replace(message, **changes))

    async def messages(self, state: MessageState | None = None) -> list[OutboxMessage]:
        async with self.catalogue.read() as work:
            return (await work.outbox.list(state=state, limit=10_000)).items

    async def message(self, message_id: int) -> OutboxMessage:
        return next(message for message in await self.messages() if message.id == message_id)

    async def deliveries(self, message_id: int) -> list[Any]:
        async with self.catalogue.read() as work:
            return await work.outbox.deliveries(message_id)

    async def until(self, state: MessageState, count: int) -> list[OutboxMessage]:
        """Wait until `count` messages are in `state`."""
        async with asyncio.timeout(PATIENCE):
            while len(found := await self.messages(state)) < count:
                await asyncio.sleep(0.02)
        return found

    async def until_attempts(self, message_id: int, attempts: int) -> OutboxMessage:
        async with asyncio.timeout(PATIENCE):
            while (found := await self.message(message_id)).attempts < attempts:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def receivers() -> AsyncIterator[Callable[..., Awaitable[Receiver]]]:
    """Makes receivers, on a port if one is given."""
    made: list[Receiver] = []

    async def make(port: int = 0) -> Receiver:
        receiver = Receiver()
        receiver.port = port
        made.append(await receiver.start())
        return receiver

    yield make
    for receiver in made:
        await receiver.stop()


@pytest.fixture
async def receiver(receivers: Callable[..., Awaitable[Receiver]]) -> Receiver:
    return await receivers()


@pytest.fixture
async def returning(receivers: Callable[..., Awaitable[Receiver]]) -> Receiver:
    """A receiver that may be stopped and started again: nobody takes its port meanwhile."""
    return await receivers(free_port())


@pytest.fixture
async def outbox(tmp_path: Path, receivers: object) -> AsyncIterator[Outbox]:
    """Its dispatchers end before the receivers: one that closes must not be connected to just then."""
    catalogue = await open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    used = Outbox(catalogue)
    yield used
    for dispatcher in used.dispatchers:
        await dispatcher.stop(grace=0.1)
    await catalogue.close()
