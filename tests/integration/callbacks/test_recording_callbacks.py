"""Recording callbacks on the wire: signatures, links, order, and receivers of one tenant that harm no other."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from livereel.callbacks.payloads import recording_callback
from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackConfig, CallbackEvent, MessageState, SignType
from livereel.domain.recordings import Task
from livereel.observe.clock import SystemClock
from tests.integration.callbacks.conftest import PATIENCE, Outbox, Receiver, Reply
from tests.integration.callbacks.test_delivery import HandClock
from tests.unit.callbacks.test_payloads import FILE, TASK

PAGE = Path(__file__).parents[3] / "docs" / "topics" / "callbacks.md"
KEY = "0123456789abcdef0123456789ABCDEF"
DOMAIN = "push.example.com"
Make = Callable[[], Awaitable[Receiver]]


async def configure(outbox: Outbox, url: str, domain: str = DOMAIN, **more: Any) -> CallbackConfig:
    now = SystemClock().now()
    config = CallbackConfig(f"config-{domain}", TASK.project_id, domain, "*", url, now, now, **more)
    async with outbox.catalogue.write() as work:
        if await work.callbacks.get(config.project_id, config.id) is None:
            await work.callbacks.add(config)
        else:
            await work.callbacks.update(config)
    return config


async def tell(
    outbox: Outbox, event: CallbackEvent, *, task: str = TASK.id, domain: str = DOMAIN, now: float | None = None
) -> int:
    about: Task = replace(TASK, id=task, key=StreamKey(domain, "live", "cam01"))
    async with outbox.catalogue.write() as work:
        config = await work.callbacks.by_domain(domain)
        assert config is not None
        file = replace(FILE, task_id=task) if event is CallbackEvent.RECORD_FILE_COMPLETE else None
        when = SystemClock().now() if now is None else now
        return await work.outbox.add(recording_callback(config, event, about, when, file=file, error="no disk"))


def expected_sign(body: dict[str, Any]) -> str:
    members = ("event_type", "publish_domain", "app", "stream", "download_url", "play_url")
    covered = str(body["auth_timestamp"]) + "".join(body.get(member, "") for member in members)
    return hmac.new(KEY.encode(), covered.encode(), hashlib.sha256).hexdigest()


async def test_a_callback_is_signed_twice_and_bears_a_fresh_link(outbox: Outbox, receiver: Receiver) -> None:
    clock = HandClock(1_784_614_528.0)

    async def refuse_once(_request: web.Request) -> Reply:
        return 503 if len(receiver.bodies) == 1 else 200

    receiver.behaviour = refuse_once
    await configure(outbox, receiver.url, key=KEY)
    message_id = await tell(outbox, CallbackEvent.RECORD_FILE_COMPLETE, now=clock.time)
    dispatcher = await outbox.dispatch(clock=clock)
    await outbox.until_attempts(message_id, 1)
    clock.time += 7200
    dispatcher.notify()
    await outbox.until(MessageState.DELIVERED, 1)
    for body, raw, request, now in zip(
        receiver.bodies, receiver.raw, receiver.requests, (1_784_614_528, 1_784_614_528 + 7200), strict=True
    ):
        link = f"https://rec.example.com/files/rec-a/archive/x/cam01.m3u8?expires={now + 3600}"
        assert body["download_url"] == link
        assert body["auth_timestamp"] == now + 60
        assert body["auth_sign"] == expected_sign(body)
        signed = f"{request.headers['Livereel-Timestamp']}.{message_id}.".encode() + raw
        assert request.headers["Livereel-Signature"] == hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
        assert (request.method, request.content_type) == ("POST", "application/json")
    stored = await outbox.message(message_id)
    assert stored.body["download_url"] == ""
    assert "auth_sign" not in stored.body


async def test_md5_signs_the_expiry(outbox: Outbox, receiver: Receiver) -> None:
    await configure(outbox, receiver.url, key=KEY, sign_type=SignType.MD5)
    await tell(outbox, CallbackEvent.RECORD_START)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    [body] = receiver.bodies
    expected = hashlib.md5(f"{KEY}{body['auth_timestamp']}".encode(), usedforsecurity=False).hexdigest()
    assert body["auth_sign"] == expected
    assert "Livereel-Signature" in receiver.requests[0].headers


async def test_without_a_key_nothing_is_signed(outbox: Outbox, receiver: Receiver) -> None:
    await configure(outbox, receiver.url)
    await tell(outbox, CallbackEvent.RECORD_FILE_COMPLETE)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    assert not {"auth_sign", "auth_timestamp"} & receiver.bodies[0].keys()
    assert "Livereel-Signature" not in receiver.requests[0].headers
    assert receiver.bodies[0]["download_url"]


async def test_a_recording_is_told_in_order_although_attempts_fail(outbox: Outbox, receiver: Receiver) -> None:
    answers = iter([500, 200, 503, 200, 410])

    async def flaky(_request: web.Request) -> Reply:
        return next(answers, 200)

    receiver.behaviour = flaky
    await configure(outbox, receiver.url)
    story = ["RECORD_START", "RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER"]
    for event in story:
        await tell(outbox, CallbackEvent(event))
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 4)
    told = [body["event_type"] for body in receiver.bodies]
    assert list(dict.fromkeys(told)) == story
    assert sorted(told, key=story.index) == told
    ids = [int(request.headers["Livereel-Message-Id"]) for request in receiver.requests]
    assert ids == sorted(ids)


@pytest.mark.parametrize("bad", ["slow", "down", "redirecting", "refusing", "garbage"])
async def test_a_bad_receiver_holds_up_only_its_own_recording(outbox: Outbox, receivers: Make, bad: str) -> None:
    theirs, ours = await receivers(), await receivers()

    async def misbehave(request: web.Request) -> Reply:
        if bad == "slow":
            await asyncio.sleep(60)
        if bad == "redirecting":
            return web.Response(status=308, headers={"Location": ours.url})
        if bad == "garbage":
            assert request.transport is not None
            request.transport.write(b"\0\xff" * 2048)
            request.transport.close()
        return 500

    theirs.behaviour = misbehave
    await configure(outbox, theirs.url, "bad.example.com", key=KEY)
    await configure(outbox, ours.url, key=KEY)
    if bad == "down":
        await theirs.stop()
    for n in range(40):
        for event in (CallbackEvent.RECORD_START, CallbackEvent.RECORD_FILE_COMPLETE):
            await tell(outbox, event, task=f"{n:032x}", domain="bad.example.com")
    for event in (CallbackEvent.RECORD_START, CallbackEvent.RECORD_FILE_COMPLETE, CallbackEvent.RECORD_OVER):
        await tell(outbox, event)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 3)  # behind the others it would take minutes
    assert [body["event_type"] for body in ours.bodies] == ["RECORD_START", "RECORD_FILE_COMPLETE", "RECORD_OVER"]
    assert {body["event_type"] for body in theirs.bodies} <= {"RECORD_START"}  # none overtook the one before it


async def test_a_corrected_url_and_key_count_at_the_next_attempt(outbox: Outbox, receiver: Receiver) -> None:
    await configure(outbox, "http://127.0.0.1:1/wrong", key="x" * 32)
    message_id = await tell(outbox, CallbackEvent.RECORD_FILE_COMPLETE)
    dispatcher = await outbox.dispatch()
    await outbox.until_attempts(message_id, 1)
    await configure(outbox, receiver.url, key=KEY)
    dispatcher.notify()
    await outbox.until(MessageState.DELIVERED, 1)
    assert receiver.bodies[0]["auth_sign"] == expected_sign(receiver.bodies[0])


@pytest.mark.parametrize("gone", ["deleted", "another project's", "without a URL"])
async def test_without_a_configuration_a_callback_is_given_up(outbox: Outbox, receiver: Receiver, gone: str) -> None:
    config = await configure(outbox, receiver.url)
    await tell(outbox, CallbackEvent.RECORD_OVER)
    async with outbox.catalogue.write() as work:
        await work.callbacks.delete(config.project_id, config.id)
        if gone == "another project's":
            await work.callbacks.add(replace(config, project_id="f" * 32))
        elif gone == "without a URL":
            await work.callbacks.add(replace(config, url="", on_demand_url="https://app.example.com/x"))
    await outbox.dispatch()
    [message] = await outbox.until(MessageState.DEAD, 1)
    assert message.last_error == "the callback configuration was removed"
    assert receiver.bodies == []


async def test_a_replayed_callback_is_sent_again_as_new(outbox: Outbox, receiver: Receiver) -> None:
    await configure(outbox, receiver.url, key=KEY)
    message_id = await tell(outbox, CallbackEvent.RECORD_FILE_COMPLETE)
    dispatcher = await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    async with outbox.catalogue.write() as work:
        await work.outbox.replay(message_id, SystemClock().now())
    dispatcher.notify()
    async with asyncio.timeout(PATIENCE):
        while len(receiver.bodies) < 2:
            await asyncio.sleep(0.02)
    await outbox.until(MessageState.DELIVERED, 1)
    assert receiver.bodies[1]["job_id"] == receiver.bodies[0]["job_id"]
    assert receiver.bodies[1]["auth_sign"] == expected_sign(receiver.bodies[1])
    assert receiver.requests[1].headers["Livereel-Message-Id"] == str(message_id)
    assert [delivery.status for delivery in await outbox.deliveries(message_id)] == [200, 200]


async def test_the_documented_receiver(outbox: Outbox, receiver: Receiver) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    shown: dict[str, Any] = {}
    exec(found[1], shown)
    checked: Callable[[Any, bytes, str], dict[str, Any] | None] = shown["checked"]
    as_in_the_cloud: Callable[[bytes, str], dict[str, Any] | None] = shown["checked_as_in_the_cloud"]

    await configure(outbox, receiver.url, key=KEY)
    await tell(outbox, CallbackEvent.RECORD_FILE_COMPLETE)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    headers, body = receiver.requests[0].headers, receiver.raw[0]
    assert checked(headers, body, KEY) == as_in_the_cloud(body, KEY) == receiver.bodies[0]
    assert checked(headers, body, KEY.lower()) is None
    assert as_in_the_cloud(body, KEY.lower()) is None
    assert as_in_the_cloud(body.replace(b"cam01", b"cam02"), KEY) is None
    # What auth_sign does not cover, the header does.
    altered = body.replace(b'"file_size":4194304', b'"file_size":1')
    assert altered != body
    assert as_in_the_cloud(altered, KEY) is not None
    assert checked(headers, altered, KEY) is None
    stale = dict(headers) | {"Livereel-Timestamp": str(int(headers["Livereel-Timestamp"]) - 3600)}
    assert checked(stale, body, KEY) is None
    expired = body.replace(b'"auth_timestamp":', b'"auth_timestamp":-')
    assert as_in_the_cloud(expired, KEY) is None
