"""The main job: push, wait for the notification, START, STOP, and find the files. With the official Python SDK."""

import hashlib
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from livereel.iam.secrets import open_key_file
from livereel.storage.urls import DownloadUrls
from tests.acceptance.api import ANOTHER_SECOND, BUCKET, DOMAIN, Sdk
from tests.acceptance.conftest import NOTIFICATION_KEY, Footage, Push, wait_received, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.receiver import Receiver, expected_sign
from tests.acceptance.server import LiveServer, manifest_beside

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
REQUEST_ID = re.compile(rf"{UUID}-\d{{10,13}}-\S+")
FORMATS = {"hls", "flv", "mp4"}
CLOCKS = 1.0  # seconds between the times that two processes note of the same event, which may be whole seconds


def test_push_start_stop_and_files_in_three_formats(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, receiver: Receiver, stream: str
) -> None:
    sdk = server.sdk()
    sdk.notify(receiver.url, NOTIFICATION_KEY)
    template = sdk.create_template(stream)
    assert re.fullmatch(r"[0-9a-f]{32}", template.id)
    assert template.default_record_config.flv_config.record_prefix  # defaults are filled into the reply

    before, pushed_at = server.received(), time.time()
    encoder = ffmpeg_push(server.push_url(stream))
    check_notification(receiver.wait("PUBLISH", stream), stream, pushed_at)

    # The recording is to begin in the middle of the push, with the last key frame.
    wait_received(server, footage(), 4, since=before)
    reply = sdk.start(stream)
    assert reply.status_code == 200
    assert not reply.raw_content
    assert REQUEST_ID.fullmatch(reply.x_request_id), reply.x_request_id
    time.sleep(ANOTHER_SECOND)
    check_refused(sdk, "START", stream, 400, "LIVE.100011022")  # it is recording

    wait_recorded(server, footage(), 5)
    reply = sdk.stop(stream)
    stopped_at = time.time()
    assert reply.status_code == 200
    assert not reply.raw_content
    assert REQUEST_ID.fullmatch(reply.x_request_id), reply.x_request_id
    check_refused(sdk, "START", stream, 400, "LIVE.100011022")  # less than 10 s after STOP
    time.sleep(ANOTHER_SECOND)
    check_refused(sdk, "STOP", stream, 404, "LIVE.100011001")  # nothing is recording

    contents = sdk.wait_contents(stream)
    check_listing(server, contents, stream, pushed_at, stopped_at)
    files = {item.record_format: MediaFile(server.bucket / item.obs_addr.object) for item in contents}
    for file in files.values():
        file.check_whole()
        file.check_players_do_not_complain()
    first, last = check_piece_of(files["flv"], footage())
    check_piece_of(files["mp4"], footage())
    check_same_content(list(files.values()))
    # It does not begin with the push, and ends with STOP; the encoder is not early by more than it sends at once (1 s).
    assert first >= 30
    assert last - first > 30 * 4.5
    assert last < 30 * (stopped_at - pushed_at + 1)
    check_playlist(files["hls"].path)
    check_manifest(server.bucket, contents)

    # The push goes on and may be recorded again when 10 s have passed.
    time.sleep(max(0.0, stopped_at + 10.2 - time.time()))
    assert encoder.running
    assert sdk.start(stream).status_code == 200
    wait_recorded(server, footage(), 2)
    assert sdk.stop(stream).status_code == 200
    again = sdk.wait_contents(stream, 6)
    later = {
        item.record_format: item for item in again if item.obs_addr.object not in {c.obs_addr.object for c in contents}
    }
    assert set(later) == FORMATS
    second, _ = check_piece_of(MediaFile(server.bucket / later["mp4"].obs_addr.object), footage())
    assert second > last

    encoder.stop()
    done = receiver.wait("PUBLISH_DONE", stream)
    check_notification(done, stream, pushed_at)
    assert done["publish_timestamp"] == receiver.wait("PUBLISH", stream)["publish_timestamp"]


