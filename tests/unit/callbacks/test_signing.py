"""Signatures, against the vectors of the specification."""

import hashlib
import hmac

import pytest

from livereel.callbacks.signing import (
    body_sign,
    callback_sign,
    notification_sign,
    signed_callback,
    signed_notification,
)
from livereel.domain.messages import SignType

KEY = "0123456789abcdef0123456789ABCDEF"
VECTOR = "cc33ec8bb6dde4e9aa58a0d56c74d887c36d0a9ec2dcb7d99e0d42a80224ce5b"
BODY = {"domain": "push.example.com", "app": "live", "stream": "cam01", "event": "PUBLISH"}


def test_the_specified_vector() -> None:
    sign = notification_sign(
        KEY, event="PUBLISH", domain="push.example.com", app="live", stream="cam01", auth_timestamp=1784614528
    )
    assert sign == VECTOR


def test_a_signed_body_bears_the_expiry_as_a_number() -> None:
    signed = signed_notification(BODY, KEY, 1784614528 - 60 + 0.9)
    assert signed == BODY | {"auth_timestamp": 1784614528, "auth_sign": VECTOR}


def test_without_a_key_nothing_is_added() -> None:
    assert signed_notification(BODY, "", 1784614528.0) == BODY


def test_the_header_signature_covers_time_id_and_body() -> None:
    sign = body_sign(KEY, timestamp=1784614528, message_id="42", body=b'{"a":1}')
    assert sign == hmac.new(KEY.encode(), b'1784614528.42.{"a":1}', hashlib.sha256).hexdigest()


CALLBACK_BODY = {
    "event_type": "RECORD_FILE_COMPLETE",
    "publish_domain": "push.example.com",
    "app": "live",
    "stream": "cam01",
    "record_format": "HLS",
    "download_url": "https://bucket1.obs.example.com/a/b.m3u8",
}


def test_the_specified_vectors_of_callbacks() -> None:
    assert callback_sign(KEY, SignType.MD5, CALLBACK_BODY, 1784614528) == "fec55114d4a3f723a7ec7e8147265adb"
    assert (
        callback_sign(KEY, SignType.HMACSHA256, CALLBACK_BODY, 1784614528)
        == "a91c4057863d705c44339d158c74292355aba35afe393f812c44a1bd2deb1712"
    )


def test_members_that_a_callback_lacks_count_as_empty() -> None:
    body = CALLBACK_BODY | {"event_type": "RECORD_START"}
    del body["download_url"]
    expected = hmac.new(KEY.encode(), b"1784614528RECORD_STARTpush.example.comlivecam01", hashlib.sha256).hexdigest()
    assert callback_sign(KEY, SignType.HMACSHA256, body, 1784614528) == expected


@pytest.mark.parametrize("sign_type", SignType)
def test_a_signed_callback_bears_the_expiry_as_a_number(sign_type: SignType) -> None:
    signed = signed_callback(CALLBACK_BODY, KEY, sign_type, 1784614528 - 60 + 0.9)
    sign = callback_sign(KEY, sign_type, CALLBACK_BODY, 1784614528)
    assert signed == CALLBACK_BODY | {"auth_timestamp": 1784614528, "auth_sign": sign}
    assert signed_callback(CALLBACK_BODY, "", sign_type, 1784614528.0) == CALLBACK_BODY
