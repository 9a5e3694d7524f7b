"""Object keys: variables, extensions, and that no name leads out of its bucket."""

import posixpath
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.errors import InvalidName
from livereel.domain.keys import StreamKey
from livereel.domain.naming import (
    DEFAULT_INDEX_OBJECT,
    OBJECT_KEY_MAX_BYTES,
    PREFIX_VARIABLES,
    TS_PREFIX_VARIABLES,
    check_object_key,
    check_prefix,
    file_key,
    format_time,
    index_key,
    join_root,
    relative_key,
    slice_name,
    without_collision,
)
from livereel.domain.templates import (
    DEFAULT_FILE_PREFIX,
    DEFAULT_HLS_PREFIX,
    DEFAULT_TS_PREFIX,
    RecordFormat,
    RecordType,
)
from tests.unit.domain.test_keys import apps, domains, streams

KEY = StreamKey("push.example.com", "live", "cam01")
STARTED = 1_784_614_528.9  # 2026-07-21T06:15:28Z

literals = st.text(max_size=12)
variables = st.sampled_from(sorted(PREFIX_VARIABLES)).map("{{{}}}".format)
prefixes = st.lists(literals | variables | st.sampled_from(["/", "..", ".", "//", "\\", "%2f"]), max_size=6).map(
    "".join
)


def make_key(prefix: str, root: str = "", key: StreamKey = KEY, record_format: RecordFormat = RecordFormat.MP4) -> str:
    return file_key(key, RecordType.COMMAND, record_format, object_root=root, prefix=prefix, started_at=STARTED)


def test_times_are_utc_and_sort() -> None:
    assert format_time(STARTED) == "20260721061528"
    assert format_time(0) == "19700101000000"


@pytest.mark.parametrize(
    ("record_format", "prefix", "expected"),
    [
        (
            RecordFormat.HLS,
            DEFAULT_HLS_PREFIX,
            "Record/push.example.com/live/COMMAND_RECORD/HLS/cam01_20260721061528/cam01_20260721061528.m3u8",
        ),
        (
            RecordFormat.FLV,
            DEFAULT_FILE_PREFIX,
            "Record/push.example.com/live/COMMAND_RECORD/FLV/cam01_20260721061528/20260721061528.flv",
        ),
        (
            RecordFormat.MP4,
            DEFAULT_FILE_PREFIX,
            "Record/push.example.com/live/COMMAND_RECORD/MP4/cam01_20260721061528/20260721061528.mp4",
        ),
        (RecordFormat.MP4, "plain", "plain.mp4"),
        (RecordFormat.MP4, "/leading/slash", "leading/slash.mp4"),
        (RecordFormat.FLV, "{file_start_time_unix}{stream}{stream}", "1784614528cam01cam01.flv"),
    ],
)
def test_keys_of_files(record_format: RecordFormat, prefix: str, expected: str) -> None:
    assert make_key(prefix, record_format=record_format) == expected


@pytest.mark.parametrize("root", ["archive/", "archive", "/archive", "//archive//"])
def test_the_root_may_end_in_a_slash_or_not(root: str) -> None:
    assert make_key("{stream}", root) == "archive/cam01.mp4"
    assert join_root(root, "/x") == "archive/x"


@pytest.mark.parametrize("root", ["", "/", "//"])
def test_no_root(root: str) -> None:
    assert join_root(root, "a/b") == "a/b"


def test_names_of_slices() -> None:
    name = slice_name(
        KEY, RecordType.COMMAND, prefix=DEFAULT_TS_PREFIX, started_at=STARTED, ended_at=STARTED + 6, sequence=0
    )
    assert name == "1784614528_1784614534_0.ts"
    every = "".join(f"{{{variable}}}-" for variable in sorted(TS_PREFIX_VARIABLES))
    name = slice_name(KEY, RecordType.COMMAND, prefix=every, started_at=STARTED, ended_at=STARTED + 6, sequence=12)
    assert name == (
        "live-20260721061534-1784614534-20260721061528-1784614528-push.example.com-HLS-COMMAND_RECORD-cam01-12-.ts"
    )


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "/", "a/", "{stream}/", "{nothing}", "{Stream}", "{}", "{stream", "stream}", "{{stream}}", "{a{stream}}"),
        *("..", "../x", "a/../x", "a/..", "./x", "a//b", "a\\b", "a\0b", "a\nb", "a\x7fb", "{file_end_time}"),
        "x" * (OBJECT_KEY_MAX_BYTES + 1),
    ],
)
def test_unusable_prefixes(prefix: str) -> None:
    with pytest.raises(InvalidName):
        check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["a/b", "{nothing}", "", "..", "a\\b"])
def test_unusable_slice_prefixes(prefix: str) -> None:
    with pytest.raises(InvalidName):
        check_prefix(prefix, slice_name=True)