def test_download_links(server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("MP4",))
    ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(server, footage(), 2)
    sdk.stop(stream)
    item = sdk.wait_contents(stream, 1)[0]
    data = (server.bucket / item.obs_addr.object).read_bytes()

    assert fetch(item.download_url)[0::2] == (200, data)
    status, headers, part = fetch(item.download_url, Range="bytes=100-299")
    assert (status, part) == (206, data[100:300])
    assert headers["Content-Range"] == f"bytes 100-299/{len(data)}"
    assert fetch(item.download_url, Range="bytes=-50")[0::2] == (206, data[-50:])
    assert fetch(item.download_url, Range=f"bytes={len(data)}-")[0] == 416

    # Expired: signed with the server's own key, since the shortest lifetime that settings allow is a minute.
    secret = open_key_file(server.data_dir / "livereel.key").derive("download links")
    sign = partial(DownloadUrls(secret, server.endpoint).sign, BUCKET, item.obs_addr.object, lifetime=60)
    assert fetch(sign(now=time.time()))[0] == 200
    assert fetch(sign(now=time.time() - 61))[0] == 403

    # Forged: another lifetime, another file, another signature.
    expires = int(re.search(r"expires=(\d+)", item.download_url).group(1))  # type: ignore[union-attr]
    assert expires > time.time()
    assert fetch(item.download_url.replace(f"expires={expires}", f"expires={expires + 60}"))[0] == 403
    assert fetch(item.download_url.replace(f"expires={expires}", "expires=1"))[0] == 403
    assert fetch(item.download_url.replace(".mp4", ".json"))[0] == 403
    assert fetch(re.sub(r"signature=[^&]+", "signature=" + "0" * 64, item.download_url))[0] == 403
    assert fetch(item.download_url.partition("?")[0])[0] == 403


def check_refused(sdk: Sdk, action: str, stream: str, status: int, code: str) -> None:
    with pytest.raises(ClientRequestException) as refused:
        sdk.control(action, stream)
    assert (refused.value.status_code, refused.value.error_code) == (status, code)
    assert REQUEST_ID.fullmatch(refused.value.request_id), refused.value.request_id


def check_notification(message: dict[str, Any], stream: str, pushed_at: float) -> None:
    assert (message["domain"], message["app"], message["stream"]) == (DOMAIN, "live", stream)
    assert message["client_ip"] == "127.0.0.1"
    assert message["user_args"] == f"vhost={DOMAIN}"
    assert pushed_at - CLOCKS <= int(message["publish_timestamp"]) <= time.time() + CLOCKS
    assert message["auth_timestamp"] >= pushed_at - CLOCKS
    assert message["auth_sign"] == expected_sign(NOTIFICATION_KEY, message)
    assert message["_content_type"].startswith("application/json")


def check_listing(server: LiveServer, contents: list[Any], stream: str, pushed_at: float, stopped_at: float) -> None:
    assert {item.record_format for item in contents} == FORMATS
    for item in contents:
        assert (item.publish_domain, item.app, item.stream) == (DOMAIN, "live", stream)
        assert (item.record_type, item.obs_addr.bucket) == ("COMMAND_RECORD", BUCKET)
        prefix = f"archive/Record/{DOMAIN}/live/COMMAND_RECORD/{item.record_format.upper()}/{stream}_"
        assert item.obs_addr.object.startswith(prefix), item.obs_addr.object
        begun_at = datetime.strptime(item.obs_addr.object.removeprefix(prefix)[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert pushed_at - CLOCKS <= begun_at.timestamp() <= stopped_at
        assert abs(item.duration - MediaFile(server.bucket / item.obs_addr.object).seconds) <= 1


def check_playlist(playlist: Path) -> None:
    """A finished playlist: VOD, closed, and its slices are there, each about as long as wanted."""
    lines = playlist.read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert lines[-1] == "#EXT-X-ENDLIST"
    target = next(int(line.partition(":")[2]) for line in lines if line.startswith("#EXT-X-TARGETDURATION:"))
    lengths = [float(line.removeprefix("#EXTINF:").partition(",")[0]) for line in lines if line.startswith("#EXTINF:")]
    slices = [playlist.parent / line for line in lines if line and not line.startswith("#")]
    assert len(lengths) == len(slices) >= 3
    assert all(round(length) <= target for length in lengths)
    assert all(1.9 <= length <= 2.1 for length in lengths[:-1]), lengths
    assert set(playlist.parent.glob("*.ts")) == set(slices)
    for path in slices:
        assert MediaFile(path).video[0].key, f"{path} does not begin with a key frame"


def check_manifest(bucket: Path, contents: list[Any]) -> None:
    """recording.json lies beside the files and tells the truth about them."""
    manifests = [manifest_beside(bucket / item.obs_addr.object) for item in contents]
    assert all(manifest == manifests[0] for manifest in manifests)
    manifest = manifests[0]
    assert (manifest["state"], manifest["end_reason"], manifest["error"]) == ("completed", "stop", None)
    assert {file["object"] for file in manifest["files"]} == {item.obs_addr.object for item in contents}
    for file in manifest["files"]:
        path = bucket / file["object"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"], file["object"]
        if file["format"] == "HLS":
            assert file["size"] == sum(p.stat().st_size for p in [path, *path.parent.glob("*.ts")])
        else:
            assert file["size"] == path.stat().st_size
        assert abs(file["duration"] - MediaFile(path).seconds) < 0.2
        assert (file["width"], file["height"]) == (640, 360)
        assert (file["video_codec"], file["audio_codec"]) == ("H264", "AAC")


def fetch(url: str, **headers: str) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
