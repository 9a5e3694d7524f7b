"""When messages are tried again and given up."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from livereel.callbacks import schedule
from livereel.domain.messages import MessageState, OutboxMessage

DAY = 86_400.0
MESSAGE = OutboxMessage(
    id=1,
    channel="c",
    kind="notification",
    event="PUBLISH",
    project_id="p",
    domain="d",
    url="http://x/",
    body={},
    state=MessageState.PENDING,
    attempts=0,
    created_at=1000.0,
    due_at=1000.0,
)


def test_pauses_double_up_to_the_longest() -> None:
    assert [schedule.pause(n, 0.0) for n in (1, 2, 3, 4, 10, 11, 500)] == [1, 2, 4, 8, 512, 900, 900]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_chance_takes_at_most_half(attempts: int, chance: float) -> None:
    assert schedule.pause(attempts, 0.0) / 2 <= schedule.pause(attempts, chance) <= schedule.pause(attempts, 0.0)


@given(st.integers())
def test_a_message_is_tried_for_a_whole_day_and_then_given_up(seed: int) -> None:
    message, now, chance = MESSAGE, MESSAGE.created_at, Random(seed).random
    for _ in range(500):
        now = message.due_at
        message = schedule.failed(message, "down", now=now, horizon=DAY, chance=chance())
        if message.state is MessageState.DEAD:
            break
        assert now < message.due_at <= MESSAGE.created_at + DAY
    assert message.state is MessageState.DEAD
    assert now == MESSAGE.created_at + DAY
    assert message.attempts > 90
    assert message.last_error == "down"


def test_the_receiver_may_ask_for_a_longer_pause_only() -> None:
    def due(retry_after: float) -> float:
        after = schedule.failed(MESSAGE, "busy", now=1000.0, horizon=DAY, chance=0.0, retry_after=retry_after)
        return after.due_at - 1000.0

    assert [due(0), due(0.5), due(120), due(1e9)] == [1, 1, 120, 900]


def test_success_clears_the_error() -> None:
    after = schedule.delivered(replace(MESSAGE, attempts=3, last_error="down"))
    assert (after.state, after.attempts, after.last_error) == (MessageState.DELIVERED, 4, None)


def test_errors_are_cut() -> None:
    assert len(schedule.dead(MESSAGE, "x" * 10_000).last_error or "") == schedule.ERROR_MAX_LENGTH
