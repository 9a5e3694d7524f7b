"""realtime/streams, stream/blocks and stream/block-once, on streams that are really pushed."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.acceptance.conftest import Push
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_record_on_command import UUID
from tests.contract.client import UTC as UTC_TIME
from tests.contract.client import Between, Contract, Like


def online(api: Contract, domain: str, **query: Any) -> dict[str, Any]:
    return api("ListLiveStreamsOnline", publish_domain=domain, **query)


@pytest.mark.operations("ListLiveStreamsOnline", "CreateStreamForbiddenOnce")
def test_online_streams_and_a_cut(server: LiveServer, api: Contract, domain: str, ffmpeg_push: Push) -> None:
    none = {"total_page": 0, "total_num": 0, "offset": 0, "limit": 10, "request_id": Like(UUID), "streams": []}
    assert online(api, domain) == none
    encoder = ffmpeg_push(server.push_url("cam01", domain=domain))
    expected = {
        "publish_domain": domain,
        "app": "live",
        "stream": "cam01",
        "video_codec": "H264",
        "audio_codec": "AAC",
        "video_frame_rate": Between(25, 35),
        "audio_frame_rate": Between(38, 48),
        "video_bitrate": Between(100, 20_000),
        "audio_bitrate": Between(30, 200),
        "resolution": "640x360",
        "client_ip": "127.0.0.1",
        "start_time": Like(UTC_TIME),
    }
    only = none | {"total_page": 1, "total_num": 1, "streams": [expected]}
    wait_until(lambda: online(api, domain) == only, 60, f"{expected}; got {online(api, domain)}")
    for query in ({"limit": 1}, {"app": "live"}, {"app": "live", "stream": "cam01"}, {"offset": 1}, {"app": "radio"}):
        found = online(api, domain, **query)
        counts = {name: found[name] for name in ("total_page", "total_num", "limit", "offset")}
        there = query.get("app") != "radio"
        assert counts == {"total_page": there, "total_num": there, "limit": 10, "offset": 0} | {
            name: query[name] for name in ("limit", "offset") if name in query
        }
        listed = there and "offset" not in query
        assert [item["stream"] for item in found["streams"]] == (["cam01"] if listed else [])

    once = sdk.StreamForbiddenOnceSetting(domain=domain, app_name="live", stream_name="cam01")
    assert api("CreateStreamForbiddenOnce", body=once) == {}
    assert online(api, domain) == none
    assert encoder.wait(60) != 0


@pytest.mark.operations(
    "CreateStreamForbidden", "UpdateStreamForbidden", "ListStreamForbidden", "DeleteStreamForbidden"
)
def test_forbidden_streams(server: LiveServer, api: Contract, domain: str, ffmpeg_push: Push) -> None:
    names = {"domain": domain, "app_name": "live", "stream_name": "cam01"}
    empty = {"total": 0, "blocks": []}
    assert api("ListStreamForbidden", domain=domain) == empty
    assert api("CreateStreamForbidden", body=sdk.StreamForbiddenSetting(**names)) == {}
    listed = api("ListStreamForbidden", domain=domain)
    until = datetime.strptime(listed["blocks"][0].pop("resume_time"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(until - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    assert listed == {"total": 1, "blocks": [{"app_name": "live", "stream_name": "cam01"}]}

    later = datetime.now(UTC) + timedelta(days=90)
    assert api("UpdateStreamForbidden", body=sdk.StreamForbiddenSetting(**names, resume_time=later)) == {}
    only = {
        "total": 1,
        "blocks": [
            {
                "app_name": "live",
                "stream_name": "cam01",
                "resume_time": later.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ],
    }
    query = {"domain": domain, "app_name": "live", "stream_name": "cam01", "page": 0, "size": 1}
    assert api("ListStreamForbidden", **query) == only
    assert api("ListStreamForbidden", **query | {"page": 1}) == only | {"blocks": []}
    assert api("ListStreamForbidden", domain=domain, app_name="radio") == empty
    refused = ffmpeg_push(server.push_url("cam01", domain=domain), 2)
    assert refused.wait(60) != 0
    assert re.search("may not be pushed before 20", refused.output)

    assert api("DeleteStreamForbidden", **names) == {}
    assert api("ListStreamForbidden", domain=domain) == empty
    allowed = ffmpeg_push(server.push_url("cam01", domain=domain), 2)
    assert allowed.wait(60) == 0, allowed.output
