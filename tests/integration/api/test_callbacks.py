"""record/callbacks, through the official SDK and byte for byte."""

import asyncio
import json
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdklive.v1 import (
    CreateRecordCallbackConfigRequest,
    LiveClient,
    RecordCallbackConfigRequest,
)

from .conftest import REGION, Api

DOMAIN = "push.example.com"
URL = "https://app.example.com/rec"
KEY = "0123456789abcdef0123456789ABCDEF"
PATH = "record/callbacks"
BODY = {"publish_domain": DOMAIN, "app": "live", "notify_callback_url": URL}


@pytest.fixture
def sdk(api: Api) -> LiveClient:
    credentials = BasicCredentials(api.key.access, api.key.secret, api.key.project_id)
    return LiveClient.new_builder().with_credentials(credentials).with_endpoint(api.url).build()


async def refusal(call: Any, request: Any) -> ClientRequestException:
    with pytest.raises(ClientRequestException) as caught:
        await asyncio.to_thread(call, request)
    return caught.value


async def make_domain(api: Api, name: str = DOMAIN, domain_type: str = "push") -> None:
    made = await api.call("POST", "domain", {"domain": name, "domain_type": domain_type, "region": REGION})
    assert made.status_code == 201, made.text


async def test_a_domain_has_one_configuration(api: Api, sdk: LiveClient) -> None:
    await make_domain(api)
    await make_domain(api, "other.example.com")
    first = await api.call("POST", PATH, BODY)
    assert first.status_code == 201
    body = RecordCallbackConfigRequest(publish_domain=DOMAIN, app="*", notify_callback_url=URL)
    error = await refusal(sdk.create_record_callback_config, CreateRecordCallbackConfigRequest(body=body))
    assert (error.status_code, error.error_code) == (400, "LIVE.103011018")
    other = await api.call("POST", PATH, BODY | {"publish_domain": "other.example.com"})
    assert other.status_code == 201
    taken = await api.call("PUT", f"{PATH}/{other.json()['id']}", BODY)
    assert (taken.status_code, taken.json()["error_code"]) == (400, "LIVE.103011018")
    assert (await api.call("DELETE", f"{PATH}/{first.json()['id']}")).status_code == 204
    moved = await api.call("PUT", f"{PATH}/{other.json()['id']}", BODY | {"app": "moved"})
    assert (moved.status_code, moved.json()["publish_domain"]) == (200, DOMAIN)


async def test_the_key_is_kept_and_never_shown(api: Api) -> None:
    await make_domain(api)
    made = await api.call("POST", PATH, BODY | {"key": KEY})
    config_id = made.json()["id"]
    replies = [
        made,
        await api.call("GET", PATH),
        await api.call("GET", f"{PATH}/{config_id}"),
        await api.call("PUT", f"{PATH}/{config_id}", BODY | {"app": "*"}),
    ]
    for reply in replies:
        assert KEY not in reply.text
        assert '"key"' not in reply.text

    async def key() -> str:
        async with api.catalogue.read() as work:
            found = await work.callbacks.by_domain(DOMAIN)
        assert found is not None
        return found.key

    assert await key() == KEY  # an update that does not know it leaves it
    await api.call("PUT", f"{PATH}/{config_id}", BODY | {"key": "x" * 32})
    assert await key() == "x" * 32
    await api.call("PUT", f"{PATH}/{config_id}", BODY | {"key": ""})
    assert await key() == ""


async def test_the_reply_word_for_word(api: Api) -> None:
    await make_domain(api)
    events = ["RECORD_START", "RECORD_OVER", "RECORD_START"]
    made = await api.call("POST", PATH, BODY | {"notify_event_subscription": events, "unknown": 1, "sign_type": None})
    reply = made.json()
    assert reply == {
        "id": reply["id"],
        "publish_domain": DOMAIN,
        "app": "live",
        "notify_callback_url": URL,
        "notify_event_subscription": ["RECORD_START", "RECORD_OVER"],
        "sign_type": "HMACSHA256",
        "create_time": reply["create_time"],
        "update_time": reply["create_time"],
    }
    assert (await api.call("GET", f"{PATH}/{reply['id']}")).json() == reply
    assert (await api.call("GET", PATH)).json() == {"total": 1, "callback_config": [reply]}


