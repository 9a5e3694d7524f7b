"""Recordings into an object store: a template that names a bucket in a real SeaweedFS."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from livereel.storage.object_store import ObjectStore
from tests.acceptance.api import BUCKET
from tests.acceptance.conftest import Footage, Push, run_server
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_record_on_command import fetch
from tests.integration.storage.conftest import config
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.integration.storage.seaweed import BUCKET as STORE_BUCKET


@pytest.fixture
def seaweed(tmp_path: Path) -> Iterator[Seaweed]:
    seaweed = Seaweed(tmp_path / "seaweed")
    try:
        seaweed.start()
        seaweed.create_bucket(STORE_BUCKET)
        yield seaweed
    finally:
        seaweed.remove()


@pytest.fixture
def server(seaweed: Seaweed, tmp_path: Path) -> Iterator[LiveServer]:
    """A server whose bucket `rec-a` is a path in the store."""
    directory = tmp_path / "server"
    directory.mkdir()
    credentials = directory / "store.toml"
    credentials.write_text(f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n')
    credentials.chmod(0o600)
    (directory / "livereel.toml").write_text(
        f"""
        [storage.buckets.{BUCKET}]
        url = "s3://{STORE_BUCKET}/tenant"
        endpoint = "{seaweed.endpoint}"
        region = "us-east-1"
        credentials_file = "{credentials}"
        """
    )
    yield from run_server(directory, LIVEREEL_STOP_GRACE="5")


def test_recordings_in_an_object_store(
    server: LiveServer, seaweed: Seaweed, ffmpeg_push: Push, footage: Footage, tmp_path: Path, stream: str
) -> None:
    findings = json.loads(server.cli("doctor", "--json"))
    [found] = [finding for finding in findings if finding["subject"] == f"bucket {BUCKET}"]
    assert found["verdict"] == "ok"

    sdk = server.sdk()
    sdk.create_template(stream)
    ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    wait_until(lambda: any(".ts" in key for key in stored_keys(server)), 60, "a slice in the store")
    sdk.stop(stream)
    contents = sdk.wait_contents(stream)

    # The links work, with ranges, and a player finds the slices behind the playlist's.
    files = {item.record_format: downloaded(item.download_url, tmp_path / "fetched") for item in contents}
    first, last = check_piece_of(files["flv"], footage())
    assert (last - first) / 30 > 1.5
    for file in files.values():
        file.check_whole()
    check_same_content(list(files.values()))
    mp4 = next(item for item in contents if item.record_format == "mp4")
    data = files["mp4"].path.read_bytes()
    assert fetch(mp4.download_url, Range="bytes=100-299")[0::2] == (206, data[100:300])
    assert fetch(mp4.download_url, Range="bytes=-50")[0::2] == (206, data[-50:])

    # What lies in the store is what the links give, and nothing of it lies here.
    store = ObjectStore("there", config(seaweed, "tenant"))
    assert asyncio.run(whole(store, mp4.obs_addr.object)) == data
    manifest = f"{mp4.obs_addr.object.rpartition('/')[0]}/recording.json"
    wait_until(lambda: asyncio.run(store.stat(manifest)) is not None, 60, manifest)
    assert json.loads(asyncio.run(whole(store, manifest)))["state"] == "completed"
    assert not server.bucket.exists()
    assert seaweed.unfinished_uploads(STORE_BUCKET) == []

    # The store's secret is neither in the log nor in anything that is kept.
    server.stop()
    assert SECRET_KEY not in server.log_text()
    for path in server.data_dir.rglob("*"):
        assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_store_that_is_down_at_the_end(
    end: str, server: LiveServer, seaweed: Seaweed, ffmpeg_push: Push, footage: Footage, tmp_path: Path, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("FLV",))
    ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    work = server.data_dir / "work"
    wait_until(lambda: any(path.is_file() and path.stat().st_size > 100_000 for path in work.rglob("*")), 60, "a file")
    seaweed.kill()
    sdk.stop(stream)
    wait_until(lambda: any(event.get("event") == "store_failed" for event in server.events()), 60, "an attempt")
    if end == "killed":
        server.kill()
    else:
        server.stop()
    server.start()
    seaweed.start()
    # Servers look every half minute when a store has been away for long.
    [item] = server.sdk().wait_contents(stream, 1, 180)
    check_piece_of(downloaded(item.download_url, tmp_path / "fetched"), footage())


def stored_keys(server: LiveServer) -> list[str]:
    """Objects that the server's log says are stored."""
    return [str(event["object"]) for event in server.events() if event["event"] == "stored"]


def downloaded(url: str, directory: Path) -> MediaFile:
    """The file behind a link, with its slices if it is a playlist."""
    directory.mkdir(exist_ok=True)
    status, _, body = fetch(url)
    assert status == 200
    path = directory / unquote(urlsplit(url).path.rpartition("/")[2])
    if path.suffix == ".m3u8":
        lines = []
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                piece = directory / unquote(line.partition("?")[0])
                status, _, data = fetch(urljoin(url, line))
                assert status == 200
                piece.write_bytes(data)
                lines.append(piece.name)
            else:
                lines.append(line)
        body = "\n".join(lines).encode()
    path.write_bytes(body)
    return MediaFile(path)


async def whole(store: ObjectStore, key: str) -> bytes:
    found = await store.stat(key)
    assert found is not None
    return b"".join([piece async for piece in store.read(key, 0, found.size)])