@pytest.mark.parametrize("variable", sorted(TS_PREFIX_VARIABLES))
def test_every_documented_variable_is_known(variable: str) -> None:
    assert check_prefix(f"{{{variable}}}", slice_name=True)
    if variable in PREFIX_VARIABLES:
        assert check_prefix(f"{{{variable}}}")


@given(key=st.builds(StreamKey, domains, apps, streams), root=literals, prefix=prefixes)
def test_a_checked_prefix_gives_a_contained_key_or_an_error(key: StreamKey, root: str, prefix: str) -> None:
    try:
        made = make_key(check_prefix(prefix), root, key)
    except InvalidName:
        return
    contained(made)
    assert made.endswith(".mp4")
    assert not re.search(r"\{(stream|app|publish_domain)\}", made)


@given(key=st.builds(StreamKey, domains, apps, streams), prefix=literals | st.just(DEFAULT_TS_PREFIX))
def test_a_slice_lies_beside_its_playlist(key: StreamKey, prefix: str) -> None:
    try:
        check_prefix(prefix, slice_name=True)
    except InvalidName:
        return
    name = slice_name(key, RecordType.COMMAND, prefix=prefix, started_at=STARTED, ended_at=STARTED, sequence=0)
    assert "/" not in name
    assert name.endswith(".ts")
    contained(f"directory/{name}")


@given(key=st.text(max_size=30) | prefixes)
def test_what_is_accepted_as_a_key_is_contained(key: str) -> None:
    try:
        assert check_object_key(key) == key
    except InvalidName:
        return
    contained(key)


def contained(key: str) -> None:
    """The path is below the bucket, in its shortest form, and free of anything that a system could read otherwise."""
    assert posixpath.normpath(posixpath.join("/bucket", key)) == f"/bucket/{key}"
    assert not re.search(r"[\x00-\x1f\x7f\\]", key)
    assert len(key.encode()) <= OBJECT_KEY_MAX_BYTES


@pytest.mark.parametrize(
    "key",
    [
        *(
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/.",
            "a/..",
            "../a",
            "a/../b",
            "a\\b",
            "C:\\a",
            "a\0",
            "\ta",
            "a\x7f",
        ),
        *("a" * 1025, "ä" * 513, "a\ud800", "\udfff/b"),
    ],
)
def test_no_object_keys(key: str) -> None:
    with pytest.raises(InvalidName):
        check_object_key(key)


@pytest.mark.parametrize("key", ["a", "a/b.c", "...", "..a", "a..", "a b", "%2e%2e%2fa", "C:/a", "ä" * 512, "a" * 1024])
def test_object_keys(key: str) -> None:
    assert check_object_key(key) == key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b/x.mp4", "a/b/x-9f1c2d3e.mp4"),
        ("x.flv", "x-9f1c2d3e.flv"),
        ("a/x.m3u8", "a/x-9f1c2d3e/x.m3u8"),
        ("x.m3u8", "x-9f1c2d3e/x.m3u8"),
        ("a.b/c.d.mp4", "a.b/c.d-9f1c2d3e.mp4"),
    ],
)
def test_a_taken_key_gets_a_tag_and_hls_a_directory(key: str, expected: str) -> None:
    assert without_collision(key, "9f1c2d3e-4a5b-4c6d-8e7f-001122334455") == expected
    assert without_collision(key, "00000000-4a5b-4c6d-8e7f-001122334455") != expected


def test_index_key() -> None:
    times = {"started_at": 1_784_614_528.9, "ended_at": 1_784_614_588.2}
    default = "Index/push.example.com/live/cam01/cam01-20260721061528-20260721061628.m3u8"
    assert index_key(KEY, DEFAULT_INDEX_OBJECT, **times) == default
    assert index_key(KEY, "{stream}/{start_time_unix}-{end_time_unix}", **times) == "cam01/1784614528-1784614588.m3u8"
    assert index_key(KEY, "show.m3u8", **times) == "show.m3u8"
    long = index_key(replace(KEY, stream="s" * 512), DEFAULT_INDEX_OBJECT, **times)
    assert max(len(part) for part in long.split("/")) <= 200


@pytest.mark.parametrize(
    "target", ["{file_start_time}", "a/../b", "/a", "a/", ".m3u8", "a{", "a\x00", "../a", "x/" * 600 + "x"]
)
def test_bad_index_keys(target: str) -> None:
    with pytest.raises(InvalidName):
        index_key(KEY, target, started_at=1.0, ended_at=2.0)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_relative_key(path: list[str], directory: list[str]) -> None:
    key = "/".join([*path, "x.ts"])
    relative = relative_key(key, "/".join(directory))
    assert posixpath.normpath(posixpath.join("/", *directory, relative)) == f"/{key}"
