"""Who may do what: signatures, tokens, projects, policies, as clients and attackers send them."""

import time
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdklive.v1 import ListRecordRulesRequest, LiveClient
from huaweicloudsdklive.v1.region.live_region import LiveRegion

from tests.acceptance.accounts import PASSWORD, new_project, new_user
from tests.acceptance.api import DOMAIN, Answer, Bare, Sdk, send, signature
from tests.acceptance.server import LiveServer
from tests.acceptance.test_record_on_command import REQUEST_ID

RULES = "/v1/{project}/record/rules"
CONTROL = "/v1/{project}/record/control"


def test_sdk_finds_its_project_by_region(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.credentials is not None
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_LIVE_LIVEREEL_1", server.endpoint)
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", server.endpoint)
    credentials = BasicCredentials(server.credentials.access, server.credentials.secret)
    client = (
        LiveClient.new_builder().with_credentials(credentials).with_region(LiveRegion.value_of("livereel-1")).build()
    )
    client.list_record_rules(ListRecordRulesRequest())
    assert credentials.project_id == server.credentials.project_id


def test_other_project_in_the_path(server: LiveServer) -> None:
    answer = server.bare().call("GET", f"/v1/{'0' * 32}/record/rules")
    assert (answer.status, answer.error) == (401, "LIVE.100011015")
    assert REQUEST_ID.fullmatch(answer.request_id)


@pytest.mark.parametrize("case", ["secret", "access", "body", "query", "path", "unsigned header list", "none"])
def test_forged_signature(server: LiveServer, case: str) -> None:
    assert server.credentials is not None
    good, project = server.credentials, server.credentials.project_id
    path, query = f"/v1/{project}/record/control", {"action": "STOP"}
    body = b'{"publish_domain": "publish.example.com", "app": "live", "stream": "forged"}'
    address = server.endpoint.partition("//")[2]
    headers = {"Host": address, "Content-Type": "application/json"}
    signer = good._replace(secret="x" * 40) if case == "secret" else good
    signer = signer._replace(access="NOSUCHKEYNOSUCHKEY00") if case == "access" else signer
    signed = headers | signature(signer, "POST", path, query, headers, body, time.time())
    target = f"{path}?action={'START' if case == 'query' else 'STOP'}"
    match case:
        case "body":
            body = body.replace(b"forged", b"cheats")
        case "path":
            target = target.replace("control", "rules")
        case "unsigned header list":
            names = "content-type;host;x-sdk-date"
            signed["Authorization"] = signed["Authorization"].replace(names, "content-type")
        case "none":
            del signed["Authorization"]
    refused(send(address, "POST", target, signed, body))


def test_stale_signature(server: LiveServer) -> None:
    for away in (-16 * 60, 16 * 60):
        answer = server.bare().call("GET", RULES, at=time.time() + away)
        refused(answer)
        assert "expired" in answer.json["error_msg"]
    for away in (-14 * 60, 14 * 60):
        assert server.bare().call("GET", RULES, at=time.time() + away).status == 200


def test_replayed_mutation_has_no_second_effect(server: LiveServer, stream: str) -> None:
    assert server.credentials is not None
    path = f"/v1/{server.credentials.project_id}/record/rules"
    address = server.endpoint.partition("//")[2]
    body = (
        b'{"publish_domain": "%s", "app": "live", "stream": "%s", "default_record_config": {"record_format": ["FLV"], '
        b'"obs_addr": {"bucket": "rec-a", "location": "x", "object": ""}}}' % (DOMAIN.encode(), stream.encode())
    )
    headers = {"Host": address, "Content-Type": "application/json"}
    headers |= signature(server.credentials, "POST", path, {}, headers, body, time.time())
    first = send(address, "POST", path, headers, body)
    again = send(address, "POST", path, headers, body)
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json
    assert REQUEST_ID.fullmatch(again.request_id)
    assert server.bare().call("GET", RULES, {"stream": stream}).json["total"] == 1
    # Reads within one second look the same on purpose, and are never limited.
    now = time.time()
    assert [server.bare().call("GET", RULES, at=now).status for _ in range(5)] == [200] * 5


def test_token(server: LiveServer, stream: str) -> None:
    user = new_user(server, f"{stream}-user", password=True)
    answer = log_in(server, user.name, PASSWORD)
    assert answer.status == 201
    assert answer.json["token"]["project"]["id"] == user.credentials.project_id
    token = {"X-Auth-Token": answer.headers["x-subject-token"]}

    bare = server.bare(user.credentials)
    assert bare.call("GET", RULES, headers=token, sign=False).status == 200
    body = {"publish_domain": DOMAIN, "app": "live", "stream": stream}
    answer = bare.call("POST", CONTROL, {"action": "STOP"}, body, headers=token, sign=False)
    assert (answer.status, answer.error) == (404, "LIVE.100011001")
    answer = bare.call("GET", f"/v1/{'0' * 32}/record/rules", headers=token, sign=False)
    assert (answer.status, answer.error) == (401, "LIVE.100011015")

    text = token["X-Auth-Token"]
    forged = {"X-Auth-Token": text[:-1] + ("x" if text[-1] != "x" else "y")}
    refused(bare.call("GET", RULES, headers=forged, sign=False))
    assert log_in(server, user.name, "wrong" + PASSWORD).status == 401
    assert log_in(server, "nobody", PASSWORD).status == 401
    assert server.bare().call("POST", "/v3/auth/tokens", body={"auth": {}}, sign=False).status == 400


def test_policies_allow_and_deny_by_name(server: LiveServer, stream: str) -> None:
    reader = new_user(server, f"{stream}-reader", allow=("live:record:listRules",))
    starter = new_user(server, f"{stream}-starter", allow=("live:*",), deny=("live:record:create*",))

    assert server.bare(reader.credentials).call("GET", RULES).status == 200
    denied(Sdk(server.endpoint, reader.credentials), stream)
    assert server.bare(starter.credentials).call("GET", RULES).status == 200
    denied(Sdk(server.endpoint, starter.credentials), stream)


def test_access_key_is_locked_after_failures(server: LiveServer, stream: str) -> None:
    user = new_user(server, f"{stream}-user")
    assert server.bare(user.credentials).call("GET", RULES).status == 200
    guess = server.bare(user.credentials._replace(secret="x" * 40))
    for _ in range(6):
        refused(guess.call("GET", RULES))
    answer = server.bare(user.credentials).call("GET", RULES)  # right, but too late
    refused(answer)
    assert "AK access failed to reach the limit" in answer.json["error_msg"]
    assert server.bare().call("GET", RULES).status == 200  # nobody else is locked out


def test_projects_do_not_see_each_other(server: LiveServer, stream: str) -> None:
    server.sdk().create_template(stream)
    other = new_user(server, f"{stream}-user", project=new_project(server, f"{stream}-project"))
    assert server.credentials is not None
    assert other.credentials.project_id != server.credentials.project_id
    assert server.bare(other.credentials).call("GET", RULES, {"limit": "100"}).json["total"] == 0
    with pytest.raises(ClientRequestException) as wrong:
        Sdk(server.endpoint, other.credentials).start(stream)
    assert (wrong.value.status_code, wrong.value.error_code) == (400, "LIVE.100011001")


def refused(answer: Answer) -> None:
    """The gateway's 401."""
    assert (answer.status, answer.error) == (401, "APIGW.0301"), answer
    assert answer.json["error_msg"].startswith("Incorrect IAM authentication information")
    assert len(answer.json["request_id"]) == 32
    assert REQUEST_ID.fullmatch(answer.request_id)


def denied(sdk: Sdk, stream: str) -> None:
    with pytest.raises(ClientRequestException) as forbidden:
        sdk.start(stream)
    assert forbidden.value.status_code == 403


def log_in(server: LiveServer, name: str, password: str) -> Answer:
    user: dict[str, Any] = {"name": name, "password": password, "domain": {"name": "livereel"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    return Bare(server.endpoint, None).call("POST", "/v3/auth/tokens", {"nocatalog": "1"}, body)
