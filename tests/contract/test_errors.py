"""Every documented error, provoked on the wire of a real server: `PROVOKED` has a recipe for each row of the tables."""

import asyncio
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from livereel.api.huawei import errors as wire
from livereel.api.huawei.errors import WIRE, WIRE_OF_OPERATION, Wire
from livereel.domain import errors
from livereel.domain.errors import LivereelError
from livereel.domain.tenancy import MAX_DOMAINS_PER_PROJECT
from livereel.testing.rtmp_client import RtmpPublisher
from tests.acceptance.accounts import new_project, new_user
from tests.acceptance.api import DOMAIN, Answer, signature
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_record_on_command import REQUEST_ID
from tests.unit.media import HEADERS, frame

V1 = "/v1/{project}"
CONTROL = f"{V1}/record/control"
UNKNOWN, NOBODY = "unknown.example.com", "0" * 32
DATABASE_TIMEOUT = 60.0  # seconds that the server may take for the disk to have what it writes


class Setting(NamedTuple):
    """What a recipe works with. `stream` is a name that no other recipe uses."""

    server: LiveServer  # shared; its log must stay clean
    strained: LiveServer  # few requests a minute, and no patience for key frames
    stream: str


Row = type[LivereelError] | tuple[str, type[LivereelError]]
Recipe = Callable[[Setting], Answer]


def names(stream: str) -> dict[str, Any]:
    return {"publish_domain": DOMAIN, "app": "live", "stream": stream}


def rule(stream: str) -> dict[str, Any]:
    config = {"record_format": ["FLV"], "obs_addr": {"bucket": "rec-a", "location": "here", "object": ""}}
    return names(stream) | {"record_type": "COMMAND_RECORD", "default_record_config": config}


def domain_body(name: str) -> dict[str, Any]:
    return {"domain": name, "domain_type": "push", "region": "here"}


def ask(method: str, path: str, query: dict[str, str] | None = None, body: Any = None, **more: Any) -> Recipe:
    """A recipe of one request to the shared server."""
    return lambda at: at.server.bare().call(method, V1 + path, query, body, **more)


def start(server: LiveServer, stream: str, **extension: Any) -> Answer:
    body = names(stream) | ({"livereel": extension} if extension else {})
    return server.bare().call("POST", CONTROL, {"action": "START"}, body)


def make_template(server: LiveServer, stream: str) -> None:
    assert server.bare().call("POST", f"{V1}/record/rules", body=rule(stream)).status == 201


def no_command_template(at: Setting) -> Answer:
    return start(at.server, at.stream)


def not_live(at: Setting) -> Answer:
    make_template(at.server, at.stream)
    return start(at.server, at.stream)


def task_exists(at: Setting) -> Answer:
    make_template(at.server, at.stream)
    assert start(at.server, at.stream, armed=True).status == 200
    return start(at.server, at.stream)


def no_key_frame(at: Setting) -> Answer:
    make_template(at.strained, at.stream)

    async def push_and_start() -> Answer:
        name = f"{at.stream}?vhost={DOMAIN}"
        async with RtmpPublisher("127.0.0.1", at.strained.rtmp_port, "live", name) as publisher:
            pushing = asyncio.create_task(publisher.push([*HEADERS, *(frame(ms) for ms in range(0, 20_000, 40))]))
            await asyncio.sleep(1)
            answer = await asyncio.to_thread(start, at.strained, at.stream)
            pushing.cancel()
            return answer

    return asyncio.run(push_and_start())


def limit_of_domains(at: Setting) -> Answer:
    user = new_user(at.server, at.stream, project=new_project(at.server, f"{at.stream}-project"))
    bare = at.server.bare(user.credentials)
    for number in range(MAX_DOMAINS_PER_PROJECT):
        made = bare.call("POST", f"{V1}/domain", body=domain_body(f"number-{number}.example.com"))
        assert made.status == 201, made
    return bare.call("POST", f"{V1}/domain", body=domain_body("one-too-many.example.com"))


def denied(at: Setting) -> Answer:
    user = new_user(at.server, at.stream, allow=("live:record:listRules",))
    return at.server.bare(user.credentials).call("GET", f"{V1}/domain")


