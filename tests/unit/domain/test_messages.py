"""What callback configurations may hold and which events they want."""

from dataclasses import replace
from typing import Any

import pytest

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackConfig, CallbackEvent, SignType, check_sign_key

KEY = StreamKey("push.example.com", "live", "cam01")
CONFIG = CallbackConfig("1" * 32, "2" * 32, KEY.domain, "*", "https://example.org/hook", 0.0, 0.0)


def test_defaults_of_the_spec() -> None:
    assert CONFIG.events == (CallbackEvent.RECORD_FILE_COMPLETE,)
    assert CONFIG.sign_type is SignType.HMACSHA256
    assert CONFIG.key == ""


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"domain": "*"}, InvalidName, "domain"),
        ({"app": "live_*"}, InvalidName, "app"),
        ({"url": ""}, InvalidParameter, "notify_callback_url is missing"),
        ({"url": "example.org"}, InvalidParameter, "notify_callback_url must begin"),
        ({"url": "https://example.org/?a=1"}, InvalidParameter, "query parameters"),
        ({"on_demand_url": "ftp://example.org/"}, InvalidParameter, "on_demand_callback_url must begin"),
        ({"events": ()}, InvalidParameter, "notify_event_subscription"),
        ({"key": "k" * 31}, InvalidParameter, "key must have 32 to 128 characters, not 31"),
        ({"key": "k" * 129}, InvalidParameter, "not 129"),
    ],
)
def test_what_a_callback_configuration_may_not_be(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        replace(CONFIG, **changes)


@pytest.mark.parametrize("length", [0, 32, 128])
def test_keys(length: int) -> None:
    assert check_sign_key("key", "k" * length) == "k" * length


def test_wants() -> None:
    complete, over = CallbackEvent.RECORD_FILE_COMPLETE, CallbackEvent.RECORD_OVER
    assert CONFIG.wants(complete, KEY)
    assert not CONFIG.wants(over, KEY)
    assert replace(CONFIG, events=(over,), app="live").wants(over, KEY)
    assert not replace(CONFIG, app="vod").wants(complete, KEY)
    assert not CONFIG.wants(complete, replace(KEY, domain="other.example.com"))
    # Only asked for rules: there is nowhere to tell anything.
    asked = replace(CONFIG, url="", on_demand_url="https://example.org/record_auth")
    assert not asked.wants(complete, KEY)
