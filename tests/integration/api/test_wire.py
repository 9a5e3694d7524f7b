"""Bytes on the wire that an SDK hides: statuses, bodies, headers, refusals, byte for byte where it matters."""

import asyncio
import json
import re
import time
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
import structlog

from livereel.api.app import create_app
from livereel.domain.tenancy import Effect

from .conftest import HOSTNAME, PATIENCE, REGION, Api

REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-\d{10}-" + HOSTNAME)
DOMAIN = "push.example.com"
STREAM = {"publish_domain": DOMAIN, "app": "live", "stream": "cam01"}
HLS = {"record_cycle": 3600}


def rule(**changes: Any) -> dict[str, Any]:
    config = {
        "record_format": ["HLS"],
        "obs_addr": {"bucket": "rec-a", "location": REGION, "object": "archive/"},
        "hls_config": HLS,
    }
    config |= changes.pop("config", {})
    body = {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": "*",
        "record_type": "COMMAND_RECORD",
        "default_record_config": config,
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}


async def make_domain(api: Api, name: str = DOMAIN) -> None:
    made = await api.call("POST", "domain", {"domain": name, "domain_type": "push", "region": REGION})
    assert made.status_code == 201, made.text


async def test_control_has_an_empty_body_and_a_request_id(api: Api) -> None:
    await make_domain(api)
    assert (await api.call("POST", "record/rules", rule())).status_code == 201
    reply = await api.call("POST", "record/control?action=START", STREAM)
    assert (reply.status_code, reply.content) == (200, b"")
    assert REQUEST_ID.fullmatch(reply.headers["X-request-id"])
    assert abs(int(reply.headers["X-request-id"].split("-")[5]) - time.time()) < 60


async def test_what_is_logged_for_a_request_bears_its_id(api: Api) -> None:
    await make_domain(api)
    configuration = dict(structlog.get_config())
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        reply = await api.call("POST", "stream/blocks", {"domain": DOMAIN, "app_name": "live", "stream_name": "cam01"})
    assert structlog.get_config()["processors"] == configuration["processors"]
    assert {line["event"] for line in lines} == {"stream_blocked", "api_request"}
    assert {line["request_id"] for line in lines} == {reply.headers["X-request-id"]}


async def test_what_is_logged_for_a_command_names_its_stream_and_says_why_it_was_refused(api: Api) -> None:
    await make_domain(api)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        reply = await api.call("POST", "record/control?action=START", STREAM)
        await api.call("GET", "record/contents")
        await api.call("GET", "record/rules")
        assert (await api.call("POST", "record/rules", rule())).status_code == 201
        assert (await api.call("POST", "record/control?action=START", STREAM | {"stream": "cam02"})).status_code == 200
    command, malformed, good, _, started = lines
    assert (started["stream"], started["status"]) == (f"{DOMAIN}/live/cam02", 200)
    assert started["task"]
    assert command["stream"] == f"{DOMAIN}/live/cam01"
    assert (command["status"], command["error"]) == (400, reply.json()["error_detail"])
    assert (malformed["status"], malformed["error"]) == (400, "start_time (query): Field required")
    assert good["status"] == 200
    assert not {"stream", "error"} & good.keys()