def too_often(at: Setting) -> Answer:
    """The first request that is refused: how many are let through depends on the time they take."""

    def answer() -> Answer:
        return at.strained.bare().call("GET", f"{V1}/stream/snapshot", {"domain": DOMAIN})

    assert answer().status == 200
    return next(found for _ in range(1000) if (found := answer()).status != 200)


def damaged_database(at: Setting) -> Answer:
    with sqlite3.connect(at.strained.data_dir / "catalogue.db", timeout=DATABASE_TIMEOUT) as database:
        database.execute("DROP TABLE pull_tasks")
    database.close()
    return at.strained.bare().call("GET", f"{V1}/pull/stream/task")


def stopping(at: Setting) -> Answer:
    """A START whose body is still on its way when the server is told to stop."""
    server = at.strained
    assert server.credentials is not None
    make_template(server, at.stream)
    body = b'{"publish_domain": "%s", "app": "live", "stream": "%s"}' % (DOMAIN.encode(), at.stream.encode())
    path = CONTROL.replace("{project}", server.credentials.project_id)
    host = server.endpoint.removeprefix("http://")
    headers = {"Host": host, "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= signature(server.credentials, "POST", path, {"action": "START"}, headers, body, time.time())
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=60) as connection:
        connection.sendall(f"POST {path}?action=START HTTP/1.1\r\n{head}Expect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in connection.recv(65_536)  # the body is waited for
        connection.sendall(body[:10])
        server.terminate()
        wait_until(lambda: '"stopping"' in server.log_text(), 60, "the server to stop")
        connection.sendall(body[10:])
        raw = b"".join(iter(lambda: connection.recv(65_536), b""))
    head_text, _, content = raw.partition(b"\r\n\r\n")
    first, *rest = head_text.decode().split("\r\n")
    received = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return Answer(int(first.split()[1]), received, content)


def task_of(server: LiveServer, stream: str) -> str:
    """The only recording of a stream."""
    with sqlite3.connect(server.data_dir / "catalogue.db", timeout=DATABASE_TIMEOUT) as database:
        [(task_id,)] = database.execute("SELECT id FROM tasks WHERE stream = ?", (stream,))
    database.close()
    return str(task_id)


def not_over(at: Setting) -> Answer:
    make_template(at.server, at.stream)
    assert start(at.server, at.stream, armed=True).status == 200
    return at.server.bare().call("DELETE", f"{V1}/livereel/recordings/{task_of(at.server, at.stream)}")


def held(at: Setting) -> Answer:
    assert not_over(at).status == 409
    bare, path = at.server.bare(), f"{V1}/livereel/recordings/{task_of(at.server, at.stream)}"
    assert bare.call("POST", CONTROL, {"action": "STOP"}, names(at.stream)).status == 200
    assert bare.call("PUT", f"{path}/hold").status == 204
    return bare.call("DELETE", path)


class FullServer(LiveServer):
    """A server that wants more room than any disk has, and is not ready for that."""

    def _ready(self) -> bool:
        return super()._ready() or bool(self.endpoint and "project" in self.stdout.read_text())


def full_disk(at: Setting) -> Answer:
    with tempfile.TemporaryDirectory() as directory:
        server = FullServer(Path(directory), LIVEREEL_DISK__RESERVE=str(1 << 60))
        try:
            server.start()
            make_template(server, at.stream)
            return start(server, at.stream, armed=True)
        finally:
            server.kill()


PROVOKED: dict[Row, Recipe] = {
    errors.InvalidParameter: ask("GET", "/record/rules", {"limit": "101"}),
    errors.NoCommandTemplate: no_command_template,
    errors.NoKeyFrame: no_key_frame,
    errors.StreamNotLive: not_live,
    errors.NothingRecording: ask("POST", "/record/control", {"action": "STOP"}, names("nobody")),
    errors.TaskExists: task_exists,
    errors.ResourceNotFound: ask("GET", "/domain", {"domain": UNKNOWN}),
    errors.ResourceExists: ask("POST", "/domain", body=domain_body(DOMAIN)),
    errors.RecordingHeld: held,
    errors.RecordingNotOver: not_over,
    errors.DiskFull: full_disk,
    errors.DomainLimitReached: limit_of_domains,
    errors.DomainNotOff: ask("DELETE", "/domain", {"domain": DOMAIN}),
    wire.ApiNotSupported: ask("GET", "/record/config", {"domain": DOMAIN}),
    wire.UnsupportedMediaType: ask("POST", "/domain", body=b"<xml/>", headers={"Content-Type": "text/xml"}),
    errors.ProjectMismatch: lambda at: at.server.bare().call("GET", f"/v1/{NOBODY}/domain"),
    errors.AuthenticationFailed: ask("GET", "/domain", sign=False),
    errors.PermissionDenied: denied,
    wire.LinkRefused: lambda at: at.server.bare().call("GET", "/files/rec-a/x.flv", {"expires": "1"}, sign=False),
    wire.UnknownApi: ask("GET", "/record/nothing"),
    wire.BodyTooLarge: ask("POST", "/domain", body=b" " * 13_000_000),
    wire.UriTooLong: ask("GET", "/domain", {"domain": "x" * 33_000}),
    wire.HeadersTooLarge: ask("GET", "/domain", headers={"X-Long": "x" * 33_000}),
    errors.RateLimited: too_often,
    errors.LivereelError: damaged_database,
    ("ShowRecordRule", errors.ResourceNotFound): ask("GET", f"/record/rules/{NOBODY}"),
    ("UpdateRecordRule", errors.ResourceNotFound): ask("PUT", f"/record/rules/{NOBODY}", body=rule("nobody")),
    ("DeleteRecordRule", errors.ResourceNotFound): ask("DELETE", f"/record/rules/{NOBODY}"),
    ("ShowRecordCallbackConfig", errors.ResourceNotFound): ask("GET", f"/record/callbacks/{NOBODY}"),
    ("UpdateRecordCallbackConfig", errors.ResourceNotFound): ask(
        "PUT",
        f"/record/callbacks/{NOBODY}",
        body={"publish_domain": DOMAIN, "app": "*", "notify_callback_url": "https://app.example.com/"},
    ),
    ("DeleteRecordCallbackConfig", errors.ResourceNotFound): ask("DELETE", f"/record/callbacks/{NOBODY}"),
    ("DeleteDomain", errors.ResourceNotFound): ask("DELETE", "/domain", {"domain": UNKNOWN}),
    ("DeleteDomainMapping", errors.ResourceNotFound): ask(
        "DELETE", "/domains_mapping", {"pull_domain": UNKNOWN, "push_domain": DOMAIN}
    ),
    ("DeleteStreamForbidden", errors.UnknownDomain): ask(
        "DELETE", "/stream/blocks", {"domain": UNKNOWN, "app_name": "live", "stream_name": "x"}
    ),
    # Last, since it ends the server that others use.
    errors.ShuttingDown: stopping,
}


def name_of(row: Row) -> str:
    return row.__name__ if isinstance(row, type) else f"{row[0]}-{row[1].__name__}"


@pytest.fixture(scope="module")
def strained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server for errors that a good one must not have."""
    environment = {"LIVEREEL_API__RATE_LIMIT_FACTOR": "0.02", "LIVEREEL_RECORDER__FIRST_KEY_FRAME_TIMEOUT": "1"}
    server = LiveServer(tmp_path_factory.mktemp("strained"), **environment)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.mark.parametrize("row", PROVOKED, ids=name_of)
def test_error(server: LiveServer, strained: LiveServer, stream: str, row: Row) -> None:
    expected: Wire = WIRE[row] if isinstance(row, type) else WIRE_OF_OPERATION[row]
    answer = PROVOKED[row](Setting(server, strained, stream.lower()))
    assert (answer.status, answer.error) == (expected.status, expected.code), answer
    message = answer.json["error_msg"]
    assert message.startswith(expected.message), answer
    assert REQUEST_ID.fullmatch(answer.request_id)
    if expected.code.startswith("LIVE."):
        assert message == expected.message
        assert answer.json["error_detail"]
    else:
        assert len(answer.json["request_id"]) == 32


def test_every_documented_error_is_provoked() -> None:
    assert set(PROVOKED) == set(WIRE) | set(WIRE_OF_OPERATION)
