"""Encoders beside ffmpeg: GStreamer, also through librtmp, and a relaying nginx-rtmp."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.encoders import Encoder, NginxRelay, gstreamer_command
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import LiveServer
from tests.acceptance.tools import needs
from tests.ports import free_port


@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"], ids=["rtmp2sink", "librtmp"])  # rtmpsink is librtmp
def test_gstreamer(server: LiveServer, stream: str, tmp_path: Path, sink: str) -> None:
    needs("gstreamer")
    sdk = server.sdk()
    sdk.create_template(stream, record_type="CONTINUOUS_RECORD")
    encoder = Encoder(gstreamer_command(server.push_url(stream), 5, sink), tmp_path / "gst.log")
    assert encoder.wait(60) == 0, encoder.output

    files = [MediaFile(server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    for file in files:
        file.check_whole()
        file.check_no_frame_missing()
        assert len(file.video) == 150
    check_same_content(files)


def test_nginx_rtmp_push(server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str, tmp_path: Path) -> None:
    needs("nginx-rtmp")
    sdk = server.sdk()
    sdk.create_template(stream)
    port = free_port()
    relay = NginxRelay(tmp_path / "nginx", port, server.push_url(stream))
    try:
        ffmpeg_push(f"rtmp://127.0.0.1:{port}/live/whatever")
        sdk.start_when_live(stream)
        wait_recorded(server, footage(), 3)
        sdk.stop(stream)
    finally:
        relay.stop()
    files = [MediaFile(server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    for file in files:
        file.check_whole()
    check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
