"""Blocked streams, signed URLs and cuts: what they mean for pushes."""

import asyncio

import pytest

from livereel.cluster.port import Answer, Command
from livereel.control.streams import StreamService
from livereel.control.url_guard import UrlGuardService
from livereel.domain.errors import PublishRefused
from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_VIDEO, Tag
from livereel.domain.messages import NotificationConfig
from livereel.domain.tenancy import AuthType, KeyChain
from livereel.iam.url_signing import sign_d
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node

CHAIN = KeyChain(KEY.domain, "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z", AuthType.D_SHA256, 600)


class Cuts:
    """The cluster as far as cuts go: to the publishing of this node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def ask(self, command: Command) -> Answer:
        await self._node.publishing.cut(command.key, command.reason)
        return Answer("")


@pytest.fixture
def streams(node: Node) -> StreamService:
    return StreamService(node.catalogue, node.registry, Cuts(node), node.clock)  # type: ignore[arg-type]


async def test_a_blocked_stream_is_refused_until_its_time(node: Node, streams: StreamService) -> None:
    await streams.block(PROJECT, KEY, node.clock.now() + 100)
    with pytest.raises(PublishRefused, match=r"may not be pushed before 20\d\d-"):
        await node.push()
    await node.push(StreamKey(KEY.domain, KEY.app, "another"))
    node.clock.advance(99)
    with pytest.raises(PublishRefused):
        await node.push()
    node.clock.advance(1)
    await node.push()
    assert (await streams.blocks(PROJECT, KEY.domain, app=None, stream=None, offset=0, limit=10)).total == 0


async def test_an_unblocked_stream_is_taken_at_once(node: Node, streams: StreamService) -> None:
    await streams.block(PROJECT, KEY, None)
    await streams.unblock(PROJECT, KEY)
    await node.push()


async def test_a_block_cuts_what_runs(node: Node, streams: StreamService) -> None:
    told: list[tuple[StreamKey, str]] = []

    async def cut(key: StreamKey, reason: str) -> None:
        told.append((key, reason))

    node.publishing.cut_pushes = cut
    await streams.block(PROJECT, KEY, None)
    await streams.cut_once(PROJECT, KEY)
    assert [key for key, _ in told] == [KEY, KEY]
    assert "may not be pushed before" in told[0][1]
    assert "may be begun again" in told[1][1]


async def test_a_push_that_is_just_being_admitted_is_cut_too(
    node: Node, streams: StreamService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.notifications.put(PROJECT, NotificationConfig(KEY.domain, "http://app.example.com/n"))
    inside, go_on = asyncio.Event(), asyncio.Event()
    claim = node.publishing._cluster.claim

    async def slow_claim(key: StreamKey) -> bool:
        inside.set()
        await go_on.wait()
        return await claim(key)

    monkeypatch.setattr(node.publishing._cluster, "claim", slow_claim)
    admission = asyncio.create_task(node.push())
    await inside.wait()
    await streams.block(PROJECT, KEY, None)
    go_on.set()
    with pytest.raises(PublishRefused, match="may not be pushed before"):
        await admission
    assert not node.registry.live()
    assert await node.publishing._cluster.owner(KEY) is None
    async with node.catalogue.read() as uow:
        messages = sorted((await uow.outbox.list()).items, key=lambda message: message.id)
    assert [message.event for message in messages] == ["PUBLISH", "PUBLISH_DONE"]


async def test_pushes_to_a_guarded_domain_must_be_signed(node: Node) -> None:
    guard = UrlGuardService(node.catalogue, node.clock)
    await guard.put(PROJECT, CHAIN)
    with pytest.raises(PublishRefused, match="not signed; add hwSecret and hwTime"):
        await node.push(query="vhost=push.example.com")
    signed = sign_d(CHAIN.key, KEY.stream, int(node.clock.now()))
    with pytest.raises(PublishRefused, match="is wrong"):
        await node.push(StreamKey(KEY.domain, KEY.app, "another"), query=signed)
    stream = await node.push(query=f"vhost=push.example.com&{signed}")
    assert signed in stream.publish.user_args
    node.clock.advance(601)  # a push that runs is not looked at again
    await node.publishing.ended(stream, "gone")
    with pytest.raises(PublishRefused, match="expired"):
        await node.push(query=signed)
    await guard.delete(PROJECT, KEY.domain)
    await node.push()


async def test_pushes_wait_behind_each_other_where_the_domain_says_so(node: Node) -> None:
    await node.notifications.put(PROJECT, NotificationConfig(KEY.domain, "http://app.example.com/n"))
    first = await node.push(query="first")
    with pytest.raises(PublishRefused, match="already"):
        await node.push()
    await node.domains.set_stream_backup(PROJECT, KEY.domain, True)
    second, third = await node.push(query="second"), await node.push(query="third")
    stream = node.registry.get(KEY)
    assert stream is first
    await node.publishing.ended(third, "gone before its turn")
    node.clock.advance(10)
    await node.publishing.ended(first, "broke")
    assert node.registry.live() == [stream]
    assert stream.publish.user_args == "second"
    await node.publishing.ended(second, "gone")
    assert not node.registry.live()

    # The application is told of one stream, whoever pushed it.
    async with node.catalogue.read() as uow:
        messages = sorted((await uow.outbox.list()).items, key=lambda message: message.id)
    assert [message.event for message in messages] == ["PUBLISH", "PUBLISH_DONE"]
    assert [message.body["user_args"] for message in messages] == ["first", "first"]
    assert messages[0].body["publish_timestamp"] == messages[1].body["publish_timestamp"]
    await node.push()


async def test_a_recording_goes_on_when_another_push_takes_over(node: Node) -> None:
    await node.domains.set_stream_backup(PROJECT, KEY.domain, True)
    await node.template()  # without a merge window
    first, second = await node.push(), await node.push()
    for push in (first, second):
        push.feed(HEADERS, node.clock.now())
        push.feed([Tag(TAG_VIDEO, 0, KEY_FRAME), Tag(TAG_VIDEO, 40, FRAME)], node.clock.now())
    task = await node.recording.start(PROJECT, KEY)
    node.clock.advance(1)
    await node.publishing.ended(first, "broke")
    assert [running.id for running in node.owner.running()] == [task]
    second.feed([Tag(TAG_VIDEO, 80, FRAME), Tag(TAG_VIDEO, 120, KEY_FRAME)], node.clock.now())
    assert await node.recording.stop(PROJECT, KEY) == task
    await node.publishing.ended(second, "gone")


async def test_a_cut_ends_the_pushes_that_wait_too(node: Node, streams: StreamService) -> None:
    await node.domains.set_stream_backup(PROJECT, KEY.domain, True)
    pushes = [await node.push(), await node.push()]

    async def cut(_key: StreamKey, reason: str) -> None:  # as ingest does it: the last to arrive goes first
        for push in reversed(pushes):
            await node.publishing.ended(push, reason)

    node.publishing.cut_pushes = cut
    await streams.cut_once(PROJECT, KEY)
    assert not node.registry.live()
    assert await node.publishing._cluster.owner(KEY) is None
