"""The AK/SK request signature `SDK-HMAC-SHA256`, as a pure function of the request, the secret and the time.

Source: spec huawei-live-common.md section 3.1 (API Request Signing Guide). Everything is computed over the bytes as
they were sent: path and query still percent-encoded, header values undecoded, the body unparsed.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from livereel.domain.errors import AuthenticationFailed

ALGORITHM = "SDK-HMAC-SHA256"
WINDOW = 15 * 60  # seconds; a date further away than this is refused (Common Errors Related to IAM, 2025-05-07)
DATE_HEADER = "x-sdk-date"
CONTENT_HEADER = "x-sdk-content-sha256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
# Without it a signature would work at any time. Host is not among them: the Go SDK (0.1.207) does not sign it.
REQUIRED_HEADERS = frozenset({DATE_HEADER})

SIGNATURE_FAILED = "verify aksk signature fail"
SIGNATURE_EXPIRED = "calc ak sk signature fail:signature expired"

_AUTHORIZATION = re.compile(
    r"SDK-HMAC-SHA256 +Access=(?P<access>[^\s,=]{1,128}), *"
    r"SignedHeaders=(?P<headers>[^\s,=]{1,4096}), *Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = re.compile(r"\d{8}T\d{6}Z")
_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came over the wire. `path` and `query` are still percent-encoded; header names are lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of the only header of that (lower-case) name; None without one. Raises AuthenticationFailed."""
        wanted = name.encode()
        values = [value for key, value in self.headers if key == wanted]
        if len(values) > 1:
            raise AuthenticationFailed(f"{SIGNATURE_FAILED}: header {name} is given more than once")
        return values[0].decode("latin-1").strip() if values else None


class Authorization(NamedTuple):
    """The parts of an `Authorization` header."""

    access: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(value: str) -> Authorization:
    """Take an `Authorization` header apart; raises AuthenticationFailed for other algorithms and broken headers."""
    if not value.startswith(f"{ALGORITHM} "):
        algorithm = value.split(" ", 1)[0][:64]
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: algorithm {algorithm!r} is not supported, use {ALGORITHM}")
    found = _AUTHORIZATION.fullmatch(value)
    if not found:
        raise AuthenticationFailed(
            f"{SIGNATURE_FAILED}: Authorization must read {ALGORITHM} Access=..., SignedHeaders=..., Signature=..."
        )
    return Authorization(found["access"], tuple(found["headers"].lower().split(";")), found["signature"])


def signed_at(request: SignedRequest) -> float:
    """The Unix time in `X-Sdk-Date`; raises AuthenticationFailed when it is missing or malformed."""
    text = request.header(DATE_HEADER) or ""
    if not _DATE.fullmatch(text):
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: X-Sdk-Date must read YYYYMMDDTHHMMSSZ")
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: X-Sdk-Date is not a date") from None


def check_date(request: SignedRequest, now: float) -> None:
    """Raises AuthenticationFailed unless the request was signed within 15 minutes of `now` (Unix seconds)."""
    if abs(now - signed_at(request)) > WINDOW:
        raise AuthenticationFailed(SIGNATURE_EXPIRED)


def verify(request: SignedRequest, authorization: Authorization, secret: str) -> None:
    """Raises AuthenticationFailed unless the signature fits the request. The date is checked by `check_date`."""
    missing = REQUIRED_HEADERS.difference(authorization.signed_headers)
    if missing:
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: SignedHeaders must name {', '.join(sorted(missing))}")
    expected = [sign(request, authorization.signed_headers, secret, content) for content in _content_hashes(request)]
    matches = [hmac.compare_digest(candidate, authorization.signature) for candidate in expected]
    if not any(matches):
        raise AuthenticationFailed(SIGNATURE_FAILED)


def sign(request: SignedRequest, signed_headers: Sequence[str], secret: str, content_hash: str | None = None) -> str:
    """The signature (64 hex digits) of a request; `content_hash` defaults to the SHA-256 of the body."""
    hashed = hashlib.sha256(canonical_request(request, signed_headers, content_hash)).hexdigest()
    text = f"{ALGORITHM}\n{request.header(DATE_HEADER) or ''}\n{hashed}"
    return hmac.new(secret.encode(), text.encode("latin-1"), hashlib.sha256).hexdigest()


def canonical_request(request: SignedRequest, signed_headers: Sequence[str], content_hash: str | None = None) -> bytes:
    """The six parts of the canonical request, joined with LF. Raises AuthenticationFailed if a header is missing."""
    lines = [
        request.method.upper().encode(),
        canonical_path(request.path),
        canonical_query(request.query),
        *(name.encode("latin-1") + b":" + _value(request, name) for name in signed_headers),
        b"",
        ";".join(signed_headers).encode("latin-1"),
        (content_hash or hashlib.sha256(request.body).hexdigest()).encode("latin-1"),
    ]
    return b"\n".join(lines)


def canonical_path(path: bytes) -> bytes:
    """The path decoded, each segment encoded again, always ending in "/"."""
    segments = unquote_to_bytes(path).split(b"/")
    encoded = "/".join(quote_from_bytes(segment, safe="~") for segment in segments).encode()
    return encoded if encoded.endswith(b"/") else encoded + b"/"


def canonical_query(query: bytes) -> bytes:
    """The query as sorted `name=value` pairs, encoded again. A "+" is a plus sign, as RFC 3986 has it."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return "&".join(
        f"{quote_from_bytes(name, safe='~')}={quote_from_bytes(value, safe='~')}" for name, value in sorted(pairs)
    ).encode()


def _value(request: SignedRequest, name: str) -> bytes:
    value = request.header(name)
    if value is None:
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: signed header {name[:64]} is missing")
    return value.encode("latin-1")


def _content_hashes(request: SignedRequest) -> list[str]:
    """What part six may hold for this request. Raises AuthenticationFailed if the client names another body."""
    actual = hashlib.sha256(request.body).hexdigest()
    named = request.header(CONTENT_HEADER)
    if named is None or named == actual:
        return [actual]
    if named != UNSIGNED_PAYLOAD:
        what = "does not fit the body" if _SHA256_HEX.fullmatch(named) else "is no SHA-256"
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: X-Sdk-Content-Sha256 {what}")
    if not request.body:
        # Signers differ: the official one hashes an empty body in spite of the header, others take the header's word.
        return [actual, named]
    if (request.header("content-type") or "").lower().startswith("application/json"):
        # Clients leave a body unsigned only when it is neither JSON nor BSON; a JSON body could be changed on its way.
        raise AuthenticationFailed(f"{SIGNATURE_FAILED}: a JSON body must be signed")
    return [named]
