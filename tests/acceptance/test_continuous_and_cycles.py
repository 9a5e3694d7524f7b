"""Recording without a command, and where files are cut."""

import re
import time

from tests.acceptance.api import ANOTHER_SECOND, DOMAIN
from tests.acceptance.conftest import LONG, Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile, check_joined, check_piece_of, check_same_content
from tests.acceptance.server import PATIENCE, LiveServer, manifest_beside, wait_until


def test_continuous_template_records_the_whole_push(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, record_type="CONTINUOUS_RECORD")
    encoder = ffmpeg_push(server.push_url(stream), 5)
    assert encoder.wait() == 0, encoder.output

    contents = sdk.wait_contents(stream)
    assert {item.record_type for item in contents} == {"CONTINUOUS_RECORD"}
    files = {item.record_format: MediaFile(server.bucket / item.obs_addr.object) for item in contents}
    for file in files.values():
        file.check_whole()
    assert check_piece_of(files["flv"], footage(5)) == (0, 149)  # from the first frame to the last
    assert len(files["flv"].audio) == len(footage(5).audio)
    check_same_content(list(files.values()))


def test_cycle_cuts_on_key_frames_and_loses_nothing(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    # A cycle is at least 60 s, so this push is faster than real time: files are cut by media time.
    sdk = server.sdk()
    sdk.create_template(stream, record_type="CONTINUOUS_RECORD", cycle=60, slice_duration=10)
    encoder = ffmpeg_push(server.push_url(stream), 130, 2, speed=20)
    assert encoder.wait() == 0, encoder.output

    contents = sdk.wait_contents(stream, 9)
    for record_format in ("flv", "mp4", "hls"):
        paths = [server.bucket / c.obs_addr.object for c in contents if c.record_format == record_format]
        # Footage faster than time says little about wall time, which names begin with: go by the numbers of the files.
        # recording.json lies beside the first one.
        first = wait_until(
            lambda paths=paths: next((p for p in paths if p.with_name("recording.json").is_file()), None),
            PATIENCE,
            "the end",
        )
        order = {f["object"]: f["sequence"] for f in manifest_beside(first)["files"]}
        paths.sort(key=lambda path: order[str(path.relative_to(server.bucket))])
        assert paths[0] == first
        files = [MediaFile(path) for path in paths]
        for file in files:
            file.check_whole()
        assert [round(file.seconds) for file in files] == [60, 60, 10]
        check_joined(files, footage(130, 2), pictures=record_format == "hls")
        if record_format == "hls":
            lengths = re.findall(r"#EXTINF:([\d.]+)", paths[0].read_text())
            assert [round(float(length)) for length in lengths] == [10] * 6


def test_broken_push_ends_a_commanded_recording(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("FLV",))
    encoder = ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(server, footage(), 1)
    encoder.kill()
    item = sdk.wait_contents(stream, 1)[0]
    check_piece_of(MediaFile(server.bucket / item.obs_addr.object), footage())
    assert manifest_beside(server.bucket / item.obs_addr.object)["end_reason"] == "publish_done"

    # It does not come back with the stream; a new START is needed, and nothing forbids it: there was no STOP.
    time.sleep(ANOTHER_SECOND)
    ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    sdk.stop(stream)
    assert len(sdk.wait_contents(stream, 2)) == 2


def test_domain_is_the_host_of_the_url_or_vhost_or_the_default(
    server: LiveServer, ffmpeg_push: Push, stream: str
) -> None:
    sdk = server.sdk()
    default = "publish.livereel.internal"
    address = f"rtmp://127.0.0.1:{server.rtmp_port}/live"
    sdk.create_template(f"{stream}-1", formats=("FLV",))
    sdk.create_template(f"{stream}-2", formats=("FLV",), domain=default)
    ffmpeg_push(f"{address}/{stream}-1", LONG, 1, "-rtmp_tcurl", f"rtmp://{DOMAIN}/live")
    ffmpeg_push(f"{address}/{stream}-2")
    sdk.start_when_live(f"{stream}-1")
    sdk.start_when_live(f"{stream}-2", domain=default)
    sdk.stop(f"{stream}-1")
    sdk.stop(f"{stream}-2", domain=default)
    assert sdk.wait_contents(f"{stream}-1", 1)
    assert sdk.wait_contents(f"{stream}-2", 1, domain=default)
