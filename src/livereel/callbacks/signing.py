"""Signatures of outgoing messages, made anew for each attempt because they expire.

`auth_sign` is what Huawei's receivers check; it covers a few members only. The `Livereel-Signature` header covers the
whole body and the id that receivers deduplicate by.
"""

import hashlib
import hmac
from typing import Any

#: Seconds from an attempt to the expiry that its signature bears. The documented samples show 60; a receiver whose
#: clock is off by that much is broken in other ways too.
SIGNATURE_LIFETIME = 60


def notification_sign(key: str, *, event: str, domain: str, app: str, stream: str, auth_timestamp: int) -> str:
    """`auth_sign` of a stream-status notification: lower-case hex HMAC-SHA-256 over the members joined without
    separator (Huawei Live API Reference, Adding and Modifying Stream Notification Configurations)."""
    return _hmac(key, f"{event}{domain}{app}{stream}{auth_timestamp}".encode())


def signed_notification(body: dict[str, Any], key: str, now: float) -> dict[str, Any]:
    """`body` with `auth_timestamp` (Unix second of expiry, a number) and `auth_sign`; unchanged if `key` is empty."""
    if not key:
        return body
    expires = int(now) + SIGNATURE_LIFETIME
    sign = notification_sign(
        key,
        event=body["event"],
        domain=body["domain"],
        app=body["app"],
        stream=body["stream"],
        auth_timestamp=expires,
    )
    return body | {"auth_timestamp": expires, "auth_sign": sign}


def body_sign(key: str, *, timestamp: int, message_id: str, body: bytes) -> str:
    """Value of `Livereel-Signature`: lower-case hex HMAC-SHA-256 of `<timestamp>.<message id>.<body>`."""
    return _hmac(key, f"{timestamp}.{message_id}.".encode() + body)


def _hmac(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
