"""Token buckets of operations, on a clock that stands still unless it is told otherwise."""

from pathlib import Path

from livereel.api.huawei.operations import OPERATIONS, Operation
from livereel.api.limits import DEFAULT, LIMITS, Limit, RateLimits, limit_of
from livereel.domain.errors import RateLimited
from livereel.testing.clock import FakeClock


def operation(name: str) -> Operation:
    return next(each for each in OPERATIONS if each.name == name)


def admitted(limits: RateLimits, name: str, user: str, most: int = 100_000) -> int:
    for count in range(most):
        try:
            limits.admit(operation(name), user)
        except RateLimited:
            return count
    return most


def test_a_minute_is_let_through_at_once_and_then_one_by_one() -> None:
    clock = FakeClock()
    limits = RateLimits(clock)
    assert admitted(limits, "RunRecord", "a") == 300
    clock.advance(0.19)
    assert admitted(limits, "RunRecord", "a") == 0
    clock.advance(0.02)
    assert admitted(limits, "RunRecord", "a") == 1
    clock.advance(60)
    assert admitted(limits, "RunRecord", "a") == 300
    clock.advance(3600)
    assert admitted(limits, "RunRecord", "a") == 300


def test_users_and_operations_have_buckets_of_their_own() -> None:
    limits = RateLimits(FakeClock())
    assert admitted(limits, "RunRecord", "a") == 300
    assert admitted(limits, "RunRecord", "b") == 300
    assert admitted(limits, "ListRecordRules", "a") == 300
    assert admitted(limits, "UpdateDomain", "a") == 100


def test_all_users_together_have_a_limit() -> None:
    clock = FakeClock()
    limits = RateLimits(clock)
    assert sum(admitted(limits, "RunRecord", f"user-{number}") for number in range(12)) == 3000
    # Those refused for the sake of all have lost nothing of their own.
    clock.advance(1)
    assert admitted(limits, "RunRecord", "user-11") == 50


def test_a_factor_multiplies_and_never_shuts_off() -> None:
    assert admitted(RateLimits(FakeClock(), factor=2.5), "RunRecord", "a") == 750
    clock = FakeClock()
    limits = RateLimits(clock, factor=0.0001)
    assert admitted(limits, "RunRecord", "a") == 1
    clock.advance(60)
    assert admitted(limits, "RunRecord", "a") == 1


def test_the_wall_clock_does_not_matter() -> None:
    clock = FakeClock()
    limits = RateLimits(clock)
    assert admitted(limits, "RunRecord", "a") == 300
    clock.set(clock.now() + 86_400)
    assert admitted(limits, "RunRecord", "a") == 0


def test_the_table() -> None:
    assert limit_of(operation("UpdateRecordRule")) == Limit(300, 3000)
    assert limit_of(operation("CreateDomain")) == Limit(300, 3000)
    assert limit_of(operation("DeleteDomain")) == Limit(100, 1000)
    assert limit_of(operation("ListRecordContents")) == DEFAULT
    assert limit_of(operation("KeystoneListProjects")) is None
    for name in LIMITS:
        assert name.split()[-1].startswith("/")
        assert len(name.split()) == 1 or name.split()[0] in {"GET", "POST", "PUT", "DELETE"}


def test_the_documented_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api" / "limits.md").read_text("utf-8")
    lines = [line.strip("| \n") for line in page.splitlines() if line.startswith("|")][2:]
    assert lines == [f"{name} | {limit.user} | {limit.everybody}" for name, limit in LIMITS.items()]
