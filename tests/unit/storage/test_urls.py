"""Signed download links."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.storage.urls import MAX_LIFETIME, DownloadUrls

URLS = DownloadUrls(b"0123456789abcdef", "https://rec.example.org/")
NOW = 1_784_614_528.75


def parts(url: str) -> tuple[str, str, str, str]:
    """What a server gets to see: bucket, key, expires, signature."""
    split = urlsplit(url)
    bucket, key = split.path.removeprefix("/files/").split("/", 1)
    query = parse_qs(split.query, strict_parsing=True)
    return unquote(bucket), unquote(key), query["expires"][0], query["signature"][0]


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_link_works_for_its_object_until_it_expires(key: str) -> None:
    url = URLS.sign("rec-a", key, NOW, 600)
    assert url.startswith("https://rec.example.org/files/rec-a/")
    bucket, decoded, expires, signature = parts(url)
    assert (bucket, decoded) == ("rec-a", key)
    assert int(expires) == int(NOW + 600)
    for now, works in ((NOW, True), (NOW + 599, True), (NOW + 600, False)):
        assert URLS.verify(bucket, decoded, expires=expires, signature=signature, now=now) is works


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": "rec-b"},
        {"key": "a/c.mp4"},
        {"key": ""},
        {"expires": "1884614528"},
        {"expires": ""},
        {"expires": "x"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\udcff\u00fc"},
        {"key": "a\udcff"},
    ],
)
def test_nothing_else_works(changes: dict[str, str]) -> None:
    bucket, key, expires, signature = parts(URLS.sign("rec-a", "a/b.mp4", NOW, 600))
    asked = {"bucket": bucket, "key": key, "expires": expires, "signature": signature} | changes
    assert not URLS.verify(
        asked["bucket"], asked["key"], expires=asked["expires"], signature=asked["signature"], now=NOW
    )


def test_moving_the_borders_between_the_parts_does_not_work() -> None:
    bucket, key, expires, signature = parts(URLS.sign("abcd", "ef", NOW, 600))
    assert not URLS.verify(bucket + key[:1], key[1:], expires=expires, signature=signature, now=NOW)
    assert not URLS.verify(bucket, expires[-1:] + key, expires=expires[:-1], signature=signature, now=NOW)


@pytest.mark.parametrize("expires", ["", "x", "1e99", "-1", "1" * 5000, "\u0661\u0662", " 1"])
def test_odd_times_are_refused_even_with_a_right_signature(expires: str) -> None:
    signature = URLS._signature("rec-a", "k", expires)
    assert not URLS.verify("rec-a", "k", expires=expires, signature=signature, now=0)


def test_another_secret_does_not_work() -> None:
    bucket, key, expires, signature = parts(DownloadUrls(b"f" * 16, "").sign("rec-a", "k", NOW, 600))
    assert not URLS.verify(bucket, key, expires=expires, signature=signature, now=NOW)


def test_without_a_base_the_link_is_relative() -> None:
    assert (
        DownloadUrls(b"f" * 16, "")
        .sign("rec-a", "a b/c?d#e.mp4", NOW, 600)
        .startswith("/files/rec-a/a%20b/c%3Fd%23e.mp4?expires=")
    )


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1, float("nan")])
def test_lifetimes_are_bounded(lifetime: float) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        URLS.sign("rec-a", "k", NOW, lifetime)


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        DownloadUrls(b"short", "")
