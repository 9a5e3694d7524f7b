"""Bodies of notifications."""

from livereel.callbacks.payloads import publish_notification
from livereel.domain.keys import StreamKey
from livereel.domain.messages import MessageState, NotificationConfig, Publish, PublishEvent

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
