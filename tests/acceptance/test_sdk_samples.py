"""The record/control samples of the three official SDKs: unmodified but for endpoint, keys and action."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.acceptance.api import ANOTHER_SECOND, DOMAIN
from tests.acceptance.conftest import Footage, Push
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.server import LiveServer
from tests.acceptance.tools import SDK, go_program, java_program

SAMPLES: dict[str, Callable[[], list[str]]] = {
    "python": lambda: [sys.executable, str(SDK / "python" / "record_control.py")],
    "go": go_program,
    "java": java_program,
}


@pytest.mark.timeout(900)  # the first build fetches the SDK and takes 40 s of two processors that others use too
@pytest.mark.parametrize("language", SAMPLES)
def test_sample(server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str, language: str) -> None:
    command = SAMPLES[language]()
    sdk = server.sdk()
    sdk.create_template(stream, formats=("FLV",))

    code, output = run_sample(server, command, "START", stream)  # nothing is pushed yet
    assert code == 1
    assert "LIVE.100011001" in output

    ffmpeg_push(server.push_url(stream))
    deadline = time.monotonic() + 60
    while True:
        code, output = run_sample(server, command, "START", stream)
        if code == 0 or time.monotonic() > deadline:
            break
    assert code == 0, output
    if language != "java":  # whose response class does not show the header
        assert "acceptance" in output, output  # X-request-id ends in the name of the node
    time.sleep(ANOTHER_SECOND)
    code, output = run_sample(server, command, "START", stream)
    assert code == 1
    assert "LIVE.100011022" in output

    code, output = run_sample(server, command, "STOP", stream)
    assert code == 0, output
    item = sdk.wait_contents(stream, 1)[0]
    check_piece_of(MediaFile(server.bucket / item.obs_addr.object), footage())


def run_sample(server: LiveServer, command: list[str], action: str, stream: str) -> tuple[int, str]:
    """Exit status and output of one run."""
    return run_program(server, command, LIVE_ACTION=action, LIVE_STREAM=stream, LIVE_PUBLISH_DOMAIN=DOMAIN)


def run_program(server: LiveServer, command: list[str], **environment: str) -> tuple[int, str]:
    """Exit status and output of a program that finds the server, app `live` and what else is given in variables."""
    assert server.credentials is not None
    found = {
        "CLOUD_SDK_AK": server.credentials.access,
        "CLOUD_SDK_SK": server.credentials.secret,
        "CLOUD_SDK_PROJECT_ID": server.credentials.project_id,
        "LIVE_ENDPOINT": server.endpoint,
        "LIVE_APP": "live",
    }
    done = subprocess.run(
        command,
        env=os.environ | found | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout.decode(errors="replace")
