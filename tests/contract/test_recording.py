"""record/control, record/contents, record/indexes and schedule/record/tasks, with a real push."""

import time
from datetime import UTC, datetime
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.acceptance.conftest import LONG, Push
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_record_on_command import REQUEST_ID
from tests.contract.client import DAY, HEX_32, Between, Contract, Like
from tests.contract.client import UTC as UTC_TIME
from tests.contract.test_templates import every_member, fewest_members, template

REQUEST = Like(REQUEST_ID.pattern)
LINK = r"http://127\.0\.0\.1:\d+/files/rec-a/{key}\?expires=\d+&signature=[0-9a-f]{{64}}"


def text(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expected_content(item: dict[str, Any], domain: str, **changes: Any) -> dict[str, Any]:
    """What a listed file must be; what cannot be known before is taken from `item` and compared in form."""
    record_format, key = item["record_format"], item["obs_addr"]["object"]
    extension = {"hls": "m3u8", "flv": "flv", "mp4": "mp4"}[record_format]
    assert key.startswith("archive/" if changes["obs_object"] else "Record/"), key
    assert key.endswith("." + extension), key
    return {
        "publish_domain": domain,
        "app": "live",
        "stream": "cam01",
        "file_name": key.rpartition("/")[2],
        "record_format": record_format,
        "record_type": changes["record_type"],
        "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": key},
        "download_url": Like(LINK.format(key=key.replace(".", r"\."))),
        "start_time": Like(DAY),
        "end_time": Like(DAY),
        "duration": Between(3, LONG),
    }


def wait_for_media(server: LiveServer, slices: str) -> None:
    """Wait until enough is recorded to be told of: two HLS slices of 2 s, stored under names like `slices`."""
    wait_until(lambda: len(list(server.bucket.glob(slices))) >= 2, 60, f"two of {slices}")


@pytest.mark.operations("RunRecord", "ListRecordContents", "CreateRecordIndex")
def test_a_recording(server: LiveServer, api: Contract, domain: str, ffmpeg_push: Push) -> None:
    config = every_member()
    config.hls_config.record_ts_prefix = None  # record/indexes wants the default
    config.hls_config.record_slice_duration = 2
    api("CreateRecordRule", body=template(domain, config))
    began = time.time()
    encoder = ffmpeg_push(server.push_url("cam01", domain=domain))
    names = sdk.RecordControlInfo(publish_domain=domain, app="live", stream="cam01")
    wait_until(lambda: api("ListLiveStreamsOnline", publish_domain=domain)["total_num"], 60, "the stream")
    assert api("RunRecord", action="START", body=names) == {"x_request_id": REQUEST}
    wait_for_media(server, "archive/live/cam01/*.ts")
    assert api("RunRecord", action="STOP", body=names) == {"x_request_id": REQUEST}
    encoder.stop()
    ended = time.time()

    def listed(**query: Any) -> dict[str, Any]:
        found = api("ListRecordContents", **{"publish_domain": domain, "start_time": text(began - 1)} | query)
        assert found.pop("x_request_id") == REQUEST
        return found

    wait_until(lambda: listed()["total"] == 3, 60, "three files")
    found = listed(app="live", stream="cam01", record_type="COMMAND_RECORD", end_time=text(ended + 1), limit=100)
    items = found["record_contents"]
    assert {item["record_format"] for item in items} == {"hls", "flv", "mp4"}
    assert found == {
        "total": 3,
        "record_contents": [
            expected_content(item, domain, record_type="COMMAND_RECORD", obs_object="archive/") for item in items
        ],
    }
    none = {"total": 0, "record_contents": []}
    assert listed(start_time=text(ended + 60)) == listed(app="radio") == listed(record_type="PLAN_RECORD") == none
    assert listed(offset=3) == none | {"total": 3}
    assert [len(listed(offset=offset, limit=1)["record_contents"]) for offset in range(3)] == [1, 1, 1]

    body = sdk.RecordIndexRequestBody(
        publish_domain=domain, app="live", stream="cam01", start_time=text(began), end_time=text(ended)
    )
    index = api("CreateRecordIndex", body=body)
    start, end = index["start_time"], index["end_time"]
    compact = [moment.replace("-", "").replace("T", "").replace(":", "").rstrip("Z") for moment in (start, end)]
    key = f"Index/{domain}/live/cam01/cam01-{compact[0]}-{compact[1]}.m3u8"
    assert index == {
        "index_url": Like(LINK.format(key=key.replace(".", r"\."))),
        "publish_domain": domain,
        "app": "live",
        "stream": "cam01",
        "start_time": Like(UTC_TIME),
        "end_time": Like(UTC_TIME),
        "duration": Between(3, LONG),
        "width": 640,
        "height": 360,
        "location": "cn-north-4",
        "bucket": "rec-a",
        "object": key,
        "x_request_id": REQUEST,
    }
    assert text(began - 1) <= start < end <= text(ended + 1)
    assert (server.bucket / key).read_text().startswith("#EXTM3U\n")
    body.object = "named/{stream}-{start_time_unix}"
    assert api("CreateRecordIndex", body=body)["object"].startswith("named/cam01-1")


