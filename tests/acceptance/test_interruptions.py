"""Pushes that break and come back: one file inside the merge window, an end after it, also over a crash."""

from pathlib import Path

from tests.acceptance.api import Sdk
from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content, check_two_pieces_of
from tests.acceptance.server import LiveServer, manifest_beside, wait_until


def test_push_that_comes_back_inside_the_merge_window(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    back, gone = f"{stream}-back", f"{stream}-gone"
    sdk = server.sdk()
    sdk.create_template(back, merge=120)
    sdk.create_template(gone, merge=2)
    encoders = [ffmpeg_push(server.push_url(name)) for name in (back, gone)]
    sdk.start_when_live(back)
    sdk.start_when_live(gone)
    wait_recorded(server, footage(), 2, tasks=2)
    for encoder in encoders:
        encoder.kill()
    ffmpeg_push(server.push_url(back))
    wait_until(lambda: pushes(server, back) == 2, 60, "the push to be back")
    wait_recorded(server, footage(), 2)
    sdk.stop(back)

    files = recorded(server, sdk, back)
    check_two_pieces_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
    report = manifest_beside(files[0].path)
    assert report["end_reason"] == "stop"
    assert all(len(file["gaps"]) == 1 for file in report["files"]), report

    # The other one did not come back: its recording ended with the window, without STOP.
    files = recorded(server, sdk, gone)
    check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
    assert manifest_beside(files[0].path)["end_reason"] == "merge_window"


def test_push_that_comes_back_after_a_crash_of_the_server(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = own_server.sdk()
    sdk.create_template(stream, merge=240)
    ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(own_server, footage(), 3)
    own_server.kill()
    own_server.start()
    ffmpeg_push(own_server.push_url(stream))
    wait_until(lambda: pushes(own_server, stream) == 1, 60, "the push to be back")  # in the log of this life
    wait_recorded(own_server, footage(), 3)
    sdk = own_server.sdk()
    sdk.stop(stream)

    files = recorded(own_server, sdk, stream)
    check_two_pieces_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    check_same_content(files)
    assert manifest_beside(files[0].path)["end_reason"] == "stop"


def pushes(server: LiveServer, stream: str) -> int:
    """How often the stream was pushed since the server was started."""
    said = [event for event in server.events() if event["event"] == "publish"]
    return sum(str(event["stream"]).endswith(f"/{stream}") for event in said)


def recorded(server: LiveServer, sdk: Sdk, stream: str) -> list[MediaFile]:
    """One file of each format."""
    paths: list[Path] = [server.bucket / item.obs_addr.object for item in sdk.wait_contents(stream)]
    assert {path.suffix for path in paths} == {".flv", ".mp4", ".m3u8"}
    files = [MediaFile(path) for path in paths]
    for file in files:
        file.check_whole()
    return files
