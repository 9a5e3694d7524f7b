"""Live streams through the API: what is live, cutting and forbidding pushes, signed push URLs."""

from collections.abc import Iterator
from typing import Any

import pytest
from huaweicloudsdklive.v1 import (
    CreateStreamForbiddenOnceRequest,
    CreateStreamForbiddenRequest,
    CreateUrlAuthchainReq,
    CreateUrlAuthchainRequest,
    DeleteStreamForbiddenRequest,
    KeyChainInfo,
    ListLiveStreamsOnlineRequest,
    LiveClient,
    StreamForbiddenOnceSetting,
    StreamForbiddenSetting,
    UpdateDomainKeyChainRequest,
)

from tests.acceptance.api import DOMAIN
from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.server import LiveServer, wait_until

GUARDED = "guarded.example.com"
KEY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"


def online(client: LiveClient, stream: str, domain: str = DOMAIN) -> list[Any]:
    request = ListLiveStreamsOnlineRequest(publish_domain=domain, app="live", stream=stream)
    return list(client.list_live_streams_online(request).streams)


def steady(shown: Any) -> bool:
    """30 pictures a second, and 44 100 Hz in frames of 1024."""
    return 28 <= (shown.video_frame_rate or 0) <= 32 and 41 <= (shown.audio_frame_rate or 0) <= 45


def test_a_live_stream_is_shown_as_it_is(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    client = server.sdk().client
    encoder = ffmpeg_push(server.push_url(stream))
    wait_until(lambda: online(client, stream), 60, "the stream")
    # Rates are over some seconds, and an encoder on a busy machine begins with a leap.
    wait_until(lambda: steady(online(client, stream)[0]), 60, "the rates of the footage")
    shown = online(client, stream)[0]
    assert (shown.video_codec, shown.audio_codec, shown.resolution) == ("H264", "AAC", "640x360")
    assert shown.video_bitrate > 100
    assert 40 < shown.audio_bitrate < 160
    assert shown.client_ip == "127.0.0.1"
    encoder.stop()
    wait_until(lambda: not online(client, stream), 60, "the end of the stream")


def test_cut_once(server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("FLV",))
    encoder = ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(server, footage(), 2)
    once = StreamForbiddenOnceSetting(domain=DOMAIN, app_name="live", stream_name=stream)
    done = sdk.client.create_stream_forbidden_once(CreateStreamForbiddenOnceRequest(body=once))
    assert done.status_code == 204
    assert not online(sdk.client, stream)
    assert encoder.wait(60) != 0
    assert "ended by command" in encoder.output
    recorded = MediaFile(server.bucket / sdk.wait_contents(stream, 1)[0].obs_addr.object)
    recorded.check_whole()
    check_piece_of(recorded, footage())

    ffmpeg_push(server.push_url(stream))  # and may come back at once
    wait_until(lambda: online(sdk.client, stream), 60, "the stream")


def test_a_forbidden_stream(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    client = server.sdk().client
    encoder = ffmpeg_push(server.push_url(stream))
    wait_until(lambda: online(client, stream), 60, "the stream")
    setting = StreamForbiddenSetting(domain=DOMAIN, app_name="live", stream_name=stream)
    assert client.create_stream_forbidden(CreateStreamForbiddenRequest(body=setting)).status_code == 204
    assert encoder.wait(60) != 0
    assert "may not be pushed before" in encoder.output
    again = ffmpeg_push(server.push_url(stream))
    assert again.wait(60) != 0
    assert "may not be pushed before" in again.output

    request = DeleteStreamForbiddenRequest(domain=DOMAIN, app_name="live", stream_name=stream)
    assert client.delete_stream_forbidden(request).status_code == 204
    ffmpeg_push(server.push_url(stream))
    wait_until(lambda: online(client, stream), 60, "the stream")


@pytest.fixture(scope="module")
def guarded(shared_server: LiveServer) -> Iterator[LiveServer]:
    """A domain of its own, whose push URLs must be signed."""
    shared_server.sdk().create_domain(GUARDED)
    yield shared_server


@pytest.mark.parametrize("auth_type", ["a_md5", "b_md5", "c_aes", "d_sha256"])
def test_signed_push_urls(guarded: LiveServer, ffmpeg_push: Push, stream: str, auth_type: str) -> None:
    client = guarded.sdk().client
    body = KeyChainInfo(key=KEY, auth_type=auth_type, timeout=600)
    client.update_domain_key_chain(UpdateDomainKeyChainRequest(domain=GUARDED, body=body))
    url = guarded.push_url(stream, domain=GUARDED)
    unsigned = ffmpeg_push(url, 2)
    assert unsigned.wait(60) != 0
    assert "the URL is not signed" in unsigned.output

    wanted = CreateUrlAuthchainReq(domain=GUARDED, domain_type="push", app="live", stream=stream, check_level=5)
    query = client.create_url_authchain(CreateUrlAuthchainRequest(body=wanted)).keychain[0]
    signed = ffmpeg_push(f"{url}&{query}", 2)
    assert signed.wait(60) == 0, signed.output
    other = ffmpeg_push(f"{guarded.push_url(stream + '-other', domain=GUARDED)}&{query}", 2)
    assert other.wait(60) != 0
    assert "the signature of the URL is wrong" in other.output
