"""Settings of domains."""

from dataclasses import replace
from typing import Any

import pytest

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.domain.tenancy import AuthType, DomainMapping, KeyChain

CHAIN = KeyChain("push.example.com", "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z", AuthType.D_SHA256, 600)


@pytest.mark.parametrize("changes", [{"timeout": 60}, {"timeout": 2_592_000}, {"key": "a" * 31 + "1"}])
def test_the_ends_of_the_ranges(changes: dict[str, Any]) -> None:
    assert replace(CHAIN, **changes) != CHAIN


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"timeout": 59}, "timeout must be 60 to 2592000 seconds, not 59"),
        ({"timeout": 2_592_001}, "not 2592001"),
        ({"key": ""}, "32 characters, both letters and digits"),
        ({"key": CHAIN.key[:-1]}, "32 characters"),
        ({"key": CHAIN.key + "1"}, "32 characters"),
        ({"key": "a" * 32}, "both letters and digits"),
        ({"key": "1" * 32}, "both letters and digits"),
        ({"key": CHAIN.key[:-1] + "_"}, "letters and digits"),
        ({"key": CHAIN.key[:-1] + "\n"}, "letters and digits"),
        ({"key": CHAIN.key[:-1] + "é"}, "letters and digits"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        replace(CHAIN, **changes)


def test_domains_are_mapped_to_others() -> None:
    assert DomainMapping("play.example.com", "push.example.com", "1" * 32)
    with pytest.raises(InvalidParameter, match="must differ"):
        DomainMapping("push.example.com", "push.example.com", "1" * 32)
    for names in (("*", "push.example.com"), ("play.example.com", "Push.example.com")):
        with pytest.raises(InvalidName):
            DomainMapping(*names, "1" * 32)
