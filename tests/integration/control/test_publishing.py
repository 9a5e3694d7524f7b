"""Who may push what, and what the application is told."""

import asyncio
from dataclasses import replace

import pytest

from livereel.control import publishing
from livereel.control.domains import NewDomain
from livereel.control.recovery import recover
from livereel.domain.errors import DomainNotOff, PublishRefused
from livereel.domain.keys import StreamKey
from livereel.domain.messages import NotificationConfig
from livereel.domain.tenancy import DomainStatus, DomainType
from livereel.rtmp.url import PublishTarget
from livereel.streams.stream import Stream
from tests.integration.control.conftest import KEY, PROJECT, Node


def target(host: str, *, vhost: str = "", stream: str = "cam01") -> PublishTarget:
    return PublishTarget(host=host, vhost=vhost or host, app="live", stream=stream, query="")


@pytest.mark.parametrize("host", ["192.0.2.7", "[2001:db8::7]", "localhost"])
async def test_an_address_means_the_default_domain(node: Node, host: str) -> None:
    await node.domains.create(PROJECT, NewDomain("publish.livereel.internal", DomainType.PUSH, "here"))
    stream = await node.publishing.admit(target(host), "198.51.100.7", "203.0.113.9")
    assert stream.key == StreamKey("publish.livereel.internal", "live", "cam01")


async def test_a_host_name_is_the_ingest_domain(node: Node) -> None:
    stream = await node.publishing.admit(target("Push.Example.com"), "198.51.100.7", "203.0.113.9")
    assert stream.key == KEY


async def test_vhost_beats_the_host(node: Node) -> None:
    stream = await node.publishing.admit(target("else.example.com", vhost=KEY.domain), "198.51.100.7", "203.0.113.9")
    assert stream.key == KEY


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (target("unknown.example.com"), "unknown ingest domain"),
        (target("pull.example.com"), "unknown ingest domain"),
        (target("off.example.com"), "switched off"),
        (target("push.example.com", stream="../../etc"), "may hold only"),
        (target("push.example.com", stream=""), "1 to 512"),
    ],
)
async def test_refused(node: Node, wanted: PublishTarget, reason: str) -> None:
    await node.domains.create(PROJECT, NewDomain("pull.example.com", DomainType.PULL, "here"))
    await node.domains.create(PROJECT, NewDomain("off.example.com", DomainType.PUSH, "here"))
    await node.domains.update(PROJECT, "off.example.com", status=DomainStatus.OFF)
    with pytest.raises(PublishRefused, match=reason):
        await node.publishing.admit(wanted, "198.51.100.7", "203.0.113.9")
    assert node.registry.live() == []


async def test_one_publisher_per_key_and_the_next_one_after_it(node: Node) -> None:
    first = await node.push()
    with pytest.raises(PublishRefused, match="already"):
        await node.push()
    await node.publishing.ended(first, "gone")
    await node.push()


async def test_a_push_that_comes_back_at_once_waits_until_the_last_is_written_down(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, publish_ended = asyncio.Event(), node.owner.publish_ended

    async def slowly(stream: Stream) -> None:
        await written.wait()
        await publish_ended(stream)

    monkeypatch.setattr(node.owner, "publish_ended", slowly)
    first = await node.push()
    ending = asyncio.create_task(node.publishing.ended(first, "gone"))
    back = asyncio.create_task(node.push())
    await asyncio.sleep(0.1)  # in which it would be refused
    written.set()
    assert (await back).key == KEY
    await ending

    written.clear()
    ending = asyncio.create_task(node.publishing.ended(await back, "gone"))
    monkeypatch.setattr(publishing, "ENDING_WAIT", 0.01)  # the disk hangs
    with pytest.raises(PublishRefused, match="already"):
        await node.push()
    written.set()
    await ending
    await node.push()


async def test_notifications_go_out_signed_later_and_in_order(node: Node) -> None:
    await node.notifications.put(PROJECT, NotificationConfig(KEY.domain, "http://app.example.com/n", "k" * 32))
    stream = await node.push(query="user=7&x=%20")
    await node.publishing.ended(stream, "gone")
    async with node.catalogue.read() as uow:
        messages = (await uow.outbox.list()).items
    messages.sort(key=lambda message: message.id)
    assert [message.body["event"] for message in messages] == ["PUBLISH", "PUBLISH_DONE"]
    assert messages[0].channel == messages[1].channel
    assert messages[0].body["user_args"] == "user=7&x=%20"
    assert messages[0].body["publish_timestamp"] == messages[1].body["publish_timestamp"]
    assert len(node.woken) == 2


async def restart(node: Node) -> None:
    """What the next start does before anybody may push."""
    await recover(
        catalogue=node.catalogue,
        recorder=node.recorder,  # type: ignore[arg-type]
        finishing=node.finishing,
        owner=node.owner,
        announcer=node.announcer,
        clock=node.clock,
        node="node-1",
        spool_dir=node.root / "spool",
    )


async def test_pushes_of_a_server_that_died_are_over_at_its_next_start(node: Node) -> None:
    await node.notifications.put(PROJECT, NotificationConfig(KEY.domain, "http://app.example.com/n", "k" * 32))
    over = replace(KEY, stream="cam02")
    await node.publishing.ended(await node.push(over), "gone")
    await node.push(query="\ud83d\x00=%20")
    for _ in range(2):
        await restart(node)
    async with node.catalogue.read() as uow:
        told = (await uow.outbox.list()).items
    assert sorted((message.body["stream"], message.body["event"]) for message in told) == [
        (stream, event) for stream in (KEY.stream, over.stream) for event in ("PUBLISH", "PUBLISH_DONE")
    ]
    done, began = (message.body for message in told[:2])
    assert done | {"event": "PUBLISH"} == began


async def test_nothing_is_told_of_earlier_pushes_without_a_configuration(node: Node) -> None:
    await node.notifications.put(PROJECT, NotificationConfig(KEY.domain, "http://app.example.com/n"))
    stream = await node.push()
    await node.push(replace(KEY, stream="cam02"))
    await node.notifications.delete(PROJECT, KEY.domain)
    await node.publishing.ended(stream, "gone")
    async with node.catalogue.read() as uow:
        assert [push.key.stream for push in await uow.announced_pushes.list(node="node-1")] == ["cam02"]
        assert await uow.announced_pushes.list(node="node-2") == []
    await restart(node)
    async with node.catalogue.read() as uow:
        assert await uow.announced_pushes.list(node="node-1") == []
        assert [message.body["event"] for message in (await uow.outbox.list()).items] == ["PUBLISH", "PUBLISH"]


async def test_no_configuration_no_message(node: Node) -> None:
    await node.publishing.ended(await node.push(), "gone")
    async with node.catalogue.read() as uow:
        assert await uow.outbox.list() == (0, [])


async def test_a_domain_is_deleted_only_when_off(node: Node) -> None:
    with pytest.raises(DomainNotOff):
        await node.domains.delete(PROJECT, KEY.domain)
    await node.domains.update(PROJECT, KEY.domain, status=DomainStatus.OFF)
    await node.domains.delete(PROJECT, KEY.domain)
    with pytest.raises(PublishRefused):
        await node.push()


async def test_a_closing_server_admits_nobody(node: Node) -> None:
    node.publishing.close()
    with pytest.raises(PublishRefused, match="stopping"):
        await node.push()
