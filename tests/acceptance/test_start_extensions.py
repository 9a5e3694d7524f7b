"""Our extensions of START with a real encoder: armed before the push, and beginning before START."""

import time
from typing import Any

from tests.acceptance.api import ANOTHER_SECOND, DOMAIN
from tests.acceptance.conftest import Footage, Push
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_plans_and_indexes import is_live
from tests.acceptance.test_record_on_command import LATE


def start(server: LiveServer, stream: str, **extension: Any) -> int:
    body = {"publish_domain": DOMAIN, "app": "live", "stream": stream, "livereel": extension}
    return server.bare().call("POST", "/v1/{project}/record/control", {"action": "START"}, body).status


def test_armed_start_records_every_push_until_stop_over_a_kill(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = own_server.sdk()
    sdk.create_template(stream, formats=("FLV",))
    assert start(own_server, stream, armed=True) == 200
    own_server.kill()
    own_server.start()
    for _ in range(2):
        encoder = ffmpeg_push(own_server.push_url(stream))
        time.sleep(3)
        encoder.stop()
    sdk = own_server.sdk()
    contents = sdk.wait_contents(stream, 2)
    sdk.stop(stream)
    time.sleep(ANOTHER_SECOND)
    ffmpeg_push(own_server.push_url(stream))
    time.sleep(3)
    for content in contents:
        check_piece_of(MediaFile(own_server.bucket / content.obs_addr.object), footage(60))
    assert len(sdk.contents(stream)) == 2


def test_pre_roll_holds_what_came_before_start(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    template = {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": stream,
        "record_type": "COMMAND_RECORD",
        "default_record_config": {
            "record_format": ["FLV", "MP4", "HLS"],
            "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": "archive/"},
            "hls_config": {"record_cycle": 3600, "record_slice_duration": 2},
        },
        "livereel": {"pre_roll": 4},
    }
    assert server.bare().call("POST", "/v1/{project}/record/rules", body=template).status == 201
    ffmpeg_push(server.push_url(stream))
    wait_until(lambda: is_live(server, stream), 60, "the push")
    time.sleep(7)
    began = time.monotonic()
    sdk.start_when_live(stream)
    time.sleep(2)
    sdk.stop(stream)
    took = time.monotonic() - began
    files = [MediaFile(server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage(60))
    check_same_content(files)
    for file in files:
        # 4 s before START, up to a group of pictures more, 2 s after it, and what the commands took.
        assert 5.5 - LATE < file.seconds < 8.5 + took - 2
