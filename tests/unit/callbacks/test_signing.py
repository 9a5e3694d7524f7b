"""Signatures, against the vector of the specification."""

import hashlib
import hmac

from livereel.callbacks.signing import body_sign, notification_sign, signed_notification

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
