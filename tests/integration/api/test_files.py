"""Listing what was recorded and downloading it."""

from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from livereel.domain.keys import StreamKey
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix
from livereel.storage import object_store
from livereel.storage.buckets import Buckets, LocalStores
from livereel.storage.config import BucketConfig

from .conftest import Api

KEY = StreamKey("push.example.com", "live", "cam01")
STARTED = datetime(2026, 7, 21, 6, 15, 28, tzinfo=UTC).timestamp()
DATA = bytes(range(256)) * 4
OBJECT = "archive/cam 01/über.mp4"


@pytest.fixture
async def stored(api: Api, tmp_path: Path) -> str:
    """A stored MP4 file and an HLS file that is still being written; returns the bucket."""
    config = FormatConfig(record_cycle=60, record_prefix=default_prefix(RecordFormat.MP4))
    template = Template(
        id="0" * 32,
        project_id=api.key.project_id,
        domain=KEY.domain,
        app="live",
        stream="*",
        record_type=RecordType.COMMAND,
        address=ObsAddress("rec-a", "livereel-1"),
        formats={RecordFormat.MP4: config},
        created_at=STARTED,
        updated_at=STARTED,
    )
    task = Task(
        "f" * 32, api.key.project_id, KEY, RecordType.COMMAND, template, TaskState.COMPLETED, "node-1", STARTED, STARTED
    )

    def file(number: int, state: FileState, record_format: RecordFormat, key: str) -> RecordFile:
        return RecordFile(
            job_id=f"00000000-0000-4000-8000-{number:012}",
            asset_id="a" * 32,
            task_id=task.id,
            project_id=api.key.project_id,
            key=KEY,
            record_type=RecordType.COMMAND,
            format=record_format,
            sequence=0,
            state=state,
            bucket="rec-a",
            location="livereel-1",
            object_key=key,
            start=SpoolPosition(1, 0),
            started_at=STARTED,
            ended_at=STARTED + 61.4,
            duration=61.4,
            size=len(DATA),
        )

    source = tmp_path / "made.mp4"
    source.write_bytes(DATA)
    await api.services.stores.get("rec-a").put_file(OBJECT, source)
    async with api.catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(file(1, FileState.STORED, RecordFormat.MP4, OBJECT))
        await uow.files.add(file(2, FileState.WRITING, RecordFormat.HLS, "archive/other.m3u8"))
    return "rec-a"


async def link(api: Api) -> str:
    reply = await api.call("GET", "record/contents?start_time=2026-07-21T00:00:00Z")
    return reply.json()["record_contents"][0]["download_url"]


async def test_contents(api: Api, stored: str) -> None:
    reply = await api.call("GET", "record/contents?start_time=2026-07-21T06:15:28&end_time=2026-07-21T06:15:29%2B00:00")
    body = reply.json()
    assert body["total"] == 1
    item = body["record_contents"][0]
    assert item.pop("download_url").startswith("/files/rec-a/archive/cam%2001/%C3%BCber.mp4?expires=")
    assert item == {
        "publish_domain": "push.example.com",
        "app": "live",
        "stream": "cam01",
        "file_name": "über.mp4",
        "record_format": "mp4",
        "record_type": "COMMAND_RECORD",
        "obs_addr": {"bucket": "rec-a", "location": "livereel-1", "object": OBJECT},
        "start_time": "2026-07-21T06:15:28Z",
        "end_time": "2026-07-21T06:16:29Z",
        "duration": 61,
    }
    for query, total in (
        ("start_time=2026-07-21T06:15:29Z", 0),
        ("start_time=2026-07-21T00:00:00Z&end_time=2026-07-21T06:15:28Z", 0),
        ("start_time=2026-07-21T00:00:00Z&stream=cam01&app=live&publish_domain=push.example.com", 1),
        ("start_time=2026-07-21T00:00:00Z&stream=cam02", 0),
        ("start_time=2026-07-21T00:00:00Z&record_type=COMMAND_RECORD", 1),
        ("start_time=2026-07-21T00:00:00Z&record_type=CONTINUOUS_RECORD", 0),
        ("start_time=2026-07-21T00:00:00Z&record_type=PLAN_RECORD", 0),
        ("start_time=2026-07-21T00:00:00Z&offset=1", 1),
    ):
        assert (await api.call("GET", f"record/contents?{query}")).json()["total"] == total, query


