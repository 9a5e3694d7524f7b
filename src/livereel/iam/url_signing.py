"""Signatures in push and play URLs: making them and checking them (`guard/key-chain`, `auth/chain`).

All four types of the spec (Huawei Live User Guide, URL Validation; huawei-live-streams-domains.md section 4.2). Types A
to C are what old clients use: A and B hash with MD5, C encrypts without authenticating. Only D is worth choosing.
Pure functions; `now` is Unix time. A signature is checked once, when the push begins.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from livereel.domain.tenancy import AuthType, KeyChain

#: Seconds that the clock of whoever signs may be ahead of ours where a URL has a first moment (type A).
CLOCK_SKEW = 10.0
_IV_BYTES = 16
_IV_ALPHABET = string.ascii_letters + string.digits
_TIME_FORM = "%Y%m%d%H%M%S"  # UTC

_HEX_TIME = re.compile(r"[0-9a-fA-F]{1,12}")
_UNIX_TIME = re.compile(r"[0-9]{10}")
_A_VALUE = re.compile(r"([0-9A-Fa-f]+)-([0-9A-Za-z]*)-([0-9A-Za-z]*)-([0-9a-f]{32})")
_C_TEXT = re.compile(r"\$([0-9]{14})\$([^$]+)\$([0-9])")

_MISSING = "the URL is not signed; add {} to it"
_WRONG = "the signature of the URL is wrong"
_EXPIRED = "the signature of the URL has expired"
_EARLY = "the signature of the URL is not valid yet"


class CheckLevel(IntEnum):
    """What a URL of type C promises to be checked for."""

    STREAM = 3  #: app and stream only: the URL never expires
    STREAM_AND_TIME = 5


def problem(chain: KeyChain, app: str, stream: str, query: str, now: float) -> str | None:
    """What is wrong with the signature in `query`, the raw query string of a push URL; None if nothing is."""
    return _CHECKS[chain.auth_type](chain, f"{app}/{stream}", _members(query), now)


def signed_queries(
    chain: KeyChain, app: str, stream: str, at: float, *, level: CheckLevel | None = None, extensions: tuple[str, ...]
) -> list[str]:
    """Query strings to append to URLs of the stream, valid from `at` (Unix time).

    `extensions` are what URLs of the stream may end in ("" for none): type A signs the path with its extension, so it
    gives one string for each, the other types one for all. `level` is for type C, which needs it.
    """
    match chain.auth_type:
        case AuthType.A_MD5:
            return [sign_a(chain.key, f"/{app}/{stream}{end}", int(at), secrets.token_hex(16)) for end in extensions]
        case AuthType.B_MD5:
            return [sign_b(chain.key, stream, int(at))]
        case AuthType.C_AES:
            if level is None:
                raise ValueError("type C needs a check level")
            initial = "".join(secrets.choice(_IV_ALPHABET) for _ in range(_IV_BYTES))
            return [sign_c(chain.key, f"{app}/{stream}", at, level, initial.encode())]
        case AuthType.D_SHA256:
            return [sign_d(chain.key, stream, int(at))]


def sign_a(key: str, path: str, timestamp: int, nonce: str, *, uid: str = "0") -> str:
    """`auth_key=...` for a URL with `path` (from the first `/` after the host)."""
    return f"auth_key={timestamp}-{nonce}-{uid}-{_hash_a(key, path, str(timestamp), nonce, uid)}"


def sign_b(key: str, stream: str, timestamp: int) -> str:
    """`txSecret=...&txTime=...`."""
    return f"txSecret={_hash_b(key, stream, f'{timestamp:x}')}&txTime={timestamp:x}"


def sign_c(key: str, live_id: str, at: float, level: CheckLevel, initial: bytes) -> str:
    """`auth_info=...`. `live_id` is app/stream; `initial` is the initialisation vector, 16 bytes.

    The length of the key decides over AES-128 (16 characters) or AES-256 (32 characters).
    """
    text = f"${datetime.fromtimestamp(at, UTC):{_TIME_FORM}}${live_id}${level:d}"
    padder, encryptor = PKCS7(AES.block_size).padder(), _cipher(key, initial).encryptor()
    sealed = encryptor.update(padder.update(text.encode()) + padder.finalize()) + encryptor.finalize()
    return f"auth_info={quote(base64.b64encode(sealed).decode(), safe='')}.{initial.hex()}"


def sign_d(key: str, stream: str, timestamp: int) -> str:
    """`hwSecret=...&hwTime=...`."""
    return f"hwSecret={_hash_d(key, stream, f'{timestamp:x}')}&hwTime={timestamp:x}"


def _check_a(chain: KeyChain, live_id: str, members: Mapping[str, str], now: float) -> str | None:
    if "auth_key" not in members:
        return _MISSING.format("auth_key")
    found = _A_VALUE.fullmatch(members["auth_key"])
    if found is None:
        return _WRONG
    time_text, nonce, uid, given = found.groups()
    if not _same(given, _hash_a(chain.key, f"/{live_id}", time_text, nonce, uid)):
        return _WRONG
    # Ten digits are a time in decimal, as documented; hexadecimal times have eight until the year 2106.
    if _UNIX_TIME.fullmatch(time_text):
        begins = int(time_text)
    elif _HEX_TIME.fullmatch(time_text):
        begins = int(time_text, 16)
    else:
        return _WRONG
    if now < begins - CLOCK_SKEW:
        return _EARLY
    return _EXPIRED if now > begins + chain.timeout else None


def _check_b(chain: KeyChain, live_id: str, members: Mapping[str, str], now: float) -> str | None:
    return _check_pair(chain, members, ("txSecret", "txTime"), _hash_b, live_id, now)


def _check_c(chain: KeyChain, live_id: str, members: Mapping[str, str], now: float) -> str | None:
    if "auth_info" not in members:
        return _MISSING.format("auth_info")
    # One answer for everything that does not decrypt to what it should: a different one for bad padding would let a
    # stranger decrypt, and make, signatures byte by byte.
    text = _decrypt(chain.key, members["auth_info"])
    found = _C_TEXT.fullmatch(text) if text is not None else None
    if found is None or not _same(found[2], live_id):
        return _WRONG
    try:
        level = CheckLevel(int(found[3]))
        made = datetime.strptime(found[1], _TIME_FORM).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return _WRONG
    if level is CheckLevel.STREAM or abs(now - made) <= chain.timeout:
        return None
    return _EXPIRED if made < now else _EARLY


def _check_d(chain: KeyChain, live_id: str, members: Mapping[str, str], now: float) -> str | None:
    return _check_pair(chain, members, ("hwSecret", "hwTime"), _hash_d, live_id, now)


def _check_pair(  # noqa: PLR0917  two checks that differ in names and hash only
    chain: KeyChain,
    members: Mapping[str, str],
    names: tuple[str, str],
    digest: Callable[[str, str, str], str],
    live_id: str,
    now: float,
) -> str | None:
    """Types B and D: a hash of stream and time, good until the time has been over for `timeout` seconds."""
    given, time_text = (members.get(name) for name in names)
    if given is None or time_text is None:
        return _MISSING.format(" and ".join(names))
    stream = live_id.partition("/")[2]
    if not _HEX_TIME.fullmatch(time_text) or not _same(given, digest(chain.key, stream, time_text)):
        return _WRONG
    return _EXPIRED if int(time_text, 16) + chain.timeout < now else None


_CHECKS: dict[AuthType, Callable[[KeyChain, str, Mapping[str, str], float], str | None]] = {
    AuthType.A_MD5: _check_a,
    AuthType.B_MD5: _check_b,
    AuthType.C_AES: _check_c,
    AuthType.D_SHA256: _check_d,
}


def _hash_a(key: str, path: str, time_text: str, nonce: str, uid: str) -> str:
    return _md5(f"{path}-{time_text}-{nonce}-{uid}-{key}")


def _hash_b(key: str, stream: str, time_text: str) -> str:
    return _md5(f"{key}{stream}{time_text}")


def _hash_d(key: str, stream: str, time_text: str) -> str:
    return hmac.new(key.encode(), f"{stream}{time_text}".encode(), hashlib.sha256).hexdigest()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _cipher(key: str, initial: bytes) -> Cipher[CBC]:
    return Cipher(AES(key.encode()), CBC(initial))


def _decrypt(key: str, value: str) -> str | None:
    sealed_text, _, initial_text = value.rpartition(".")
    try:
        initial = bytes.fromhex(initial_text)
        sealed = base64.b64decode(sealed_text, validate=True)
        # Base64 has several spellings of what it ends with; what is signed has one.
        if len(initial) != _IV_BYTES or base64.b64encode(sealed).decode() != sealed_text:
            return None
        decryptor, remover = _cipher(key, initial).decryptor(), PKCS7(AES.block_size).unpadder()
        padded = decryptor.update(sealed) + decryptor.finalize()
        return (remover.update(padded) + remover.finalize()).decode()
    except (ValueError, binascii.Error):  # UnicodeDecodeError is a ValueError
        return None


def _members(query: str) -> dict[str, str]:
    """The first value of each name. A `+` stays one: Base64 that nobody escaped holds it, and blanks never occur."""
    members: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        members.setdefault(unquote(name), unquote(value))
    return members
