"""Signatures of outgoing messages, made anew for each attempt because they expire.

`auth_sign` is what Huawei's receivers check; it covers a few members only. The `Livereel-Signature` header covers the
whole body and the id that receivers deduplicate by.
"""

import hashlib
import hmac
from typing import Any

from livereel.domain.messages import SignType

#: Seconds from an attempt to the expiry that its signature bears. The documented samples show 60; a receiver whose
#: clock is off by that much is broken in other ways too.
SIGNATURE_LIFETIME = 60

#: Members that `auth_sign` of a recording callback covers after the time, in this order (spec
#: huawei-live-recording.md section 3.4). An absent member counts as empty.
CALLBACK_MEMBERS = ("event_type", "publish_domain", "app", "stream", "download_url", "play_url")


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


def callback_sign(key: str, sign_type: SignType, body: dict[str, Any], auth_timestamp: int) -> str:
    """`auth_sign` of a recording callback, lower-case hex (Huawei Live User Guide, Recording Callback)."""
    if sign_type is SignType.MD5:
        return hashlib.md5(f"{key}{auth_timestamp}".encode(), usedforsecurity=False).hexdigest()
    covered = "".join(str(body.get(member, "")) for member in CALLBACK_MEMBERS)
    return _hmac(key, f"{auth_timestamp}{covered}".encode())


def signed_callback(body: dict[str, Any], key: str, sign_type: SignType, now: float) -> dict[str, Any]:
    """`body` with `auth_sign` and `auth_timestamp` (Unix second of expiry, a number); unchanged if `key` is empty."""
    if not key:
        return body
    expires = int(now) + SIGNATURE_LIFETIME
    return body | {"auth_sign": callback_sign(key, sign_type, body, expires), "auth_timestamp": expires}


def body_sign(key: str, *, timestamp: int, message_id: str, body: bytes) -> str:
    """Value of `Livereel-Signature`: lower-case hex HMAC-SHA-256 of `<timestamp>.<message id>.<body>`."""
    return _hmac(key, f"{timestamp}.{message_id}.".encode() + body)


def _hmac(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