async def test_filters_and_pages(api: Api) -> None:
    for n in range(3):
        await make_domain(api, f"push{n}.example.com")
        body = BODY | {"publish_domain": f"push{n}.example.com", "app": "live" if n else "*"}
        assert (await api.call("POST", PATH, body)).status_code == 201

    async def found(query: str) -> tuple[int, list[str]]:
        reply = (await api.call("GET", f"{PATH}?{query}")).json()
        return reply["total"], [item["publish_domain"] for item in reply["callback_config"]]

    assert await found("app=live") == (2, ["push1.example.com", "push2.example.com"])
    assert await found("app=%2A") == (1, ["push0.example.com"])
    assert await found("publish_domain=push1.example.com&app=") == (1, ["push1.example.com"])
    assert await found("publish_domain=nobody.example.com") == (0, [])
    assert await found("offset=1&limit=1") == (3, ["push1.example.com"])
    for query in ("limit=0", "limit=101", "offset=-1", "limit=x"):
        bad = await api.call("GET", f"{PATH}?{query}")
        assert (bad.status_code, bad.json()["error_code"]) == (400, "LIVE.100011001")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"notify_callback_url": URL + "?a=b"}, "notify_callback_url"),
        ({"notify_callback_url": "ftp://app.example.com/"}, "notify_callback_url"),
        ({"notify_callback_url": "https://"}, "notify_callback_url"),
        ({"notify_callback_url": "https://app.example.com:99999/"}, "notify_callback_url"),
        ({"notify_callback_url": "https://app.example.com/a b"}, "notify_callback_url"),
        ({"notify_callback_url": "https://app.example.com/" + "a" * 2048}, "notify_callback_url"),
        ({"notify_callback_url": ""}, "notify_callback_url"),
        ({"notify_callback_url": None}, "notify_callback_url"),
        ({"notify_callback_url": 1}, "notify_callback_url"),
        ({"on_demand_callback_url": "gopher://x/"}, "on_demand_callback_url"),
        ({"notify_event_subscription": []}, "notify_event_subscription"),
        ({"notify_event_subscription": ["RECORD_EVERYTHING"]}, "notify_event_subscription"),
        ({"notify_event_subscription": "RECORD_START"}, "notify_event_subscription"),
        ({"sign_type": "SHA1"}, "sign_type"),
        ({"sign_type": "md5"}, "sign_type"),
        ({"key": "k" * 31}, "key"),
        ({"key": "k" * 129}, "key"),
        ({"key": 7}, "key"),
        ({"app": "li*"}, "app"),
        ({"app": ""}, "app"),
        ({"app": None}, "app"),
        ({"publish_domain": "unknown.example.com"}, "unknown.example.com"),
        ({"publish_domain": "pull.example.com"}, "streaming domain"),
        ({"publish_domain": "*"}, "domain"),
    ],
)
async def test_bad_configurations(api: Api, changes: dict[str, Any], named: str) -> None:
    await make_domain(api)
    await make_domain(api, "pull.example.com", "pull")
    refused = await api.call("POST", PATH, BODY | changes)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "LIVE.100011001"), refused.text
    assert named in refused.json()["error_detail"]
    assert (await api.call("GET", PATH)).json()["total"] == 0


async def test_the_url_of_the_on_demand_service_may_stand_alone(api: Api) -> None:
    await make_domain(api)
    body = {"publish_domain": DOMAIN, "app": "*", "on_demand_callback_url": URL + "/record_auth"}
    made = await api.call("POST", PATH, body)
    assert made.status_code == 201
    assert (made.json()["notify_callback_url"], made.json()["on_demand_callback_url"]) == ("", URL + "/record_auth")


async def test_projects_do_not_see_each_other(api: Api) -> None:
    await make_domain(api)
    made = (await api.call("POST", PATH, BODY)).json()
    other = await api.iam.create_project("other")
    user = await api.iam.create_user("stranger", other.id)
    key = await api.iam.create_key(user.id)
    own = f"/v1/{other.id}/{PATH}"
    for method, target, body, status in (
        ("GET", f"{own}/{made['id']}", b"", 404),
        ("PUT", f"{own}/{made['id']}", json.dumps(BODY).encode(), 404),
        ("DELETE", f"{own}/{made['id']}", b"", 404),
        ("POST", own, json.dumps(BODY).encode(), 400),
    ):
        reply = await api.client.send(api.signed(method, target, body, key=key))
        assert reply.status_code == status
    assert (await api.client.send(api.signed("GET", own, key=key))).json() == {"total": 0, "callback_config": []}
    assert (await api.call("GET", f"{PATH}/{made['id']}")).status_code == 200
