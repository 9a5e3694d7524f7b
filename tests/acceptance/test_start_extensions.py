"""Our extensions of START with a real encoder: armed before the push, and beginning before START."""

import time
from functools import partial
from typing import Any

from tests.acceptance.api import DOMAIN
from tests.acceptance.conftest import Footage, Push, wait_received, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_interruptions import pushes
from tests.acceptance.test_plans_and_indexes import recordings_begun


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
    for number in (1, 2):
        encoder = ffmpeg_push(own_server.push_url(stream))
        begun = partial(recordings_begun, own_server, stream)
        wait_until(lambda begun=begun, number=number: begun() == number, 60, f"recording {number}")
        wait_recorded(own_server, footage(), 1)
        encoder.stop()
    sdk = own_server.sdk()
    contents = sdk.wait_contents(stream, 2)
    sdk.stop(stream)
    before = own_server.received()
    ffmpeg_push(own_server.push_url(stream))
    wait_until(lambda: pushes(own_server, stream) == 3, 60, "the push after STOP")
    wait_received(own_server, footage(), 2, since=before)
    assert recordings_begun(own_server, stream) == 2
    for content in contents:
        check_piece_of(MediaFile(own_server.bucket / content.obs_addr.object), footage())
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
    before, pushed_at = server.received(), time.monotonic()
    ffmpeg_push(server.push_url(stream))
    wait_received(server, footage(), 10, since=before)
    sdk.start(stream)
    answered_at = time.monotonic()
    wait_recorded(server, footage(), 2)
    sdk.stop(stream)
    files = [MediaFile(server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    first, _ = check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
    # An encoder may be late but not early, by more than it sends at once in the beginning (1 s): what came 4 s before
    # START is there, and what came long before that is not.
    assert 30 <= first < 30 * (answered_at - pushed_at - 4 + 1)
