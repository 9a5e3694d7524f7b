"""Every pair of state and event of both tables, against what the design says, written down once more by hand."""

import itertools

import pytest

from livereel.domain import states
from livereel.domain.states import (
    FileEvent,
    FileState,
    IllegalTransition,
    TaskEvent,
    TaskState,
    next_file_state,
    next_task_state,
)

# One line per state, one column per event; "-" is refused.
#               begin      wait   spooled    interrupt    resume     end        stored     fail    delete    gone
TASKS = """
armed           starting   -      -          -            -          completed  -          failed  -         -
starting        -          armed  recording  -            -          finishing  -          failed  -         -
recording       -          -      -          interrupted  -          finishing  -          failed  -         -
interrupted     -          -      -          -            recording  finishing  -          failed  -         -
finishing       -          -      -          -            -          -          completed  failed  -         -
completed       -          -      -          -            -          -          -          -       deleting  deleted
failed          -          -      -          -            -          -          -          -       deleting  deleted
deleting        -          -      -          -            -          -          -          -       -         deleted
deleted         -          -      -          -            -          -          -          -       -         -
"""
TASK_EVENTS = ["begin", "wait", "spooled", "interrupt", "resume", "end", "stored", "fail", "delete", "gone"]

#               close    store   fail    delete    gone
FILES = """
writing         storing  -       failed  -         -
storing         -        stored  failed  -         -
stored          -        -       -       deleting  -
failed          -        -       -       deleting  -
deleting        -        -       -       -         deleted
deleted         -        -       -       -         -
"""
FILE_EVENTS = ["close", "store", "fail", "delete", "gone"]


def pairs(table: str, events: list[str]) -> list[tuple[str, str, str]]:
    rows = [line.split() for line in table.strip().splitlines()]
    return [(row[0], event, after) for row in rows for event, after in zip(events, row[1:], strict=True)]


@pytest.mark.parametrize(("state", "event", "after"), pairs(TASKS, TASK_EVENTS))
def test_task(state: str, event: str, after: str) -> None:
    if after == "-":
        with pytest.raises(IllegalTransition, match=f"a {state} task does not take the event {event}"):
            next_task_state(TaskState(state), TaskEvent(event))
    else:
        assert next_task_state(TaskState(state), TaskEvent(event)) is TaskState(after)


@pytest.mark.parametrize(("state", "event", "after"), pairs(FILES, FILE_EVENTS))
def test_file(state: str, event: str, after: str) -> None:
    if after == "-":
        with pytest.raises(IllegalTransition, match=f"a {state} record file does not take the event {event}"):
            next_file_state(FileState(state), FileEvent(event))
    else:
        assert next_file_state(FileState(state), FileEvent(event)) is FileState(after)


def test_the_expectation_covers_every_pair() -> None:
    assert {(s, e) for s, e, _ in pairs(TASKS, TASK_EVENTS)} == set(itertools.product(TaskState, TaskEvent))
    assert {(s, e) for s, e, _ in pairs(FILES, FILE_EVENTS)} == set(itertools.product(FileState, FileEvent))


def test_an_active_task_can_be_stopped_and_no_other() -> None:
    for state in TaskState:
        assert (TaskEvent.END in states.TASK_TABLE[state]) is (state in states.ACTIVE_TASK_STATES)


def test_an_open_task_can_still_fail_and_only_one_that_is_over_can_be_deleted() -> None:
    for state in TaskState:
        assert (TaskEvent.FAIL in states.TASK_TABLE[state]) is (state in states.OPEN_TASK_STATES)
        assert (TaskEvent.DELETE in states.TASK_TABLE[state]) is (state in states.OVER_TASK_STATES)
    assert not states.OPEN_TASK_STATES & states.OVER_TASK_STATES


def test_every_state_can_be_reached_and_every_open_task_can_be_completed() -> None:
    for table, start in ((states.TASK_TABLE, TaskState.STARTING), (states.FILE_TABLE, FileState.WRITING)):
        assert reached(table, start) == set(table)
    for state in states.OPEN_TASK_STATES:
        assert TaskState.COMPLETED in reached(states.TASK_TABLE, state)


def reached(table: dict, start: object) -> set:
    found, new = set(), {start}
    while new:
        found |= new
        new = {after for state in new for after in table[state].values()} - found
    return found
