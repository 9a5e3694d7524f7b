"""schedule/record/tasks, through the official SDK and byte for byte."""

import time
from dataclasses import replace
from typing import Any

import pytest

from livereel.domain.keys import StreamKey

from .conftest import Api
from .test_wire import make_domain, rule

DOMAIN = "push.example.com"
PATH = "schedule/record/tasks"
HOUR, DAY = 3600, 86_400


async def make_template(api: Api, **changes: Any) -> str:
    await make_domain(api)
    made = await api.call("POST", "record/rules", rule(**({"record_type": "PLAN_RECORD"} | changes)))
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def plan(template: str, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"domain": DOMAIN, "app": "live", "stream": "cam01", "template_id": template}
    now = int(time.time())
    body |= {"start_time": now + HOUR, "end_time": now + 2 * HOUR}
    return {name: value for name, value in (body | changes).items() if value is not ...}


async def test_who_is_told_of_plans(api: Api) -> None:
    template_id = await make_template(api)
    task_id = (await api.call("POST", PATH, plan(template_id))).json()["task_id"]
    assert api.woken
    assert (await api.call("DELETE", f"{PATH}?task_id={task_id}")).status_code == 204
    assert api.owner.ended_plans == [(StreamKey(DOMAIN, "live", "cam01"), task_id)]


async def test_a_plan_without_a_start_begins_at_once(api: Api) -> None:
    template_id = await make_template(api)
    assert (await api.call("POST", PATH, plan(template_id, start_time=...))).status_code == 200
    async with api.catalogue.read() as uow:
        [made] = await uow.plan_tasks.in_force(time.time())
    assert made.start_at == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"domain": ...}, "domain (body)"),
        ({"domain": "other.example.com"}, "other.example.com"),
        ({"app": "a/b"}, "app"),
        ({"stream": "*"}, "stream"),
        ({"template_id": ...}, "template_id (body)"),
        ({"template_id": "0" * 32}, "template_id"),
        ({"end_time": ...}, "end_time (body)"),
        ({"end_time": "2026-07-21T06:15:28Z"}, "end_time (body)"),
        ({"end_time": -HOUR, "start_time": ...}, "end_time must be in the future"),
        ({"end_time": 8 * DAY, "start_time": 8 * DAY - HOUR}, "7 days"),
        ({"end_time": DAY + HOUR, "start_time": HOUR - 1}, "24 hours"),
        ({"end_time": HOUR, "start_time": HOUR}, "after start_time"),
        ({"start_time": 1.5}, "start_time (body)"),
    ],
)
async def test_refused_plans(api: Api, changes: dict[str, Any], named: str) -> None:
    template_id = await make_template(api)
    now = int(time.time())
    for member in ("start_time", "end_time"):  # given relative to now
        if isinstance(changes.get(member), int):
            changes = changes | {member: now + changes[member]}
    reply = await api.call("POST", PATH, plan(template_id, **changes))
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001"), reply.text
    assert named in reply.json()["error_detail"]


async def test_the_listing_takes_what_lies_wholly_in_its_time(api: Api) -> None:
    template_id = await make_template(api)
    now = int(time.time())
    for stream, start, end in (("a", HOUR, 2 * HOUR), ("b", 2 * HOUR, 3 * HOUR), ("b", 6 * DAY, 6 * DAY + HOUR)):
        body = plan(template_id, stream=stream, start_time=now + start, end_time=now + end)
        assert (await api.call("POST", PATH, body)).status_code == 200

    async def listed(query: str, start: int | None = 0, end: int = DAY) -> tuple[int, list[str]]:
        times = f"end_time={now + end}" + ("" if start is None else f"&start_time={now + start}")
        reply = await api.call("GET", f"{PATH}?{times}{query}")
        assert reply.status_code == 200, reply.text
        return reply.json()["total"], [task["stream"] for task in reply.json()["tasks"]]

    assert await listed("") == (2, ["a", "b"])
    assert await listed("", None) == (2, ["a", "b"])
    assert await listed("", HOUR + 1) == (1, ["b"])
    assert await listed("", 0, 3 * HOUR - 1) == (1, ["a"])
    assert await listed("", 0, 7 * DAY) == (3, ["a", "b", "b"])
    assert await listed("&limit=1&offset=1") == (2, ["b"])
    assert await listed(f"&domain={DOMAIN}&app=live&stream=a") == (1, ["a"])
    assert await listed(f"&domain={DOMAIN}&app=&stream=") == (2, ["a", "b"])
    assert await listed("&task_id=nobody") == (0, [])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "end_time (query)"),
        ("end_time=x", "end_time (query)"),
        ("end_time={now}&start_time={now}", "after start_time"),
        ("end_time={now}&start_time={week}", "7 days after start_time"),
        ("end_time={old}&start_time={older}", "90 days"),
        ("end_time={old}", "90 days"),
        ("end_time={now}&app=live", "app (query)"),
        ("end_time={now}&domain=a&stream=cam01", "stream (query)"),
        ("end_time={now}&limit=101", "limit (query)"),
    ],
)
async def test_refused_listings(api: Api, query: str, named: str) -> None:
    now = int(time.time())
    values = {"now": now, "week": now - 7 * DAY - 1, "old": now - 90 * DAY - 60, "older": now - 91 * DAY}
    reply = await api.call("GET", f"{PATH}?{query.format(**values)}")
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001"), reply.text
    assert named in reply.json()["error_detail"]


async def test_plans_of_another_project_are_not_there(api: Api) -> None:
    template_id = await make_template(api)
    task_id = (await api.call("POST", PATH, plan(template_id))).json()["task_id"]
    async with api.catalogue.write() as uow:
        made = await uow.plan_tasks.get(api.key.project_id, task_id)
        assert made is not None
        other = replace(made, id="1" * 32, project_id="1" * 32)
        await uow.plan_tasks.add(other)
    listed = await api.call("GET", f"{PATH}?end_time={int(time.time()) + DAY}")
    assert [task["task_id"] for task in listed.json()["tasks"]] == [task_id]
    assert (await api.call("DELETE", f"{PATH}?task_id={other.id}")).status_code == 404


async def test_a_plan_that_is_over_may_be_deleted_again(api: Api) -> None:
    template_id = await make_template(api)
    task_id = (await api.call("POST", PATH, plan(template_id))).json()["task_id"]
    assert (await api.call("DELETE", f"{PATH}?task_id={task_id}")).status_code == 204
    async with api.catalogue.read() as uow:
        first = await uow.plan_tasks.get(api.key.project_id, task_id)
    assert (await api.call("DELETE", f"{PATH}?task_id={task_id}&again=")).status_code == 204
    async with api.catalogue.read() as uow:
        assert await uow.plan_tasks.get(api.key.project_id, task_id) == first


async def test_a_plan_template_does_not_record_on_command(api: Api) -> None:
    await make_template(api)
    body = {"publish_domain": DOMAIN, "app": "live", "stream": "cam01"}
    reply = await api.call("POST", "record/control?action=START", body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
    assert "PLAN_RECORD" in reply.json()["error_detail"]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_the_old_api_is_refused_as_documented(api: Api, method: str) -> None:
    for body in (None, {"domain": "play.example.com", "app_name": "live"}):
        reply = await api.call(method, "record/config?domain=play.example.com", body if method == "POST" else None)
        assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011006")
        assert "record/rules" in reply.json()["error_detail"]
