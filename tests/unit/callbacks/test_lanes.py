"""Lanes: every host at its own pace."""

from dataclasses import replace

import pytest

from livereel.callbacks.lanes import FORGET_AFTER, LONGEST_REST, SOURCE_AGE, WAITING_LOW, WAITING_MAX, Lanes, target_of
from livereel.domain.messages import MessageState, OutboxMessage

MESSAGE = OutboxMessage(1, "c", "notification", "PUBLISH", "p", "d", "http://x/", {}, MessageState.PENDING, 0, 0.0, 0.0)


def filled(*counts: int, width: int = 4) -> Lanes:
    lanes = Lanes(width)
    for host, count in enumerate(counts):
        lanes.lane(f"host{host}:80").waiting.extend(replace(MESSAGE, id=100 * host + n) for n in range(count))
    return lanes


def ids(lanes: Lanes, now: float = 0.0, places: int = 100) -> list[int]:
    return [message.id for _, message in lanes.next_messages(now, places)]


def test_a_host_gets_its_width_and_no_more() -> None:
    lanes = filled(10)
    assert ids(lanes) == [0, 1, 2, 3]
    assert ids(lanes) == []
    lanes.lane("host0:80").active -= 1
    assert ids(lanes) == [4]


def test_places_are_shared_in_turn() -> None:
    assert ids(filled(10, 10), places=5) == [0, 100, 1, 101, 2]
    assert ids(filled(10, 1), places=5) == [0, 100, 1, 2, 3]


def test_a_silent_host_rests_then_has_one_place_until_it_answers() -> None:
    lanes = filled(10)
    lane = lanes.lane("host0:80")
    lane.silent(now=0.0)
    assert ids(lanes, now=0.9) == []
    assert ids(lanes, now=1.0) == [0]
    assert ids(lanes, now=1.0) == []
    lane.answered(0.1)
    assert ids(lanes, now=1.0) == [1, 2, 3]


def test_rests_grow_to_a_bound() -> None:
    lane = Lanes(4).lane("a:80")
    now, rests = 0.0, []
    for _ in range(8):
        lane.silent(now)
        rests.append(lane.rests_until - now)
        now = lane.rests_until
    assert rests == [1, 2, 4, 8, 16, 30, 30, 30]
    assert rests[-1] == LONGEST_REST


def test_a_rest_ends_when_the_clock_is_set_back() -> None:
    lanes = Lanes(8)
    lane = lanes.lane("a")
    lane.silent(5 * 3600.0)
    assert lane.has_place(0.0)
    assert lane.takes(0.0, crowded=False)
    lane.silent(0.0)
    assert not lane.has_place(1.0)
    lane.held_back = True
    assert lanes.next_rest_end(1.0) == 2.0


def test_attempts_that_fail_together_count_once() -> None:
    lane = Lanes(4).lane("a:80")
    for _ in range(4):
        lane.silent(now=0.5)
    assert lane.failures == 1


def test_a_slow_host_gets_less() -> None:
    lanes = filled(10)
    lanes.lane("host0:80").answered(1.5)
    assert ids(lanes) == [0, 1]


def test_a_quick_host_has_many_in_hand_and_a_bad_one_few() -> None:
    lane = filled(WAITING_MAX - 1).lane("host0:80")
    assert lane.takes(0.0, crowded=False)
    assert not lane.takes(0.0, crowded=True)
    lane.waiting.append(MESSAGE)
    assert not lane.takes(0.0, crowded=False)
    slow = filled(3).lane("host0:80")
    slow.answered(1.5)
    assert slow.takes(0.0, crowded=False)
    slow.waiting.append(MESSAGE)
    assert not slow.takes(0.0, crowded=False)
    silent = filled(0).lane("host0:80")
    silent.silent(0.0)
    assert not silent.takes(0.5, crowded=False)
    assert silent.takes(1.0, crowded=False)
    silent.waiting.append(MESSAGE)
    assert not silent.takes(1.0, crowded=False)


def test_what_is_held_back_is_not_looked_at_and_wanted_again_before_the_lane_is_empty() -> None:
    lanes = filled(WAITING_MAX, 1)
    full, other = lanes.lane("host0:80"), lanes.lane("host1:80")
    full.hold_back(("callback", "a"), 10.0)
    full.hold_back(None, 10.0)
    other.hold_back(("callback", "b"), 10.0)
    lanes.begin_look()
    assert lanes.closed_sources(10.0, crowded=False) == [("callback", "a")]
    assert not full.runs_dry(10.0, crowded=False)
    while len(full.waiting) > WAITING_LOW:
        full.waiting.popleft()
    assert full.runs_dry(10.0, crowded=False)
    assert not full.runs_dry(10.0, crowded=True)
    assert lanes.closed_sources(10.0, crowded=False) == []
    lanes.begin_look()
    assert not full.runs_dry(10.0, crowded=False)


@pytest.mark.parametrize("now", [10.0 + SOURCE_AGE, 9.0])
def test_where_messages_of_a_source_go_is_looked_up_anew(now: float) -> None:
    lanes = filled(WAITING_MAX)
    lanes.lane("host0:80").hold_back(("callback", "a"), 10.0)
    assert lanes.closed_sources(now, crowded=False) == []
    assert lanes.lane("host0:80").held_back


def test_the_end_of_a_rest_is_waited_for() -> None:
    lanes = filled(0, 0)
    assert lanes.next_rest_end(0.0) is None
    lanes.lane("host0:80").silent(0.0)
    lanes.lane("host1:80").silent(0.5)
    lanes.closed_sources(0.5, crowded=False)
    assert lanes.next_rest_end(0.5) == 1.0
    assert lanes.next_rest_end(1.0) == 1.5
    lanes.begin_look()
    lanes.closed_sources(2.0, crowded=False)
    assert lanes.next_rest_end(2.0) is None


def test_lanes_that_do_not_matter_are_forgotten() -> None:
    lanes = filled(0, 1, 0)
    lanes.lane("host2:80").silent(0.0)
    lanes.forget(now=1.0)
    assert len(lanes) == 2
    list(lanes.next_messages(1.0, 10))
    lanes.forget(now=2.0 + FORGET_AFTER)
    assert len(lanes) == 1


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://App.Example.com/hook?a=b", "app.example.com:80"),
        ("HTTPS://app.example.com", "app.example.com:443"),
        ("https://user:pass@[2001:db8::1]:8443/x", "2001:db8::1:8443"),
    ],
)
def test_targets(url: str, target: str) -> None:
    assert target_of(url) == target


@pytest.mark.parametrize("url", ["", "ftp://a/", "http:///path", "gopher://a", "//a/b", "http://a:99999/"])
def test_urls_without_a_target(url: str) -> None:
    with pytest.raises(ValueError):
        target_of(url)
