"""Snapshots and pull tasks as an application uses them: the official SDK, a real server, real sources."""

import hashlib
import hmac
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
from huaweicloudsdklive.v1 import (
    CreatePullTaskRequest,
    CreateSnapshotConfigRequest,
    DeletePullTaskRequest,
    ListPullTasksRequest,
    LivePullStreamTask,
    LiveSnapshotConfig,
    ObsFileAddr,
)

from tests.acceptance.api import BUCKET, DOMAIN
from tests.acceptance.conftest import Footage, Push, run_server, wait_recorded
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import LiveServer, wait_until

KEY = "a snapshot key of 32 characters+"
PULL_WORKER = b"livereel.pulls.worker"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The test's output is no place for an access log."""


@pytest.fixture
def media_url(footage: Footage) -> Iterator[str]:
    """A static web server with the footage."""
    path = footage(20).path
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(path.parent)))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/{path.name}"
    http.shutdown()
    http.server_close()
    thread.join(5)


@pytest.fixture
def pulling_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that may pull from the loopback."""
    yield from run_server(tmp_path, LIVEREEL_PULLS__ALLOW_PRIVATE="127.0.0.0/8")


def processes(server: LiveServer, module: bytes) -> list[int]:
    """Worker processes of this server, those of a dead one included."""
    found = []
    mark = f"LIVEREEL_DATA_DIR={server.data_dir}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if module in (process / "cmdline").read_bytes() and mark in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def snapshots(receiver: Receiver, stream: str) -> list[dict[str, Any]]:
    return [message for message in receiver.messages if message.get("stream_name") == stream and "width" in message]


def test_snapshots(server: LiveServer, stream: str, ffmpeg_push: Push, receiver: Receiver) -> None:
    sdk = server.sdk()
    app = "snapshots"
    config = LiveSnapshotConfig(
        domain=DOMAIN,
        app_name=app,
        auth_key=KEY,
        time_interval=5,
        object_write_mode=0,
        obs_location=ObsFileAddr(bucket=BUCKET, location="cn-north-4", object="pictures"),
        call_back_enable="on",
        call_back_url=receiver.url,
        image_object_format="{obs_object}/{app}/{stream}_{unix_time_milli}",
    )
    sdk.client.create_snapshot_config(CreateSnapshotConfigRequest(body=config))
    encoder = ffmpeg_push(server.push_url(stream, app=app))
    wait_until(lambda: len(snapshots(receiver, stream)) >= 2, 60, "two snapshots")
    encoder.stop()
    first, second = snapshots(receiver, stream)[:2]
    covered = "".join(str(first[name]) for name in ("auth_timestamp", "domain", "app", "stream_name", "snapshot_url"))
    assert first["auth_sign"] == hmac.new(KEY.encode(), covered.encode(), hashlib.sha256).hexdigest()
    taken = [int(message["obs_addr"]["object"].rpartition("_")[2].removesuffix(".jpg")) for message in (first, second)]
    assert 4000 <= taken[1] - taken[0] <= 15_000  # every 5 s, with a key frame each second
    with urllib.request.urlopen(first["snapshot_url"], timeout=60) as answer:
        picture = answer.read()
    path = server.data_dir / "store" / first["obs_addr"]["bucket"] / first["obs_addr"]["object"]
    assert path.read_bytes() == picture
    with av.open(str(path), format="jpeg_pipe") as container:
        frame = next(container.decode(video=0))
    assert (str(frame.width), str(frame.height)) == (first["width"], first["height"])


def test_a_pulled_loop_is_recorded(
    pulling_server: LiveServer, media_url: str, footage: Footage, receiver: Receiver
) -> None:
    """Over a crash of the server, too: the task goes on by itself, and the dead server's workers are gone."""
    server, stream = pulling_server, "pulled"
    sdk = server.sdk()
    sdk.create_template(stream, record_type="CONTINUOUS_RECORD", formats=("FLV",))
    body = LivePullStreamTask(
        source_type="PullVodPushLive",
        source_urls=[media_url],
        domain=DOMAIN,
        app_name="live",
        stream_name=stream,
        callback_url=receiver.url,
    )
    task = sdk.client.create_pull_task(CreatePullTaskRequest(body=body)).task_id

    def told(event: str, count: int) -> bool:
        return [message["event"] for message in receiver.messages].count(event) >= count

    wait_until(lambda: told("VodSourceFileStart", 1), 60, "the first file")
    wait_recorded(server, footage(20), 4)
    [worker] = processes(server, PULL_WORKER)
    server.kill()
    wait_until(lambda: worker not in processes(server, PULL_WORKER), 60, "the end of the dead server's worker")
    server.start()
    sdk = server.sdk()
    wait_until(lambda: told("TaskStart", 2), 60, "the task to go on")
    wait_recorded(server, footage(20), 3)
    [shown] = sdk.client.list_pull_tasks(ListPullTasksRequest(task_id=task)).task_infos
    assert shown.status == "running"
    sdk.client.delete_pull_task(DeletePullTaskRequest(task_id=task))
    wait_until(lambda: told("TaskExit", 1), 60, "the end of the task")
    assert [message["reason"] for message in receiver.messages if message["event"] == "TaskExit"] == ["deleted"]
    assert processes(server, PULL_WORKER) == []
    files = sdk.wait_contents(stream, count=2)
    assert all(file.duration >= 1 for file in files), files


def test_nothing_private_is_pulled_by_default(server: LiveServer, stream: str, media_url: str) -> None:
    task = {
        "source_type": "PullLivePushLive",
        "source_urls": [media_url],
        "domain": DOMAIN,
        "app_name": "live",
        "stream_name": stream,
    }
    answer = server.bare().call("POST", "/v1/{project}/pull/stream/task", body=task)
    assert (answer.status, answer.error) == (400, "LIVE.100011001")
    assert "pulls.allow_private" in answer.json["error_detail"]
