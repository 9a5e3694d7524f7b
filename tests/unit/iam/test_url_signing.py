"""URL signatures: the vectors of the spec, validity in time, and what an altered URL gets."""

from hashlib import md5
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livereel.domain.tenancy import AuthType, KeyChain
from livereel.iam.url_signing import CLOCK_SKEW, CheckLevel, problem, sign_a, sign_b, sign_c, sign_d, signed_queries

KEY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
SIGNED_AT = 1784614528
TIMEOUT = 600
D = "hwSecret=f2fe9e28ea68e492ec33ab7242a5dd4a0080c1b5d2578142bcfbe3354e9f1baa&hwTime=6a5f0e80"
B = "txSecret=11ba8a4f130d2b34851b1bb2c7af2166&txTime=6a5f0e80"
A = "auth_key=1784614528-00112233445566778899aabbccddeeff-0-5f59086034a2105ddbc879b35f76963a"
# openssl enc -aes-256-cbc over `$20260721061528$live/cam01$5`
C = "auth_info=luUSjkDmLlDb4z2ZgDj0C3e5pYdAN7BOCqIKhm7TbUU%3D.79436d453636364e335941713330534e"
INITIAL = b"yCmE666N3YAq30SN"

SIGNED = {AuthType.A_MD5: A, AuthType.B_MD5: B, AuthType.C_AES: C, AuthType.D_SHA256: D}
EVERY_TYPE = pytest.mark.parametrize("auth_type", list(AuthType))


def check(auth_type: AuthType, query: str, *, app: str = "live", stream: str = "cam01", now: float = SIGNED_AT) -> str:
    return problem(KeyChain("push.example.com", KEY, auth_type, TIMEOUT), app, stream, query, now) or ""


def test_the_vectors() -> None:
    assert sign_a(KEY, "/live/cam01", SIGNED_AT, "00112233445566778899aabbccddeeff") == A
    assert sign_b(KEY, "cam01", SIGNED_AT) == B
    assert sign_c(KEY, "live/cam01", SIGNED_AT, CheckLevel.STREAM_AND_TIME, INITIAL) == C
    assert sign_d(KEY, "cam01", SIGNED_AT) == D


def test_a_key_of_16_characters_means_aes_128() -> None:
    # openssl enc -aes-128-cbc over `$20260721061528$live/cam01$3`
    sealed = quote("e6rBkFJ8Rs5ymjoiGkIuktfiladu0B+O/U2phvJjnO0=", safe="")
    expected = f"auth_info={sealed}.{INITIAL.hex()}"
    assert sign_c(KEY[:16], "live/cam01", SIGNED_AT, CheckLevel.STREAM, INITIAL) == expected


@EVERY_TYPE
def test_a_signed_url_is_good_among_other_members(auth_type: AuthType) -> None:
    assert not check(auth_type, SIGNED[auth_type])
    assert not check(auth_type, f"user=7&{SIGNED[auth_type]}&vhost=push.example.com")


@EVERY_TYPE
def test_an_unsigned_url_is_told_what_is_missing(auth_type: AuthType) -> None:
    member = SIGNED[auth_type].partition("=")[0]
    for query in ("", "user=7", member.lower() + "x=1"):
        assert member in check(auth_type, query)


@EVERY_TYPE
def test_valid_for_the_timeout(auth_type: AuthType) -> None:
    assert not check(auth_type, SIGNED[auth_type], now=SIGNED_AT + TIMEOUT)
    assert "expired" in check(auth_type, SIGNED[auth_type], now=SIGNED_AT + TIMEOUT + 1)


def test_some_are_not_valid_before_their_time() -> None:
    assert not check(AuthType.A_MD5, A, now=SIGNED_AT - CLOCK_SKEW)
    assert "not valid yet" in check(AuthType.A_MD5, A, now=SIGNED_AT - CLOCK_SKEW - 1)
    assert not check(AuthType.C_AES, C, now=SIGNED_AT - TIMEOUT)
    assert "not valid yet" in check(AuthType.C_AES, C, now=SIGNED_AT - TIMEOUT - 1)
    assert not check(AuthType.B_MD5, B, now=0)
    assert not check(AuthType.D_SHA256, D, now=0)


