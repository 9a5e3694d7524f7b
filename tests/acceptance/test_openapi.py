"""The server against its own OpenAPI document: generated requests, valid and not, get the answers that it names.

Requests are drawn from the document by schemathesis and signed like any other. Names that exist are mixed into it, so
that requests get past "there is no such domain".
"""

import copy
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from livereel.api.app import create_app
from livereel.iam.signature import SignedRequest, sign
from tests.acceptance.api import BUCKET, DOMAIN, Credentials
from tests.acceptance.conftest import Footage
from tests.acceptance.encoders import Encoder, push_command
from tests.acceptance.server import LiveServer, wait_until

EXAMPLES = 10  # per operation, valid ones and as many that break its schema
BOUNDARIES = 40  # per operation: values at and beyond the limits of each member
PULL_DOMAIN = "play.example.com"
STREAM = "generated"
REGION = "cn-north-4"
NOBODY = "http://127.0.0.1:9/"  # where nobody listens
ROOT = "/v1/{project}"
LOGIN = "/v3/auth/tokens"
TIMEOUT = 120.0  # seconds; START waits 10 s for a key frame

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Signed(requests.auth.AuthBase):
    """Signs what is sent, byte for byte. Two equal requests within a second would count as one sent twice: `nonce`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._nonce = 0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        assert request.url is not None
        assert request.method is not None
        self._nonce += 1
        url = urlsplit(request.url)
        body = request.body or b""
        headers = {
            "host": url.netloc,
            "x-sdk-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            "x-request-nonce": str(self._nonce),
        }
        raw = SignedRequest(
            request.method,
            url.path.encode(),
            url.query.encode(),
            tuple((name.encode(), value.encode()) for name, value in headers.items()),
            body.encode() if isinstance(body, str) else body,
        )
        signature = sign(raw, tuple(sorted(headers)), self._credentials.secret)
        request.headers.update(headers)
        request.headers["Authorization"] = (
            f"SDK-HMAC-SHA256 Access={self._credentials.access}, "
            f"SignedHeaders={';'.join(sorted(headers))}, Signature={signature}"
        )
        return request


def seeded(document: dict[str, Any], known: dict[str, list[Any]]) -> dict[str, Any]:
    """`document` in which the parameters and members of `known` have values that exist, as far as they fit."""
    document = copy.deepcopy(document)

    def of_known(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        whole = {**schema, "components": document["components"]}
        fitting = [value for value in known.get(name, ()) if jsonschema_rs.is_valid(whole, value)]
        return {"enum": fitting} if fitting else schema

    for model in document["components"]["schemas"].values():
        for name, schema in model.get("properties", {}).items():
            model["properties"][name] = of_known(name, schema)
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = of_known(parameter["name"], parameter["schema"])
    return document


def _text(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of its own with no quotas."""
    server = LiveServer(tmp_path_factory.mktemp("openapi"), LIVEREEL_API__RATE_LIMITS="false")
    try:
        yield server.start()
        if server.running:
            server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def live(described: LiveServer, footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stream that is pushed over and over: some of the generated requests cut or block it."""
    log = tmp_path_factory.mktemp("encoder") / "ffmpeg.log"
    encoder = Encoder(push_command(footage().path, described.push_url(STREAM)), log)
    client = described.bare()

    def pushed() -> int:
        answer = client.call("GET", f"{ROOT}/realtime/streams", {"publish_domain": DOMAIN})
        return int(answer.json["total_num"])

    try:
        wait_until(pushed, 60, "the stream")
        yield
    finally:
        encoder.stop()


@pytest.fixture
def known(described: LiveServer, live: None) -> dict[str, list[Any]]:
    """Names that exist; what earlier requests deleted is there again."""
    client = described.bare()
    domain = {"domain": DOMAIN, "domain_type": "push", "region": REGION}
    rule = {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": STREAM,
        "record_type": "COMMAND_RECORD",
        "default_record_config": {"record_format": ["FLV", "HLS"], "obs_addr": {"bucket": BUCKET, "location": REGION}},
    }
    callbacks = {"publish_domain": DOMAIN, "app": "live", "notify_callback_url": NOBODY, "sign_type": "MD5"}
    client.call("POST", f"{ROOT}/domain", body=domain)
    client.call("PUT", f"{ROOT}/domain", body={"domain": DOMAIN, "status": "on"})
    client.call("POST", f"{ROOT}/domain", body=domain | {"domain": PULL_DOMAIN, "domain_type": "pull"})
    chain = {"key": "0123456789abcdef0123456789abcdef", "auth_type": "d_sha256", "timeout": 3600}
    client.call("PUT", f"{ROOT}/guard/key-chain", {"domain": PULL_DOMAIN}, chain)
    client.call("POST", f"{ROOT}/record/rules", body=rule)
    client.call("POST", f"{ROOT}/record/callbacks", body=callbacks | {"notify_event_subscription": ["RECORD_START"]})
    ids = [
        item["id"]
        for path in ("record/rules", "record/callbacks", "livereel/messages")
        for items in client.call("GET", f"{ROOT}/{path}").json.values()
        if isinstance(items, list)
        for item in items[:2]
    ]
    now = int(time.time())
    domains, apps, streams = [DOMAIN], ["live"], [STREAM]
    return {
        "id": ids,
        "template_id": ids[:1],
        "bucket": [BUCKET],
        "pull_domain": [PULL_DOMAIN],
        "record_prefix": ["{stream}/{file_start_time}"],
        "start_time": [_text(now - 3600), now - 3600],
        "end_time": [_text(now + 3600), now + 3600],
        "resume_time": [_text(now + 3600)],
        "domain": [DOMAIN, PULL_DOMAIN],
        **dict.fromkeys(("publish_domain", "push_domain"), domains),
        **dict.fromkeys(("app", "app_name"), apps),
        **dict.fromkeys(("stream", "stream_name"), streams),
    }


@pytest.fixture(scope="module")
def document(described: LiveServer) -> dict[str, Any]:
    """The document as the server tells it."""
    return dict(requests.get(f"{described.endpoint}/openapi.json", timeout=TIMEOUT).json())


def schema_of(document: dict[str, Any]) -> schemathesis.BaseSchema:
    """`document`, for schemathesis. Credentials are ours to add."""
    config = SchemathesisConfig()
    config.projects.default.generation = GenerationConfig(with_security_parameters=False)
    return schemathesis.openapi.from_dict(document, config=config)


def operations() -> list[Any]:
    """(method, path) of every operation, with its name as test id."""
    document = create_app(Anything()).openapi()  # type: ignore[arg-type]
    return [
        pytest.param(method, path, id=details["operationId"])
        for path, methods in document["paths"].items()
        for method, details in methods.items()
    ]


class Anything:
    """Stands for services: only the document of the application is asked for."""

    def __getattr__(self, name: str) -> Any:
        return Anything()


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_answer_is_in_the_document(
    method: str, path: str, document: dict[str, Any], known: dict[str, list[Any]], described: LiveServer
) -> None:
    assert described.credentials is not None
    signed = Signed(described.credentials)
    fixed = {"project_id": described.credentials.project_id} if "{project_id}" in path else {}

    def send(case: schemathesis.Case) -> None:
        case.path_parameters |= fixed
        response = case.call(base_url=described.endpoint, auth=signed, timeout=TIMEOUT)
        assert response.status_code != 401 or path == LOGIN, response.json()
        case.validate_response(response, checks=CHECKS)

    plain = schema_of(document)
    boundaries = plain.iter_coverage_cases(
        plain[path][method], generation_modes=list(GenerationMode), generation_config=plain.config.generation_for()
    )
    for case in itertools.islice(boundaries, BOUNDARIES):
        send(case)
    operation = schema_of(seeded(document, known))[path][method]
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and not operation.body and not operation.query:
            continue  # nothing of it can be wrong
        cases = operation.as_strategy(mode, path_parameters=fixed)
        settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))(given(cases)(send))()
