"""What goes over the wire, and what is made of ETags: against a server that answers as told."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from livereel.domain.errors import StoreError
from livereel.settings import BucketSettings
from livereel.storage import credentials as credentials_module
from livereel.storage.config import BucketConfig
from livereel.storage.object_store import ObjectStore

CREDENTIALS = {"access_key": "ak", "secret_key": "sk"}


class Told:
    """An S3 server of a few lines. `etag` makes an object's ETag from key and content, `size` its size."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.objects: dict[str, bytes] = {}
        self.etag = lambda _key, data: hashlib.md5(data).hexdigest()
        self.size = len
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                told.objects[self.path] = data
                self._answer(200, told.etag(self.path, data))

            def do_HEAD(self) -> None:
                data = told.objects[self.path]
                self._answer(200, told.etag(self.path, data), told.size(data))

            def do_DELETE(self) -> None:
                self._answer(204, "")

            def _answer(self, status: int, etag: str, size: int = 0) -> None:
                told.requests.append(
                    (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
                )
                self.send_response(status)
                self.send_header("Content-Length", str(size))
                self.send_header("ETag", f'"{etag}"')
                self.send_header("Last-Modified", "Tue, 21 Jul 2026 06:15:28 GMT")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def told() -> Iterator[Told]:
    server = Told()
    yield server
    server.close()


@pytest.fixture
def store(told: Told) -> ObjectStore:
    return ObjectStore("rec-a", BucketConfig("s3://bucket/below", told.endpoint, credentials=CREDENTIALS))


async def test_what_is_sent(told: Told, store: ObjectStore) -> None:
    await store.put_bytes("a/index.m3u8", b"#EXTM3U\n")
    method, path, headers = told.requests[0]
    assert (method, path) == ("PUT", "/bucket/below/a/index.m3u8")
    assert headers["content-type"] == "application/vnd.apple.mpegurl"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"#EXTM3U\n").hexdigest()
    assert {name for name in headers if name.startswith("x-amz-")} == {"x-amz-content-sha256", "x-amz-date"}


async def test_environment_credentials_are_not_mixed_in(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another-token")
    store = ObjectStore("rec-a", BucketConfig("s3://bucket", told.endpoint, credentials=CREDENTIALS))
    await store.put_bytes("a", b"x")
    headers = told.requests[0][2]
    assert "Credential=ak/" in headers["authorization"]
    assert "x-amz-security-token" not in headers


@pytest.mark.parametrize("hosted", [True, False])
async def test_obs_has_the_bucket_in_the_host_name(told: Told, monkeypatch: pytest.MonkeyPatch, hosted: bool) -> None:
    monkeypatch.setenv("http_proxy", told.endpoint)
    endpoint = f"http://{'bucket.' if hosted else ''}obs.cn-north-4.myhuaweicloud.com"
    store = ObjectStore("rec-a", BucketConfig("obs://bucket", endpoint, "cn-north-4", credentials=CREDENTIALS))
    await store.put_bytes("a/b.flv", b"x")
    assert told.requests[0][1] == "http://bucket.obs.cn-north-4.myhuaweicloud.com/a/b.flv"


async def test_another_size_is_no_success(told: Told, store: ObjectStore, tmp_path: Path) -> None:
    told.size = lambda data: len(data) - 1
    with pytest.raises(StoreError, match="has 2 bytes in the store instead of 3"):
        await store.put_bytes("a", b"abc")


async def test_another_content_is_no_success(told: Told, store: ObjectStore) -> None:
    right = told.etag
    told.etag = lambda key, data: right(key, b"damaged" if key.endswith("/a") else data)
    with pytest.raises(StoreError, match="arrived damaged"):
        await store.put_bytes("a", b"abc")
    await store.put_bytes("b", b"abc")


async def test_etags_that_only_look_like_md5s(told: Told, store: ObjectStore) -> None:
    told.etag = lambda key, data: hashlib.md5(b"encrypted" + data).hexdigest()
    with capture_logs() as logs:
        for key in ("a", "b"):
            assert (await store.put_bytes(key, b"abc")).size == 3
    assert [log["event"] for log in logs] == ["store_without_checksums"]
    assert sum("/etag-" in path and method == "PUT" for method, path, _ in told.requests) == 1


@pytest.mark.parametrize("etag", ["0x8DEADBEEF", "an-opaque-one", ""])
async def test_other_etags_say_nothing(told: Told, store: ObjectStore, etag: str) -> None:
    told.etag = lambda _key, _data: etag
    assert (await store.put_bytes("a", b"abc")).size == 3
    assert len(told.requests) == 2


async def test_azure(told: Told) -> None:
    credentials = {"account_key": base64.b64encode(b"key").decode()}
    store = ObjectStore("rec-a", BucketConfig("az://account/box/below", told.endpoint, credentials=credentials))
    assert (await store.put_bytes("a/b.flv", b"abc")).size == 3
    method, path, headers = told.requests[0]
    assert (method, path) == ("PUT", "/box/below/a/b.flv")
    assert headers["authorization"].startswith("SharedKey account:")
    assert store.describe("a/b.flv") == "az://account/box/below/a/b.flv"


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        (("sas_token = '?sv=1&sig=one'", "sas_token = 'sv=1&sig=two'"), ("sig=one", "sig=two")),
        (("account_key = 'b25l'", "sas_token = 'sv=1&sig=two'"), ("SharedKey account:", "sig=two")),
    ],
)
async def test_azure_notices_new_keys(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, str], seen: tuple[str, str]
) -> None:
    monkeypatch.setattr(credentials_module, "LOOK_EVERY", 0.0)
    file = tmp_path / "azure.toml"
    settings = BucketSettings(url="az://account/box", endpoint=told.endpoint, credentials_file=file)
    file.write_text(lines[0])
    store = ObjectStore("rec-a", settings.config())
    for line, words in zip(lines, seen, strict=True):
        file.write_text(line)
        await store.put_bytes("a.flv", b"abc")
        _, path, headers = told.requests[-2]
        assert words in path + headers.get("authorization", "")


async def test_credentials_of_no_use_are_told_without_them() -> None:
    with pytest.raises(StoreError, match="bucket rec-a: ") as refused:
        ObjectStore(
            "rec-a", BucketConfig("gs://bucket", credentials={"service_account": '{"private_key": "very-secret"}'})
        )
    assert "very-secret" not in refused.value.detail
    with pytest.raises(StoreError, match="bucket rec-a: ") as refused:
        ObjectStore("rec-a", BucketConfig("az://account/box", credentials={"account_key": "very-secret"}))
    assert "very-secret" not in refused.value.detail


@pytest.mark.parametrize("pem", [b"no certificate", b"\xff"])
async def test_a_certificate_that_is_none(told: Told, pem: bytes) -> None:
    with pytest.raises(StoreError, match="bucket rec-a: "):
        ObjectStore("rec-a", BucketConfig("s3://bucket", told.endpoint, certificate=pem, credentials=CREDENTIALS))
