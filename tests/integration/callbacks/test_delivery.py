"""Delivery: signed, in order, again after failures and restarts, and given up in the end."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from aiohttp import web

from livereel.callbacks import dispatcher as dispatcher_module
from livereel.callbacks.dispatcher import RETENTION
from livereel.control.domains import DomainService, NewDomain
from livereel.domain.messages import LONGEST_PAUSE, Delivery, MessageState, PublishEvent
from livereel.domain.tenancy import DomainType, Project
from livereel.observe import metrics
from livereel.observe.clock import SystemClock
from tests.integration.callbacks.conftest import LOOPBACK, PATIENCE, Outbox, Receiver, Reply

KEY = "0123456789abcdef0123456789ABCDEF"
Make = Callable[[], Awaitable[Receiver]]


class HandClock:
    """A wall clock that tests set."""

    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def hmac_hex(message: bytes) -> str:
    return hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()


async def test_a_notification_arrives_signed_and_at_once(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "IDLE_POLL", 3600.0)  # it does not look by itself
    await outbox.configure("push.example.com", receiver.url, KEY)
    dispatcher = await outbox.dispatch()
    await asyncio.sleep(0.2)
    began = time.time()
    message_id = await outbox.add("push.example.com")
    dispatcher.notify()
    await outbox.until(MessageState.DELIVERED, 1)
    [body], [request], [raw] = receiver.bodies, receiver.requests, receiver.raw
    assert request.method == "POST"
    assert request.path == "/hook"
    assert request.content_type == "application/json"
    assert body["event"] == "PUBLISH"
    assert isinstance(body["auth_timestamp"], int)
    assert int(began) <= body["auth_timestamp"] - 60 <= time.time()
    assert body["auth_sign"] == hmac_hex(f"PUBLISHpush.example.comlivecam01{body['auth_timestamp']}".encode())
    assert request.headers["Livereel-Message-Id"] == str(message_id)
    signed = f"{request.headers['Livereel-Timestamp']}.{message_id}.".encode() + raw
    assert request.headers["Livereel-Signature"] == hmac_hex(signed)
    [delivery] = await outbox.deliveries(message_id)
    assert (delivery.status, delivery.error) == (200, None)
    assert 0 < delivery.duration <= time.time() - began


async def test_without_a_key_nothing_is_signed(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("d", receiver.url)
    await outbox.add("d")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    assert not {"auth_sign", "auth_timestamp"} & receiver.bodies[0].keys()
    assert "Livereel-Signature" not in receiver.requests[0].headers


async def test_messages_of_a_stream_arrive_in_order_although_the_first_fails(
    outbox: Outbox, receiver: Receiver
) -> None:
    answers = iter([500, 503])

    async def flaky(_request: web.Request) -> Reply:
        return next(answers, 200)

    receiver.behaviour = flaky
    await outbox.configure("d", receiver.url)
    for event in (PublishEvent.PUBLISH, PublishEvent.PUBLISH_DONE, PublishEvent.PUBLISH):
        await outbox.add("d", event=event)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 3)
    assert [body["event"] for body in receiver.bodies] == ["PUBLISH"] * 3 + ["PUBLISH_DONE", "PUBLISH"]
    first = min(message.id for message in await outbox.messages())
    assert [delivery.status for delivery in await outbox.deliveries(first)] == [500, 503, 200]


async def test_a_refused_message_does_not_hold_up_other_streams(outbox: Outbox, receiver: Receiver) -> None:
    async def picky(_request: web.Request) -> Reply:
        return 410 if receiver.bodies[-1]["stream"] == "bad" else 200

    receiver.behaviour = picky
    await outbox.configure("d", receiver.url)
    bad = await outbox.add("d", "bad")
    for n in range(20):
        await outbox.add("d", f"good{n}")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 20)
    await outbox.until_attempts(bad, 1)
    assert (await outbox.message(bad)).state is MessageState.PENDING
    assert (await outbox.message(bad)).last_error == 'answered 410: {"result": "ok"}'


async def test_a_signature_is_made_anew_for_each_attempt(outbox: Outbox, receiver: Receiver) -> None:
    clock = HandClock(1_784_614_528.0)

    async def refuse_once(_request: web.Request) -> Reply:
        return 500 if len(receiver.bodies) == 1 else 200

    receiver.behaviour = refuse_once
    await outbox.configure("d", receiver.url, KEY)
    message_id = await outbox.add("d", now=clock.time)
    dispatcher = await outbox.dispatch(clock=clock)
    await outbox.until_attempts(message_id, 1)
    clock.time += 3600
    dispatcher.notify()
    await outbox.until(MessageState.DELIVERED, 1)
    assert [body["auth_timestamp"] for body in receiver.bodies] == [1_784_614_588, 1_784_614_588 + 3600]


async def test_a_receiver_that_is_down_gets_its_messages_when_it_is_back(outbox: Outbox, returning: Receiver) -> None:
    await outbox.configure("d", returning.url)
    await returning.stop()
    ids = [await outbox.add("d", f"cam{n}") for n in range(30)]
    await outbox.dispatch()
    async with asyncio.timeout(PATIENCE):
        while not any(message.attempts for message in await outbox.messages()):
            await asyncio.sleep(0.02)
    tried = [message for message in await outbox.messages() if message.attempts]
    assert tried[0].last_error is not None
    assert tried[0].last_error.startswith("cannot connect")
    await returning.start()
    await outbox.until(MessageState.DELIVERED, 30)
    assert len(returning.bodies) == len(ids)


async def test_a_day_of_failures_and_then_the_next_message_has_its_turn(outbox: Outbox, receiver: Receiver) -> None:
    clock = HandClock(1_784_614_528.0)

    async def refuse_the_first(_request: web.Request) -> Reply:
        return 500 if receiver.bodies[-1]["event"] == "PUBLISH" else 200

    receiver.behaviour = refuse_the_first
    await outbox.configure("d", receiver.url)
    first = await outbox.add("d", now=clock.time)
    await outbox.add("d", event=PublishEvent.PUBLISH_DONE, now=clock.time)
    dispatcher = await outbox.dispatch(clock=clock)
    message = await outbox.until_attempts(first, 1)
    while message.state is MessageState.PENDING:
        assert message.due_at - clock.time <= LONGEST_PAUSE
        clock.time = message.due_at
        dispatcher.notify()
        message = await outbox.until_attempts(first, message.attempts + 1)
    assert message.state is MessageState.DEAD
    assert clock.time - message.created_at == LOOPBACK.retry_horizon == 86_400
    [delivered] = await outbox.until(MessageState.DELIVERED, 1)
    assert delivered.event == "PUBLISH_DONE"
    assert len(await outbox.deliveries(first)) == message.attempts > 90


async def test_a_busy_receiver_may_ask_for_time(outbox: Outbox, receiver: Receiver) -> None:
    async def busy(_request: web.Request) -> Reply:
        return web.Response(status=429, headers={"Retry-After": "120"})

    receiver.behaviour = busy
    await outbox.configure("d", receiver.url)
    message_id = await outbox.add("d")
    asked = time.time()
    await outbox.dispatch()
    message = await outbox.until_attempts(message_id, 1)
    assert asked + 119 < message.due_at <= time.time() + 120


async def test_messages_survive_a_dispatcher_that_is_dropped_in_the_middle(outbox: Outbox, receiver: Receiver) -> None:
    hold = asyncio.Event()

    async def hang(_request: web.Request) -> Reply:
        await hold.wait()
        return 200

    receiver.behaviour = hang
    await outbox.configure("d", receiver.url)
    for n in range(5):
        await outbox.add("d", f"cam{n}")
    first = await outbox.dispatch()
    async with asyncio.timeout(PATIENCE):
        while len(receiver.bodies) < 5:
            await asyncio.sleep(0.02)
    await first.stop(grace=0.0)
    assert [message.state for message in await outbox.messages()] == [MessageState.PENDING] * 5
    hold.set()
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 5)
    assert len(receiver.bodies) == 10


async def test_an_orderly_stop_lets_attempts_end(outbox: Outbox, receiver: Receiver) -> None:
    async def slow(_request: web.Request) -> Reply:
        await asyncio.sleep(0.5)
        return 200

    receiver.behaviour = slow
    await outbox.configure("d", receiver.url)
    await outbox.add("d")
    dispatcher = await outbox.dispatch()
    async with asyncio.timeout(PATIENCE):
        while not receiver.bodies:
            await asyncio.sleep(0.02)
    await dispatcher.stop(grace=PATIENCE)
    [message] = await outbox.messages()
    assert message.state is MessageState.DELIVERED


async def test_a_corrected_url_rescues_what_is_waiting(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("d", "http://127.0.0.1:1/wrong")
    message_id = await outbox.add("d")
    dispatcher = await outbox.dispatch()
    await outbox.until_attempts(message_id, 1)
    await outbox.configure("d", receiver.url)
    dispatcher.notify()
    [message] = await outbox.until(MessageState.DELIVERED, 1)
    assert message.url == receiver.url


async def test_old_messages_are_deleted_and_waiting_ones_are_not(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("d", receiver.url)
    old, recent = time.time() - RETENTION - 600, time.time() - RETENTION + 600
    dead = [
        await outbox.add("d", f"dead{n}", now=when, state=MessageState.DEAD) for n, when in enumerate([old, recent])
    ]
    gone = await outbox.add("d", "done", now=old, state=MessageState.DELIVERED)
    waiting = await outbox.add("d", "waits", now=old, due_at=time.time() + 600)
    async with outbox.catalogue.write() as work:
        await work.outbox.log(Delivery(gone, old, 0.1, 200, None))
    await outbox.dispatch()
    async with asyncio.timeout(PATIENCE):
        while len(left := await outbox.messages()) > 2:
            await asyncio.sleep(0.02)
    assert {message.id for message in left} == {dead[1], waiting}
    assert await outbox.deliveries(gone) == []
    async with asyncio.timeout(PATIENCE):
        while metrics.outbox_pending._value.get() != 1:
            await asyncio.sleep(0.02)


async def test_without_a_configuration_a_message_is_given_up(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("d", receiver.url)
    message_id = await outbox.add("d")
    async with outbox.catalogue.write() as work:
        await work.notifications.delete("d")
    await outbox.dispatch()
    [message] = await outbox.until(MessageState.DEAD, 1)
    assert message.id == message_id
    assert message.last_error == "the notification configuration was removed"
    assert receiver.bodies == []


async def test_another_project_that_takes_the_domain_over_is_told_nothing(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("a.example.com", receiver.url)
    async with outbox.catalogue.write() as work:
        await work.projects.add(Project("q" * 32, "there", 0.0))
    domains = DomainService(outbox.catalogue, SystemClock())
    await domains.create("q" * 32, NewDomain("a.example.com", DomainType.PUSH, "there"))
    await outbox.add("a.example.com")
    await outbox.dispatch()
    [dead] = await outbox.until(MessageState.DEAD, 1)
    assert "removed" in (dead.last_error or "")
    assert not receiver.requests


async def test_a_url_that_cannot_work_is_given_up_at_once(outbox: Outbox) -> None:
    await outbox.configure("d", "ftp://127.0.0.1/")
    await outbox.add("d")
    await outbox.dispatch()
    [message] = await outbox.until(MessageState.DEAD, 1)
    assert message.last_error == "the URL must begin with http:// or https:// and name a host"


async def test_the_log_names_the_stream_and_the_task(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.configure("d", receiver.url)
    body: dict[str, Any] = {"domain": "d", "app": "live", "stream": "s", "task_id": "t1", "event": "PUBLISH"}
    await outbox.add("d", body=body)
    with structlog.testing.capture_logs() as lines:
        await outbox.dispatch()
        async with asyncio.timeout(PATIENCE):
            while not (told := [line for line in lines if line["event"] == "message_delivered"]):
                await asyncio.sleep(0.02)
    assert (told[0]["stream"], told[0]["task"]) == ("d/live/s", "t1")


async def test_odd_arguments_of_a_push_are_delivered_as_they_are(outbox: Outbox, receiver: Receiver) -> None:
    odd = 'a=\udcff"\\\n</script>\u2028é'
    await outbox.configure("d", receiver.url, KEY)
    body: dict[str, Any] = {"domain": "d", "app": "live", "stream": "s", "user_args": odd, "event": "PUBLISH"}
    await outbox.add("d", body=body)
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 1)
    assert receiver.bodies[0]["user_args"] == odd
