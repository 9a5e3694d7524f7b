"""The vectors of the spec, and what a tampered request does."""

import contextlib
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.errors import AuthenticationFailed
from livereel.iam import signature
from livereel.iam.signature import SignedRequest, canonical_path, canonical_query, parse_authorization, sign, verify

ACCESS = "TESTAK0000000000001X"
SECRET = "testSecretKey00000000000000000000000000X"
PROJECT = b"0123456789abcdef0123456789abcdef"
SIGNED_AT = datetime(2026, 7, 21, 6, 15, 28, tzinfo=UTC).timestamp()

CONTROL = SignedRequest(
    method="POST",
    path=b"/v1/" + PROJECT + b"/record/control",
    query=b"action=START",
    headers=(
        (b"content-type", b"application/json;charset=UTF-8"),
        (b"host", b"127.0.0.1:8443"),
        (b"x-project-id", PROJECT),
        (b"x-sdk-date", b"20260721T061528Z"),
    ),
    body=b'{"publish_domain": "push.example.com", "app": "live", "stream": "cam01"}',
)
CONTROL_AUTHORIZATION = (
    f"SDK-HMAC-SHA256 Access={ACCESS}, SignedHeaders=content-type;host;x-project-id;x-sdk-date, "
    "Signature=2118fdfbbaa63bd74beb1d971a06966025457b8f8081630ed18d9b5d23806b4d"
)
PROJECTS = SignedRequest(
    method="GET",
    path=b"/v3/projects",
    query=b"name=cn-north-4",
    headers=((b"host", b"iam.cn-north-4.myhuaweicloud.com"), (b"x-sdk-date", b"20260721T061528Z")),
    body=b"",
)
PROJECTS_AUTHORIZATION = (
    f"SDK-HMAC-SHA256 Access={ACCESS}, SignedHeaders=host;x-sdk-date, "
    "Signature=c43da33215106f4ee83ebb89831f00b8af88e3becd02b0d24ceb723f4a0dce24"
)


def with_header(request: SignedRequest, name: bytes, value: bytes) -> SignedRequest:
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return replace(request, headers=(*kept, (name, value)))


@pytest.mark.parametrize(
    ("request_", "authorization"), [(CONTROL, CONTROL_AUTHORIZATION), (PROJECTS, PROJECTS_AUTHORIZATION)]
)
def test_spec_vectors_verify(request_: SignedRequest, authorization: str) -> None:
    verify(request_, parse_authorization(authorization), SECRET)


def test_canonical_request_hash_is_the_documented_one() -> None:
    names = parse_authorization(CONTROL_AUTHORIZATION).signed_headers
    digest = hashlib.sha256(signature.canonical_request(CONTROL, names)).hexdigest()
    assert digest == "bba18d2aa8e955b54bc528fe70102f174257c162ba3065d87312c0db8cba2355"


@pytest.mark.parametrize(
    "tampered",
    [
        replace(CONTROL, method="PUT"),
        replace(CONTROL, path=CONTROL.path + b"x"),
        replace(CONTROL, query=b"action=STOP"),
        replace(CONTROL, query=b"action=START&more=1"),
        replace(CONTROL, body=CONTROL.body + b" "),
        with_header(CONTROL, b"host", b"127.0.0.1:8444"),
        with_header(CONTROL, b"x-sdk-date", b"20260721T061529Z"),
        replace(CONTROL, headers=CONTROL.headers[1:]),  # a signed header is gone
        replace(CONTROL, headers=(*CONTROL.headers, (b"host", b"127.0.0.1:8443"))),  # or given twice
    ],
)
def test_any_change_breaks_the_signature(tampered: SignedRequest) -> None:
    with pytest.raises(AuthenticationFailed, match=signature.SIGNATURE_FAILED):
        verify(tampered, parse_authorization(CONTROL_AUTHORIZATION), SECRET)


def test_another_secret_does_not_verify() -> None:
    with pytest.raises(AuthenticationFailed):
        verify(CONTROL, parse_authorization(CONTROL_AUTHORIZATION), SECRET + "x")


def test_host_need_not_be_signed() -> None:
    # The official Go SDK signs user-agent, x-project-id and x-sdk-date.
    signed = ("x-project-id", "x-sdk-date")
    made = signature.Authorization(ACCESS, signed, sign(CONTROL, signed, SECRET))
    verify(with_header(CONTROL, b"host", b"127.0.0.1:8444"), made, SECRET)


def test_headers_that_are_not_signed_may_change() -> None:
    verify(with_header(CONTROL, b"accept", b"*/*"), parse_authorization(CONTROL_AUTHORIZATION), SECRET)


