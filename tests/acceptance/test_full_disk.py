"""A real server on a real small file system that fills and has room again, with real encoders and the SDK."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ServerResponseException

from tests.acceptance.api import BUCKET, DOMAIN
from tests.acceptance.conftest import Footage, Push
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.receiver import Message, Receiver, event_of
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_callbacks import subscribe

MIB = 1 << 20
SIZE, RESERVE = 160 * MIB, 20 * MIB
PATIENCE = 60.0  # seconds


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system for the server's data; buckets are elsewhere."""
    path = tmp_path / "data"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"file systems cannot be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def server_on_it(tmp_path: Path, small_disk: Path) -> Iterator[LiveServer]:
    server = LiveServer(
        tmp_path,
        LIVEREEL_STORAGE__ROOT=str(tmp_path / "store"),
        LIVEREEL_DISK__HIGH_WATER="0.6",
        LIVEREEL_DISK__RESERVE=str(RESERVE),
    )
    server.bucket = tmp_path / "store" / BUCKET
    try:
        yield server.start()
    finally:
        server.kill()


def fill_up(disk: Path) -> None:
    """To the last byte, while others write as well."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        for piece in (bytes(MIB), bytes(4096)):
            with contextlib.suppress(OSError):
                while file.write(piece):
                    pass


def leave_free(disk: Path, free: int) -> None:
    """Make the ballast file as large as leaves so many bytes."""
    ballast = disk / "ballast"
    found = os.statvfs(disk)
    size = found.f_bavail * found.f_frsize + (ballast.stat().st_size if ballast.exists() else 0) - free
    with ballast.open("r+b" if ballast.exists() else "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)


@contextlib.contextmanager
def kept_free(disk: Path, free: int) -> Iterator[None]:
    """Leave so many bytes free for the length of the block, however much is recorded meanwhile."""
    leave_free(disk, free)
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.2):
            leave_free(disk, free)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join(PATIENCE)


def disk_problem(server: LiveServer) -> str | None:
    answer = server.bare().call("GET", "/readyz", sign=False)
    checks: dict[str, str | None] = answer.json["checks"]
    assert (answer.status == 200) is (set(checks.values()) == {None})
    return checks["disk"]


def is_live(server: LiveServer, stream: str) -> bool:
    return any(event["event"] == "publish" and event["stream"].endswith(f"/{stream}") for event in server.events())


def told(receiver: Receiver, stream: str, event: str) -> list[Message]:
    return [message for message in receiver.of(stream) if event_of(message) == event]


def test_a_disk_that_fills_and_has_room_again(
    server_on_it: LiveServer, small_disk: Path, ffmpeg_push: Push, footage: Footage, receiver: Receiver
) -> None:
    server, sdk = server_on_it, server_on_it.sdk()
    subscribe(sdk, DOMAIN, receiver.url)
    for stream in ("always", "too-late"):
        sdk.create_template(stream, record_type="CONTINUOUS_RECORD")
    for stream in ("command", "another"):
        sdk.create_template(stream)
    encoders = [ffmpeg_push(server.push_url(stream)) for stream in ("always", "command", "another")]
    receiver.wait("RECORD_START", "always")
    sdk.start_when_live("command")
    wait_until(lambda: is_live(server, "another"), PATIENCE, "the third push")
    assert disk_problem(server) is None

    # Above the mark: what runs goes on, nothing begins, pushes are accepted.
    with kept_free(small_disk, 5 * RESERVE // 2 - MIB):
        problem = wait_until(lambda: disk_problem(server), PATIENCE, "the full disk to be seen")
        assert "the recorder's disk is full" in problem
        with pytest.raises(ServerResponseException) as refused:
            sdk.start("another")
        assert (refused.value.status_code, refused.value.error_code) == (503, "LIVE.100011005")
        answer = server.bare().call(
            "POST",
            "/v1/{project}/record/control",
            {"action": "START"},
            {"publish_domain": DOMAIN, "app": "live", "stream": "another"},
        )
        assert "the recorder's disk is full" in answer.json["error_detail"]
        encoders.append(ffmpeg_push(server.push_url("too-late")))
        failed = receiver.wait("RECORD_FAILED", "too-late")
        assert "the recorder's disk is full" in failed["error_message"]
        assert not any(told(receiver, stream, "RECORD_OVER") for stream in ("always", "command"))

    # Below the reserve: what runs is ended while it can be finished.
    leave_free(small_disk, RESERVE - 2 * MIB)
    ended = {stream: receiver.wait("RECORD_OVER", stream) for stream in ("always", "command")}
    assert {message["end_reason"] for message in ended.values()} == {"disk"}
    for stream in ended:
        for message in told(receiver, stream, "RECORD_FILE_COMPLETE"):
            MediaFile(server.bucket / message["obs_object"]).check_whole()
        assert len(sdk.contents(stream)) == 3
        assert not told(receiver, stream, "RECORD_FAILED")
    assert all(encoder.running for encoder in encoders)  # receiving never stopped

    # Room again: what is recorded without START goes on, what was refused begins.
    (small_disk / "ballast").unlink()
    wait_until(lambda: disk_problem(server) is None, PATIENCE, "the room to be seen")
    receiver.wait("RECORD_START", "too-late")
    wait_until(lambda: len(told(receiver, "always", "RECORD_START")) == 2, PATIENCE, "the recording to go on")
    assert len(told(receiver, "too-late", "RECORD_FAILED")) == 1
    assert len(told(receiver, "command", "RECORD_START")) == 1
    sdk.start("another")
    sdk.stop("another")
    for encoder in encoders:
        encoder.stop()
    for stream, count in (("always", 6), ("too-late", 3), ("another", 3)):
        for item in sdk.wait_contents(stream, count):
            MediaFile(server.bucket / item.obs_addr.object).check_whole()
    [first, second] = [
        MediaFile(server.bucket / item.obs_addr.object)
        for item in sdk.contents("always")
        if item.record_format == "flv"
    ][::-1]
    assert check_piece_of(first, footage())[1] < check_piece_of(second, footage())[0]  # nothing twice
    wait_until(lambda: not list((small_disk / "spool").glob("*/")), PATIENCE, "the spools to go, which go last")
    server.stop()


def test_a_disk_that_is_full_to_the_last_byte(
    server_on_it: LiveServer, small_disk: Path, ffmpeg_push: Push, receiver: Receiver
) -> None:
    """It fills faster than anybody can look: spools, files and catalogue meet the end, and go on when there is room."""
    server, sdk = server_on_it, server_on_it.sdk()
    subscribe(sdk, DOMAIN, receiver.url)
    sdk.create_template("always", record_type="CONTINUOUS_RECORD")
    encoder = ffmpeg_push(server.push_url("always"))
    receiver.wait("RECORD_START", "always")
    wait_until((small_disk / "reserve").exists, PATIENCE, "the reserve")
    fill_up(small_disk)
    wait_until(lambda: not (small_disk / "reserve").exists(), PATIENCE, "the reserve to be used")
    assert encoder.running
    (small_disk / "ballast").unlink()
    receiver.wait("RECORD_OVER", "always")
    wait_until(lambda: len(told(receiver, "always", "RECORD_START")) == 2, PATIENCE, "the recording to go on")
    encoder.stop()
    for item in sdk.wait_contents("always", 6):
        MediaFile(server.bucket / item.obs_addr.object).check_whole()
