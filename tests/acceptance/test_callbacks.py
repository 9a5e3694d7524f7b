"""Recording callbacks of a real server: the story of a recording, in order, signed, once, over a crash too."""

import json
import time
import urllib.request
from collections import Counter
from typing import Any
from urllib.parse import urljoin

from huaweicloudsdklive.v1 import CreateRecordCallbackConfigRequest, RecordCallbackConfigRequest

from tests.acceptance.api import ALL_FORMATS, BUCKET, Sdk
from tests.acceptance.conftest import Footage, Push, wait_recorded
from tests.acceptance.footage import MediaFile
from tests.acceptance.receiver import Message, Receiver, event_of, expected_body_sign, expected_callback_sign
from tests.acceptance.server import LiveServer, wait_until

KEY = "0123456789abcdef0123456789ABCDEF"
EVENTS = ["RECORD_START", "RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER", "RECORD_FAILED"]


def subscribe(sdk: Sdk, domain: str, url: str) -> None:
    body = RecordCallbackConfigRequest(
        publish_domain=domain, app="*", notify_callback_url=url, notify_event_subscription=EVENTS, key=KEY
    )
    assert sdk.client.create_record_callback_config(CreateRecordCallbackConfigRequest(body=body)).status_code == 201


def check_story(messages: list[Message]) -> None:
    """In order, signed, and for each file one beginning and one end."""
    assert event_of(messages[0]) == "RECORD_START"
    assert event_of(messages[-1]) == "RECORD_OVER"
    assert len({message["task_id"] for message in messages}) == 1
    files = Counter((message["job_id"], event_of(message)) for message in messages[1:-1])
    assert set(files.values()) == {1}
    assert {event for _, event in files} == {"RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"}
    for job in {job for job, _ in files}:
        about = [event_of(message) for message in messages if message.get("job_id") == job]
        assert about == ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"]
    for message in messages:
        assert isinstance(message["auth_timestamp"], int)
        assert message["auth_sign"] == expected_callback_sign(KEY, message)
        assert message["_headers"]["Livereel-Signature"] == expected_body_sign(KEY, message)
    ids = [int(message["_headers"]["Livereel-Message-Id"]) for message in messages]
    assert ids == sorted(set(ids))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def test_a_recording_on_command_tells_its_story(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, receiver: Receiver, stream: str
) -> None:
    sdk, domain = server.sdk(), "callbacks.example.com"
    sdk.create_domain(domain)
    subscribe(sdk, domain, receiver.url)
    sdk.create_template(stream, domain=domain)
    ffmpeg_push(server.push_url(stream, domain=domain))
    sdk.start_when_live(stream, domain=domain)
    receiver.wait("RECORD_START", stream)
    receiver.wait("RECORD_NEW_FILE_START", stream)
    wait_recorded(server, footage(), 4)
    sdk.stop(stream, domain=domain)
    receiver.wait("RECORD_OVER", stream)

    messages = receiver.of(stream)
    check_story(messages)
    assert len(messages) == 2 + 2 * len(ALL_FORMATS)
    listed = {item.record_format.upper(): item for item in sdk.wait_contents(stream, domain=domain)}
    complete = {m["record_format"]: m for m in messages if event_of(m) == "RECORD_FILE_COMPLETE"}
    assert set(complete) == set(listed) == set(ALL_FORMATS)
    for record_format, message in complete.items():
        item, path = listed[record_format], server.bucket / message["obs_object"]
        assert (message["publish_domain"], message["app"]) == (domain, "live")
        assert message["project_id"] == server.credentials.project_id  # type: ignore[union-attr]
        assert (message["obs_bucket"], message["obs_location"]) == (BUCKET, "cn-north-4")
        assert message["obs_object"] == item.obs_addr.object
        assert message["record_duration"] == item.duration
        assert message["record_duration"] >= 3
        assert abs(message["record_duration"] - MediaFile(path).seconds) <= 1
        assert (message["width"], message["height"]) == (640, 360)
        assert len(message["asset_id"]) == 32
        assert message["start_time"] < message["end_time"]
        data = fetch(message["download_url"])
        if record_format == "HLS":  # the links of its slices are made at the download
            slices = sorted(path.parent.glob("*.ts"))
            names = [line for line in data.decode().splitlines() if line and not line.startswith("#")]
            assert [fetch(urljoin(message["download_url"], name)) for name in names] == [
                piece.read_bytes() for piece in slices
            ]
            assert message["file_size"] == sum(piece.stat().st_size for piece in [path, *slices])
        else:
            assert data == path.read_bytes()
            assert message["file_size"] == len(data)

    # The log of it, and one of them again.
    def told() -> list[Any]:
        listed = server.cli("messages", "list", "--event", "RECORD_OVER", "--domain", domain, "--json")
        return [line for line in json.loads(listed) if line["state"] == "delivered"]

    log = wait_until(told, 60, "the note of the delivery")
    assert len(log) == 1
    again = server.bare().call("POST", f"/v1/{{project}}/livereel/messages/{log[0]['id']}/replay")
    assert again.status == 200
    wait_until(lambda: len(receiver.of(stream)) > len(messages), 60, "the replayed message")
    replayed = receiver.of(stream)[-1]
    assert event_of(replayed) == "RECORD_OVER"
    assert replayed["_headers"]["Livereel-Message-Id"] == str(log[0]["id"])
    assert replayed["auth_sign"] == expected_callback_sign(KEY, replayed)


