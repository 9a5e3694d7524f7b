"""Two clients of the server's API: the official SDK, and a bare one that can also send what no SDK would."""

import http.client
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdklive.v1 import (
    CallbackUrl,
    CreateDomainRequest,
    CreateRecordRuleRequest,
    DefaultRecordConfig,
    FLVRecordConfig,
    HLSRecordConfig,
    ListRecordContentsRequest,
    LiveClient,
    LiveDomainCreateReq,
    MP4RecordConfig,
    RecordControlInfo,
    RecordObsFileAddr,
    RecordRuleRequest,
    RunRecordRequest,
    UpdatePublishTemplateRequest,
)

from livereel.testing.api_client import authorization, canonical_query

DOMAIN = "publish.example.com"
BUCKET = "rec-a"
# SDK dates have one-second resolution, and an equal request of the same second is a repetition of the first.
ANOTHER_SECOND = 1.1
ALL_FORMATS = ("HLS", "FLV", "MP4")


class Credentials(NamedTuple):
    """An access key and the project it acts in."""

    access: str
    secret: str
    project_id: str


class Answer(NamedTuple):
    """What came back; `error` is `error_code` of the body, "" without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json.get("error_code", "")) if self.body else ""

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")


def sdk_client(endpoint: str, credentials: Credentials) -> LiveClient:
    """The official client with nothing changed but the endpoint."""
    return (
        LiveClient.new_builder()
        .with_credentials(BasicCredentials(credentials.access, credentials.secret, credentials.project_id))
        .with_endpoint(endpoint)
        .build()
    )


class Sdk:
    """The calls of the recording API as a user of the official SDK makes them."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.client = sdk_client(endpoint, credentials)

    def create_domain(self, name: str) -> None:
        body = LiveDomainCreateReq(domain=name, domain_type="push", region="cn-north-4")
        self.client.create_domain(CreateDomainRequest(body=body))

    def create_template(
        self,
        stream: str,
        *,
        record_type: str = "COMMAND_RECORD",
        formats: tuple[str, ...] = ALL_FORMATS,
        domain: str = DOMAIN,
        app: str = "live",
        cycle: int = 3600,
        merge: int = 0,
        slice_duration: int = 2,
    ) -> Any:
        common = {"record_cycle": cycle, "record_max_duration_to_merge_file": merge}
        config = DefaultRecordConfig(
            record_format=list(formats),
            obs_addr=RecordObsFileAddr(bucket=BUCKET, location="cn-north-4", object="archive/"),
            hls_config=HLSRecordConfig(**common, record_slice_duration=slice_duration) if "HLS" in formats else None,
            flv_config=FLVRecordConfig(**common) if "FLV" in formats else None,
            mp4_config=MP4RecordConfig(**common) if "MP4" in formats else None,
        )
        body = RecordRuleRequest(
            publish_domain=domain, app=app, stream=stream, record_type=record_type, default_record_config=config
        )
        return self.client.create_record_rule(CreateRecordRuleRequest(body=body))

    def notify(self, url: str, key: str, domain: str = DOMAIN) -> None:
        body = CallbackUrl(url=url, auth_sign_key=key)
        self.client.update_publish_template(UpdatePublishTemplateRequest(domain=domain, body=body))

    def control(self, action: str, stream: str, *, domain: str = DOMAIN, app: str = "live") -> Any:
        body = RecordControlInfo(publish_domain=domain, app=app, stream=stream)
        return self.client.run_record(RunRecordRequest(action=action, body=body))

    def start(self, stream: str, **names: str) -> Any:
        return self.control("START", stream, **names)

    def start_when_live(self, stream: str, timeout: float = 60.0, **names: str) -> Any:
        """START as soon as the stream is there; for tests that are not about waiting for the notification."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.start(stream, **names)
            except ClientRequestException as refused:
                if refused.status_code != 404 or time.monotonic() > deadline:
                    raise
            time.sleep(ANOTHER_SECOND / 2)

    def stop(self, stream: str, **names: str) -> Any:
        return self.control("STOP", stream, **names)

    def contents(self, stream: str, domain: str = DOMAIN) -> list[Any]:
        since = datetime.fromtimestamp(time.time() - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request = ListRecordContentsRequest(publish_domain=domain, stream=stream, start_time=since, limit=100)
        return list(self.client.list_record_contents(request).record_contents)

    def wait_contents(self, stream: str, count: int = 3, timeout: float = 120.0, domain: str = DOMAIN) -> list[Any]:
        """The files of the stream as soon as there are `count`."""
        deadline = time.monotonic() + timeout
        while len(found := self.contents(stream, domain)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} files of {stream} after {timeout} s: {found}"
            time.sleep(0.2)
        assert len(found) == count, found
        return found


class Bare:
    """Signs and sends by itself; every step can be spoilt by the test."""

    def __init__(self, endpoint: str, credentials: Credentials | None) -> None:
        self.address = urlsplit(endpoint).netloc
        self.credentials = credentials

    def call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        at: float | None = None,
        sign: bool = True,
    ) -> Answer:
        """One request. `path` may hold {project}; `body` is bytes, or what becomes JSON; `at` is the signing time."""
        if self.credentials is not None:
            path = path.replace("{project}", self.credentials.project_id)
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        # The nonce makes each call a new one: equal requests of one second count as one that is repeated.
        sent = {"Host": self.address, "Content-Type": "application/json", "X-Request-Nonce": uuid.uuid4().hex}
        sent |= headers or {}
        if sign and self.credentials is not None:
            sent |= signature(
                self.credentials, method, path, query or {}, sent, data, time.time() if at is None else at
            )
        return send(self.address, method, path + ("?" + canonical_query(query) if query else ""), sent, data)


def send(address: str, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """One HTTP request just as given."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, target, body, headers)
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def signature(
    credentials: Credentials,
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    at: float,
) -> dict[str, str]:
    """X-Sdk-Date and Authorization for a request with these headers, signed at `at` (Unix seconds)."""
    dated = {"X-Sdk-Date": datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")}
    access, secret, _ = credentials
    text = canonical_query(query)
    return dated | {"Authorization": authorization(method, path, text, headers | dated, body, access, secret)}
