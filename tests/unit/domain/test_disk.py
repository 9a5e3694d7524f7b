"""When a disk is full, with hysteresis, and which recordings are ended."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.disk import (
    HORIZON,
    MIB,
    RESERVE_BASE,
    RESERVE_PER_FILE,
    DiskMarks,
    DiskState,
    DiskUse,
    next_state,
    to_end,
)

ROOM, HIGH, LOW = DiskState.ROOM, DiskState.HIGH, DiskState.LOW
TOTAL, RESERVE = 10_000, 100


def after(state: DiskState, free: int, *, high_water: float = 0.9) -> DiskState:
    use = DiskUse(TOTAL, free, 1 - free / TOTAL)
    return next_state(state, use, high_water=high_water, reserve=RESERVE)


# One line per amount that is free; which state follows on each.
#        free   room  high  low
STATES = """
 99      low   low   low
 100     high  high  low
 149     high  high  low
 150     high  high  high
 1000    high  high  high
 1001    room  high  high
 1200    room  high  high
 1201    room  room  room
 9999    room  room  room
"""


@pytest.mark.parametrize("line", STATES.strip().splitlines())
def test_each_state_is_left_with_more_room_than_it_was_entered_with(line: str) -> None:
    free, *expected = line.split()
    assert [after(state, int(free)).name.lower() for state in (ROOM, HIGH, LOW)] == expected


@pytest.mark.parametrize(("free", "state"), [(99, LOW), (199, HIGH), (200, ROOM)])
def test_on_a_small_disk_the_reserve_counts(free: int, state: DiskState) -> None:
    assert after(ROOM, free, high_water=1.0) is state


def test_a_small_disk_calms_down_later() -> None:
    assert after(HIGH, 249, high_water=1.0) is HIGH
    assert after(HIGH, 250, high_water=1.0) is ROOM


@given(st.lists(st.integers(0, TOTAL)))
def test_a_disk_that_does_not_change_does_not_change_its_state(frees: list[int]) -> None:
    state = ROOM
    for free in frees:
        state = after(state, free)
        assert after(state, free) is state


def test_the_fastest_are_ended_until_the_others_can_go_on() -> None:
    rates = {"slow": 1.0, "fast": 100.0, "middle": 10.0}
    enough = 50 + 11 * HORIZON  # half of the reserve, and what middle and slow take
    assert to_end(int(enough), RESERVE, rates, at_least=0) == ["fast"]
    assert to_end(int(enough) - 1, RESERVE, rates, at_least=0) == ["fast", "middle"]
    assert to_end(10_000, RESERVE, rates, at_least=0) == []
    assert to_end(10_000, RESERVE, rates, at_least=1) == ["fast"]
    assert to_end(49, RESERVE, rates, at_least=0) == ["fast", "middle", "slow"]
    assert to_end(0, RESERVE, {}, at_least=1) == []


@given(
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.dictionaries(st.text(min_size=1), st.floats(0, 10**6)),
    st.integers(0, 1),
)
def test_what_is_left_can_go_on(free: int, reserve: int, rates: dict[str, float], at_least: int) -> None:
    ended = to_end(free, reserve, rates, at_least=at_least)
    left = [rate for task_id, rate in rates.items() if task_id not in ended]
    assert len(ended) >= min(at_least, len(rates))
    assert not left or free - sum(left) * HORIZON >= reserve / 2 - 1e-3
    assert all(rates[one] >= rate for one, rate in itertools.product(ended, left))


def test_the_reserve_is_what_finishing_takes_unless_it_is_set() -> None:
    assert DiskMarks(0.9).reserved([]) == RESERVE_BASE
    assert DiskMarks(0.9).reserved([(1, 0), (3, 5 * MIB)]) == RESERVE_BASE + RESERVE_PER_FILE + 3 * (
        RESERVE_PER_FILE + 5 * MIB
    )
    assert DiskMarks(0.9, 4711).reserved([(3, 5 * MIB)]) == 4711