async def test_rule_reply_has_defaults_filled_in(api: Api) -> None:
    await make_domain(api)
    reply = await api.call(
        "POST",
        "record/rules",
        rule(
            record_type=...,
            stream="cam01",
            config={
                "record_format": ["HLS", "MP4"],
                "obs_addr": {"bucket": "rec-a", "location": REGION},
                "hls_config": {"record_cycle": 0, "record_prefix": "", "unknown": [1]},
                "mp4_config": None,
                "flv_config": {"record_cycle": 60},
            },
            unknown_member={"a": 1},
        ),
    )
    assert reply.status_code == 201
    assert reply.headers["content-type"].startswith("application/json")
    body = reply.json()
    assert re.fullmatch(r"[0-9a-f]{32}", body.pop("id"))
    assert body.pop("create_time") == body.pop("update_time")
    directory = "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}/"
    assert body == {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": "cam01",
        "record_type": "CONTINUOUS_RECORD",
        "default_record_config": {
            "record_format": ["HLS", "MP4"],
            "obs_addr": {"bucket": "rec-a", "location": REGION, "object": ""},
            "hls_config": {
                "record_cycle": 0,
                "record_prefix": directory + "{stream}_{file_start_time}",
                "record_ts_prefix": "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}",
                "record_slice_duration": 10,
                "record_max_duration_to_merge_file": 0,
            },
            "mp4_config": {
                "record_cycle": 0,
                "record_prefix": directory + "{file_start_time}",
                "record_max_duration_to_merge_file": 0,
            },
        },
    }


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "body"),
        (b"", "JSON object"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'"x"', "JSON object"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"app": ' + b"1" * 5000 + b"}", "cannot be read"),
        (rule(app="\ud800"), "app (body)"),
        (rule(app="a\0"), "app (body)"),
        (rule(config={"obs_addr": {"bucket": "rec-a", "location": "r\0"}}), "obs_addr.location (body)"),
        (rule(config={"obs_addr": {"bucket": "rec-a", "location": "\udfff"}}), "obs_addr.location (body)"),
        ({}, "publish_domain (body)"),
        (rule(app=...), "app (body)"),
        (rule(app=1), "app (body)"),
        (rule(app=None), "app (body)"),
        (rule(app=""), "app (body)"),
        (rule(app="a" * 129), "app (body)"),
        (rule(app="a/b"), "app"),
        (rule(stream="live_0*"), "stream"),
        (rule(stream="s" * 513), "stream (body)"),
        (rule(publish_domain="Push.Example.com"), "domain"),
        (rule(publish_domain="other.example.com"), "other.example.com"),
        (rule(record_type="SOMETIMES"), "record_type (body)"),
        (rule(record_type="ON_DEMAND"), "record_type (body)"),
        (rule(default_record_config=...), "default_record_config (body)"),
        (rule(default_record_config=[]), "default_record_config (body)"),
        (rule(config={"record_format": ["hls"]}), "default_record_config.record_format.0 (body)"),
        (rule(config={"record_format": []}), "default_record_config.record_format (body)"),
        (rule(config={"record_format": "HLS"}), "default_record_config.record_format (body)"),
        (rule(config={"obs_addr": {"bucket": "rec-a"}}), "default_record_config.obs_addr.location (body)"),
        (rule(config={"obs_addr": {"bucket": "../x", "location": "r"}}), "bucket"),
        (rule(config={"obs_addr": {"bucket": "rec-a", "location": "r", "object": "../up"}}), "object key"),
        (rule(config={"hls_config": {}}), "default_record_config.hls_config.record_cycle (body)"),
        (rule(config={"hls_config": {"record_cycle": "60"}}), "hls_config.record_cycle (body)"),
        (rule(config={"hls_config": {"record_cycle": 60.0}}), "hls_config.record_cycle (body)"),
        (rule(config={"hls_config": {"record_cycle": True}}), "hls_config.record_cycle (body)"),
        (rule(config={"hls_config": {"record_cycle": 59}}), "record_cycle"),
        (rule(config={"hls_config": {"record_cycle": 43201}}), "record_cycle"),
        (rule(config={"hls_config": HLS | {"record_slice_duration": 1}}), "record_slice_duration"),
        (rule(config={"hls_config": HLS | {"record_slice_duration": 0}}), "record_slice_duration"),
        (rule(config={"hls_config": HLS | {"record_slice_duration": 61}}), "record_slice_duration"),
        (rule(config={"hls_config": HLS | {"record_max_duration_to_merge_file": 301}}), "merge"),
        (rule(config={"hls_config": HLS | {"record_prefix": "{nobody}"}}), "{nobody}"),
        (rule(config={"hls_config": HLS | {"record_ts_prefix": "a/b"}}), "record_ts_prefix"),
        (
            rule(
                config={
                    "record_format": ["MP4"],
                    "mp4_config": {"record_cycle": 60, "record_max_duration_to_merge_file": -1},
                }
            ),
            "HLS only",
        ),
    ],
)
async def test_bad_rules(api: Api, body: Any, named: str) -> None:
    await make_domain(api)
    headers = {"content-type": "application/json"}
    reply = await api.call("POST", "record/rules", body, headers=headers)
    assert reply.status_code == 400, reply.text
    answer = reply.json()
    assert list(answer) == ["error_code", "error_msg", "error_detail"]
    assert (answer["error_code"], answer["error_msg"]) == ("LIVE.100011001", "Request Illegal")
    assert named in answer["error_detail"]
    assert REQUEST_ID.fullmatch(reply.headers["X-request-id"])


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("record/control", STREAM),
        ("record/control?action=start", STREAM),
        ("record/control?action=PAUSE", STREAM),
        ("record/control?action=START", {"publish_domain": DOMAIN, "app": "live"}),
        ("record/control?action=START", STREAM | {"stream": "a b"}),
        ("record/control?action=START", STREAM | {"stream": "../x"}),
        ("record/control?action=STOP", STREAM | {"stream": 7}),
    ],
)
async def test_bad_commands(api: Api, target: str, body: Any) -> None:
    reply = await api.call("POST", target, body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
    assert not api.owner.commands


@pytest.mark.parametrize(
    ("stream", "said"), [("", "must not be empty"), ("x" * 513, "must have at most 512 characters, not 513")]
)
async def test_lengths_are_told_in_characters(api: Api, stream: str, said: str) -> None:
    reply = await api.call("POST", "record/control?action=START", STREAM | {"stream": stream})
    assert reply.json()["error_detail"] == f"stream (body): {said}"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=1.0",
        "limit=1_0",
        "limit=",
        "offset=-1",
        "offset=99999999999",
        "record_type=X",
        "stream=%00",
    ],
)
async def test_bad_list_queries(api: Api, query: str) -> None:
    reply = await api.call("GET", f"record/rules?{query}")
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
    assert query.partition("=")[0] in reply.json()["error_detail"] or "NUL" in reply.json()["error_detail"]


