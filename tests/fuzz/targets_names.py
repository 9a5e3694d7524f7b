"""Names, URLs, keys and signatures: what comes in as text."""

import posixpath
from urllib.parse import unquote_to_bytes

from livereel.api.ranges import Unsatisfiable, parse_range
from livereel.domain.errors import AuthenticationFailed, InvalidName, InvalidParameter
from livereel.domain.keys import StreamKey, is_address
from livereel.domain.naming import (
    OBJECT_KEY_MAX_BYTES,
    check_object_key,
    check_prefix,
    file_key,
    index_key,
    relative_key,
    slice_name,
    snapshot_key,
    without_collision,
)
from livereel.domain.streams import WriteMode, check_object_format
from livereel.domain.templates import RecordFormat, RecordType
from livereel.domain.tenancy import AuthType, KeyChain
from livereel.domain.urls import check_url
from livereel.iam import signature, url_signing
from livereel.rtmp.url import PublishTarget
from livereel.storage.local import _components
from livereel.storage.urls import DownloadUrls

KEY = StreamKey("publish.example.com", "live", "camera1")
NOW = 1_700_000_000.0
_CHAINS = [KeyChain(KEY.domain, "0123456789abcdef0123456789abcdef", kind, 600) for kind in AuthType]
_LINKS = DownloadUrls(b"k" * 32, "http://127.0.0.1:8280")
_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~@+=,-")


def text_of(data: bytes) -> str:
    """Bytes as the text that a parser is handed: UTF-8, with half characters where it is broken."""
    return data.decode("utf-8", "surrogateescape")


def publish_target(data: bytes) -> None:
    """A push URL in three pieces: the names that come through the grammar are safe anywhere."""
    pieces = [part.decode("utf-8", "replace") for part in data.split(b"\0", 2)]
    target = PublishTarget.parse(*pieces, *[""] * (3 - len(pieces)))
    assert "://" not in target.host
    assert target.host == target.host.lower()
    assert target.vhost == target.vhost.lower()
    is_address(target.vhost)
    try:
        key = StreamKey.parse(target.vhost, target.app, target.stream)
    except InvalidName:
        return
    assert set(key.domain + key.app + key.stream) <= _SAFE
    assert not {".", ".."} & {key.domain, key.app, key.stream}
    assert not key.stream.startswith(".")
    assert StreamKey.from_text(str(key)) == key


def names(data: bytes) -> None:
    """Prefixes and object keys: whatever is accepted stays below its root."""
    text = text_of(data)
    try:
        contained(check_object_key(text))
    except InvalidName:
        pass
    else:
        assert relative_key(f"a/{text}", "a") == text
        directory = posixpath.dirname(text)
        assert posixpath.normpath(posixpath.join(directory, relative_key("x/y", directory))) == "x/y"
    _check_record_names(text)
    _check_other_names(text)
    try:
        key = StreamKey.from_text(text)
    except InvalidName:
        return
    assert set(text) <= _SAFE | {"/"}
    assert str(key) == text


def _check_record_names(text: str) -> None:
    try:
        check_prefix(text)
    except InvalidName:
        return
    for record_format in RecordFormat:
        try:
            key = file_key(KEY, RecordType.COMMAND, record_format, object_root="root/", prefix=text, started_at=NOW)
        except InvalidName:
            continue  # too long when expanded
        contained(key)
        assert key.startswith("root/")
        try:
            contained(without_collision(key, "0123456789abcdef"))
        except InvalidName:
            continue


def _check_other_names(text: str) -> None:
    try:
        check_prefix(text, slice_name=True)
    except InvalidName:
        pass
    else:
        name = slice_name(KEY, RecordType.COMMAND, prefix=text, started_at=NOW, ended_at=NOW + 5, sequence=7)
        assert "/" not in name
        assert len(name.encode()) <= 255
    for mode in WriteMode:
        try:
            check_object_format(text, mode)
            contained(snapshot_key(KEY, object_format=text, object_root="root/", taken_at=NOW))
        except (InvalidName, InvalidParameter):
            continue
    try:
        contained(index_key(KEY, text, started_at=NOW, ended_at=NOW + 60))
    except InvalidName:
        return