def test_a_killed_server_tells_every_file_once(
    own_server: LiveServer, ffmpeg_push: Push, footage: Footage, receiver: Receiver, stream: str
) -> None:
    sdk, domain = own_server.sdk(), "callbacks.example.com"
    sdk.create_domain(domain)
    subscribe(sdk, domain, receiver.url)
    sdk.notify(receiver.url, KEY, domain)
    sdk.create_template(stream, domain=domain)
    encoder = ffmpeg_push(own_server.push_url(stream, domain=domain))
    sdk.start_when_live(stream, domain=domain)
    receiver.wait("RECORD_NEW_FILE_START", stream)
    wait_recorded(own_server, footage(), 2)
    own_server.kill()
    encoder.wait(60)
    own_server.start()
    receiver.wait("PUBLISH_DONE", stream)
    receiver.wait("RECORD_OVER", stream)
    # What was under way when the server died is sent again, with the same id.
    told: dict[str, Message] = {}
    for message in receiver.of(stream):
        told.setdefault(message["_headers"]["Livereel-Message-Id"], message)
    story = [message for message in told.values() if "task_id" in message]
    check_story(story)
    assert len(story) == 2 + 2 * len(ALL_FORMATS)
    assert [event_of(message) for message in told.values() if "task_id" not in message] == ["PUBLISH", "PUBLISH_DONE"]


def test_a_recording_without_a_subscription_tells_nothing(
    server: LiveServer, ffmpeg_push: Push, footage: Footage, receiver: Receiver, stream: str
) -> None:
    sdk, domain = server.sdk(), "some-callbacks.example.com"
    sdk.create_domain(domain)
    body = RecordCallbackConfigRequest(publish_domain=domain, app="live", notify_callback_url=receiver.url)
    sdk.client.create_record_callback_config(CreateRecordCallbackConfigRequest(body=body))
    sdk.create_template(stream, formats=("FLV",), domain=domain)
    ffmpeg_push(server.push_url(stream, domain=domain))
    sdk.start_when_live(stream, domain=domain)
    wait_recorded(server, footage(), 1.5)
    sdk.stop(stream, domain=domain)
    receiver.wait("RECORD_FILE_COMPLETE", stream)
    time.sleep(1)
    assert [event_of(message) for message in receiver.of(stream)] == ["RECORD_FILE_COMPLETE"]
    assert "auth_sign" not in receiver.of(stream)[0]