@pytest.mark.parametrize("signed", [("host",), ("content-type", "host", "x-project-id")])
def test_the_date_must_be_signed(signed: tuple[str, ...]) -> None:
    made = signature.Authorization(ACCESS, signed, sign(CONTROL, signed, SECRET))
    with pytest.raises(AuthenticationFailed, match="SignedHeaders must name"):
        verify(CONTROL, made, SECRET)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer abc",
        "SDK-HMAC-SM3 Access=a, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64,
        "V11-HMAC-SHA256 Credential=a/20260721/r/live, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + "g" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=" + "0" * 63,
    ],
)
def test_other_authorizations_are_refused(value: str) -> None:
    with pytest.raises(AuthenticationFailed):
        parse_authorization(value)


@pytest.mark.parametrize(("skew", "fits"), [(0, True), (900, True), (-900, True), (901, False), (-901, False)])
def test_fifteen_minutes_either_way(skew: int, fits: bool) -> None:
    if fits:
        signature.check_date(CONTROL, SIGNED_AT + skew)
    else:
        with pytest.raises(AuthenticationFailed, match="signature expired"):
            signature.check_date(CONTROL, SIGNED_AT + skew)


@pytest.mark.parametrize("date", [b"", b"2026-07-21T06:15:28Z", b"20261321T061528Z", b"20260721T061528"])
def test_a_malformed_date_is_refused(date: bytes) -> None:
    with pytest.raises(AuthenticationFailed, match="X-Sdk-Date"):
        signature.check_date(with_header(CONTROL, b"x-sdk-date", date), SIGNED_AT)


NAMES = ("host", "x-sdk-date")


def signed_with(request: SignedRequest, content: str | None) -> signature.Authorization:
    return signature.Authorization(ACCESS, NAMES, sign(request, NAMES, SECRET, content))


def test_content_header_with_the_true_hash() -> None:
    digest = hashlib.sha256(CONTROL.body).hexdigest()
    verify(with_header(CONTROL, b"x-sdk-content-sha256", digest.encode()), signed_with(CONTROL, digest), SECRET)


def test_content_header_with_another_hash_is_refused() -> None:
    request = with_header(CONTROL, b"x-sdk-content-sha256", b"0" * 64)
    with pytest.raises(AuthenticationFailed, match="does not fit the body"):
        verify(request, signed_with(CONTROL, "0" * 64), SECRET)


def test_unsigned_payload_is_refused_for_json() -> None:
    request = with_header(CONTROL, b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")
    with pytest.raises(AuthenticationFailed, match="JSON body must be signed"):
        verify(request, signed_with(CONTROL, "UNSIGNED-PAYLOAD"), SECRET)


def test_unsigned_payload_of_other_media_types() -> None:
    request = with_header(CONTROL, b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")
    request = with_header(request, b"content-type", b"application/octet-stream")
    verify(request, signed_with(request, "UNSIGNED-PAYLOAD"), SECRET)


def test_unsigned_payload_without_a_body_verifies_either_way() -> None:
    request = with_header(PROJECTS, b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")
    verify(request, signed_with(request, "UNSIGNED-PAYLOAD"), SECRET)
    verify(request, signed_with(request, None), SECRET)


def test_header_values_are_trimmed_and_may_hold_utf8() -> None:
    request = with_header(CONTROL, b"user-agent", " große Kamera ".encode())
    trimmed = with_header(CONTROL, b"user-agent", "große Kamera".encode())
    names = ("host", "user-agent", "x-sdk-date")
    assert sign(request, names, SECRET) == sign(trimmed, names, SECRET)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"/a/b", b"/a/b/"),
        (b"/a/b/", b"/a/b/"),
        (b"/a%20b/%c3%a9~", b"/a%20b/%C3%A9~/"),
        (b"/a*b", b"/a%2Ab/"),
        (b"/%ff", b"/%FF/"),
    ],
)
def test_canonical_path(raw: bytes, canonical: bytes) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", b""),
        (b"b=2&a=1", b"a=1&b=2"),
        (b"a=2&a=1", b"a=1&a=2"),
        (b"a", b"a="),
        (b"t=2026-07-21T06:15:28%2B00:00", b"t=2026-07-21T06%3A15%3A28%2B00%3A00"),
        (b"t=1+1", b"t=1%2B1"),
        (b"a=%zz", b"a=%25zz"),
        (b"a=b=c", b"a=b%3Dc"),
        (b"&&a=1", b"a=1"),
    ],
)
def test_canonical_query(raw: bytes, canonical: bytes) -> None:
    assert canonical_query(raw) == canonical


@given(st.binary(max_size=60))
def test_canonical_forms_are_stable(raw: bytes) -> None:
    assert canonical_query(canonical_query(raw)) == canonical_query(raw)
    assert canonical_path(canonical_path(raw)) == canonical_path(raw)


@given(st.text(max_size=200))
def test_no_authorization_text_escapes_as_another_error(text: str) -> None:
    with contextlib.suppress(AuthenticationFailed):
        parse_authorization(text)
