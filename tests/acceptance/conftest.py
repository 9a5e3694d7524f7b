"""Fixtures of the acceptance tests: a real server, real encoders, known footage, a notification receiver."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.acceptance.encoders import Encoder, footage_command, push_command
from tests.acceptance.footage import MediaFile
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import LiveServer

LOG_TAIL = 8000  # characters of the server's log shown when a test fails
NOTIFICATION_KEY = "an acceptance key of 32 letters+"

Footage = Callable[..., MediaFile]


class Push(Protocol):
    """Push footage to a URL with ffmpeg; ended with the test if it still runs."""

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
    server = LiveServer(directory, **environment)
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
    """Test picture and tone of a length and key-frame distance (seconds), made once."""
    directory = tmp_path_factory.mktemp("footage")
    made: dict[tuple[float, float], MediaFile] = {}

    def make(seconds: float = 60, gop: float = 1) -> MediaFile:
        if (seconds, gop) not in made:
            path = directory / f"{seconds}-{gop}.flv"
            encoder = Encoder(footage_command(path, seconds, gop), path.with_suffix(".log"))
            assert encoder.wait(120) == 0, encoder.output
            made[seconds, gop] = MediaFile(path)
        return made[seconds, gop]

    return make


@pytest.fixture
def ffmpeg_push(footage: Footage, tmp_path: Path) -> Iterator[Push]:
    """Push footage in real time. More footage than wanted costs nothing: stop it earlier."""
    running: list[Encoder] = []

    def push(url: str, seconds: float = 60, gop: float = 1, *options: str, speed: float = 1.0) -> Encoder:
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