async def test_list_filters_and_pages(api: Api) -> None:
    await make_domain(api)
    for index in range(3):
        assert (await api.call("POST", "record/rules", rule(stream=f"cam{index}"))).status_code == 201
    continuous = rule(stream="always", record_type="CONTINUOUS_RECORD")
    assert (await api.call("POST", "record/rules", continuous)).status_code == 201

    async def listed(query: str) -> tuple[int, list[str]]:
        body = (await api.call("GET", f"record/rules?{query}")).json()
        assert list(body) == ["total", "record_config"]
        return body["total"], [item["stream"] for item in body["record_config"]]

    assert (await listed(""))[0] == 4
    assert (await listed("record_type=CONTINUOUS_RECORD")) == (1, ["always"])
    assert (await listed("record_type=PLAN_RECORD")) == (0, [])
    assert (await listed("stream=cam1&app=live&publish_domain=" + DOMAIN)) == (1, ["cam1"])
    assert (await listed("app=&stream=cam1")) == (1, ["cam1"])
    first, second = await listed("limit=3"), await listed("limit=3&offset=3")
    assert (first[0], second[0]) == (4, 4)
    assert sorted(first[1] + second[1]) == ["always", "cam0", "cam1", "cam2"]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/x/nothing"),
        ("GET", "/v1/x/record/control"),
        ("PATCH", "/v1/x/record/rules"),
        ("POST", "/v1/x/record/rules/"),
        ("HEAD", "/v1/x/record/rules"),
        ("OPTIONS", "/v1/x/record/rules"),
        ("DELETE", "/v3/auth/tokens"),
        ("GET", "/docs"),
        ("POST", "/healthz"),
        ("GET", "/files/"),
    ],
)
async def test_unknown_operations(api: Api, method: str, target: str) -> None:
    reply = await api.client.request(method, target)
    assert reply.status_code == 404
    assert REQUEST_ID.fullmatch(reply.headers["X-request-id"])
    if method != "HEAD":
        body = reply.json()
        assert sorted(body) == ["error_code", "error_msg", "request_id"]
        assert body["error_code"] == "APIGW.0101"
        assert reply.headers["X-request-id"].replace("-", "").startswith(body["request_id"])


@pytest.mark.parametrize("rule_id", ["nothing", "%00", "..%2f..%2f", "0" * 32, "%ff", "a%0ab", "%F0%9F%8E%A5"])
async def test_ids_of_nothing(api: Api, rule_id: str) -> None:
    for method, body in (("GET", None), ("PUT", rule()), ("DELETE", None)):
        reply = await api.call(method, f"record/rules/{rule_id}", body)
        assert reply.status_code == 404, (method, reply.text)


async def test_a_body_over_12_mb(api: Api) -> None:
    reply = await api.call("POST", "record/rules", b" " * 12_000_001)
    assert (reply.status_code, reply.json()["error_code"]) == (413, "APIGW.0201")

    async def chunks() -> Any:
        for _ in range(13):
            yield b" " * 1_000_000

    reply = await api.client.post("/v3/auth/tokens", content=chunks())
    assert (reply.status_code, reply.json()["error_code"]) == (413, "APIGW.0201")
    assert REQUEST_ID.fullmatch(reply.headers["X-request-id"])


async def test_a_refused_client_may_finish_sending(api: Api) -> None:
    for target, status in ((f"/v1/{api.key.project_id}/record/rules", 401), ("/v1/x/nothing", 404)):
        reply = await api.client.post(target, content=b" " * 5_000_000)
        assert reply.status_code == status