def contained(key: str) -> None:
    """The key is a path below wherever it is put, in an object store and on a disk."""
    data = key.encode()  # no half characters
    assert 0 < len(data) <= OBJECT_KEY_MAX_BYTES
    assert not set(data) & {*range(32), 127, ord("\\")}
    assert posixpath.normpath(key) == key
    assert not key.startswith(("/", "../"))
    for part in _components(key):
        assert part not in ("", ".", "..")
        assert "/" not in part
        assert len(part.encode()) <= 255


def urls(data: bytes) -> None:
    """URLs that tenants give us, and ranges that clients ask for."""
    text = text_of(data)
    try:
        assert check_url("url", text) == text
    except InvalidParameter:
        pass
    else:
        assert text.isprintable() or not text.isascii()
        assert not any(character.isspace() for character in text)
    for size in (0, 1, 1000):
        try:
            span = parse_range(text, size)
        except Unsatisfiable:
            continue
        if span is not None:
            assert 0 <= span.start < span.end <= size
    bucket, _, key = text.partition("/")
    try:
        check_object_key(key)
    except InvalidName:
        key = "key"
    bucket = "".join(character for character in bucket if character.isascii())
    link = _LINKS.sign(bucket, key, NOW, 60)
    expires, _, signed = link.rpartition("?expires=")[2].partition("&signature=")
    assert _LINKS.verify(bucket, key, expires=expires, signature=signed, now=NOW + 59)
    assert not _LINKS.verify(bucket, key, expires=expires, signature=signed, now=NOW + 61)
    assert not _LINKS.verify(bucket, key, expires=text, signature=text, now=NOW)


def request_signature(data: bytes) -> None:
    """A signed request: method, path, query, date, Authorization and body, a line each, as the socket gave them."""
    parts = (data.split(b"\n", 5) + [b""] * 6)[:6]
    method, path, query, date, authorization, body = parts
    request = signature.SignedRequest(
        method.decode("latin-1"), path, query, ((b"x-sdk-date", date), (b"authorization", authorization)), body
    )
    try:
        parsed = signature.parse_authorization(request.header("authorization") or "")
        signature.check_date(request, NOW)
        signature.verify(request, parsed, "a secret that the input cannot know")
    except AuthenticationFailed:
        pass
    else:
        raise AssertionError("a stranger signed")
    canonical = signature.canonical_query(query)
    assert signature.canonical_query(canonical) == canonical
    path_once = signature.canonical_path(path)
    assert signature.canonical_path(path_once).rstrip(b"/") == path_once.rstrip(b"/")
    assert unquote_to_bytes(path_once).rstrip(b"/") == unquote_to_bytes(path).rstrip(b"/")
    try:
        signature.signed_at(request)
        made = signature.sign(request, ["x-sdk-date"], "secret")
    except AuthenticationFailed:
        return
    signature.verify(request, signature.Authorization("AK", ("x-sdk-date",), made), "secret")


def url_signature(data: bytes) -> None:
    """Signatures in push URLs: a stranger's is wrong, ours is right."""
    app, stream, query = (*(part.decode("utf-8", "replace") for part in data.split(b"\n", 2)), "", "", "")[:3]
    for chain in _CHAINS:
        assert url_signing.problem(chain, app, stream, query, NOW), "a stranger signed"
        try:
            StreamKey.parse(KEY.domain, app, stream)
        except InvalidName:
            continue
        level = url_signing.CheckLevel.STREAM_AND_TIME if chain.auth_type is AuthType.C_AES else None
        for signed in url_signing.signed_queries(chain, app, stream, NOW, level=level, extensions=("",)):
            assert url_signing.problem(chain, app, stream, signed, NOW) is None
