"""Snapshot messages."""

import hashlib
import hmac

from livereel.callbacks.snapshots import signed_snapshot, snapshot_callback
from livereel.domain.keys import StreamKey
from livereel.domain.streams import SnapshotConfig, WriteMode
from livereel.domain.templates import ObsAddress

KEY = StreamKey("push.example.com", "live", "cam01")
CONFIG = SnapshotConfig(
    domain=KEY.domain,
    app=KEY.app,
    project_id="0" * 32,
    interval=5,
    write_mode=WriteMode.KEEP,
    address=ObsAddress("pictures", "here"),
    callback_on=True,
    callback_url="https://receiver.example.com/hook",
)


def test_the_message() -> None:
    message = snapshot_callback(CONFIG, KEY, "snapshot/x.jpg", 1280, 720, 100.0)
    assert message.channel == "snapshot/push.example.com/live/cam01"
    assert (message.url, message.due_at) == (CONFIG.callback_url, 100.0)
    assert message.body == {
        "domain": "push.example.com",
        "app": "live",
        "stream_name": "cam01",
        "snapshot_url": "",
        "width": "1280",
        "height": "720",
        "obs_addr": {"bucket": "pictures", "location": "here", "object": "snapshot/x.jpg"},
    }


def test_its_signature() -> None:
    body = {"domain": "d", "app": "a", "stream_name": "s", "snapshot_url": "https://h/p", "width": "1"}
    key = "k" * 32
    signed = signed_snapshot(body, key, 1000.9)
    expected = hmac.new(key.encode(), b"1060dashttps://h/p", hashlib.sha256).hexdigest()
    assert signed == body | {"auth_timestamp": 1060, "auth_sign": expected}
    assert signed_snapshot(body, "", 1000.0) == body
