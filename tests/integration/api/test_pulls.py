"""pull/stream/task through the official SDK and on the wire. Start times lie ahead: nothing is pulled here."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from huaweicloudsdklive.v1 import (
    CreatePullTaskRequest,
    DeletePullTaskRequest,
    ListPullTasksRequest,
    LiveClient,
    LivePullStreamTask,
    ModifyLivePullStreamTask,
    ModifyPullTaskRequest,
)

from .conftest import HOSTNAME, Api
from .sdk import DOMAIN, make_domain, refusal, run

pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string:ImportWarning")

START = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
END = START + timedelta(days=7)


def text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def loop(**changes: Any) -> LivePullStreamTask:
    given = {
        "region": "livereel-1",
        "source_type": "PullVodPushLive",
        "source_urls": ["https://media.example.com/a.mp4", "https://media.example.com/b.mp4"],
        "domain": DOMAIN,
        "app_name": "live",
        "stream_name": "cam01",
        "push_args": "a=b",
        "start_time": START,
        "end_time": END,
        "vod_loop_time": "3",
        "vod_refresh_type": "continue_from_break_point",
        "vod_start_video_index": 1,
        "vod_start_video_time": 30,
        "backup_source_type": "PullLivePushLive",
        "backup_source_urls": ["rtmp://media.example.com/live/backup"],
        "callback_events": ["TaskStart", "TaskExit"],
        "callback_url": "https://receiver.example.com/hook",
    }
    return LivePullStreamTask(**given | changes)


def raw(**changes: Any) -> dict[str, Any]:
    least = {
        "source_type": "PullLivePushLive",
        "source_urls": ["rtsp://media.example.com/cam"],
        "domain": DOMAIN,
        "app_name": "live",
        "stream_name": "cam01",
        "start_time": text(START),
    }
    return {name: value for name, value in (least | changes).items() if value is not None}


async def test_a_task_lives_and_dies(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    made = await run(sdk.create_pull_task, CreatePullTaskRequest(body=loop()))
    assert made.status_code == 200
    assert len(made.task_id) == 32
    assert made.request_id.endswith(HOSTNAME)
    listed = await run(sdk.list_pull_tasks, ListPullTasksRequest(task_id=made.task_id))
    assert listed.total == 1
    [shown] = listed.task_infos
    for name in (
        *("region", "source_type", "source_urls", "domain", "app_name", "stream_name", "push_args"),
        *("vod_loop_time", "vod_refresh_type", "vod_start_video_index", "vod_start_video_time"),
        *("backup_source_type", "backup_source_urls", "callback_events", "callback_url"),
    ):
        assert getattr(shown, name) == getattr(loop(), name), name
    assert (shown.start_time, shown.end_time) == (text(START), text(END))
    assert (shown.task_id, shown.status) == (made.task_id, "pending")

    change = ModifyLivePullStreamTask(
        task_id=made.task_id,
        status="pause",
        source_urls=["https://media.example.com/c.mp4"],
        vod_loop_time="",
        vod_refresh_type="immediate_new_source",
        vod_start_video_index=0,
        vod_start_video_time=0,
        end_time=END - timedelta(days=1),
        callback_events=["TaskAlarm"],
    )
    changed = await run(sdk.modify_pull_task, ModifyPullTaskRequest(body=change))
    assert (changed.status_code, changed.task_id) == (200, made.task_id)
    [shown] = (await run(sdk.list_pull_tasks, ListPullTasksRequest(region="livereel-1"))).task_infos
    assert (shown.status, shown.source_urls) == ("paused", ["https://media.example.com/c.mp4"])
    assert (shown.vod_loop_time, shown.vod_refresh_type) == ("3", "immediate_new_source")
    assert (shown.end_time, shown.callback_events) == (text(END - timedelta(days=1)), ["TaskAlarm"])
    assert (await run(sdk.list_pull_tasks, ListPullTasksRequest(region="elsewhere"))).total == 0

    gone = await run(sdk.delete_pull_task, DeletePullTaskRequest(task_id=made.task_id))
    assert (gone.status_code, gone.task_id) == (200, made.task_id)
    assert (await run(sdk.list_pull_tasks, ListPullTasksRequest())).task_infos == []
    missing = await refusal(sdk.delete_pull_task, DeletePullTaskRequest(task_id="0" * 32))
    assert (missing.status_code, missing.error_code) == (404, "LIVE.103011019")


async def test_defaults(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    empty = {
        "destination_url": "rtmps://live.example.com/app/stream",
        "domain": "",
        "app_name": "",
        "stream_name": None,
        "vod_loop_time": "",
        "backup_source_type": "",
        "end_time": "",
    }
    made = await api.call("POST", "pull/stream/task", raw(**empty))
    assert made.status_code == 200, made.text
    [shown] = (await api.call("GET", "pull/stream/task")).json()["task_infos"]
    del shown["create_time"]
    assert shown == {
        "task_id": made.json()["task_id"],
        "status": "pending",
        "region": "",
        "source_type": "PullLivePushLive",
        "source_urls": ["rtsp://media.example.com/cam"],
        "domain": "",
        "app_name": "",
        "stream_name": "",
        "destination_url": "rtmps://live.example.com/app/stream",
        "start_time": text(START),
        "end_time": text(END),
        "callback_events": [
            *("TaskStart", "TaskExit", "VodSourceFileStart", "VodSourceFileFinish", "ResetTaskConfig", "TaskAlarm")
        ],
    }
    live_only = {"task_id": made.json()["task_id"], "status": "pause"}
    refused = await api.call("PUT", "pull/stream/task", live_only)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "LIVE.100011001")
    assert "PullVodPushLive" in refused.json()["error_detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_type": "PullNothing"},
        {"source_urls": []},
        {"source_urls": "rtmp://h/a/b"},
        {"source_urls": ["rtmp://h/a/b", "rtmp://h/a/c"]},
        {"source_urls": ["file:///etc/passwd"]},
        {"source_urls": ["http://127.0.0.1/live.flv"]},
        {"source_urls": ["http://[::1]/live.flv"]},
        {"domain": None},
        {"domain": "unknown.example.com"},
        {"stream_name": "no stream"},
        {"destination_url": "rtmp://live.example.com/a/b"},
        {"start_time": "tomorrow"},
        {"start_time": "2020-01-01T00:00:00Z", "end_time": "2020-01-02T00:00:00Z"},
        {"end_time": text(START)},
        {"end_time": text(END + timedelta(seconds=1))},
        {"callback_url": "gopher://h"},
        {"callback_events": ["Nothing"]},
        {"callback_events": []},
        {"vod_loop_time": 3},
        {"vod_loop_time": "0"},
        {"vod_loop_time": "many"},
        {"vod_refresh_type": "later"},
        {"vod_start_video_index": 1},
        {"vod_start_video_time": -1},
        {"backup_source_urls": ["rtmp://h/a/b"]},
    ],
)
async def test_what_is_refused(sdk: LiveClient, api: Api, changes: dict[str, Any]) -> None:
    await make_domain(sdk)
    answer = await api.call("POST", "pull/stream/task", raw(**changes))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "LIVE.100011001"), json.dumps(answer.json())


async def test_there_is_a_limit(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    for number in range(3):
        assert (await api.call("POST", "pull/stream/task", raw(stream_name=f"cam{number}"))).status_code == 200
    answer = await api.call("POST", "pull/stream/task", raw(stream_name="one-too-many"))
    assert answer.status_code == 400
    assert "pulls.max_tasks" in answer.json()["error_detail"]