@pytest.mark.operations("CreateScheduleRecordTasks", "ListScheduleRecordTasks", "DeleteScheduleRecordTasks")
def test_a_planned_recording(server: LiveServer, api: Contract, domain: str, ffmpeg_push: Push) -> None:
    config = fewest_members("HLS")
    config.hls_config.record_slice_duration = 2
    rule = api("CreateRecordRule", body=template(domain, config, record_type="PLAN_RECORD"))
    began, names = time.time(), {"domain": domain, "app": "live", "stream": "cam01"}
    end = int(began) + 3600
    now = sdk.ScheduleRecordTasksReq(**names, end_time=end, template_id=rule["id"])
    made = api("CreateScheduleRecordTasks", body=now)
    assert made == {"task_id": Like(HEX_32), "x_request_id": REQUEST}
    times = {"start_time": int(began) + 7200, "end_time": int(began) + 9000}
    other = {**names, **times, "stream": "cam02", "template_id": rule["id"]}
    later = api("CreateScheduleRecordTasks", body=sdk.ScheduleRecordTasksReq(**other))["task_id"]
    unknown = sdk.ScheduleRecordTasksReq(**names, end_time=end, template_id="0" * 32)
    api.refused("CreateScheduleRecordTasks", 400, "LIVE.100011001", body=unknown)

    def listed(**query: Any) -> dict[str, Any]:
        found = api("ListScheduleRecordTasks", **{"end_time": int(began) + 10_000, "domain": domain} | query)
        assert found.pop("x_request_id") == REQUEST
        return found

    first = {
        **names,
        "start_time": Between(began - 1, began + 60),
        "end_time": end,
        "template_id": rule["id"],
        "stop_time": 0,
        "task_id": made["task_id"],
    }
    second = {**other, "stop_time": 0, "task_id": later}
    page = {"offset": 0, "limit": 10}
    assert listed() == page | {"total": 2, "tasks": [first, second]}
    assert listed(offset=1, limit=1) == page | {"offset": 1, "limit": 1, "total": 2, "tasks": [second]}
    assert listed(app="live", stream="cam02") == listed(task_id=later) == page | {"total": 1, "tasks": [second]}
    assert listed(start_time=int(began) + 7200) == page | {"total": 1, "tasks": [second]}

    ffmpeg_push(server.push_url("cam01", domain=domain))
    wait_for_media(server, f"Record/{domain}/**/*.ts")
    assert api("DeleteScheduleRecordTasks", task_id=made["task_id"]) == {"x_request_id": REQUEST}
    stopped = Between(began, time.time() + 1)
    assert listed(task_id=made["task_id"]) == page | {"total": 1, "tasks": [first | {"stop_time": stopped}]}
    query = {"publish_domain": domain, "start_time": text(began - 1)}
    wait_until(lambda: api("ListRecordContents", **query)["total"], 60, "the file")
    [item] = api("ListRecordContents", **query)["record_contents"]
    assert item == expected_content(item, domain, record_type="PLAN_RECORD", obs_object="")
    api.refused("DeleteScheduleRecordTasks", 404, "LIVE.103011019", task_id="0" * 32)
