"""Planned recordings and playlists over a time, with real encoders and the official SDK."""

import time
from datetime import datetime
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

from huaweicloudsdklive.v1 import (
    CreateRecordIndexRequest,
    CreateScheduleRecordTasksRequest,
    DeleteScheduleRecordTasksRequest,
    ListScheduleRecordTasksRequest,
    RecordIndexRequestBody,
    ScheduleRecordTasksReq,
)

from livereel.recorder.probe import probe
from tests.acceptance.api import DOMAIN, Sdk
from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.server import LiveServer, manifest_beside, wait_until


def create_plan(sdk: Sdk, stream: str, template_id: str, end_time: float) -> str:
    body = ScheduleRecordTasksReq(
        domain=DOMAIN, app="live", stream=stream, end_time=int(end_time), template_id=template_id
    )
    return str(sdk.client.create_schedule_record_tasks(CreateScheduleRecordTasksRequest(body=body)).task_id)


def plan_of(sdk: Sdk, task_id: str) -> Any:
    request = ListScheduleRecordTasksRequest(end_time=int(time.time()) + 86_400, task_id=task_id)
    [plan] = sdk.client.list_schedule_record_tasks(request).tasks
    return plan


def recordings_begun(server: LiveServer, stream: str) -> int:
    return sum(event["event"] == "task_recording" and stream in event["stream"] for event in server.events())


def is_live(server: LiveServer, stream: str) -> bool:
    return any(event["event"] == "publish" and stream in event["stream"] for event in server.events())


def test_plan_records_a_live_stream_until_it_ends(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    template = sdk.create_template(stream, record_type="PLAN_RECORD", formats=("FLV", "HLS"))
    encoder = ffmpeg_push(server.push_url(stream))
    wait_until(lambda: is_live(server, stream), 60, "the push")
    end_time = int(time.time()) + 12
    task_id = create_plan(sdk, stream, template.id, end_time)
    assert plan_of(sdk, task_id).stop_time == 0 or time.time() >= end_time
    contents = sdk.wait_contents(stream, 2)
    assert encoder.running
    assert {item.record_type for item in contents} == {"PLAN_RECORD"}
    flv = next(server.bucket / item.obs_addr.object for item in contents if item.record_format == "flv")
    first, last = check_piece_of(MediaFile(flv), footage())
    assert last - first > 30
    manifest = manifest_beside(flv)
    assert manifest["end_reason"] == "plan_end"
    ended_at = datetime.fromisoformat(manifest["ended_at"]).timestamp()
    assert end_time <= ended_at < end_time + 60  # of the 240 s that are pushed
    assert plan_of(sdk, task_id).stop_time == end_time


def test_plan_survives_the_death_of_the_server(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = own_server.sdk()
    template = sdk.create_template(stream, record_type="PLAN_RECORD", formats=("FLV",))
    task_id = create_plan(sdk, stream, template.id, time.time() + 3600)
    encoder = ffmpeg_push(own_server.push_url(stream))
    wait_until(lambda: recordings_begun(own_server, stream) == 1, 60, "the first recording")
    wait_recorded(own_server, footage(), 2)
    own_server.kill()
    assert encoder.wait(60) != 0

    own_server.start()
    sdk = own_server.sdk()
    sdk.wait_contents(stream, 1)
    ffmpeg_push(own_server.push_url(stream))
    wait_until(lambda: recordings_begun(own_server, stream) == 1, 60, "the second recording")
    wait_recorded(own_server, footage(), 2)
    deleting_at = time.time()
    sdk.client.delete_schedule_record_tasks(DeleteScheduleRecordTasksRequest(task_id=task_id))
    deleted_at = time.time()
    contents = sdk.wait_contents(stream, 2)
    for item in contents:
        MediaFile(own_server.bucket / item.obs_addr.object).check_whole()
    assert deleting_at - 1 <= plan_of(sdk, task_id).stop_time <= deleted_at + 1


def test_index_over_two_pushes_of_which_one_goes_on(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, record_type="CONTINUOUS_RECORD", formats=("HLS",))
    began = time.time()
    encoder = ffmpeg_push(server.push_url(stream), 5)
    assert encoder.wait() == 0, encoder.output
    [first] = sdk.wait_contents(stream, 1)
    ffmpeg_push(server.push_url(stream))
    done = server.bucket / first.obs_addr.object
    wait_until(lambda: set(server.bucket.rglob(f"{stream}_*.m3u8")) - {done}, 60, "slices of the second push")

    body = RecordIndexRequestBody(
        publish_domain=DOMAIN,
        app="live",
        stream=stream,
        start_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 1)),
        end_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)),
    )
    made = sdk.client.create_record_index(CreateRecordIndexRequest(body=body))
    picture = probe(footage().path).video
    assert picture is not None
    assert (made.width, made.height) == (picture.width, picture.height)
    text = (server.bucket / made.object).read_text()
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert text.endswith("#EXT-X-ENDLIST\n")
    listed = text.count("#EXTINF:")
    whole = MediaFile(server.bucket / made.object)  # follows the paths of the slices
    assert len(whole.video) > len(MediaFile(done).video) == 150
    with urlopen(made.index_url) as reply:
        lines = reply.read().decode().splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert len(names) == listed
    with urlopen(urljoin(made.index_url, names[-1])) as reply:
        assert reply.read(1) == b"G"
