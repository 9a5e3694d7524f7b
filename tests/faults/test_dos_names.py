"""Names that would be paths elsewhere: at push, in templates, prefixes, index objects and download links."""

import asyncio
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from livereel.testing.rtmp_client import PublishFailed, RtmpPublisher
from tests.acceptance.api import BUCKET, DOMAIN
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in

#: What must not become a path, in any coding of it.
HOSTILE = [
    "..",
    ".",
    "../pwned",
    "../../../../tmp/pwned",
    "a/../../pwned",
    "/etc/pwned",
    "//pwned",
    "..\\..\\pwned",
    "pwned\0.flv",
    "C:\\pwned",
    "\\\\server\\pwned",
    "pwned\r\nX: y",
    "x" * 2000,
    "{pwned}",
    "",
]
#: Dots and slashes only to the eye: letters to every file system and store, and in no name at push.
LOOKALIKES = ["\u2025/pwned", "\uff0e\uff0e/pwned", "..\u2215pwned"]
#: Percent signs are only letters once a name has been decoded; they never become anything else.
LITERAL = ["..%2fpwned", "%2e%2e/pwned", "..%5cpwned", "%00pwned", "..%252fpwned"]

PREFIX = "%2e%2e/..%2f..%2fpwned/\u2025/\uff0e\uff0e/..\u2215"  # a key as it stands


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A server in a directory in which nothing but its own may appear."""
    receiver = Receiver()
    server = Instance(tmp_path_factory.mktemp("names") / "server", receiver)
    try:
        yield server.set_up()
        server.stop()
        escaped = [path for path in server.directory.parent.rglob("*") if "pwned" in path.name]
        assert all(server.bucket in path.parents for path in escaped), escaped
    finally:
        server.clean_up()
        receiver.close()


def test_push_names(server: Instance) -> None:
    """One grammar at the door: none of them is admitted, in whatever part of the URL it comes."""
    # Slashes too many are dropped from a push URL, and what is left is a name like any other.
    names = [name for name in HOSTILE + LOOKALIKES + LITERAL if name not in ("", "//pwned")]

    async def refused(app: str, stream: str) -> bool:
        publisher = RtmpPublisher("127.0.0.1", server.rtmp_port, app, stream)
        try:
            await publisher.start()
        except (PublishFailed, ConnectionError, asyncio.IncompleteReadError):
            return True
        publisher.abort()
        return False

    async def all_of_them() -> list[str]:
        targets = [("live", f"{name}?vhost={DOMAIN}") for name in names]
        targets += [(name, f"cam?vhost={DOMAIN}") for name in names]
        targets += [("live", f"cam?vhost={name}") for name in names]
        return [f"{app}/{stream}" for app, stream in targets if not await refused(app, stream)]

    admitted = asyncio.run(all_of_them())
    assert not admitted, admitted
    assert not list((server.data_dir / "spool").iterdir())


@pytest.mark.parametrize("member", ["app", "stream", "record_prefix", "object", "record_ts_prefix"])
def test_template_names(server: Instance, member: str) -> None:
    api = server.api()
    accepted = []
    for name in [*HOSTILE, *(LITERAL + LOOKALIKES if member in ("app", "stream") else [])]:
        hls = {"record_cycle": 3600}
        address = {"bucket": BUCKET, "location": "cn-north-4", "object": "archive/"}
        body = {"publish_domain": DOMAIN, "app": "live", "stream": "cam", "record_type": "COMMAND_RECORD"}
        if member in body:
            body[member] = name
        elif member == "object":
            address["object"] = name
        else:
            hls[member] = name  # type: ignore[assignment]
        config = {"record_format": ["HLS"], "obs_addr": address, "hls_config": hls}
        reply = api.request("POST", f"/v1/{api.project_id}/record/rules", body=body | {"default_record_config": config})
        if reply.status != 400:
            accepted.append((name, reply.status, reply.body))
            template = reply.json().get("id", "")
            api.live("DELETE", f"record/rules/{template}")
    # No root and no prefix are choices; slashes in front of a root are dropped, and braces in it are letters.
    harmless = {"object": {"", "/etc/pwned", "//pwned", "{pwned}"}, "record_prefix": {""}, "record_ts_prefix": {""}}
    assert {name for name, *_ in accepted} <= harmless.get(member, set()), accepted


def test_percent_signs_are_letters(server: Instance, crew: Crew, numbered: Media) -> None:
    """A prefix with escapes in it is a key as it stands, on the disk and in the download link."""
    name = "percent"
    server.template(name, formats=("FLV",))
    api = server.api()
    [rule] = [rule for rule in api.live("GET", "record/rules")["record_config"] if rule["stream"] == name]
    rule["default_record_config"]["flv_config"]["record_prefix"] = PREFIX + "{stream}"
    api.live("PUT", f"record/rules/{rule['id']}", body=rule)
    encoder = Encoder(crew, numbered, lambda: server.rtmp_port, name).start()
    server.start_when_live(name)
    wait_until(lambda: encoder.sent > 40, PATIENCE, "some media")
    assert server.control("STOP", name).status == 200
    task = server.wait_for_state(name, "completed")
    encoder.leave()
    [file] = server.files(task["id"])
    assert file["object_key"] == f"{name}/{PREFIX}{name}.flv"
    path = server.path(file)
    assert path == Path(f"{server.bucket}/{name}/{PREFIX}{name}.flv")
    assert numbers_in(path, numbered)
    [content] = wait_until(
        lambda: api.live("GET", "record/contents", contents(name))["record_contents"], PATIENCE, "it"
    )
    url = content["download_url"]
    assert fetch(server, url.partition("/files/")[2]) == (200, path.read_bytes())


def contents(stream: str) -> dict[str, str]:
    return {"publish_domain": DOMAIN, "stream": stream, "start_time": "2020-01-01T00:00:00Z"}


@pytest.mark.parametrize("name", HOSTILE)
def test_index_objects(server: Instance, name: str) -> None:
    api = server.api()
    body = {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": "cam",
        "start_time": "2024-01-01T00:00:00Z",
        "end_time": "2024-01-01T01:00:00Z",
        "object": name,
    }
    reply = api.request("POST", f"/v1/{api.project_id}/record/indexes", body=body)
    assert reply.status in (400, 404), reply


@pytest.mark.parametrize(
    "path",
    [
        f"{BUCKET}/../../catalogue.db",
        f"{BUCKET}/..%2f..%2fcatalogue.db",
        f"{BUCKET}/%2e%2e/%2e%2e/catalogue.db",
        f"{BUCKET}/..%252f..%252fcatalogue.db",
        f"{BUCKET}/..%5c..%5ccatalogue.db",
        f"{BUCKET}/%00",
        "..%2f..%2f/catalogue.db",
        f"{BUCKET}//etc/passwd",
        f"{BUCKET}/%c0%ae%c0%ae/catalogue.db",
    ],
)
def test_download_paths(server: Instance, path: str) -> None:
    for query in ("", "?expires=99999999999&signature=" + "0" * 64):
        status, _ = fetch(server, path + query)
        assert 400 <= status < 500


def fetch(server: Instance, path: str) -> tuple[int, bytes]:
    """GET of a path below /files, as it stands."""
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request("GET", f"/files/{path}")
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_nothing_has_escaped(server: Instance) -> None:
    assert not list(Path("/tmp").glob("pwned*"))
