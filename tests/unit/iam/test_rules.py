"""Policies, sealing, passwords, tokens, lock-out."""

import stat
from pathlib import Path

import pytest

from livereel.domain.errors import InvalidParameter, LivereelError
from livereel.domain.tenancy import Effect, Policy
from livereel.iam.lockout import LOCK_SECONDS, MAX_FAILURES, MAX_NAMES, Lockout
from livereel.iam.passwords import hash_password, verify_password
from livereel.iam.policies import check_actions, permits
from livereel.iam.secrets import Sealer, UnsealError, open_key_file
from livereel.iam.tokens import new_token, token_digest

COMMAND = "live:record:createCommand"


def allow(*actions: str) -> Policy:
    return Policy("p", "u", Effect.ALLOW, actions)


def deny(*actions: str) -> Policy:
    return Policy("p", "u", Effect.DENY, actions)


@pytest.mark.parametrize(
    ("policies", "permitted"),
    [
        ([], False),
        ([allow("*")], True),
        ([allow("live:*")], True),
        ([allow("live:record:*")], True),
        ([allow("live:*:createCommand")], True),
        ([allow(COMMAND)], True),
        ([allow("live:record:createComman")], False),
        ([allow("live:domain:*")], False),
        ([allow("LIVE:*")], False),
        ([deny(COMMAND)], False),
        ([allow("*"), deny("live:record:*")], False),
        ([deny("live:record:*"), allow(COMMAND)], False),
        ([allow("live:*"), deny("live:domain:*")], True),
        ([allow("live:domain:*", COMMAND)], True),
        ([allow("live.record.createCommand")], False),
    ],
)
def test_policies(policies: list[Policy], permitted: bool) -> None:
    assert permits(policies, COMMAND) is permitted


def test_action_names_are_checked() -> None:
    assert check_actions(["*", "live:*", "live:record:create*"]) == ("*", "live:*", "live:record:create*")
    for bad in ([], [""], ["live"], ["live:record:create Command"], ["a:b:c:d"]):
        with pytest.raises(InvalidParameter):
            check_actions(bad)


def test_sealed_secrets_open_only_for_their_owner() -> None:
    sealer = Sealer(bytes(range(32)))
    sealed = sealer.seal("the secret", "AK1")
    assert b"the secret" not in sealed
    assert sealer.unseal(sealed, "AK1") == "the secret"
    assert sealer.seal("the secret", "AK1") != sealed
    for broken, context in ((sealed, "AK2"), (sealed[:-1], "AK1"), (b"", "AK1")):
        with pytest.raises(UnsealError):
            sealer.unseal(broken, context)
    with pytest.raises(UnsealError):
        Sealer(bytes(32)).unseal(sealed, "AK1")


def test_derived_keys_differ() -> None:
    sealer = Sealer(bytes(32))
    assert sealer.derive("a") != sealer.derive("b")
    assert sealer.derive("a") == Sealer(bytes(32)).derive("a")
    assert len(sealer.derive("a")) == 32


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    sealed = open_key_file(path).seal("x", "y")
    assert open_key_file(path).unseal(sealed, "y") == "x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    for text in ("nonsense", "00" * 31, ""):
        path.write_text(text)
        with pytest.raises(LivereelError, match="not a livereel key file"):
            open_key_file(path)


def test_passwords() -> None:
    stored = hash_password("correct horse")
    assert "correct" not in stored
    assert verify_password("correct horse", stored)
    assert not verify_password("correct horsf", stored)
    for broken in ("", "plain", "scrypt$1$2"):
        assert not verify_password("correct horse", broken)


def test_tokens_are_long_and_kept_as_digests() -> None:
    first, second = new_token(), new_token()
    assert first != second
    assert len(first) == 64
    assert token_digest(first) != token_digest(second)
    assert len(token_digest(first)) == 64


def test_the_sixth_failure_in_a_row_locks_for_five_minutes() -> None:
    lockout = Lockout()
    for _ in range(MAX_FAILURES):
        lockout.failed("ak", 0)
        assert not lockout.locked("ak", 0)
    lockout.failed("ak", 0)
    assert lockout.locked("ak", 0)
    assert not lockout.locked("other", 0)
    assert lockout.locked("ak", LOCK_SECONDS - 0.1)
    assert not lockout.locked("ak", LOCK_SECONDS)
    lockout.failed("ak", LOCK_SECONDS)
    assert not lockout.locked("ak", LOCK_SECONDS)


def test_a_success_forgets_failures() -> None:
    lockout = Lockout()
    for _ in range(MAX_FAILURES):
        lockout.failed("ak", 0)
    lockout.succeeded("ak")
    lockout.failed("ak", 0)
    assert not lockout.locked("ak", 0)


def test_the_memory_of_failures_is_bounded() -> None:
    lockout = Lockout()
    for number in range(MAX_NAMES + 10):
        for _ in range(MAX_FAILURES + 1):
            lockout.failed(f"ak {number}", 0)
        lockout.failed(f"other {number}", 0)
    assert not lockout.locked("ak 0", 0)
    assert lockout.locked(f"ak {MAX_NAMES + 9}", 0)
    assert len(vars(lockout)["_failures"]) <= MAX_NAMES