async def test_uri_and_headers_have_limits(api: Api) -> None:
    reply = await api.client.get("/v1/" + "x" * 33_000)
    assert (reply.status_code, reply.json()["error_code"]) == (414, "APIGW.0201")
    reply = await api.client.get("/healthz", headers={"x-long": "x" * 33_000})
    assert (reply.status_code, reply.json()["error_code"]) == (494, "APIGW.0201")


async def test_the_request_id_is_spelled_as_documented(api: Api) -> None:
    reader, writer = await asyncio.open_connection(*api.host.split(":"))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"\r\nX-request-id: " in answer


async def test_what_is_not_http_is_refused_in_form(api: Api) -> None:
    reader, writer = await asyncio.open_connection(*api.host.split(":"))
    writer.write(b"\x00\x01 nonsense\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 400 ")
    assert REQUEST_ID.search(head)
    assert json.loads(body)["error_code"] == "APIGW.0201"


async def test_media_types(api: Api) -> None:
    await make_domain(api)
    for accepted in ("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"):
        reply = await api.call(
            "POST", "record/rules", rule(app=f"a{len(accepted)}"), headers={"content-type": accepted}
        )
        assert reply.status_code == 201, accepted
    reply = await api.call("POST", "record/rules", rule(app="b"), headers={"content-type": "text/plain"})
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011012")
    listed = await api.call("GET", "record/rules", headers={"content-type": "application/json"})
    assert listed.status_code == 200
    rule_id = listed.json()["record_config"][0]["id"]
    gone = await api.call("DELETE", f"record/rules/{rule_id}", headers={"content-type": "application/json"})
    assert (gone.status_code, gone.content) == (204, b"")


async def test_another_project_in_the_path(api: Api) -> None:
    reply = await api.client.send(api.signed("GET", f"/v1/{'0' * 32}/record/rules"))
    assert (reply.status_code, reply.json()["error_code"]) == (401, "LIVE.100011015")


async def test_projects_do_not_see_each_other(api: Api) -> None:
    await make_domain(api)
    made = (await api.call("POST", "record/rules", rule())).json()
    project = await api.iam.create_project("other")
    user = await api.iam.create_user("someone", project.id)
    other = await api.iam.create_key(user.id)

    async def call(method: str, target: str, body: Any = b"") -> int:
        content = json.dumps(body).encode() if body else b""
        request = api.signed(method, f"/v1/{project.id}/{target}", content, key=other)
        return (await api.client.send(request)).status_code

    assert await call("GET", f"record/rules/{made['id']}") == 404
    assert await call("PUT", f"record/rules/{made['id']}", rule()) == 404
    assert await call("DELETE", f"record/rules/{made['id']}") == 404
    assert await call("POST", "record/rules", rule()) == 400
    assert await call("POST", "record/control?action=START", STREAM) == 400
    assert await call("POST", "record/control?action=STOP", STREAM) == 404
    assert await call("GET", f"domain?domain={DOMAIN}") == 404
    assert await call("DELETE", f"domain?domain={DOMAIN}") == 400
    assert await call("GET", f"notifications/publish?domain={DOMAIN}") == 400
    assert await call("POST", "domain", {"domain": DOMAIN, "domain_type": "push", "region": REGION}) == 400
    assert not api.owner.commands


async def test_denied_actions(api: Api) -> None:
    user = await api.iam.create_user("reader", api.key.project_id, actions=["live:record:list*"])
    key = await api.iam.create_key(user.id)
    assert (await api.call("GET", "record/rules", key=key)).status_code == 200
    denied = await api.call("POST", "record/control?action=START", STREAM, key=key)
    assert denied.status_code == 403
    assert denied.json()["error_code"] == "APIGW.0302"
    assert "live:record:createCommand" in denied.json()["error_detail"]
    policy = await api.iam.attach_policy(user.id, Effect.DENY, ["live:record:listRules"])
    assert (await api.call("GET", "record/rules", key=key)).status_code == 403
    await api.iam.detach_policy(policy.id)
    assert (await api.call("GET", "record/rules", key=key)).status_code == 200


async def test_an_unexpected_failure_tells_nothing(api: Api) -> None:
    await make_domain(api)
    await api.call("POST", "record/rules", rule())
    api.owner.refusal = RuntimeError("secret internals")
    with structlog.testing.capture_logs():  # rendering the traceback takes seconds where logging is not set up
        reply = await api.call("POST", "record/control?action=START", STREAM)
    assert (reply.status_code, reply.json()["error_code"]) == (500, "LIVE.100011005")
    assert "secret" not in reply.text
    assert REQUEST_ID.fullmatch(reply.headers["X-request-id"])


