"""Whether policies permit an action. Pure.

Deny wins over Allow, and what nobody allows is denied: a user without policies may do nothing. Names are compared
exactly, letter case included; `*` stands for any characters, `:` included.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from livereel.domain.errors import InvalidParameter
from livereel.domain.tenancy import Effect, Policy

ALL_LIVE_ACTIONS = "live:*"
EVERYTHING = "*"

_ACTION = re.compile(r"\*|[A-Za-z][A-Za-z0-9]*(:[A-Za-z0-9*]+){1,2}")


def permits(policies: Iterable[Policy], action: str) -> bool:
    """True if some policy allows `action` and none denies it."""
    allowed = False
    for policy in policies:
        if any(_pattern(name).fullmatch(action) for name in policy.actions):
            if policy.effect is Effect.DENY:
                return False
            allowed = True
    return allowed


def check_actions(actions: Iterable[str]) -> tuple[str, ...]:
    """Return action names fit for a policy; raises InvalidParameter for an empty list or a malformed name."""
    names = tuple(actions)
    if not names:
        raise InvalidParameter("a policy must name at least one action")
    for name in names:
        if not _ACTION.fullmatch(name):
            raise InvalidParameter(f"not an action name such as live:record:createCommand or live:*: {name[:64]!r}")
    return names


@lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in name.split("*")))
