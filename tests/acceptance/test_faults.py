"""Real kills: of a recorder worker, of the whole server, and an orderly stop, all while a recording runs."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of, check_same_content
from tests.acceptance.server import PATIENCE, LiveServer, manifest_beside, wait_until


def test_killed_worker_loses_nothing(own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str) -> None:
    sdk = own_server.sdk()
    sdk.create_template(stream)
    ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    for _ in range(2):
        wait_recorded(own_server, footage(), 2)
        before = own_server.workers()
        assert before
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda killed=before: len(set(own_server.workers()) - set(killed)) == len(killed), PATIENCE, "new workers"
        )
    wait_recorded(own_server, footage(), 2)
    sdk.stop(stream)

    files = [MediaFile(own_server.bucket / item.obs_addr.object) for item in sdk.wait_contents(stream)]
    for file in files:
        file.check_whole()
    first, last = check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    assert (last - first) / 30 > 5
    check_same_content(files)


def test_killed_server_finishes_the_recording_at_the_next_start(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = own_server.sdk()
    sdk.create_template(stream)
    encoder = ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(own_server, footage(), 5)  # what it costs at most is counted in tests/faults/test_kills.py
    workers = own_server.workers()
    own_server.kill()
    assert encoder.wait(60) != 0
    wait_until(lambda: not set(workers) & set(own_server.workers()), PATIENCE, "the workers of the dead server to end")

    own_server.start()
    sdk = own_server.sdk()
    contents = sdk.wait_contents(stream)
    files = [MediaFile(own_server.bucket / item.obs_addr.object) for item in contents]
    for file in files:
        file.check_whole()
    first, last = check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    assert (last - first) / 30 > 4
    check_same_content(files)
    report = manifest_beside(files[0].path)
    assert (report["state"], report["end_reason"]) == ("completed", "recovery")
    assert_tidy(own_server)

    # The stream may be pushed and recorded again at once: nobody sent STOP.
    ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    sdk.stop(stream)
    sdk.wait_contents(stream, 6)


def test_orderly_stop_finishes_the_recording(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str
) -> None:
    sdk = own_server.sdk()
    sdk.create_template(stream)
    encoder = ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    wait_recorded(own_server, footage(), 4)
    own_server.stop()  # SIGTERM; asserts exit status and log
    encoder.wait(60)

    # Everything is there before the process has ended; nothing is left for the next start.
    files = [
        MediaFile(path)
        for path in own_server.bucket.rglob(f"{stream}_*/*.*")
        if path.suffix in {".flv", ".mp4", ".m3u8"}
    ]
    assert {file.path.suffix for file in files} == {".flv", ".mp4", ".m3u8"}
    for file in files:
        file.check_whole()
    first, last = check_piece_of(next(file for file in files if file.path.suffix == ".flv"), footage())
    assert (last - first) / 30 > 3
    check_same_content(files)
    report = manifest_beside(files[0].path)
    assert (report["state"], report["end_reason"]) == ("completed", "shutdown")
    assert_tidy(own_server)

    own_server.start()
    assert len(own_server.sdk().wait_contents(stream)) == 3


def test_stopping_server_refuses_new_work(own_server: LiveServer) -> None:
    """The first key works again after a restart, and it is not printed a second time."""
    own_server.stop()
    own_server.start()
    with pytest.raises(ClientRequestException) as refused:
        own_server.sdk().start("nobody")
    assert refused.value.status_code == 400
    assert own_server.credentials is not None
    assert own_server.credentials.secret not in own_server.stdout.read_text()


def test_two_servers_do_not_share_a_data_directory(own_server: LiveServer, tmp_path: Path) -> None:
    elsewhere = tmp_path / "second"
    elsewhere.mkdir()
    second = LiveServer(elsewhere)
    second.data_dir = own_server.data_dir
    with pytest.raises(AssertionError, match="the server ended with"):
        second.start()
    assert "Traceback" not in second.log_text()


def assert_tidy(server: LiveServer) -> None:
    """Spools and work directories of finished tasks are gone."""
    for name in ("spool", "work"):
        left = partial(subdirectories, server.data_dir / name)
        wait_until(lambda left=left: not left(), PATIENCE, f"{name} to be emptied of {left()}")


def subdirectories(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()]