def test_type_a_takes_hexadecimal_times() -> None:
    digest = md5(f"/live/cam01-6a5f0e80-r-0-{KEY}".encode()).hexdigest()
    assert not check(AuthType.A_MD5, f"auth_key=6a5f0e80-r-0-{digest}", now=SIGNED_AT + 1)
    assert "expired" in check(AuthType.A_MD5, f"auth_key=6a5f0e80-r-0-{digest}", now=SIGNED_AT + TIMEOUT + 1)


def test_level_3_never_expires() -> None:
    query = sign_c(KEY, "live/cam01", SIGNED_AT, CheckLevel.STREAM, INITIAL)
    assert not check(AuthType.C_AES, query, now=SIGNED_AT + 100 * TIMEOUT)
    assert check(AuthType.C_AES, query, stream="cam02")


def test_base64_that_was_not_escaped() -> None:
    for number in range(50):  # some of them hold a + and a /
        query = sign_c(KEY, "live/cam01", SIGNED_AT + number, CheckLevel.STREAM, INITIAL)
        plain = query.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
        assert not check(AuthType.C_AES, plain)


@EVERY_TYPE
def test_good_for_one_stream_only(auth_type: AuthType) -> None:
    assert "wrong" in check(auth_type, SIGNED[auth_type], stream="cam02")
    if auth_type in (AuthType.A_MD5, AuthType.C_AES):  # B and D do not sign the app
        assert "wrong" in check(auth_type, SIGNED[auth_type], app="other")


@EVERY_TYPE
def test_another_key(auth_type: AuthType) -> None:
    other = KeyChain("push.example.com", KEY[::-1], auth_type, TIMEOUT)
    assert problem(other, "live", "cam01", SIGNED[auth_type], SIGNED_AT)


@EVERY_TYPE
@example(place=52, replacement="V")  # Base64 ignores the last bits in front of its "="
@given(place=st.integers(min_value=0), replacement=st.characters(codec="utf-8"))
def test_no_altered_character_passes(auth_type: AuthType, place: int, replacement: str) -> None:
    query = SIGNED[auth_type]
    place %= len(query)
    if query[place] == replacement or (auth_type is AuthType.C_AES and query[place].lower() == replacement.lower()):
        return  # the hex digits of the initialisation vector and of escapes have two spellings
    if auth_type is AuthType.C_AES and place > query.index("."):
        return  # the vector is not protected: what it decides over is the first block, the time among it
    assert check(auth_type, query[:place] + replacement + query[place + 1 :])


@EVERY_TYPE
@given(query=st.text())
def test_garbage_is_refused_and_breaks_nothing(auth_type: AuthType, query: str) -> None:
    assert check(auth_type, query)
    for name in ("auth_key", "auth_info", "txSecret", "hwSecret"):
        assert check(auth_type, f"{name}={query}&txTime={query}&hwTime={query}")


@pytest.mark.parametrize("query", ["hwSecret=\udcff&hwTime=6a5f0e80", "hwSecret=%FF&hwTime=6a5f0e80"])
def test_bytes_that_are_no_text(query: str) -> None:
    assert "wrong" in check(AuthType.D_SHA256, query)


@EVERY_TYPE
def test_made_signatures_are_good(auth_type: AuthType) -> None:
    chain = KeyChain("push.example.com", KEY, auth_type, TIMEOUT)
    made = signed_queries(chain, "live", "cam01", SIGNED_AT, level=CheckLevel.STREAM_AND_TIME, extensions=("",))
    assert len(made) == 1
    assert problem(chain, "live", "cam01", made[0], SIGNED_AT + 1) is None


def test_type_a_signs_every_kind_of_play_url() -> None:
    chain = KeyChain("play.example.com", KEY, AuthType.A_MD5, TIMEOUT)
    made = signed_queries(chain, "live", "cam01", SIGNED_AT, extensions=("", ".flv", ".m3u8"))
    nonces = [query.split("-")[1] for query in made]
    ends = ("", ".flv", ".m3u8")
    assert made == [sign_a(KEY, f"/live/cam01{end}", SIGNED_AT, nonce) for end, nonce in zip(ends, nonces, strict=True)]
    assert all(len(nonce) == 32 for nonce in nonces)


def test_type_c_needs_a_level() -> None:
    chain = KeyChain("push.example.com", KEY, AuthType.C_AES, TIMEOUT)
    with pytest.raises(ValueError, match="level"):
        signed_queries(chain, "live", "cam01", SIGNED_AT, extensions=("",))
