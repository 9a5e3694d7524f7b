"""The grammar of names."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.errors import InvalidName
from livereel.domain.keys import (
    APP_MAX_LENGTH,
    DOMAIN_MAX_LENGTH,
    STREAM_MAX_LENGTH,
    StreamKey,
    check_app,
    check_domain,
    check_stream,
    is_address,
)

APP_CHARACTERS = string.ascii_letters + string.digits + "_-"
STREAM_CHARACTERS = APP_CHARACTERS + ".~@+=,"

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
apps = st.text(APP_CHARACTERS, min_size=1, max_size=APP_MAX_LENGTH)
streams = st.text(STREAM_CHARACTERS, min_size=1, max_size=STREAM_MAX_LENGTH).filter(
    lambda name: name[0] in APP_CHARACTERS
)


@given(domain=domains, app=apps, stream=streams)
def test_a_key_survives_being_written_and_read(domain: str, app: str, stream: str) -> None:
    key = StreamKey.parse(domain, app, stream)
    assert (key.domain, key.app, key.stream) == (domain, app, stream)
    assert StreamKey.from_text(str(key)) == key


@given(first=st.tuples(domains, apps, streams), second=st.tuples(domains, apps, streams))
def test_different_keys_have_different_texts(first: tuple[str, str, str], second: tuple[str, str, str]) -> None:
    assert (str(StreamKey(*first)) == str(StreamKey(*second))) is (first == second)


@given(name=st.text(max_size=20))
def test_what_is_accepted_is_safe_as_one_path_component(name: str) -> None:
    for check in (check_domain, check_app, check_stream):
        try:
            assert check(name) == name
        except InvalidName:
            continue
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith(".")
        assert not set(name) & set('/\\{}%:;?#&*"<>| ')


@given(character=st.characters(exclude_characters=STREAM_CHARACTERS), where=st.integers(0, 3))
def test_no_other_character_is_accepted_anywhere(character: str, where: int) -> None:
    name = "abc"[:where] + character + "abc"[where:]
    for check in (check_app, check_stream):
        with pytest.raises(InvalidName):
            check(name)
    with pytest.raises(InvalidName):
        check_domain(name)


@pytest.mark.parametrize(
    ("check", "longest"),
    [(check_domain, DOMAIN_MAX_LENGTH), (check_app, APP_MAX_LENGTH), (check_stream, STREAM_MAX_LENGTH)],
)
def test_lengths(check: object, longest: int) -> None:
    assert callable(check)
    assert check("a" * longest) == "a" * longest
    for name in ("", "a" * (longest + 1)):
        with pytest.raises(InvalidName, match=f"1 to {longest} characters, not {len(name)}"):
            check(name)


@pytest.mark.parametrize(
    "name", ["localhost", "a", "0", "push.example.com", "a-b.c--d", "192.168.0.1", "xn--bcher-kva.de"]
)
def test_domains(name: str) -> None:
    assert check_domain(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "Push.example.com",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a.-b",
        "a-.b",
        "a_b",
        "*",
        "a b",
        "a/b",
        "[::1]",
        "a:1935",
        "bücher.de",
        "a\n",
    ],
)
def test_no_domains(name: str) -> None:
    with pytest.raises(InvalidName):
        check_domain(name)


@pytest.mark.parametrize("name", ["live", "LIVE_2-x", "-", "_"])
def test_apps(name: str) -> None:
    assert check_app(name) == name


@pytest.mark.parametrize("name", ["a.b", "a/b", "直播", "a b", "live?x=1", "*", "a\n", "..", "%2e"])
def test_no_apps(name: str) -> None:
    with pytest.raises(InvalidName):
        check_app(name)


@pytest.mark.parametrize("name", ["cam01", "a.b", "a..b", "user@host", "a~b", "x+y=z,w", "-", "_x"])
def test_streams(name: str) -> None:
    assert check_stream(name) == name


@pytest.mark.parametrize(
    "name", [".", "..", ".a", "~a", "=a", "a/b", "a\\b", "a\0b", "a%2fb", "a?b", "*", "a{b}", "a\n", "机"]
)
def test_no_streams(name: str) -> None:
    with pytest.raises(InvalidName):
        check_stream(name)


def test_the_wildcard_is_for_templates_and_stands_alone() -> None:
    assert check_app("*", wildcard=True) == "*"
    assert check_stream("*", wildcard=True) == "*"
    for name in ("**", "a*", "*a", ""):
        with pytest.raises(InvalidName):
            check_app(name, wildcard=True)
        with pytest.raises(InvalidName):
            check_stream(name, wildcard=True)


@pytest.mark.parametrize("text", ["", "a/b", "a/b/c/d", "a//c", "A/b/c", "a/*/c", "a/b/*", "/a/b/c"])
def test_texts_that_are_no_keys(text: str) -> None:
    with pytest.raises(InvalidName):
        StreamKey.from_text(text)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]", "10.0.0.1", "fe80::1%eth0"])
def test_addresses(host: str) -> None:
    assert is_address(host)


@pytest.mark.parametrize("host", ["push.example.com", "localhost.example.com", "1.2.3", "256.1.1.1", "", "LOCALHOST"])
def test_names_of_hosts(host: str) -> None:
    assert not is_address(host)
