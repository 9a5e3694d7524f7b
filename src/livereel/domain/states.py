"""State tables of recording tasks and record files. A pair that is not in a table is an error, by design.

Nothing else in the code decides what may follow what; `tests/unit/domain/test_states.py` walks every pair.
"""

from enum import StrEnum


class IllegalTransition(Exception):
    """An event that the state table does not allow; always a bug of the caller."""


class TaskState(StrEnum):
    """Where a recording task stands."""

    ARMED = "armed"  #: START was accepted before the stream came (our extension)
    STARTING = "starting"  #: accepted; the first key frame is not in the spool yet
    RECORDING = "recording"  #: tags go to the spool
    INTERRUPTED = "interrupted"  #: the push broke; the merge window is open
    FINISHING = "finishing"  #: the spool is complete; files are being finished and stored
    COMPLETED = "completed"  #: all files and recording.json are stored
    FAILED = "failed"  #: ended without a complete result; `error` says why
    DELETING = "deleting"  #: was over; somebody deleted it, and its objects are on their way out of the store
    DELETED = "deleted"  #: nothing of it is in the store any more


class TaskEvent(StrEnum):
    """What happens to a task."""

    BEGIN = "begin"  #: the stream of an armed task is there
    WAIT = "wait"  #: the stream of an armed task went before its first key frame
    SPOOLED = "spooled"  #: the first key frame is on disk
    INTERRUPT = "interrupt"  #: the push ended inside the merge window
    RESUME = "resume"  #: the stream is back inside the merge window
    END = "end"  #: STOP, end of push, end of merge window, or recovery: no more tags will come
    STORED = "stored"  #: every file and recording.json are in the store
    FAIL = "fail"  #: nothing more can be done
    DELETE = "delete"  #: somebody deletes the recording
    GONE = "gone"  #: the last of its objects has left the store


class FileState(StrEnum):
    """Where a record file stands."""

    WRITING = "writing"  #: a worker is muxing it
    STORING = "storing"  #: closed; on its way to the store
    STORED = "stored"  #: the store has confirmed it
    FAILED = "failed"  #: could not be made or stored; `error` says why
    DELETING = "deleting"  #: not listed any more; its objects are on their way out of the store
    DELETED = "deleted"  #: nothing of it is in the store any more


class FileEvent(StrEnum):
    """What happens to a record file."""

    CLOSE = "close"  #: the muxer finished it
    STORE = "store"  #: the store confirmed it
    FAIL = "fail"
    DELETE = "delete"  #: retention or a person wants it gone
    GONE = "gone"  #: the store has nothing of it any more


TASK_TABLE: dict[TaskState, dict[TaskEvent, TaskState]] = {
    TaskState.ARMED: {
        TaskEvent.BEGIN: TaskState.STARTING,
        TaskEvent.END: TaskState.COMPLETED,
        TaskEvent.FAIL: TaskState.FAILED,
    },
    TaskState.STARTING: {
        TaskEvent.WAIT: TaskState.ARMED,
        TaskEvent.SPOOLED: TaskState.RECORDING,
        TaskEvent.END: TaskState.FINISHING,
        TaskEvent.FAIL: TaskState.FAILED,
    },
    TaskState.RECORDING: {
        TaskEvent.INTERRUPT: TaskState.INTERRUPTED,
        TaskEvent.END: TaskState.FINISHING,
        TaskEvent.FAIL: TaskState.FAILED,
    },
    TaskState.INTERRUPTED: {
        TaskEvent.RESUME: TaskState.RECORDING,
        TaskEvent.END: TaskState.FINISHING,
        TaskEvent.FAIL: TaskState.FAILED,
    },
    TaskState.FINISHING: {TaskEvent.STORED: TaskState.COMPLETED, TaskEvent.FAIL: TaskState.FAILED},
    TaskState.COMPLETED: {TaskEvent.DELETE: TaskState.DELETING, TaskEvent.GONE: TaskState.DELETED},
    TaskState.FAILED: {TaskEvent.DELETE: TaskState.DELETING, TaskEvent.GONE: TaskState.DELETED},
    TaskState.DELETING: {TaskEvent.GONE: TaskState.DELETED},
    TaskState.DELETED: {},
}

FILE_TABLE: dict[FileState, dict[FileEvent, FileState]] = {
    FileState.WRITING: {FileEvent.CLOSE: FileState.STORING, FileEvent.FAIL: FileState.FAILED},
    FileState.STORING: {FileEvent.STORE: FileState.STORED, FileEvent.FAIL: FileState.FAILED},
    FileState.STORED: {FileEvent.DELETE: FileState.DELETING},
    FileState.FAILED: {FileEvent.DELETE: FileState.DELETING},
    FileState.DELETING: {FileEvent.GONE: FileState.DELETED},
    FileState.DELETED: {},
}

#: States in which a task holds its stream: START is refused, STOP works.
ACTIVE_TASK_STATES = frozenset({TaskState.ARMED, TaskState.STARTING, TaskState.RECORDING, TaskState.INTERRUPTED})
#: States from which a task still has work to do; recovery looks for these at start-up.
OPEN_TASK_STATES = ACTIVE_TASK_STATES | {TaskState.FINISHING}
#: States in which all work is done and what was recorded is there: it may be deleted.
OVER_TASK_STATES = frozenset({TaskState.COMPLETED, TaskState.FAILED})


def next_task_state(state: TaskState, event: TaskEvent) -> TaskState:
    """The state after `event`; raises IllegalTransition."""
    try:
        return TASK_TABLE[state][event]
    except KeyError:
        raise IllegalTransition(f"a {state} task does not take the event {event}") from None


def next_file_state(state: FileState, event: FileEvent) -> FileState:
    """The state after `event`; raises IllegalTransition."""
    try:
        return FILE_TABLE[state][event]
    except KeyError:
        raise IllegalTransition(f"a {state} record file does not take the event {event}") from None
