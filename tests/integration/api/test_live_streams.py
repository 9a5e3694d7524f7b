"""realtime/streams, stream/blocks and stream/block-once through the official SDK."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from huaweicloudsdklive.v1 import (
    CreateStreamForbiddenOnceRequest,
    CreateStreamForbiddenRequest,
    DeleteStreamForbiddenRequest,
    ListLiveStreamsOnlineRequest,
    ListStreamForbiddenRequest,
    LiveClient,
    StreamForbiddenOnceSetting,
    StreamForbiddenSetting,
    UpdateStreamForbiddenRequest,
)

from livereel.api.huawei.replies import time_text
from livereel.domain.keys import StreamKey
from livereel.domain.messages import Publish
from livereel.streams.stream import Stream
from tests.unit.media import HEADERS, audio, frame

from .conftest import Api
from .sdk import DOMAIN, PULL_DOMAIN, make_domain, refusal, run

UNKNOWN = "other.example.com"


def go_live(api: Api, stream: str, *, app: str = "live", domain: str = DOMAIN) -> Stream:
    now = api.clock.now()
    publish = Publish("p", "198.51.100.7", "203.0.113.9", "", now)
    return api.registry.open(StreamKey(domain, app, stream), publish, api.key.project_id, now)


def block_request(
    kind: Any, *, domain: str = DOMAIN, stream: str = "cam01", resume: datetime | str | None = None
) -> Any:
    return kind(body=StreamForbiddenSetting(domain=domain, app_name="live", stream_name=stream, resume_time=resume))


async def blocks(sdk: LiveClient, **more: Any) -> Any:
    return await run(sdk.list_stream_forbidden, ListStreamForbiddenRequest(domain=DOMAIN, **more))


async def test_what_a_live_stream_is_made_of(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    live = go_live(api, "cam01")
    begun = api.clock.now()  # no tag is old when the question comes, however late: rates are of the last seconds
    live.feed(HEADERS, begun)
    for second in range(5):
        tags = [frame(index * 40, 5000) for index in range(25)] + [audio(index * 20, 200) for index in range(50)]
        live.feed(tags, begun + 1 + second)
    online = await run(sdk.list_live_streams_online, ListLiveStreamsOnlineRequest(publish_domain=DOMAIN))
    assert (online.total_num, online.total_page, online.offset, online.limit) == (1, 1, 0, 10)
    assert UUID(online.request_id)
    stream = online.streams[0]
    assert (stream.publish_domain, stream.app, stream.stream) == (DOMAIN, "live", "cam01")
    assert (stream.video_codec, stream.audio_codec) == ("H264", "AAC")
    assert (stream.video_frame_rate, stream.audio_frame_rate) == (25, 50)
    assert (stream.video_bitrate, stream.audio_bitrate) == (1000, 80)
    assert live.video is not None
    assert stream.resolution == f"{live.video.width}x{live.video.height}"
    assert stream.client_ip == "198.51.100.7"
    assert stream.start_time == time_text(live.publish.started_at)


async def test_a_stream_that_has_sent_nothing_yet(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    go_live(api, "cam01")
    found = (await api.call("GET", f"realtime/streams?publish_domain={DOMAIN}")).json()["streams"]
    assert set(found[0]) == {
        "publish_domain",
        "app",
        "stream",
        "video_codec",
        "audio_codec",
        "client_ip",
        "start_time",
    }


async def test_pages_and_filters(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await make_domain(sdk, UNKNOWN)
    for number in range(5):
        go_live(api, f"cam{number}")
    go_live(api, "cam0", app="radio")
    go_live(api, "elsewhere", domain=UNKNOWN)

    async def names(**query: Any) -> tuple[int, int, list[str]]:
        request = ListLiveStreamsOnlineRequest(publish_domain=DOMAIN, **query)
        answer = await run(sdk.list_live_streams_online, request)
        return answer.total_num, answer.total_page, [f"{item.app}/{item.stream}" for item in answer.streams]

    assert await names(limit=4) == (6, 2, ["live/cam0", "live/cam1", "live/cam2", "live/cam3"])
    assert await names(limit=4, offset=4) == (6, 2, ["live/cam4", "radio/cam0"])
    assert await names(limit=4, offset=9) == (6, 2, [])
    assert await names(app="radio") == (1, 1, ["radio/cam0"])
    assert await names(app="live", stream="cam3") == (1, 1, ["live/cam3"])
    assert await names(app="live", stream="nobody") == (0, 0, [])


@pytest.mark.parametrize(
    "query", ["", f"publish_domain={UNKNOWN}", f"publish_domain={DOMAIN}&stream=cam01", f"publish_domain={PULL_DOMAIN}"]
)
async def test_bad_questions(sdk: LiveClient, api: Api, query: str) -> None:
    await make_domain(sdk)
    await make_domain(sdk, PULL_DOMAIN, "pull")
    reply = await api.call("GET", f"realtime/streams?{query}")
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")


async def test_a_block_cuts_the_push(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await run(sdk.create_stream_forbidden, block_request(CreateStreamForbiddenRequest))
    [command] = api.owner.commands
    assert (command.action, str(command.key)) == ("CUT", f"{DOMAIN}/live/cam01")
    assert "may not be pushed before 20" in command.reason


async def test_pages_and_filters_of_blocks(sdk: LiveClient) -> None:
    await make_domain(sdk)
    for number in range(5):
        await run(sdk.create_stream_forbidden, block_request(CreateStreamForbiddenRequest, stream=f"cam{number}"))

    async def names(**query: Any) -> tuple[int, list[str]]:
        answer = await blocks(sdk, **query)
        return answer.total, [item.stream_name for item in answer.blocks]

    assert await names(size=2) == (5, ["cam0", "cam1"])
    assert await names(size=2, page=2) == (5, ["cam4"])
    assert await names(size=2, page=3) == (5, [])
    assert await names(app_name="live", stream_name="cam3") == (1, ["cam3"])
    assert await names(app_name="radio") == (0, [])


async def test_what_a_block_may_not_say(sdk: LiveClient) -> None:
    await make_domain(sdk)
    now = datetime.now(UTC)
    for bad in (now - timedelta(seconds=2), now + timedelta(days=90, minutes=5), "tomorrow"):
        error = await refusal(sdk.create_stream_forbidden, block_request(CreateStreamForbiddenRequest, resume=bad))
        assert (error.status_code, error.error_code) == (400, "LIVE.100011001"), bad
    for stream in ("*", "a/b", ""):
        error = await refusal(sdk.create_stream_forbidden, block_request(CreateStreamForbiddenRequest, stream=stream))
        assert (error.status_code, error.error_code) == (400, "LIVE.100011001"), stream
    assert (await blocks(sdk)).total == 0


async def test_a_block_that_is_not_there(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    error = await refusal(sdk.update_stream_forbidden, block_request(UpdateStreamForbiddenRequest))
    assert (error.status_code, error.error_code) == (404, "LIVE.103011019")
    request = DeleteStreamForbiddenRequest(domain=DOMAIN, app_name="live", stream_name="cam01")
    assert (await run(sdk.delete_stream_forbidden, request)).status_code == 204
    assert not api.owner.commands


async def test_blocks_of_an_unknown_domain(sdk: LiveClient, api: Api) -> None:
    create = await refusal(sdk.create_stream_forbidden, block_request(CreateStreamForbiddenRequest, domain=UNKNOWN))
    change = await refusal(sdk.update_stream_forbidden, block_request(UpdateStreamForbiddenRequest, domain=UNKNOWN))
    listed = await refusal(sdk.list_stream_forbidden, ListStreamForbiddenRequest(domain=UNKNOWN))
    request = DeleteStreamForbiddenRequest(domain=UNKNOWN, app_name="live", stream_name="cam01")
    gone = await refusal(sdk.delete_stream_forbidden, request)
    once = StreamForbiddenOnceSetting(domain=UNKNOWN, app_name="live", stream_name="cam01")
    cut = await refusal(sdk.create_stream_forbidden_once, CreateStreamForbiddenOnceRequest(body=once))
    assert [error.status_code for error in (create, change, listed, gone, cut)] == [400, 400, 400, 403, 400]
    assert {error.error_code for error in (create, change, listed, gone, cut)} == {"LIVE.100011001"}
    assert not api.owner.commands


async def test_cutting_once(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    once = StreamForbiddenOnceSetting(domain=DOMAIN, app_name="live", stream_name="cam01")
    done = await run(sdk.create_stream_forbidden_once, CreateStreamForbiddenOnceRequest(body=once))
    assert done.status_code == 204
    assert [command.action for command in api.owner.commands] == ["CUT"]
    assert (await blocks(sdk)).total == 0
