"""pull/stream/task, with a source that is really pulled."""

import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.acceptance.conftest import Footage
from tests.acceptance.server import wait_until
from tests.contract.client import HEX_32, Contract, Like
from tests.contract.client import UTC as UTC_TIME
from tests.contract.test_recording import REQUEST, text

EVENTS = ["TaskStart", "TaskExit", "VodSourceFileStart", "VodSourceFileFinish", "ResetTaskConfig", "TaskAlarm"]


@pytest.fixture
def file_url(footage: Footage) -> Iterator[str]:
    """A file on a web server."""
    path = footage().path

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """The test's output is no place for an access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(Path(path).parent))) as http:
        Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/{path.name}"
        http.shutdown()


@pytest.mark.operations("CreatePullTask", "ModifyPullTask", "ListPullTasks", "DeletePullTask")
def test_pull_tasks(api: Contract, domain: str, file_url: str) -> None:
    def listed(**query: Any) -> list[dict[str, Any]]:
        answer = api("ListPullTasks", **query)
        assert set(answer) == {"task_infos", "total", "request_id"}
        assert answer["request_id"] == REQUEST
        return list(answer["task_infos"])

    began = time.time()
    names = {"region": f"region-of-{domain}", "domain": domain, "app_name": "live", "stream_name": "loop"}
    given = {
        "source_type": "PullVodPushLive",
        "source_urls": [file_url],
        **names,
        "push_args": "a=b",
        "end_time": text(began + 3600),
        "vod_loop_time": "3",
        "vod_refresh_type": "continue_from_break_point",
        "vod_start_video_index": 0,
        "vod_start_video_time": 1,
        "callback_events": ["TaskStart", "TaskExit"],
        "callback_url": "https://app.example.com/pull",
    }
    made = api("CreatePullTask", body=sdk.LivePullStreamTask(**given))
    assert made == {"task_id": Like(HEX_32), "request_id": REQUEST}
    task_id = made["task_id"]
    shown = {
        **given,
        "task_id": task_id,
        "status": "running",
        "create_time": Like(UTC_TIME),
        "start_time": Like(UTC_TIME),
    }
    wait_until(lambda: listed(task_id=task_id)[0]["status"] == "running", 60, "the task")
    assert listed(task_id=task_id) == listed(region=names["region"], offset=0, limit=1) == [shown]
    assert listed(region=names["region"], offset=1) == listed(task_id="0" * 32) == []

    def online() -> list[str]:
        return [item["stream"] for item in api("ListLiveStreamsOnline", publish_domain=domain)["streams"]]

    wait_until(lambda: online() == ["loop"], 60, "the stream")
    change = {"source_urls": [file_url, file_url], "vod_loop_time": "-1", "callback_events": EVENTS}
    paused = sdk.ModifyLivePullStreamTask(task_id=task_id, status="pause", **change)
    assert api("ModifyPullTask", body=paused) == {"task_id": task_id, "request_id": REQUEST}
    assert listed(task_id=task_id) == [shown | change | {"status": "paused"}]
    wait_until(lambda: not online(), 60, "the end of the stream")
    enabled = sdk.ModifyLivePullStreamTask(task_id=task_id, status="enable", vod_start_video_index=1)
    assert api("ModifyPullTask", body=enabled) == {"task_id": task_id, "request_id": REQUEST}
    wait_until(lambda: online() == ["loop"], 60, "the stream")
    assert listed(task_id=task_id) == [shown | change | {"vod_start_video_index": 1}]

    gone = api("DeletePullTask", task_id=task_id, region=names["region"])
    assert gone == {"task_id": task_id, "request_id": REQUEST}
    assert listed(task_id=task_id) == []
    wait_until(lambda: not online(), 60, "the end of the stream")
    api.refused("DeletePullTask", 404, "LIVE.103011019", task_id="0" * 32)
    two = given | {"source_type": "PullLivePushLive", "source_urls": [file_url] * 2}
    api.refused("CreatePullTask", 400, "LIVE.100011001", body=sdk.LivePullStreamTask(**two))
