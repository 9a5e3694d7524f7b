"""Tasks whose push broke and whose merge window is open: what is closed when, until when their stream may
return, and which push goes on with them.

Each format has a window of its own. When one passes, the recorder completes that format's file; when the longest
passes, the task is over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from livereel.domain.clock import Clock, Timer, Timers
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import Task
from livereel.domain.templates import RecordFormat, RecordType, Template
from livereel.recorder.supervisor import RecorderSupervisor


@dataclass(slots=True, eq=False)
class Interrupted:
    """A task in the state INTERRUPTED. `timers` run until its stream is back or it ends.

    `broke_at` is when its push broke, on the monotonic clock. `passed` says that the longest window has passed and the
    task is about to be ended.
    """

    task: Task
    broke_at: float
    timers: list[Timer] = field(default_factory=list)
    passed: bool = False

    def goes_on(self, template: Template | None) -> bool:
        """Whether the task takes a new push of its stream, for which `template` decides."""
        task = self.task
        if task.plan_id is not None:  # what a CONTINUOUS template covers is recorded to its end, plan or not
            return template is None or template.record_type is not RecordType.CONTINUOUS
        if template is None or (template.id, template.record_type) != (task.template.id, task.record_type):
            return False
        # What START asked for holds to its end; what records by itself follows a template that was changed meanwhile.
        return task.record_type is RecordType.COMMAND or _is_unchanged(task.template, template)


class Interruptions:
    """The interrupted tasks of this node. `passed` is called when the longest window of one has passed."""

    def __init__(
        self, recorder: RecorderSupervisor, clock: Clock, timers: Timers, passed: Callable[[Interrupted], None]
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._timers = timers
        self._passed = passed
        self._waiting: dict[StreamKey, Interrupted] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    def get(self, key: StreamKey) -> Interrupted | None:
        """The task that waits for this stream."""
        return self._waiting.get(key)

    def find(self, task_id: str) -> Interrupted | None:
        """The task with this id, if it is one of them."""
        return next((waiting for waiting in self._waiting.values() if waiting.task.id == task_id), None)

    def tasks(self) -> list[Task]:
        """All of them."""
        return [interrupted.task for interrupted in self._waiting.values()]

    def is_over(self, task: Task) -> bool:
        """Whether the longest window of an INTERRUPTED task has passed."""
        return self._clock.now() >= broke_at_wall(task) + task.template.merge_seconds

    def add(self, task: Task, *, timed: bool, broke_at: float | None = None) -> None:
        """Wait for the stream of `task`; without `timed` (the server is stopping) no window passes any more.

        `broke_at`: when its push broke (monotonic). Without, that was in an earlier life of the server, and the wall
        clock has to tell how long ago.
        """
        if broke_at is None:
            broke_at = self._clock.monotonic() - max(0.0, self._clock.now() - broke_at_wall(task))
        interrupted = self._waiting[task.key] = Interrupted(task, broke_at)
        if timed:
            self._set_timers(interrupted)

    def remove(self, interrupted: Interrupted) -> None:
        """It waits no longer; nothing happens if it has been removed."""
        for timer in interrupted.timers:
            timer.cancel()
        self._waiting.pop(interrupted.task.key, None)

    def freeze(self) -> None:
        """Let no window pass any more: the next start goes on with what waits now."""
        for interrupted in self._waiting.values():
            for timer in interrupted.timers:
                timer.cancel()

    def _set_timers(self, interrupted: Interrupted) -> None:
        task = interrupted.task
        assert task.spool_end is not None
        call_later = self._timers.call_later
        gone = self._clock.monotonic() - interrupted.broke_at
        windows: dict[int, list[RecordFormat]] = {}
        for record_format, config in task.template.formats.items():
            windows.setdefault(config.merge_seconds, []).append(record_format)
        longest = max(windows)
        interrupted.timers.append(call_later(max(0.0, longest - gone), self._passed, interrupted))
        del windows[longest]
        for window, formats in windows.items():
            delay = max(0.0, window - gone)
            timer = call_later(delay, self._recorder.interrupt, task.id, task.spool_end, formats)
            interrupted.timers.append(timer)


def broke_at_wall(task: Task) -> float:
    """When the push of an INTERRUPTED task broke (Unix seconds)."""
    assert task.ended_at is not None
    return task.ended_at


def _is_unchanged(before: Template, now: Template) -> bool:
    """Whether a template still says what a recording was begun with; the tenant's service may have left formats out."""
    kept = now.formats
    if before.record_type is RecordType.ON_DEMAND:
        kept = {name: config for name, config in now.formats.items() if name in before.formats}
    return (kept, now.address) == (before.formats, before.address)
