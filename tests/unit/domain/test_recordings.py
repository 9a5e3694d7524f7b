"""Planned recordings and the windows that may be asked for."""

import pytest

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask, check_index_window, check_plan_end, plan_list_window

NOW = 1_784_614_528.0
HOUR, DAY = 3600.0, 86_400.0
KEY = StreamKey("push.example.com", "live", "cam01")


@pytest.mark.parametrize("length", [1.0, 24 * HOUR])
def test_plans(length: float) -> None:
    assert PlanTask("1" * 32, "2" * 32, KEY, NOW, NOW + length, "3" * 32, NOW).stop_at is None


@pytest.mark.parametrize(("length", "says"), [(0.0, "after start_time"), (-1.0, "after"), (24 * HOUR + 1, "24 hours")])
def test_plans_that_may_not_be(length: float, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        PlanTask("1" * 32, "2" * 32, KEY, NOW, NOW + length, "3" * 32, NOW)


def test_when_a_plan_may_end() -> None:
    assert check_plan_end(NOW + 1, NOW) == NOW + 1
    assert check_plan_end(NOW + 7 * DAY - 1, NOW) == NOW + 7 * DAY - 1
    with pytest.raises(InvalidParameter, match="in the future"):
        check_plan_end(NOW, NOW)
    with pytest.raises(InvalidParameter, match="7 days"):
        check_plan_end(NOW + 7 * DAY, NOW)


def test_which_plans_may_be_listed() -> None:
    assert plan_list_window(None, NOW, NOW) == (NOW - 7 * DAY, NOW)
    assert plan_list_window(NOW - 90 * DAY, NOW - 83 * DAY, NOW) == (NOW - 90 * DAY, NOW - 83 * DAY)
    # Without a start the beginning of the longest window may lie further back than anybody may ask for.
    assert plan_list_window(None, NOW - 90 * DAY, NOW) == (NOW - 97 * DAY, NOW - 90 * DAY)
    assert plan_list_window(NOW, NOW + 7 * DAY, NOW) == (NOW, NOW + 7 * DAY)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (NOW, NOW, "after start_time"),
        (NOW, NOW - 1, "after start_time"),
        (NOW - 90 * DAY - 1, NOW - 90 * DAY, "start_time may be at most 90 days ago"),
        (None, NOW - 90 * DAY - 1, "end_time may be at most 90 days ago"),
        (NOW, NOW + 7 * DAY + 1, "7 days after"),
    ],
)
def test_which_plans_may_not_be_listed(start: float | None, end: float, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        plan_list_window(start, end, NOW)


@pytest.mark.parametrize(
    ("start", "end"), [(NOW, NOW + 1), (NOW - 12 * HOUR, NOW), (NOW - 30 * DAY, NOW - 30 * DAY + 12 * HOUR)]
)
def test_windows_of_an_index(start: float, end: float) -> None:
    assert check_index_window(start, end, NOW) == (start, end)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (NOW + 1, NOW + 2, "later than now"),
        (NOW - 30 * DAY - 1, NOW - 30 * DAY, "30 days"),
        (NOW - 1, NOW - 1, "after start_time"),
        (NOW - 12 * HOUR - 1, NOW, "12 hours"),
    ],
)
def test_windows_that_no_index_may_have(start: float, end: float, says: str) -> None:
    with pytest.raises(InvalidParameter, match=says):
        check_index_window(start, end, NOW)