async def test_notification_configuration(api: Api) -> None:
    await make_domain(api)
    target = f"notifications/publish?domain={DOMAIN}"
    assert (await api.call("GET", target)).json() == {"url": ""}
    url = "https://hooks.example.com/live"
    for bad in (
        {},
        {"url": "ftp://x"},
        {"url": "http://"},
        {"url": url, "auth_sign_key": "short"},
        {"url": url, "auth_sign_key": "k" * 129},
        {"url": url, "call_back_area": "moon"},
    ):
        assert (await api.call("PUT", target, bad)).status_code == 400, bad
    made = await api.call("PUT", target, {"url": url})
    assert (made.status_code, made.content) == (201, b"")
    assert (await api.call("GET", target)).json() == {"url": url}
    full = {"url": url, "auth_sign_key": "k" * 128, "call_back_area": "mainland_china"}
    changed = await api.call("PUT", target, full)
    assert (changed.status_code, changed.content) == (200, b"")
    assert (await api.call("GET", target)).json() == full
    assert (await api.call("DELETE", target)).status_code == 204
    assert (await api.call("GET", target)).json() == {"url": ""}
    for unknown in ("notifications/publish?domain=no.example.com", "notifications/publish"):
        for method in ("GET", "DELETE"):
            reply = await api.call(method, unknown)
            assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")


async def test_domain_objects(api: Api) -> None:
    body = {"domain": "play.example.com", "domain_type": "pull", "region": REGION, "service_area": "global"}
    made = await api.call("POST", "domain", body)
    assert made.status_code == 201
    answer = made.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("create_time"))
    expected = body | {"domain_cname": HOSTNAME, "status": "on", "pull_protocol": "flv_rtmp"}
    assert answer == expected
    shown = (await api.call("GET", "domain?domain=play.example.com")).json()
    assert shown["total"] == 1
    del shown["domain_info"][0]["create_time"]
    assert shown["domain_info"] == [expected | {"vendor": "livereel", "related_domain": "", "is_ipv6": False}]
    again = await api.call("POST", "domain", body | {"service_area": "mainland_china"})
    assert (again.status_code, again.json()["error_code"]) == (400, "LIVE.103011018")
    for bad in (
        {"domain": "a.example.com", "domain_type": "push"},
        {"domain": "*.example.com", "domain_type": "push", "region": REGION},
        {"domain": "A.example.com", "domain_type": "push", "region": REGION},
        {"domain": "a.example.com", "domain_type": "both", "region": REGION},
    ):
        assert (await api.call("POST", "domain", bad)).status_code == 400, bad
    unknown = await api.call("PUT", "domain", {"domain": "no.example.com", "status": "off"})
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "LIVE.103011019")
    on_template = await api.call("POST", "record/rules", rule(publish_domain="play.example.com"))
    assert on_template.status_code == 400


async def test_the_65th_domain(api: Api) -> None:
    for index in range(64):
        await make_domain(api, f"d{index}.example.com")
    body = {"domain": "d64.example.com", "domain_type": "push", "region": REGION}
    reply = await api.call("POST", "domain", body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.103011020")


async def test_health_readiness_and_metrics(api: Api) -> None:
    assert (await api.client.get("/healthz")).json() == {"status": "ok"}
    assert (await api.client.head("/healthz")).status_code == 200
    ready = await api.client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": {"catalogue": None}})
    api.problems["spool"] = "the disk is full"
    ready = await api.client.get("/readyz")
    assert ready.status_code == 503
    assert (await api.client.head("/readyz")).status_code == 503
    assert ready.json()["checks"]["spool"] == "the disk is full"
    await api.call("GET", "record/rules")
    metrics = await api.client.get("/metrics")
    assert 'livereel_api_requests_total{method="GET",route="ListRecordRules",status="200"}' in metrics.text
    assert REQUEST_ID.fullmatch(metrics.headers["X-request-id"])


async def test_strangers_find_no_metrics(api: Api) -> None:
    app = create_app(replace(api.services, metrics_allow=(ip_network("10.1.0.0/16"),)))
    for client, status in (("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("10.2.2.3", 404), ("2002:a01:203::", 404)):
        transport = httpx2.ASGITransport(app, client=(client, 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here", timeout=PATIENCE) as stranger:
            answer = await stranger.get("/metrics")
        assert answer.status_code == status, client
        assert (b"livereel_" in answer.content) == (status == 200)


async def test_openapi_describes_every_operation(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    run = document["paths"]["/v1/{project_id}/record/control"]["post"]
    assert run["operationId"] == "RunRecord"
    assert {parameter["name"] for parameter in run["parameters"]} == {"project_id", "action"}
    assert "requestBody" in run
