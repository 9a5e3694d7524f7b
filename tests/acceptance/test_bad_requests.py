"""Requests that are signed well and wrong nevertheless: a clear documented error, and nothing happens."""

import copy
from typing import Any

import pytest

from tests.acceptance.api import DOMAIN
from tests.acceptance.server import LiveServer
from tests.acceptance.test_record_on_command import REQUEST_ID

RULES = "/v1/{project}/record/rules"
CONTROL = "/v1/{project}/record/control"
CONTENTS = "/v1/{project}/record/contents"
STREAM = {"publish_domain": DOMAIN, "app": "live", "stream": "bad-requests"}
RULE: dict[str, Any] = STREAM | {
    "record_type": "COMMAND_RECORD",
    "default_record_config": {
        "record_format": ["HLS", "FLV"],
        "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": ""},
        "hls_config": {"record_cycle": 3600, "record_slice_duration": 6},
        "flv_config": {"record_cycle": 0},
    },
}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"publish_domain": "publish.example.com", "app": "live"}',
        b'{"publish_domain": "publish.example.com", "app": "live", "stream": 7}',
        b'{"publish_domain": "publish.example.com", "app": "live", "stream": ""}',
        b'{"publish_domain": "publish.example.com", "app": "live", "stream": "../../etc/passwd"}',
        b'{"publish_domain": "publish.example.com", "app": "' + b"a" * 129 + b'", "stream": "x"}',
        b'{"publish_domain": "publish.example.com", "app": "live", "stream": "' + b"s" * 513 + b'"}',
        b"[" * 50_000,
    ],
    ids=lambda body: body[:40].decode(errors="replace"),
)
def test_control_with_a_bad_body(server: LiveServer, body: bytes) -> None:
    illegal(server.bare().call("POST", CONTROL, {"action": "START"}, body))


@pytest.mark.parametrize("query", [{}, {"action": ""}, {"action": "start"}, {"action": "PAUSE"}])
def test_control_with_a_bad_action(server: LiveServer, query: dict[str, str]) -> None:
    illegal(server.bare().call("POST", CONTROL, query, STREAM))


def test_start_of_a_stream_that_nobody_pushes(server: LiveServer, stream: str) -> None:
    server.sdk().create_template(stream)
    answer = server.bare().call("POST", CONTROL, {"action": "START"}, STREAM | {"stream": stream})
    assert (answer.status, answer.error) == (404, "LIVE.100011001")
    assert answer.json["error_msg"] == "The resource to access is not exists"
    assert "not being pushed" in answer.json["error_detail"]


def test_start_without_a_command_template(server: LiveServer, stream: str) -> None:
    answer = server.bare().call("POST", CONTROL, {"action": "START"}, STREAM | {"stream": stream})
    illegal(answer)
    assert "COMMAND_RECORD" in answer.json["error_detail"]
    server.sdk().create_template(stream, record_type="CONTINUOUS_RECORD")
    illegal(server.bare().call("POST", CONTROL, {"action": "START"}, STREAM | {"stream": stream}))


def test_stop_of_a_stream_that_nothing_records(server: LiveServer, stream: str) -> None:
    answer = server.bare().call("POST", CONTROL, {"action": "STOP"}, STREAM | {"stream": stream})
    assert (answer.status, answer.error) == (404, "LIVE.100011001")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("publish_domain",), None),
        (("publish_domain",), "unknown.example.com"),
        (("publish_domain",), "*"),
        (("app",), "li*"),
        (("stream",), "cam_0*"),
        (("record_type",), "SOMETIMES"),
        (("default_record_config",), None),
        (("default_record_config", "record_format"), []),
        (("default_record_config", "record_format"), ["hls"]),
        (("default_record_config", "record_format"), ["AVI"]),
        (("default_record_config", "record_format"), "HLS"),
        (("default_record_config", "obs_addr"), None),
        (("default_record_config", "obs_addr", "bucket"), "../other"),
        (("default_record_config", "obs_addr", "object"), "../../up/"),
        (("default_record_config", "hls_config", "record_cycle"), 59),
        (("default_record_config", "hls_config", "record_cycle"), 43_201),
        (("default_record_config", "hls_config", "record_cycle"), "3600"),
        (("default_record_config", "hls_config", "record_cycle"), 60.5),
        (("default_record_config", "hls_config", "record_slice_duration"), 1),
        (("default_record_config", "hls_config", "record_slice_duration"), 61),
        (("default_record_config", "hls_config", "record_prefix"), "{nobody}/x"),
        (("default_record_config", "hls_config", "record_prefix"), "../{stream}"),
        (("default_record_config", "hls_config", "record_ts_prefix"), "a/b"),
        (("default_record_config", "flv_config", "record_max_duration_to_merge_file"), -1),
        (("default_record_config", "hls_config", "record_max_duration_to_merge_file"), -2),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else repr(value),
)
def test_template_out_of_range(server: LiveServer, stream: str, path: tuple[str, ...], value: Any) -> None:
    rule = copy.deepcopy(RULE) | {"stream": stream[:64]}
    target = rule
    for name in path[:-1]:
        target = target[name]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    before = server.bare().call("GET", RULES).json["total"]
    illegal(server.bare().call("POST", RULES, body=rule))
    assert server.bare().call("GET", RULES).json["total"] == before


