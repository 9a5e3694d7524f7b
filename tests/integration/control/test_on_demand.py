"""ON_DEMAND_RECORD: a real service of the tenant says yes, no, or nothing usable."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from livereel.callbacks.guard import TargetGuard
from livereel.callbacks.sender import Sender
from livereel.callbacks.signing import body_sign
from livereel.control.on_demand import OnDemand
from livereel.control.templates import NewTemplate
from livereel.domain.messages import CallbackConfig
from livereel.domain.recordings import Task
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, default_prefix
from livereel.spool.tail import SpoolTail
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node

SECRET = "0123456789abcdef0123456789ABCDEF"


class Service:
    """The tenant's service; `answer` is what it says, after `delay` seconds and when it `may_answer`."""

    def __init__(self) -> None:
        self.answer: Any = {"record": True}
        self.status = 200
        self.delay = 0.0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.decided = asyncio.Event()
        self.asked: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        await asyncio.sleep(self.delay)
        await self.may_answer.wait()
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(text=text, status=self.status, headers={"Location": "http://127.0.0.1:1/"})


@pytest.fixture
async def service(node: Node) -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/record_auth", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with node.catalogue.write() as uow:
        await uow.callbacks.add(
            CallbackConfig(
                id="c" * 32,
                project_id=PROJECT,
                domain=KEY.domain,
                app="*",
                url="",
                key=SECRET,
                created_at=0.0,
                updated_at=0.0,
                on_demand_url=f"http://127.0.0.1:{port}/record_auth",
            )
        )
    configs = (RecordFormat.FLV, RecordFormat.MP4)
    await node.templates.create(
        PROJECT,
        NewTemplate(
            domain=KEY.domain,
            app="*",
            stream="*",
            record_type=RecordType.ON_DEMAND,
            address=ObsAddress("recordings", "here"),
            formats={name: FormatConfig(3600, default_prefix(name)) for name in configs},
        ),
    )
    sender = Sender(TargetGuard([ip_network("127.0.0.0/8")]), timeout=30.0)
    ask(node, service, sender, record_on_failure=True)
    yield service
    await sender.close()
    await runner.cleanup()


def ask(node: Node, service: Service, sender: Sender, *, record_on_failure: bool) -> None:
    numbers = iter(range(1_000_000))
    on_demand = OnDemand(
        node.catalogue, sender, node.clock, lambda: f"q{next(numbers)}", record_on_failure=record_on_failure
    )

    async def decide(*about: Any) -> Any:
        decision = await on_demand.decide(*about)
        service.decided.set()
        return decision

    node.owner.decide_on_demand = decide


async def push_and_see(node: Node, service: Service, *, recorded: bool = True) -> Task | None:
    """What records a new push, None if nothing does."""
    stream = await node.push(query="user=7")
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    async with asyncio.timeout(60):
        await service.decided.wait()
        while recorded and not node.owner.running():
            await asyncio.sleep(0.02)
    await asyncio.sleep(0 if recorded else 0.1)  # the time in which it would begin
    return next(iter(node.owner.running()), None)


async def test_yes_records_as_the_template_says(node: Node, service: Service) -> None:
    task = await push_and_see(node, service)
    assert task is not None
    assert task.record_type is RecordType.ON_DEMAND
    assert set(task.template.formats) == {RecordFormat.FLV, RecordFormat.MP4}
    [(headers, body)] = service.asked
    question = json.loads(body)
    assert question["event_type"] == "RECORD_ON_DEMAND"
    assert (question["publish_domain"], question["app"], question["stream"]) == (KEY.domain, KEY.app, KEY.stream)
    assert question["user_args"] == "user=7"
    assert headers["livereel-signature"] == body_sign(
        SECRET, timestamp=int(headers["livereel-timestamp"]), message_id=headers["livereel-message-id"], body=body
    )


async def test_yes_in_some_formats(node: Node, service: Service) -> None:
    service.answer = {"record": True, "record_format": ["MP4", "HLS"]}
    task = await push_and_see(node, service)
    assert task is not None
    assert set(task.template.formats) == {RecordFormat.MP4}


async def test_no(node: Node, service: Service) -> None:
    service.answer = {"record": False}
    assert await push_and_see(node, service, recorded=False) is None
    assert len(service.asked) == 1


async def test_nothing_is_lost_while_it_thinks(node: Node, service: Service) -> None:
    service.may_answer.clear()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    for group in range(10):
        node.feed(stream, KEY_FRAME, FRAME, at=1000 * group)
        node.clock.advance(0.2)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(60):
        while not service.asked:
            await asyncio.sleep(0.02)
        service.may_answer.set()
        while not node.owner.running():
            await asyncio.sleep(0.02)
    task = node.owner.running()[0]
    tags = [tag for _, tag in SpoolTail(node.root / "spool", task.id, None).read(1 << 20)]
    assert [tag.timestamp for tag in tags if tag.payload == KEY_FRAME] == [1000 * group for group in range(10)]


FAILURES: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 302},
    {"answer": "not JSON"},
    {"answer": []},
    {"answer": {"record": "yes"}},
    {"answer": {"record": True, "record_format": ["AVI"]}},
    {"answer": {"record": True, "record_format": ["HLS"]}},
    {"delay": 5.0},
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("record_on_failure", [True, False])
async def test_no_usable_answer_has_a_defined_outcome(
    node: Node, service: Service, failure: dict[str, Any], record_on_failure: bool
) -> None:
    for name, value in failure.items():
        setattr(service, name, value)
    sender = Sender(TargetGuard([ip_network("127.0.0.0/8")]), timeout=0.4)
    ask(node, service, sender, record_on_failure=record_on_failure)
    task = await push_and_see(node, service, recorded=record_on_failure)
    assert (task is not None) is record_on_failure
    await sender.close()


async def test_a_service_of_another_app_is_not_asked(node: Node, service: Service) -> None:
    async with node.catalogue.write() as uow:
        config = await uow.callbacks.by_domain(KEY.domain)
        assert config is not None
        await uow.callbacks.update(replace(config, app="other"))
    assert await push_and_see(node, service) is not None  # as without an answer
    assert service.asked == []


async def test_a_push_that_comes_back_in_time_goes_on_without_a_question(node: Node, service: Service) -> None:
    service.answer = {"record": True, "record_format": ["FLV"]}
    async with node.catalogue.write() as uow:
        [template] = await uow.templates.for_domain(KEY.domain)
        formats = {name: replace(config, merge_window=30) for name, config in template.formats.items()}
        await uow.templates.update(replace(template, formats=formats))
    task = await push_and_see(node, service)
    assert task is not None
    [stream] = node.registry.live()
    await node.publishing.ended(stream, "gone")
    again = await push_and_see(node, service)
    assert again is not None
    assert again.id == task.id
    assert len(service.asked) == 1


async def test_private_targets_are_refused(node: Node, service: Service) -> None:
    sender = Sender(TargetGuard(), timeout=30.0)
    ask(node, service, sender, record_on_failure=False)
    assert await push_and_see(node, service, recorded=False) is None
    assert service.asked == []
    await sender.close()
