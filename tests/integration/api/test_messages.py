"""livereel/messages: the delivery log and replay, an extension of ours."""

from dataclasses import replace
from typing import Any

from livereel.callbacks.payloads import publish_notification
from livereel.domain.keys import StreamKey
from livereel.domain.messages import Delivery, MessageState, NotificationConfig, Publish, PublishEvent

from .conftest import Api

PATH = "livereel/messages"
NOW = 1784614528.0


async def make(
    api: Api,
    stream: str = "cam01",
    event: PublishEvent = PublishEvent.PUBLISH,
    *,
    state: MessageState = MessageState.PENDING,
    project_id: str = "",
    error: str | None = None,
) -> int:
    config = NotificationConfig("push.example.com", "https://app.example.com/hook", "k" * 32)
    key = StreamKey("push.example.com", "live", stream)
    publish = Publish("p", "198.51.100.7", "203.0.113.9", "", NOW)
    message = publish_notification(config, key, publish, event, project_id or api.key.project_id, NOW)
    async with api.catalogue.write() as work:
        message_id = await work.outbox.add(message)
        found = await work.outbox.get(message_id)
        assert found is not None
        await work.outbox.update(replace(found, state=state, attempts=2, last_error=error))
        for status, wrong in ((500, "answered 500"), (200, None)):
            await work.outbox.log(Delivery(message_id, NOW, 0.25, status, wrong))
    return message_id


async def get(api: Api, target: str) -> Any:
    reply = await api.call("GET", target)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_the_log_of_a_message(api: Api) -> None:
    message_id = await make(api, state=MessageState.DELIVERED)
    shown = await get(api, f"{PATH}/{message_id}")
    assert shown["deliveries"] == [
        {"time": "2026-07-21T06:15:28Z", "duration": 0.25, "status": 500, "error": "answered 500"},
        {"time": "2026-07-21T06:15:28Z", "duration": 0.25, "status": 200, "error": None},
    ]
    assert shown["body"]["stream"] == "cam01"
    assert (shown["kind"], shown["event"], shown["state"]) == ("notification", "PUBLISH", "delivered")
    assert (shown["attempts"], shown["create_time"]) == (2, "2026-07-21T06:15:28Z")
    assert "next_attempt_time" not in shown
    del shown["deliveries"]
    assert await get(api, PATH) == {"total": 1, "messages": [shown]}


async def test_filters_and_pages(api: Api) -> None:
    await make(api, "cam01")
    await make(api, "cam02", PublishEvent.PUBLISH_DONE)
    await make(api, "cam03", state=MessageState.DEAD, error="answered 500")

    async def found(query: str) -> tuple[int, list[str]]:
        reply = await get(api, f"{PATH}?{query}")
        return reply["total"], [item["body"]["stream"] for item in reply["messages"]]

    assert await found("") == (3, ["cam03", "cam02", "cam01"])
    assert await found("state=pending") == (2, ["cam02", "cam01"])
    assert await found("state=dead&event=PUBLISH") == (1, ["cam03"])
    assert await found("event=PUBLISH_DONE&kind=notification") == (1, ["cam02"])
    assert await found("kind=callback") == (0, [])
    assert await found("domain=push.example.com&limit=1&offset=1") == (3, ["cam02"])
    for query in ("state=lost", "limit=0", "offset=x", "kind=" + "k" * 300):
        assert (await api.call("GET", f"{PATH}?{query}")).status_code == 400


async def test_a_dead_message_and_a_delivered_one_are_sent_again(api: Api) -> None:
    for state in (MessageState.DEAD, MessageState.DELIVERED):
        message_id = await make(api, state=state, error="answered 500")
        reply = await api.call("POST", f"{PATH}/{message_id}/replay")
        assert reply.status_code == 200
        assert reply.json()["state"] == "pending"
        assert reply.json()["next_attempt_time"]
        assert len(api.woken) == 1
        api.woken.clear()
        async with api.catalogue.read() as work:
            due = [message.id for message in await work.outbox.due(api.clock.now() + 1, limit=10)]
        assert message_id in due or state is MessageState.DELIVERED  # behind the first one of its channel
        refused = await api.call("POST", f"{PATH}/{message_id}/replay?again")
        assert (refused.status_code, refused.json()["error_code"]) == (400, "LIVE.100011001")
        assert "tried again by itself" in refused.json()["error_detail"]


async def test_messages_that_are_not_there(api: Api) -> None:
    for message_id in ("1", "9999999999"):
        for method, target in (("GET", ""), ("POST", "/replay")):
            reply = await api.call(method, f"{PATH}/{message_id}{target}")
            assert (reply.status_code, reply.json()["error_code"]) == (404, "LIVE.103011019")
    for message_id in ("0", "-1", "x", "1.5", "99999999999999999999"):
        assert (await api.call("GET", f"{PATH}/{message_id}")).status_code == 400


async def test_other_projects_messages_are_not_there(api: Api) -> None:
    foreign = await make(api, state=MessageState.DEAD, project_id="f" * 32)
    assert (await get(api, PATH))["total"] == 0
    assert (await api.call("GET", f"{PATH}/{foreign}")).status_code == 404
    assert (await api.call("POST", f"{PATH}/{foreign}/replay")).status_code == 404
    assert api.woken == []


async def test_each_has_an_action_of_its_own(api: Api) -> None:
    message_id = await make(api, state=MessageState.DEAD)
    user = await api.iam.create_user("auditor", api.key.project_id, actions=["live:livereel:listMessages"])
    key = await api.iam.create_key(user.id)
    assert (await api.call("GET", PATH, key=key)).status_code == 200
    denied = await api.call("POST", f"{PATH}/{message_id}/replay", key=key)
    assert (denied.status_code, "live:livereel:replayMessage" in denied.text) == (403, True)
