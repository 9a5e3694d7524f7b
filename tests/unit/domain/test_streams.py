"""Blocks, snapshots and pull tasks: ranges and what goes together."""

from dataclasses import replace
from typing import Any

import pytest

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.streams import (
    DEFAULT_SNAPSHOT_FORMATS,
    PullEvent,
    PullSource,
    PullTask,
    RefreshType,
    SnapshotConfig,
    SnapshotMode,
    StreamBlock,
    WriteMode,
    check_object_format,
    resume_time,
)
from livereel.domain.templates import ObsAddress

NOW = 1_784_614_528.0
DAY = 86_400.0
KEY = StreamKey("push.example.com", "live", "cam01")
SNAPSHOT = SnapshotConfig(KEY.domain, KEY.app, "2" * 32, 30, WriteMode.KEEP, ObsAddress("shots", "r"))
LIVE = PullTask(
    *("1" * 32, "2" * 32, PullSource.LIVE, ("rtmp://example.org/live/x",), "cn-north-4"),
    *(KEY.domain, KEY.app, KEY.stream, NOW, NOW + 60, NOW),
)
VOD = replace(LIVE, source_type=PullSource.VOD, source_urls=("https://example.org/a.mp4", "https://example.org/b.mp4"))


def test_a_block_names_one_stream_and_ends() -> None:
    block = StreamBlock(*(KEY.domain, KEY.app, KEY.stream, "2" * 32), resume_at=NOW + 60, created_at=NOW)
    assert block.key == KEY
    assert block.in_force(NOW + 59.9)
    assert not block.in_force(NOW + 60)
    for wrong in ({"domain": "*"}, {"app": "*"}, {"stream": "*"}):
        with pytest.raises(InvalidName):
            replace(block, **wrong)  # type: ignore[arg-type]


def test_resume_times() -> None:
    assert resume_time(None, NOW) == NOW + 7 * DAY
    assert resume_time(NOW + 1, NOW) == NOW + 1
    assert resume_time(NOW + 90 * DAY, NOW) == NOW + 90 * DAY
    for wrong, says in ((NOW, "in the future"), (NOW - 1, "in the future"), (NOW + 90 * DAY + 1, "90 days")):
        with pytest.raises(InvalidParameter, match=says):
            resume_time(wrong, NOW)


def test_defaults_of_snapshots() -> None:
    assert SNAPSHOT.mode is SnapshotMode.KEYFRAME
    assert not SNAPSHOT.callback_on
    for mode, text in DEFAULT_SNAPSHOT_FORMATS.items():
        assert check_object_format(text, mode) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": 5},
        {"interval": 3600},
        {"auth_key": "k" * 32},
        {"callback_on": True, "callback_url": "http://example.org/?a=1"},
        {"callback_on": False, "callback_url": "http://example.org/"},
        {"object_format": "{obs_object}/{domain}/{app}/{stream}-{fmt_time_utc}.jpg"},
        {"object_format": "{obs_object}/{stream}/", "write_mode": WriteMode.OVERWRITE},
        {"access_protocol": "https", "access_domain": "shots.example.com"},
    ],
)
def test_snapshots_that_may_be(changes: dict[str, Any]) -> None:
    assert replace(SNAPSHOT, **changes) != SNAPSHOT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"domain": "*"}, "domain"),
        ({"app": "*"}, "app"),
        ({"interval": 4}, "time_interval must be 5 to 3600 seconds, not 4"),
        ({"interval": 3601}, "not 3601"),
        ({"auth_key": "k"}, "auth_key must have 32 to 128 characters, not 1"),
        ({"callback_on": True}, "call_back_url is missing"),
        ({"callback_url": "ftp://example.org"}, "call_back_url must begin"),
        ({"object_format": "{stream}.jpg"}, "must name one of fmt_time_local"),
        ({"object_format": "{unix_time}.jpg", "write_mode": WriteMode.OVERWRITE}, "may not name a time"),
        ({"object_format": "{who}-{unix_time}"}, r"unknown variable \{who\}"),
        ({"object_format": "{unix_time}}"}, "brace"),
        ({"object_format": "../{unix_time}"}, "components"),
        ({"object_format": "a//{unix_time}"}, "components"),
        ({"object_format": "{unix_time}" + "a" * 800}, "800 characters"),
        ({"access_protocol": "ftp"}, "image_access_protocol must be http or https, not 'ftp'"),
        ({"access_domain": "https://example.org"}, "domain"),
    ],
)
def test_snapshots_that_may_not_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        replace(SNAPSHOT, **changes)


def test_defaults_of_pull_tasks() -> None:
    assert LIVE.callback_events == tuple(PullEvent)
    assert (LIVE.loop_time, LIVE.refresh_type, LIVE.start_index) == (-1, RefreshType.IMMEDIATE, 0)
    assert LIVE.key == KEY


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        *[(LIVE, {"source_urls": (f"{scheme}://example.org/x",)}) for scheme in ("http", "https", "rtsp")],
        (LIVE, {"backup_source_type": PullSource.VOD, "backup_source_urls": VOD.source_urls}),
        (LIVE, {"end_at": NOW + 7 * DAY}),
        (VOD, {"source_urls": VOD.source_urls * 15}),
        (VOD, {"loop_time": 0}),
        (VOD, {"start_index": 1, "start_time": 12.5}),
    ],
)
def test_pull_tasks_that_may_be(task: PullTask, changes: dict[str, Any]) -> None:
    assert replace(task, **changes) != task


def test_a_pull_task_may_push_elsewhere() -> None:
    nowhere = {"domain": "", "app": "", "stream": ""}
    away = replace(LIVE, destination_url="rtmp://example.org/live/y?key=1", **nowhere)  # type: ignore[arg-type]
    assert away.key is None
    with pytest.raises(InvalidName):
        replace(LIVE, **nowhere)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="not both"):
        replace(LIVE, destination_url="rtmp://example.org/live/y")
    with pytest.raises(InvalidParameter, match="destination_url must begin with rtmp"):
        replace(away, destination_url="http://example.org/live/y")


@pytest.mark.parametrize(
    ("task", "changes", "says"),
    [
        (LIVE, {"source_urls": ()}, "exactly one URL for PullLivePushLive, not 0"),
        (LIVE, {"source_urls": LIVE.source_urls * 2}, "exactly one URL"),
        (LIVE, {"source_urls": ("file:///etc/passwd",)}, "source_urls must begin"),
        (VOD, {"source_urls": ()}, "1 to 30 URLs, not 0"),
        (VOD, {"source_urls": VOD.source_urls * 16}, "not 32"),
        (VOD, {"source_urls": LIVE.source_urls}, "source_urls must begin with http"),
        (LIVE, {"backup_source_urls": LIVE.source_urls}, "backup_source_type is missing"),
        (LIVE, {"backup_source_type": PullSource.LIVE}, "backup_source_urls must hold exactly one"),
        (LIVE, {"end_at": NOW}, "after start_time"),
        (LIVE, {"end_at": NOW + 7 * DAY + 1}, "7 days"),
        (LIVE, {"callback_url": "example.org"}, "callback_url must begin"),
        (LIVE, {"push_args": "a" * 1025}, "1024 characters"),
        (LIVE, {"app": "*"}, "app"),
        (VOD, {"loop_time": -2}, "vod_loop_time must be -1"),
        (VOD, {"start_index": 2}, "vod_start_video_index must be 0 to 1"),
        (VOD, {"start_index": -1}, "vod_start_video_index"),
        (VOD, {"start_time": -0.1}, "negative"),
    ],
)
def test_pull_tasks_that_may_not_be(task: PullTask, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        replace(task, **changes)
