"""Which HLS files in one directory may overwrite each other's slices, checked against the names they really get."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.keys import StreamKey
from livereel.domain.naming import slice_name
from livereel.domain.neighbours import ended_after, is_alone, may_meet
from livereel.domain.recordings import RecordFile, SpoolPosition
from livereel.domain.states import FileState
from livereel.domain.templates import RecordFormat, RecordType, default_prefix

DEFAULT_TS = "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}"


def file(stream: str, started_at: float, ended_at: float | None, **changes: object) -> RecordFile:
    made = RecordFile(
        job_id=stream,
        asset_id=stream,
        task_id=stream,
        project_id="p",
        key=StreamKey("push.example.com", "live", stream),
        record_type=RecordType.COMMAND,
        format=RecordFormat.HLS,
        sequence=1,
        state=FileState.WRITING if ended_at is None else FileState.STORED,
        bucket="b",
        location="l",
        object_key="all/x.m3u8",
        start=SpoolPosition(1, 13),
        started_at=started_at,
    )
    return replace(made, ended_at=ended_at, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prefix", "alone"),
    [
        (default_prefix(RecordFormat.HLS), True),
        ("{publish_domain}/{app}/{stream}/{file_start_time_unix}/index", True),
        ("{stream}_{file_start_time}", False),
        ("{publish_domain}/{app}/{stream}/{file_start_time}", False),
        ("{app}/{stream}/{file_start_time}/index", False),
        ("index", False),
    ],
)
def test_directories_of_ones_own(prefix: str, alone: bool) -> None:
    assert is_alone(prefix) is alone


@pytest.mark.parametrize(
    ("ts_prefix", "other", "meets"),
    [
        ("{ts_sequence_number}", file("cam", 0.0, 100.0), True),
        ("{ts_sequence_number}", file("cam", 0.0, None, state=FileState.FAILED), True),
        ("slice", file("other", 0.0, 100.0), True),
        (DEFAULT_TS, file("cam", 900.0, 1000.0), False),  # a record cycle after the other
        (DEFAULT_TS, file("cam", 900.0, 1000.3), False),
        (DEFAULT_TS, file("cam", 1000.0, 1000.0), True),  # two within a second
        (DEFAULT_TS, file("cam", 900.0, 1002.0), True),  # the clock was set back
        (DEFAULT_TS, file("other", 900.0, None), True),  # both are being recorded
        (DEFAULT_TS, file("other", 900.0, None, state=FileState.FAILED), False),
        ("{file_start_time}", file("cam", 900.0, 1000.0), True),  # the last and the first in one second
        ("{file_start_time}", file("cam", 900.0, 999.9), False),
        ("{stream}-" + DEFAULT_TS, file("other", 900.0, None), False),
        ("{stream}-{ts_sequence_number}", file("other", 900.0, None), False),
        ("{stream}{ts_sequence_number}", file("cam1", 900.0, None), True),
    ],
)
def test_who_may_meet_whom(ts_prefix: str, other: RecordFile, meets: bool) -> None:
    mine = file("cam", 1000.1, None)
    assert may_meet(ts_prefix, mine, [other]) is meets
    since = ended_after(ts_prefix, mine)
    if meets and since is not None and other.ended_at is not None:
        assert other.ended_at > since  # or nobody would look


prefixes = st.sets(
    st.sampled_from(
        [
            "{stream}-",
            "{file_start_time}-",
            "{file_start_time_unix}",
            "{file_end_time_unix}_",
            "{ts_sequence_number}",
            "x",
        ]
    ),
    min_size=1,
).map(lambda parts: "".join(sorted(parts)))
durations = st.lists(st.floats(2.0, 4.0), max_size=4)
tails = st.floats(0.04, 1.9)


def names(of: RecordFile, ts_prefix: str, slices: list[float]) -> set[str]:
    found, at = set(), of.started_at
    for number, duration in enumerate(slices):
        found.add(
            slice_name(of.key, of.record_type, prefix=ts_prefix, started_at=at, ended_at=at + duration, sequence=number)
        )
        at += duration
    return found


@given(
    ts_prefix=prefixes,
    streams=st.tuples(st.sampled_from(["a", "b", "a1"]), st.sampled_from(["a", "b", "a1"])),
    before=durations,
    after=durations,
    tail=st.tuples(tails, tails),
    gap=st.floats(-5.0, 5.0),
    start=st.floats(1000.0, 1003.0),
)
def test_who_may_not_meet_has_other_names(
    ts_prefix: str,
    streams: tuple[str, str],
    before: list[float],
    after: list[float],
    tail: tuple[float, float],
    gap: float,
    start: float,
) -> None:
    """All slices but the last are at least as long as the shortest that a template may ask for."""
    first, second = [*before, tail[0]], [*after, tail[1]]
    other = file(streams[0], start, start + sum(first))
    mine = file(streams[1], start + sum(first) + gap, None)
    since = ended_after(ts_prefix, mine)
    seen = since is None or (other.ended_at or 0.0) > since
    if not (seen and may_meet(ts_prefix, mine, [other])):
        assert not names(other, ts_prefix, first) & names(mine, ts_prefix, second)
