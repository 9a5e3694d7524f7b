"""Which lines of a downloaded playlist get links of their own."""

import posixpath
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.api.files import with_signed_slices


def sign(bucket: str, key: str) -> str:
    return f"http://127.0.0.1/files/x?signed={bucket}+{key.encode().hex()}"


def followed(playlist_key: str, line: str) -> str | None:
    """The key that a player asks for and that is signed, None if the line stays as it is."""
    shown = with_signed_slices(line, "rec-a", playlist_key, sign).removesuffix("\n")
    if shown == line:
        return None
    parts = urlsplit(shown)
    bucket, _, signed = parse_qs(parts.query)["signed"][0].partition(" ")
    assert bucket == "rec-a"
    key = bytes.fromhex(signed).decode()
    directory = posixpath.dirname(playlist_key)
    assert posixpath.normpath(posixpath.join(directory, unquote(parts.path))) == key
    return key


@pytest.mark.parametrize(
    ("playlist", "line", "key"),
    [
        ("a/b/show.m3u8", "1_2_0.ts", "a/b/1_2_0.ts"),
        ("show.m3u8", "1_2_0.ts", "1_2_0.ts"),
        ("Index/d/live/cam/x.m3u8", "../../../../Record/d/1_2_0.ts", "Record/d/1_2_0.ts"),
        ("a/b/show.m3u8", "../c/1.ts", "a/c/1.ts"),
        ("a/b/show.m3u8", "cam01%20100%25.ts", "a/b/cam01 100%.ts"),
        ("a b/show.m3u8", "../a%20b/%231.ts", "a b/#1.ts"),
        ("a/show.m3u8", "%2e%2e/1.ts", "1.ts"),
    ],
)
def test_slices_within_the_bucket_are_signed(playlist: str, line: str, key: str) -> None:
    assert followed(playlist, line) == key


@pytest.mark.parametrize(
    "line",
    [
        "",
        "#EXTINF:1.0,",
        "../../../1.ts",
        "../../../rec-b/1.ts",
        "..%2f..%2f1.ts",
        "%2fetc%2f1.ts",
        "/files/rec-b/1.ts",
        "//example.com/1.ts",
        "http://example.com/1.ts",
        "1.ts?expires=9",
        "1.ts#now",
        "./1.ts",
        "a//1.ts",
        "..%5c1.ts",
        "1%00.ts",
        "show.m3u8",
        "../recording.json",
        "../../Record/secret.mp4",
        "..",
    ],
)
def test_everything_else_stays_as_it_is(line: str) -> None:
    assert followed("a/b/show.m3u8", line) is None


@given(st.lists(st.sampled_from(["..", "a", "%2e%2e", ".", "", "%2F", "b c", "x.ts", "\\", "%", "ä"]), max_size=8))
def test_no_line_leaves_the_bucket(parts: list[str]) -> None:
    key = followed("a/b/show.m3u8", "/".join([*parts, "x.ts"]))
    assert key is None or not {"", ".", ".."} & set(key.split("/"))
