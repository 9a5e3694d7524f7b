"""Fields, ranges and matching of recording templates."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.naming import check_prefix
from livereel.domain.templates import (
    DEFAULT_TS_PREFIX,
    FormatConfig,
    ObsAddress,
    RecordFormat,
    RecordType,
    Template,
    default_prefix,
    match,
)

KEY = StreamKey("push.example.com", "live", "cam01")
MP4 = FormatConfig(3600, "{stream}")


def make(
    app: str = "live",
    stream: str = "cam01",
    domain: str = "push.example.com",
    formats: dict[RecordFormat, FormatConfig] | None = None,
) -> Template:
    formats = {RecordFormat.MP4: MP4} if formats is None else formats
    address = ObsAddress("rec-a", "cn-north-4")
    return Template("1" * 32, "2" * 32, domain, app, stream, RecordType.COMMAND, address, formats, 0.0, 0.0)


@pytest.mark.parametrize("cycle", [0, 60, 61, 43_200])
def test_cycles(cycle: int) -> None:
    assert FormatConfig(cycle, "x").record_cycle == cycle


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"record_cycle": 59}, "record_cycle must be 0 or 60 to 43200 seconds, not 59"),
        ({"record_cycle": 43_201}, "not 43201"),
        ({"record_cycle": -1}, "not -1"),
        ({"slice_duration": 1}, "record_slice_duration must be 2 to 60 seconds, not 1"),
        ({"slice_duration": 61}, "not 61"),
        ({"merge_window": -2}, "record_max_duration_to_merge_file must be -1 to 300 seconds, not -2"),
        ({"merge_window": 301}, "not 301"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, int], says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        replace(MP4, **values)


@pytest.mark.parametrize("values", [{"slice_duration": 2}, {"slice_duration": 60}, {"merge_window": 300}])
def test_the_ends_of_the_ranges(values: dict[str, int]) -> None:
    assert replace(MP4, **values) != MP4


def test_merging_forever_is_for_hls() -> None:
    forever = replace(MP4, merge_window=-1)
    assert make(formats={RecordFormat.HLS: forever})
    for record_format in (RecordFormat.FLV, RecordFormat.MP4):
        with pytest.raises(InvalidParameter, match="HLS only"):
            make(formats={RecordFormat.HLS: forever, record_format: forever})


def test_a_template_needs_a_format_and_good_names() -> None:
    with pytest.raises(InvalidParameter, match="at least one"):
        make(formats={})
    for wrong in ({"domain": "*"}, {"domain": "Push"}, {"app": "a*"}, {"app": "a/b"}, {"stream": "live_0*"}):
        with pytest.raises(InvalidName):
            make(**wrong)


def test_armed_and_pre_roll_belong_to_commands() -> None:
    command = make()
    assert not command.armed
    assert replace(command, armed=True, pre_roll=60.0).pre_roll == 60.0
    for wrong in (-0.1, 60.1, float("nan")):
        with pytest.raises(InvalidParameter, match="pre_roll must be 0 to 60 seconds"):
            replace(command, pre_roll=wrong)
    for record_type in set(RecordType) - {RecordType.COMMAND}:
        assert replace(command, record_type=record_type)
        for ours in ({"armed": True}, {"pre_roll": 1.0}):
            with pytest.raises(InvalidParameter, match="COMMAND_RECORD only"):
                replace(command, record_type=record_type, **ours)


@pytest.mark.parametrize("record_format", RecordFormat)
def test_default_prefixes_are_usable(record_format: RecordFormat) -> None:
    assert check_prefix(default_prefix(record_format)) == default_prefix(record_format)
    assert check_prefix(DEFAULT_TS_PREFIX, slice_name=True) == DEFAULT_TS_PREFIX


# The order of the spec: which of all scopes that cover a stream decides.
BY_WEIGHT = [("live", "cam01"), ("live", "*"), ("*", "cam01"), ("*", "*")]


@pytest.mark.parametrize(
    "scopes", [scopes for count in range(1, 5) for scopes in itertools.combinations(BY_WEIGHT, count)]
)
def test_the_most_exact_template_decides_in_any_order(scopes: tuple[tuple[str, str], ...]) -> None:
    for order in itertools.permutations(scopes):
        found = match([make(*scope) for scope in order], KEY)
        assert found is not None
        assert (found.app, found.stream) == scopes[0]


names = st.sampled_from(["live", "vod", "*"])
stream_names = st.sampled_from(["cam01", "cam02", "*"])
scopes = st.tuples(names, stream_names, st.sampled_from(["push.example.com", "other.example.com"]))


@given(st.lists(scopes, unique=True, max_size=8))
def test_match_is_what_the_spec_says(scopes: list[tuple[str, str, str]]) -> None:
    found = match([make(*scope) for scope in scopes], KEY)
    expected = next(
        (scope for scope in BY_WEIGHT if (*scope, "push.example.com") in scopes),
        None,
    )
    assert (None if found is None else (found.app, found.stream)) == expected


def test_names_are_compared_as_a_whole_and_with_case() -> None:
    for other in (make("Live"), make("liv"), make(stream="cam0"), make(stream="cam011"), make(domain="example.com")):
        assert not other.matches(KEY)
        assert match([other], KEY) is None
    assert match([], KEY) is None


def test_an_exact_command_template_shields_its_stream() -> None:
    exact, wildcard = make(), replace(make("*", "*"), record_type=RecordType.CONTINUOUS)
    assert match([wildcard, exact], KEY) is exact
    assert match([wildcard, exact], replace(KEY, stream="cam02")) is wildcard
