"""Object keys of snapshots."""

import time

import pytest

from livereel.domain.errors import InvalidName
from livereel.domain.keys import StreamKey
from livereel.domain.naming import snapshot_key
from livereel.domain.streams import DEFAULT_SNAPSHOT_FORMATS, WriteMode

KEY = StreamKey("push.example.com", "live", "cam01")
AT = 1_784_614_528.75  # 2026-07-21 06:15:28 UTC


@pytest.mark.parametrize(
    ("object_format", "root", "expected"),
    [
        (DEFAULT_SNAPSHOT_FORMATS[WriteMode.KEEP], "", "snapshot/push.example.com/live/cam01/1784614528.jpg"),
        (DEFAULT_SNAPSHOT_FORMATS[WriteMode.OVERWRITE], "", "snapshot/push.example.com/live/cam01.jpg"),
        ("{obs_object}/{stream}/{unix_time_milli}", "a/b/", "a/b/cam01/1784614528750.jpg"),
        ("{obs_object}{domain}-{app}_{fmt_time_utc}.jpg", "", "push.example.com-live_20260721061528.jpg"),
        ("{obs_object}/{stream}.jpg", "", "cam01.jpg"),
    ],
)
def test_keys(object_format: str, root: str, expected: str) -> None:
    assert snapshot_key(KEY, object_format=object_format, object_root=root, taken_at=AT) == expected


def test_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        found = snapshot_key(KEY, object_format="{fmt_time_local}", object_root="", taken_at=AT)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == "20260721141528.jpg"


def test_long_names_are_shortened() -> None:
    key = StreamKey(KEY.domain, KEY.app, "s" * 512)
    found = snapshot_key(key, object_format="{stream}/{stream}_{unix_time}", object_root="", taken_at=AT)
    assert all(len(part) <= 200 for part in found.split("/"))
    assert found.endswith(".jpg")


@pytest.mark.parametrize(("object_format", "root"), [("{obs_object}", ""), ("{obs_object}/{unix_time}", "../up")])
def test_unusable_keys(object_format: str, root: str) -> None:
    with pytest.raises(InvalidName):
        snapshot_key(KEY, object_format=object_format, object_root=root, taken_at=AT)
