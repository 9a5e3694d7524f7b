"""Signatures, tokens, log-in and replay over real connections."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from livereel.domain.errors import InvalidParameter, ResourceExists, ResourceNotFound, StreamNotLive
from livereel.iam.lockout import LOCK_SECONDS, MAX_FAILURES
from livereel.iam.secrets import Sealer
from livereel.iam.service import ACCOUNT_ID, ACCOUNT_NAME, NewAccessKey

from .conftest import PATIENCE, REGION, Api
from .test_wire import DOMAIN, STREAM, make_domain, rule

PASSWORD = "correct horse battery"
GATEWAY_401 = "Incorrect IAM authentication information: "


def refused(reply: Any, detail: str) -> None:
    assert reply.status_code == 401, reply.text
    body = reply.json()
    assert sorted(body) == ["error_code", "error_msg", "request_id"]
    assert body["error_code"] == "APIGW.0301"
    assert body["error_msg"].startswith(GATEWAY_401 + detail)
    assert reply.headers["X-request-id"]


async def test_no_credentials(api: Api) -> None:
    refused(await api.client.get(f"/v1/{api.key.project_id}/record/rules"), "x-auth-token not found")


async def test_unknown_access_key(api: Api) -> None:
    reply = await api.call("GET", "record/rules", key=NewAccessKey("NOBODY", "x", "", api.key.project_id))
    refused(reply, "Get secretKey failed,ak:NOBODY,err:ak not exist")


async def test_an_access_key_of_another_key_file(api: Api) -> None:
    async with api.services.catalogue.write() as uow:
        key = await uow.access_keys.get(api.key.access)
        assert key is not None
        await uow.access_keys.update(replace(key, sealed_secret=Sealer(bytes(32)).seal("x", key.access)))
    assert await api.services.iam.lost_keys() == [api.key.access]
    reply = await api.call("GET", "record/rules")
    refused(reply, f"Get secretKey failed,ak:{api.key.access},err:its secret cannot be opened")


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_an_old_or_early_signature(api: Api, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    refused(await api.call("GET", "record/rules", at=at), "calc ak sk signature fail:signature expired")
    inside = datetime.now(UTC) + timedelta(minutes=minutes * 14 // 16)
    assert (await api.call("GET", "record/rules", at=inside)).status_code == 200


async def test_other_algorithms(api: Api) -> None:
    headers = {"authorization": "SDK-HMAC-SM3 Access=a, SignedHeaders=host, Signature=00"}
    refused(await api.client.get("/v1/p/record/rules", headers=headers), "verify aksk signature fail")


async def test_a_changed_request(api: Api) -> None:
    request = api.signed("GET", f"/v1/{api.key.project_id}/record/rules?limit=10")
    changed = api.client.build_request("GET", str(request.url).replace("10", "11"), headers=request.headers)
    refused(await api.client.send(changed), "verify aksk signature fail")


async def test_queries_in_every_spelling_verify(api: Api) -> None:
    for query in (
        "start_time=2026-07-21T06:15:28Z",
        "start_time=2026-07-21T06%3A15%3A28",
        "start_time=2026-07-21T06:15:28+00:00",
        "start_time=2026-07-21T06%3a15%3a28%2B00%3A00&end_time=2026-07-21T08:15:28.5%2B02:00",
        "stream=b&start_time=2026-07-21T06:15:28Z&app=a&unknown=%E4%B8%AD",
    ):
        reply = await api.call("GET", f"record/contents?{query}")
        assert reply.status_code == 200, (query, reply.text)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "start_time=",
        "start_time=yesterday",
        "start_time=2026-07-21",
        "start_time=1784614528",
        "start_time=2026-07-21T06:15:28Z&end_time=2026-07-21T06:15:28Z",
        "start_time=2026-07-21T06:15:28Z&limit=101",
    ],
)
async def test_bad_content_queries(api: Api, query: str) -> None:
    reply = await api.call("GET", f"record/contents?{query}")
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")


async def test_lock_out(api: Api) -> None:
    wrong = api.key._replace(secret="x" * 40)
    for _ in range(MAX_FAILURES + 1):
        refused(await api.call("GET", "record/rules", key=wrong), "verify aksk signature fail")
    refused(await api.call("GET", "record/rules"), "AK access failed to reach the limit, forbidden")
    elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx2.AsyncClient(transport=elsewhere, timeout=PATIENCE) as client:
        reply = await client.send(api.signed("GET", f"/v1/{api.key.project_id}/record/rules"))
    assert reply.status_code == 200
    api.clock.advance(LOCK_SECONDS)
    assert (await api.call("GET", "record/rules")).status_code == 200


async def test_disabled_and_deleted_keys(api: Api) -> None:
    key = await api.iam.create_key(api.key.user_id)
    assert (await api.call("GET", "record/rules", key=key)).status_code == 200
    await api.iam.set_key_enabled(key.access, False)
    refused(await api.call("GET", "record/rules", key=key), "Get secretKey failed")
    await api.iam.set_key_enabled(key.access, True)
    assert (await api.call("GET", "record/rules", key=key)).status_code == 200
    await api.iam.delete_key(key.access)
    refused(await api.call("GET", "record/rules", key=key), "Get secretKey failed")
    await api.iam.set_user_enabled(api.key.user_id, False)
    refused(await api.call("GET", "record/rules"), "Get secretKey failed")


# -- Tokens


def login(name: str = "alice", password: str = PASSWORD, **scope: Any) -> dict[str, Any]:
    auth: dict[str, Any] = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": name, "password": password, "domain": {"name": ACCOUNT_NAME}}},
        }
    }
    if scope:
        auth["scope"] = scope
    return {"auth": auth}


async def alice(api: Api) -> str:
    return (await api.iam.create_user("alice", api.key.project_id, password=PASSWORD)).id


async def test_log_in_and_use_the_token(api: Api) -> None:
    user_id = await alice(api)
    reply = await api.client.post(
        "/v3/auth/tokens",
        json=login(project={"name": REGION}),
        headers={"content-type": "application/json;charset=utf8"},
    )
    assert reply.status_code == 201
    token = reply.json()["token"]
    assert token["project"] == {
        "id": api.key.project_id,
        "name": REGION,
        "domain": {"id": ACCOUNT_ID, "name": ACCOUNT_NAME},
    }
    assert token["methods"] == ["password"]
    assert token["catalog"] == []
    issued, expires = (datetime.fromisoformat(token[name]) for name in ("issued_at", "expires_at"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", token["issued_at"])
    assert expires - issued == timedelta(hours=24)
    text = reply.headers["X-Subject-Token"]
    headers = {"X-Auth-Token": text}
    rules = f"/v1/{api.key.project_id}/record/rules"
    assert (await api.client.get(rules, headers=headers)).status_code == 200
    body = {"domain": DOMAIN, "domain_type": "push", "region": REGION}
    made = await api.client.post(f"/v1/{api.key.project_id}/domain", json=body, headers=headers)
    assert made.status_code == 201
    refused(await api.client.get(rules, headers={"X-Auth-Token": text + "x"}), "decrypt token fail")

    await api.iam.set_password(user_id, PASSWORD + "2")
    refused(await api.client.get(rules, headers=headers), "decrypt token fail")


async def test_log_in_without_catalogue_or_scope(api: Api) -> None:
    await alice(api)
    reply = await api.client.post("/v3/auth/tokens?nocatalog=1", json=login())
    assert reply.status_code == 201
    assert "catalog" not in reply.json()["token"]
    assert reply.json()["token"]["project"]["name"] == REGION


async def test_account_scope_is_no_good_for_live(api: Api) -> None:
    await alice(api)
    reply = await api.client.post("/v3/auth/tokens", json=login(domain={"name": ACCOUNT_NAME}))
    assert "project" not in reply.json()["token"]
    headers = {"X-Auth-Token": reply.headers["X-Subject-Token"]}
    refusal = await api.client.get(f"/v1/{api.key.project_id}/record/rules", headers=headers)
    assert (refusal.status_code, refusal.json()["error_code"]) == (401, "LIVE.100011015")


@pytest.mark.parametrize(
    "body",
    [
        login(password="wrong password"),
        login(name="nobody"),
        login(name="admin"),  # has no password
        login(project={"name": "elsewhere"}),
        login(project={"id": "0" * 32}),
    ],
)
async def test_failed_log_in(api: Api, body: Any) -> None:
    await alice(api)
    reply = await api.client.post("/v3/auth/tokens", json=body)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == 401
    assert reply.json()["error"]["title"] == "Unauthorized"
    assert reply.headers["X-request-id"]
    assert reply.headers["X-IAM-Trace-Id"]


async def test_log_in_locks_too(api: Api) -> None:
    await alice(api)
    for _ in range(MAX_FAILURES + 1):
        assert (await api.client.post("/v3/auth/tokens", json=login(password="wrong"))).status_code == 401
    assert (await api.client.post("/v3/auth/tokens", json=login())).status_code == 401


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"auth": {"identity": {"methods": ["totp"]}}}'])
async def test_malformed_log_in(api: Api, content: bytes) -> None:
    reply = await api.client.post("/v3/auth/tokens", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json() == {"error": {"code": 400, "message": "The request body is invalid", "title": "Bad Request"}}


async def test_projects_by_name(api: Api) -> None:
    await api.iam.create_project("other")

    async def found(query: str) -> list[str]:
        reply = await api.client.send(api.signed("GET", f"/v3/projects?{query}"))
        assert reply.status_code == 200
        return [item["id"] for item in reply.json()["projects"]]

    assert await found(f"name={REGION}") == [api.key.project_id]
    assert await found("") == [api.key.project_id]
    assert await found("name=other") == []
    assert await found("name=nothing") == []
    assert await found(f"domain_id={ACCOUNT_ID}&enabled=true") == [api.key.project_id]
    assert await found("enabled=false") == []
    assert await found("page=2") == []
    bad = await api.client.send(api.signed("GET", "/v3/projects?per_page=0"))
    assert bad.json()["error"]["code"] == 400
    refused(await api.client.get("/v3/projects"), "x-auth-token not found")


# -- Replay


async def test_a_repeated_mutation_gets_the_first_answer(api: Api) -> None:
    await make_domain(api)
    request = api.signed("POST", f"/v1/{api.key.project_id}/record/rules", json.dumps(rule()).encode())
    first = await api.client.send(request)
    again = await api.client.send(request)
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again.headers["X-request-id"] == first.headers["X-request-id"]
    assert (await api.call("GET", "record/rules")).json()["total"] == 1


async def test_concurrent_copies_have_one_effect(api: Api) -> None:
    await make_domain(api)
    await api.call("POST", "record/rules", rule())
    api.owner.delay = 0.2
    target = f"/v1/{api.key.project_id}/record/control?action=START"
    request = api.signed("POST", target, json.dumps(STREAM).encode())
    replies = await asyncio.gather(*(api.client.send(request) for _ in range(5)))
    assert [reply.status_code for reply in replies] == [200] * 5
    assert len({reply.headers["X-request-id"] for reply in replies}) == 1
    assert len(api.owner.commands) == 1


async def test_a_repeated_delete(api: Api) -> None:
    await make_domain(api)
    made = (await api.call("POST", "record/rules", rule())).json()
    request = api.signed("DELETE", f"/v1/{api.key.project_id}/record/rules/{made['id']}")
    assert [(await api.client.send(request)).status_code for _ in range(2)] == [204, 204]


async def test_a_refused_mutation_may_be_tried_again_for_a_second_only(api: Api) -> None:
    await make_domain(api)
    await api.call("POST", "record/rules", rule())
    target = f"/v1/{api.key.project_id}/record/control?action=START"
    api.owner.refusal = StreamNotLive("nobody pushes it")
    request = api.signed("POST", target, json.dumps(STREAM).encode())
    late = api.signed("POST", target, json.dumps(STREAM | {"stream": "cam02"}).encode())
    assert (await api.client.send(request)).status_code == 404
    assert (await api.client.send(late)).status_code == 404
    api.owner.refusal = None
    assert (await api.client.send(request)).status_code == 200
    assert (await api.client.send(request)).status_code == 200  # a copy of the one that came through
    assert len(api.owner.commands) == 3
    api.clock.advance(1.1)
    assert (await api.client.send(late)).status_code == 404
    assert (await api.client.send(request)).status_code == 200
    assert len(api.owner.commands) == 3


async def test_equal_reads_are_not_limited(api: Api) -> None:
    request = api.signed("GET", f"/v1/{api.key.project_id}/record/rules")
    await make_domain(api)
    assert (await api.client.send(request)).json()["total"] == 0
    await api.call("POST", "record/rules", rule())
    assert (await api.client.send(request)).json()["total"] == 1


async def test_a_forged_signature_never_reaches_the_kept_answers(api: Api) -> None:
    await make_domain(api)
    request = api.signed("POST", f"/v1/{api.key.project_id}/record/rules", json.dumps(rule()).encode())
    assert (await api.client.send(request)).status_code == 201
    altered = api.client.build_request(
        "POST", request.url, headers=request.headers, content=json.dumps(rule(app="other")).encode()
    )
    altered.headers["content-length"] = str(len(json.dumps(rule(app="other"))))
    refused(await api.client.send(altered), "verify aksk signature fail")


# -- Upkeep


async def test_bootstrap_happens_once(api: Api) -> None:
    assert await api.iam.bootstrap("again") is None
    assert [project.name for project in await api.iam.projects()] == [REGION]


async def test_upkeep_refuses_nonsense(api: Api) -> None:
    project = api.key.project_id
    with pytest.raises(InvalidParameter):
        await api.iam.create_project("a b")
    with pytest.raises(ResourceExists):
        await api.iam.create_project(REGION)
    with pytest.raises(InvalidParameter):
        await api.iam.create_user("bob", project, password="short")
    with pytest.raises(InvalidParameter):
        await api.iam.create_user("bob", project, actions=["no such thing"])
    with pytest.raises(ResourceNotFound):
        await api.iam.create_user("bob", "0" * 32)
    with pytest.raises(ResourceNotFound):
        await api.iam.create_key("0" * 32)
    with pytest.raises(ResourceNotFound):
        await api.iam.delete_key("NOBODY")
    with pytest.raises(ResourceNotFound):
        await api.iam.detach_policy("0" * 32)
    await api.iam.create_user("bob", project)
    with pytest.raises(ResourceExists):
        await api.iam.create_user("bob", project)
    assert {user.name for user in await api.iam.users(project)} == {"admin", "bob"}
