"""The central flow through the official Go and Java SDKs, whose classes are stricter than Python's."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.conftest import LONG, Push
from tests.acceptance.receiver import Receiver, event_of, expected_body_sign, expected_callback_sign
from tests.acceptance.server import LiveServer, wait_until
from tests.acceptance.test_record_on_command import REQUEST_ID
from tests.acceptance.test_sdk_samples import run_program
from tests.acceptance.tools import go_program, java_program
from tests.contract.client import DAY, HEX_32, UTC, Between, Contract, Like
from tests.contract.test_recording import LINK
from tests.contract.test_templates import FILE_PREFIX, HLS_PREFIX

KEY = "0123456789abcdef0123456789ABCDEF"
EVENTS = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER", "RECORD_FAILED"]

PROGRAMS: dict[str, Callable[[], list[str]]] = {
    "go": lambda: go_program("./flow"),
    "java": lambda: java_program("CentralFlow"),
}
#: How each writes the times it has read: Go as they came, Java what is left in its class for days.
TIMES = {"go": Like(UTC), "java": Like(DAY)}


@pytest.mark.timeout(900)  # the first build fetches the SDK and takes 40 s of two processors that others use too
@pytest.mark.parametrize("language", PROGRAMS)
def test_central_flow(
    server: LiveServer, api: Contract, domain: str, receiver: Receiver, ffmpeg_push: Push, language: str
) -> None:
    command, stream, moment = PROGRAMS[language](), f"cam-{language}", TIMES[language]
    ffmpeg_push(server.push_url(stream, domain=domain))
    wait_until(lambda: api("ListLiveStreamsOnline", publish_domain=domain)["total_num"], 60, "the stream")
    code, output = run_program(
        server,
        command,
        LIVE_PUBLISH_DOMAIN=domain,
        LIVE_STREAM=stream,
        LIVE_CALLBACK_URL=receiver.url,
        LIVE_CALLBACK_KEY=KEY,
    )
    assert code == 0, output
    answers = {name: without_null(answer) for name, answer in json.loads(output.splitlines()[-1]).items()}

    template = {
        "id": Like(HEX_32),
        "publish_domain": domain,
        "app": "live",
        "stream": stream,
        "record_type": "COMMAND_RECORD",
        "default_record_config": {
            "record_format": ["HLS", "MP4"],
            "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": "archive/"},
            "hls_config": {
                "record_cycle": 3600,
                "record_prefix": HLS_PREFIX,
                "record_ts_prefix": "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}",
                "record_slice_duration": 2,
                "record_max_duration_to_merge_file": 0,
            },
            "mp4_config": {
                "record_cycle": 7200,
                "record_prefix": FILE_PREFIX,
                "record_max_duration_to_merge_file": 0,
            },
        },
        "create_time": moment,
        "update_time": moment,
    }
    assert answers["template"] == template
    assert answers["templates"] == {"total": 1, "record_config": [answers["template"]]}
    assert answers["callbacks"] == {
        "id": Like(HEX_32),
        "publish_domain": domain,
        "app": "*",
        "notify_callback_url": receiver.url,
        "notify_event_subscription": EVENTS,
        "sign_type": "HMACSHA256",
        "create_time": moment,
        "update_time": moment,
    }
    # The response classes of Java do not show the header.
    request_id = {"X-Request-Id": Like(REQUEST_ID.pattern)} if language == "go" else {}
    for command_answer in ("start", "stop"):
        assert answers[command_answer] == request_id

    found = answers["contents"]
    assert {name: found.pop(name) for name in request_id} == request_id
    assert (found.keys(), found["total"]) == ({"total", "record_contents"}, 2)
    items = {item["record_format"]: item for item in found["record_contents"]}
    assert set(items) == {"hls", "mp4"}
    for item in items.values():
        key = item["obs_addr"]["object"]
        assert key.startswith("archive/Record/")
        assert item == {
            "publish_domain": domain,
            "app": "live",
            "stream": stream,
            "file_name": key.rpartition("/")[2],
            "record_format": item["record_format"],
            "record_type": "COMMAND_RECORD",
            "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": key},
            "download_url": Like(LINK.format(key=key.replace(".", r"\."))),
            "start_time": moment,
            "end_time": moment,
            "duration": Between(1, LONG),  # how much of 4 s comes in while it is recorded is up to the machine
        }

    receiver.wait("RECORD_OVER", stream, 60)
    # A message whose answer took too long is sent again, under its id.
    messages = {each["_headers"]["Livereel-Message-Id"]: each for each in receiver.of(stream)}.values()
    assert sorted(map(event_of, messages)) == sorted([*EVENTS[:2] * 2, "RECORD_OVER"])
    for message in messages:
        assert message["auth_sign"] == expected_callback_sign(KEY, message)
        assert message["_headers"]["Livereel-Signature"] == expected_body_sign(KEY, message)
    complete = [message for message in messages if event_of(message) == "RECORD_FILE_COMPLETE"]
    assert {message["obs_object"] for message in complete} == {item["obs_addr"]["object"] for item in items.values()}


def without_null(value: Any) -> Any:
    """JSON without members that are null."""
    if isinstance(value, dict):
        return {name: without_null(member) for name, member in value.items() if member is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value