def test_template_life(server: LiveServer, stream: str) -> None:
    bare, rule = server.bare(), RULE | {"stream": stream}
    made = bare.call("POST", RULES, body=rule)
    assert made.status == 201
    again = bare.call("POST", RULES, body=rule | {"unknown": "members are ignored"})
    assert (again.status, again.error) == (400, "LIVE.103011018")

    config = made.json["default_record_config"]
    assert config["hls_config"]["record_slice_duration"] == 6
    assert config["hls_config"]["record_max_duration_to_merge_file"] == 0
    assert config["hls_config"]["record_prefix"].startswith("Record/{publish_domain}/")
    assert (
        config["hls_config"]["record_ts_prefix"] == "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}"
    )
    assert not config.get("mp4_config")

    one = f"{RULES}/{made.json['id']}"
    assert bare.call("GET", one).json == made.json
    changed = bare.call("PUT", one, body=rule | {"record_type": "CONTINUOUS_RECORD"})
    assert (changed.status, changed.json["record_type"]) == (200, "CONTINUOUS_RECORD")
    listed = bare.call("GET", RULES, {"stream": stream, "limit": "1"}).json
    assert (listed["total"], listed["record_config"]) == (1, [changed.json])
    assert bare.call("DELETE", one).status == 204
    for method, body in (("GET", None), ("PUT", rule), ("DELETE", None)):
        gone = bare.call(method, one, body=body)
        assert (gone.status, gone.error) == (404, "LIVE.100011001")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"start_time": "yesterday"},
        {"start_time": "2026-07-21"},
        {"start_time": "2026-07-21T06:15:28Z", "end_time": "2026-07-21T06:15:27Z"},
        {"start_time": "2026-07-21T06:15:28Z", "limit": "0"},
        {"start_time": "2026-07-21T06:15:28Z", "limit": "101"},
        {"start_time": "2026-07-21T06:15:28Z", "limit": "many"},
        {"start_time": "2026-07-21T06:15:28Z", "offset": "-1"},
        {"start_time": "2026-07-21T06:15:28Z", "record_type": "SOMETIMES"},
    ],
    ids=str,
)
def test_contents_with_a_bad_query(server: LiveServer, query: dict[str, str]) -> None:
    illegal(server.bare().call("GET", CONTENTS, query))


def test_unknown_operations_and_ids(server: LiveServer) -> None:
    bare = server.bare()
    for method, path in (
        ("GET", "/v1/{project}/record/nothing"),
        ("GET", CONTROL),
        ("GET", "/"),
        ("GET", "/v1/"),
        ("GET", "//"),
        ("PATCH", RULES),
    ):
        answer = bare.call(method, path)
        assert (answer.status, answer.error) == (404, "APIGW.0101"), (method, path, answer)
        assert REQUEST_ID.fullmatch(answer.request_id)
    for odd in ("nothing", "%00", "..%2f..%2f", "0" * 32):
        assert bare.call("GET", f"{RULES}/{odd}").status in {401, 404}


def test_body_that_is_too_large(server: LiveServer) -> None:
    answer = server.bare().call("POST", RULES, body=b" " * 13_000_000)
    assert answer.status == 413
    assert REQUEST_ID.fullmatch(answer.request_id)


def test_health_and_metrics_need_no_credentials(server: LiveServer) -> None:
    bare = server.bare()
    assert bare.call("GET", "/healthz", sign=False).status == 200
    assert bare.call("GET", "/readyz", sign=False).status == 200
    metrics = bare.call("GET", "/metrics", sign=False)
    assert metrics.status == 200
    assert b"livereel_" in metrics.body


def illegal(answer: Any) -> None:
    assert (answer.status, answer.error) == (400, "LIVE.100011001"), answer
    assert answer.json["error_msg"]
    assert answer.json["error_detail"]
    assert REQUEST_ID.fullmatch(answer.request_id)
