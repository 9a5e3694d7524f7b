"""URLs that tenants hand in."""

import pytest

from livereel.domain.errors import InvalidParameter
from livereel.domain.urls import URL_MAX_LENGTH, check_url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://example.org:8443/hook",
        "https://[2001:db8::1]:8443/hook",
        "https://user@example.org/a%20b?x=1&y=2#z",
        "http://10.0.0.1/",
        "https://example.org/" + "a" * (URL_MAX_LENGTH - len("https://example.org/")),
    ],
)
def test_usable(url: str) -> None:
    assert check_url("url", url) == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "1 to 2048 characters, not 0"),
        ("https://example.org/" + "a" * URL_MAX_LENGTH, "not 2068"),
        ("example.org/hook", "must begin with http:// or https:// and a host"),
        ("ftp://example.org", "must begin"),
        ("file:///etc/passwd", "must begin"),
        ("http:///path", "must begin"),
        ("http://:80/path", "must begin"),
        ("https:example.org", "must begin"),
        ("HTTPS//example.org", "must begin"),
        ("http://exa mple.org", "blanks"),
        ("http://example.org/\nX: y", "blanks"),
        ("http://example.org/\x00", "control"),
        ("http://example.org\\@10.0.0.1/", "backslashes"),
        ("http://example.org/\ud800", "control"),
        ("http://example.org:99999/", "not a URL"),
        ("http://example.org:x/", "not a URL"),
        ("http://[::1/", "not a URL"),
    ],
)
def test_unusable_ones_are_explained(url: str, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says) as error:
        check_url("call_back_url", url)
    assert error.value.detail.startswith("call_back_url ")


def test_schemes_and_queries() -> None:
    assert check_url("u", "rtmp://example.org/live/x?a=1", schemes=("rtmp",))
    with pytest.raises(InvalidParameter, match="begin with rtmp:// and a host"):
        check_url("u", "http://example.org/", schemes=("rtmp",))
    with pytest.raises(InvalidParameter, match="query parameters"):
        check_url("u", "http://example.org/?", query=False)
