"""Fixtures of the acceptance tests: a real server, real encoders, known footage, a notification receiver."""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.acceptance.encoders import Encoder, footage_command, push_command
from tests.acceptance.footage import MediaFile
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import LiveServer, wait_until

LOG_TAIL = 8000  # characters of the server's log shown when a test fails
LONG = 240.0  # seconds of footage: more than any test pushes in real time on the slowest machine
NOTIFICATION_KEY = "an acceptance key of 32 letters+"

Footage = Callable[..., MediaFile]


class Push(Protocol):
    """Push footage to a URL with ffmpeg, in real time; ended with the test if it still runs."""

    def __call__(
        self, url: str, seconds: float = ..., gop: float = ..., *options: str, speed: float = ...
    ) -> Encoder: ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failed test shows the end of its server's log."""
    report = yield
    if report.failed:
        servers = {value for value in getattr(item, "funcargs", {}).values() if isinstance(value, LiveServer)}
        for server in servers:
            title = f"log of the server in {server.directory} ({server.state})"
            report.sections.append((title, server.log_text()[-LOG_TAIL:]))
    return report


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all tests that leave it as it is; its log must be clean after all of them."""
    yield from run_server(tmp_path_factory.mktemp("server"))


@pytest.fixture
def server(shared_server: LiveServer) -> LiveServer:
    """The shared server. Use a stream name of your own (`stream`)."""
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server for this test alone, which may kill and restart it. Still running at the end, it is stopped in order."""
    yield from run_server(tmp_path)


def run_server(directory: Path, **environment: str) -> Iterator[LiveServer]:
    """A server until its tests are over. If it still runs then it is stopped in order, and its log must be clean."""
    patient = {"LIVEREEL_STOP_GRACE": "60", "LIVEREEL_CALLBACKS__TIMEOUT": "60"}
    server = LiveServer(directory, **(patient | environment))
    try:
        yield server.start()
        if server.running:
            server.stop()
    finally:
        server.kill()


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> str:
    """A stream name that no other test uses."""
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Test picture and tone of a length and key-frame distance (seconds), made once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "footage"
    directory.mkdir(exist_ok=True)
    made: dict[tuple[float, float], MediaFile] = {}

    def make(seconds: float = LONG, gop: float = 1) -> MediaFile:
        if (seconds, gop) not in made:
            path = directory / f"{seconds:g}-{gop:g}.flv"
            with path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    working = path.with_suffix(".working.flv")
                    encoder = Encoder(footage_command(working, seconds, gop), path.with_suffix(".log"))
                    assert encoder.wait(240) == 0, encoder.output
                    working.rename(path)
            made[seconds, gop] = MediaFile(path)
        return made[seconds, gop]

    return make


@pytest.fixture
def ffmpeg_push(footage: Footage, tmp_path: Path) -> Iterator[Push]:
    """Push footage. More than wanted costs nothing: stop it earlier."""
    running: list[Encoder] = []

    def push(url: str, seconds: float = LONG, gop: float = 1, *options: str, speed: float = 1.0) -> Encoder:
        command = push_command(footage(seconds, gop).path, url, *options, speed=speed)
        running.append(Encoder(command, tmp_path / f"ffmpeg.{len(running)}.log"))
        return running[-1]

    yield push
    for encoder in running:
        encoder.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A tenant's notification receiver."""
    receiver = Receiver()
    yield receiver
    receiver.close()


def wait_received(server: LiveServer, source: MediaFile, seconds: float, since: int) -> None:
    """Wait until the server has read so much of `source` since it had `received` so many bytes."""
    wanted = since + source.bytes_of(seconds)
    wait_until(lambda: server.received() >= wanted, 60, f"{seconds} s of footage")


def wait_recorded(server: LiveServer, source: MediaFile, seconds: float, tasks: int = 1) -> None:
    """Wait until the spools of so many tasks have got `seconds` more of `source`, whatever time that takes."""
    before, wanted = server.spooled(), source.bytes_of(seconds)

    def grown() -> bool:
        return sum(size - before.get(task, 0) >= wanted for task, size in server.spooled().items()) >= tasks

    wait_until(grown, 60, f"{seconds} s of footage in {tasks} spools")
