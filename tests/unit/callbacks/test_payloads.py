"""Bodies of notifications and recording callbacks."""

from dataclasses import replace
from typing import Any

from livereel.callbacks.payloads import publish_notification, recording_callback
from livereel.domain.keys import StreamKey
from livereel.domain.messages import (
    CallbackConfig,
    CallbackEvent,
    MessageState,
    NotificationConfig,
    OutboxMessage,
    Publish,
    PublishEvent,
)
from livereel.domain.recordings import RecordFile, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix
from livereel.domain.verification import Damage, DamageReason, Verification

KEY = StreamKey("push.example.com", "live", "cam01")
CONFIG = NotificationConfig(KEY.domain, "https://app.example.com/hook", "k" * 32)
PUBLISH = Publish("p1", "198.51.100.7", "203.0.113.9", "hwSecret=abc&hwTime=6a5f0e80", 1784614528.75)


def test_the_documented_members() -> None:
    message = publish_notification(CONFIG, KEY, PUBLISH, PublishEvent.PUBLISH, "p" * 32, 1784614530.0)
    assert message.body == {
        "domain": "push.example.com",
        "app": "live",
        "stream": "cam01",
        "user_args": "hwSecret=abc&hwTime=6a5f0e80",
        "client_ip": "198.51.100.7",
        "node_ip": "203.0.113.9",
        "publish_timestamp": "1784614528",
        "event": "PUBLISH",
    }
    assert (message.state, message.due_at, message.url) == (MessageState.PENDING, 1784614530.0, CONFIG.url)


def test_both_messages_of_a_push_share_time_and_channel() -> None:
    begun, ended = (
        publish_notification(CONFIG, KEY, PUBLISH, event, "p" * 32, now)
        for event, now in ((PublishEvent.PUBLISH, 1784614530.0), (PublishEvent.PUBLISH_DONE, 1784619999.0))
    )
    assert begun.body["publish_timestamp"] == ended.body["publish_timestamp"]
    assert begun.channel == ended.channel == "notification/push.example.com/live/cam01"
    assert ended.body["event"] == ended.event == "PUBLISH_DONE"


NOW = 1784614589.5
PROJECT = "0123456789abcdef0123456789abcdef"
CALLBACKS = CallbackConfig("c1", PROJECT, KEY.domain, "*", "https://app.example.com/rec", NOW, NOW)
TEMPLATE = Template(
    "t1",
    PROJECT,
    KEY.domain,
    "*",
    "*",
    RecordType.COMMAND,
    ObsAddress("rec-a", "cn-north-4", "archive/"),
    {RecordFormat.HLS: FormatConfig(3600, default_prefix(RecordFormat.HLS))},
    NOW,
    NOW,
)
TASK = Task(
    "7a6b5c4d3e2f10987a6b5c4d3e2f1098",
    PROJECT,
    KEY,
    RecordType.COMMAND,
    TEMPLATE,
    TaskState.RECORDING,
    "node-1",
    1784614528.0,
)
FILE = RecordFile(
    job_id="9f1c2d3e-4a5b-4c6d-8e7f-001122334455",
    asset_id="00112233445566778899aabbccddeeff",
    task_id=TASK.id,
    project_id=PROJECT,
    key=KEY,
    record_type=RecordType.COMMAND,
    format=RecordFormat.HLS,
    sequence=1,
    state=FileState.STORED,
    bucket="rec-a",
    location="cn-north-4",
    object_key="archive/x/cam01.m3u8",
    start=SpoolPosition(1, 13),
    started_at=1784614528.25,
    ended_at=1784614588.2,
    size=4194304,
    duration=59.95,
    width=1280,
    height=720,
)
COMMON = {
    "project_id": PROJECT,
    "task_id": TASK.id,
    "publish_domain": "push.example.com",
    "app": "live",
    "stream": "cam01",
}


def callback(event: CallbackEvent, **about: Any) -> OutboxMessage:
    return recording_callback(CALLBACKS, event, TASK, NOW, **about)


def test_a_complete_file_has_every_documented_member() -> None:
    message = callback(CallbackEvent.RECORD_FILE_COMPLETE, file=FILE)
    assert message.body == COMMON | {
        "event_type": "RECORD_FILE_COMPLETE",
        "job_id": FILE.job_id,
        "record_format": "HLS",
        "download_url": "",  # made for each attempt
        "asset_id": "00112233445566778899aabbccddeeff",
        "file_size": 4194304,
        "record_duration": 60,
        "start_time": "2026-07-21T06:15:28Z",
        "end_time": "2026-07-21T06:16:28Z",
        "width": 1280,
        "height": 720,
        "obs_location": "cn-north-4",
        "obs_bucket": "rec-a",
        "obs_object": "archive/x/cam01.m3u8",
    }
    assert (message.url, message.domain, message.project_id) == (CALLBACKS.url, KEY.domain, PROJECT)
    assert (message.kind, message.event, message.due_at) == ("callback", "RECORD_FILE_COMPLETE", NOW)


def test_a_verdict_is_told_in_words() -> None:
    plain = callback(CallbackEvent.RECORD_FILE_COMPLETE, file=FILE).body
    verified = replace(FILE, verification=Verification.VERIFIED)
    damages = (Damage(DamageReason.CHECKSUM, "of 1.ts", "1.ts"), Damage(DamageReason.MISSING, "2.ts is not there"))
    damaged = replace(FILE, verification=Verification.DAMAGED, damages=(*damages, damages[0]))
    for event in (CallbackEvent.RECORD_FILE_COMPLETE, CallbackEvent.RECORD_FILE_VERIFIED):
        body = plain | {"event_type": event.value}
        assert callback(event, file=verified).body == body | {"verification": "verified"}
        assert callback(event, file=damaged).body == body | {
            "verification": "damaged",
            "verification_reasons": ["missing", "checksum"],
        }
        assert callback(event, file=replace(FILE, verification=Verification.OFF)).body == body


def test_sizes_without_a_picture_are_numbers() -> None:
    body = callback(CallbackEvent.RECORD_FILE_COMPLETE, file=replace(FILE, width=None, height=None)).body
    assert (body["width"], body["height"]) == (0, 0)


def test_a_new_file_is_named_by_job_and_format() -> None:
    body = callback(CallbackEvent.RECORD_NEW_FILE_START, file=FILE).body
    assert body == COMMON | {
        "event_type": "RECORD_NEW_FILE_START",
        "job_id": FILE.job_id,
        "record_format": "HLS",
    }


def test_events_of_a_task_name_no_file() -> None:
    for event in (CallbackEvent.RECORD_START, CallbackEvent.RECORD_OVER):
        assert callback(event).body == COMMON | {"event_type": event.value}


def test_a_failure_says_why() -> None:
    assert callback(CallbackEvent.RECORD_FAILED, error="disk full").body == COMMON | {
        "event_type": "RECORD_FAILED",
        "error_message": "disk full",
    }
    of_file = callback(CallbackEvent.RECORD_FAILED, file=FILE, error="no such codec").body
    assert (of_file["job_id"], of_file["record_format"]) == (FILE.job_id, "HLS")


def test_callbacks_of_a_task_share_a_channel() -> None:
    channels = {callback(event, file=FILE).channel for event in CallbackEvent}
    assert channels == {f"callback/{TASK.id}"}