async def test_download(api: Api, stored: str) -> None:
    url = await link(api)
    reply = await api.client.get(url)
    assert (reply.status_code, reply.content) == (200, DATA)
    assert reply.headers["content-type"] == "video/mp4"
    assert reply.headers["content-length"] == str(len(DATA))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["X-request-id"]
    head = await api.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified"):
        assert head.headers[name] == reply.headers[name]
    cached = await api.client.get(url, headers={"if-none-match": reply.headers["etag"]})
    assert (cached.status_code, cached.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "content", "content_range"),
    [
        ("bytes=0-", 206, DATA, "bytes 0-1023/1024"),
        ("bytes=0-0", 206, DATA[:1], "bytes 0-0/1024"),
        ("bytes=1000-2000", 206, DATA[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", 206, DATA[-24:], "bytes 1000-1023/1024"),
        ("bytes=-5000", 206, DATA, "bytes 0-1023/1024"),
        ("bytes=1024-", 416, b"", "bytes */1024"),
        ("bytes=-0", 416, b"", "bytes */1024"),
        ("bytes=5-4", 200, DATA, None),
        ("bytes=0-1,5-6", 200, DATA, None),
        ("pages=1-2", 200, DATA, None),
    ],
)
async def test_ranges(
    api: Api, stored: str, asked: str, status: int, content: bytes, content_range: str | None
) -> None:
    reply = await api.client.get(await link(api), headers={"range": asked})
    assert (reply.status_code, reply.content) == (status, content)
    assert reply.headers.get("content-range") == content_range


async def test_a_range_of_another_version_gives_the_whole(api: Api, stored: str) -> None:
    url = await link(api)
    tag = (await api.client.head(url)).headers["etag"]
    for condition, status in ((tag, 206), ('"other"', 200)):
        reply = await api.client.get(url, headers={"range": "bytes=0-9", "if-range": condition})
        assert reply.status_code == status


async def test_links_are_bound_to_one_object(api: Api, stored: str) -> None:
    url = httpx2.URL(await link(api))
    for changed in (
        url.copy_with(query=None),
        url.copy_set_param("expires", str(int(url.params["expires"]) + 1)),
        url.copy_set_param("signature", "0" * 64),
        url.copy_set_param("signature", "é"),
        url.copy_with(path="/files/rec-a/archive/cam 01/other.mp4"),
        url.copy_with(path="/files/rec-b/" + OBJECT),
        url.copy_with(raw_path=url.raw_path.replace(b"/rec-a/", b"/rec-a/%2E%2E/rec-a/")),
    ):
        reply = await api.client.get(changed)
        assert (reply.status_code, reply.json()["error_code"]) == (403, "APIGW.0306"), changed


async def test_an_expired_link(api: Api, stored: str) -> None:
    url = api.services.download_urls.sign("rec-a", OBJECT, STARTED, 3600)
    assert (await api.client.get(url)).status_code == 403


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("rec-a", "nothing.mp4"), ("no-such", "x.mp4"), ("rec-a", "../rec-a/x"), ("..", "x"), ("rec-a", "a\x00b")],
)
async def test_valid_links_to_nothing(api: Api, stored: str, bucket: str, key: str) -> None:
    url = api.services.download_urls.sign(bucket, key, api.clock.now(), 60)
    _, _, rest = url.partition("/files/")
    escaped = rest.replace("..", "%2E%2E")  # clients resolve bare dots before they send
    raw = httpx2.URL(api.url).copy_with(raw_path=b"/files/" + escaped.encode())
    reply = await api.client.send(httpx2.Request("GET", raw))
    assert (reply.status_code, reply.json()["error_code"]) == (404, "LIVE.103011019")


async def test_a_playlist_leads_to_its_slices(api: Api, tmp_path: Path) -> None:
    store = api.services.stores.get("rec-a")
    await store.put_bytes("a b/show.m3u8", b"#EXTM3U\n#EXTINF:1.0,\n1_2_0.ts\n#EXTINF:1.0,\n2_3_1.ts\n#EXT-X-ENDLIST\n")
    await store.put_bytes("a b/2_3_1.ts", b"slice")
    urls = api.services.download_urls
    playlist = urls.sign("rec-a", "a b/show.m3u8", api.services.clock.now(), 60)
    reply = await api.client.get(playlist)
    lines = reply.text.splitlines()
    assert [line for line in lines if line.startswith("#")] == ["#EXTM3U", *["#EXTINF:1.0,"] * 2, "#EXT-X-ENDLIST"]
    assert reply.headers["content-type"] == "application/vnd.apple.mpegurl"
    piece = await api.client.get(httpx2.URL(reply.url).join(lines[4]))
    assert (piece.status_code, piece.content) == (200, b"slice")
    forged = await api.client.get(httpx2.URL(reply.url).join(lines[4].replace("2_3_1", "1_2_0")))
    assert forged.status_code == 403
    head = await api.client.head(playlist)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == reply.headers["content-length"] == str(len(reply.content))


async def test_a_store_that_is_away(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "RETRIES", 0)
    away = BucketConfig("s3://tenant", "http://127.0.0.1:9", credentials={"access_key": "ak", "secret_key": "sk"})
    monkeypatch.setattr(api.services.stores, "get", Buckets(LocalStores(tmp_path), {"rec-a": away}).get)
    link = api.services.download_urls.sign("rec-a", OBJECT, api.clock.now(), 60)
    with capture_logs() as logs:
        reply = await api.client.get(link)
    assert reply.status_code == 500
    assert "127.0.0.1:9" not in reply.text
    [said] = [log for log in logs if log["event"] == "store_failed"]
    assert "no connection: look whether the store is up" in said["error"]
