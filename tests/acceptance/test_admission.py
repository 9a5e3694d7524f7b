"""Pushes that are refused: the encoder is told why, and who pushes already is not disturbed."""

import time

import pytest
from huaweicloudsdklive.v1 import LiveDomainModifyReq, UpdateDomainRequest

from tests.acceptance.conftest import Footage, Push
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.server import LiveServer


def test_unknown_domain_is_refused(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    encoder = ffmpeg_push(server.push_url(stream, domain="nobody.example.com"))
    assert encoder.wait(60) != 0
    assert "unknown ingest domain nobody.example.com" in encoder.output


def test_switched_off_domain_is_refused_until_it_is_on(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    sdk, domain = server.sdk(), "switched.example.com"
    sdk.create_domain(domain)
    switch(sdk.client, domain, "off")
    encoder = ffmpeg_push(server.push_url(stream, domain=domain))
    assert encoder.wait(60) != 0
    assert "switched off" in encoder.output

    switch(sdk.client, domain, "on")
    sdk.create_template(stream, formats=("FLV",), domain=domain)
    ffmpeg_push(server.push_url(stream, domain=domain))
    sdk.start_when_live(stream, domain=domain)
    sdk.stop(stream, domain=domain)


@pytest.mark.parametrize("name", ["..%2f..%2fetc", ".hidden", "{stream}"])
def test_names_outside_the_grammar_are_refused(server: LiveServer, ffmpeg_push: Push, name: str) -> None:
    encoder = ffmpeg_push(server.push_url(name))
    assert encoder.wait(60) != 0
    assert "stream" in encoder.output


def test_second_publisher_is_refused_and_the_first_goes_on(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("MP4",))
    first = ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)

    second = ffmpeg_push(server.push_url(stream))
    assert second.wait(60) != 0
    assert "is being pushed already" in second.output

    time.sleep(1)
    assert first.running
    sdk.stop(stream)
    recorded = MediaFile(server.bucket / sdk.wait_contents(stream, 1)[0].obs_addr.object)
    recorded.check_whole()
    check_piece_of(recorded, footage())

    first.stop()  # now the name is free again
    third = ffmpeg_push(server.push_url(stream), 2)
    assert third.wait(60) == 0, third.output


def switch(client: object, domain: str, status: str) -> None:
    client.update_domain(  # type: ignore[attr-defined]
        UpdateDomainRequest(body=LiveDomainModifyReq(domain=domain, status=status))
    )
