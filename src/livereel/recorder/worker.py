"""The worker process: one thread that tails the spools of its tasks and muxes them. Started by the supervisor.

Commands come in on stdin, events go out on stdout, one JSON object per line; the log goes to stderr. The process ends
when stdin is closed.
"""

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.observe.logging import configure_worker
from livereel.observe.processes import die_with_parent
from livereel.recorder.busy import BusyNote
from livereel.recorder.events import OutOfRoom, TaskFailed, TaskSpec, to_json
from livereel.recorder.muxing.port import NoRoom
from livereel.recorder.task import TaskRecorder

log = structlog.get_logger()

#: Seconds between looks at a growing spool. Every look costs a few system calls, and muxing in larger pieces is
#: cheaper; nobody waits for it, since STOP has the spool read at once.
POLL_SECONDS: Final = 0.5
#: Recording may read late, receiving may not: workers give way to ingest when the CPU is short.
_NICE: Final = 5


class Worker:
    """The loop of a worker. `monotonic` is a clock in seconds."""

    def __init__(self, commands: int, events: int, note: BusyNote, monotonic: Callable[[], float]) -> None:
        self._commands = commands
        self._events = events
        self._note = note
        self._monotonic = monotonic
        self._tasks: dict[str, TaskRecorder] = {}
        self._due: dict[str, float] = {}
        self._rest = b""

    def run(self) -> None:
        """Work until the command pipe is closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._commands, selectors.EVENT_READ)
            while True:
                if selector.select(self._pause()):
                    data = os.read(self._commands, 1024 * 1024)
                    if not data:
                        return
                    self._take_commands(data)
                self._work()
                self._report()

    def _pause(self) -> float:
        """Seconds until the next task is due."""
        now = self._monotonic()
        return max(0.0, min(self._due.values(), default=now + 3600.0) - now)

    def _work(self) -> None:
        now = self._monotonic()
        for task_id, due in list(self._due.items()):
            if due > now:
                continue
            task = self._tasks[task_id]
            self._note.set(task_id, task.position)
            with structlog.contextvars.bound_contextvars(**task.about):
                more = self._step(task_id, task, now)
            if task.done:
                del self._due[task_id]
            else:
                # Common ticks: one wake-up serves all tasks.
                self._due[task_id] = now if more else (now // POLL_SECONDS + 1) * POLL_SECONDS
        self._note.clear()

    def _step(self, task_id: str, task: TaskRecorder, now: float) -> bool:
        try:
            return task.step(now)
        except NoRoom as error:
            self._give_back(task_id, str(error))
        except Exception as error:
            log.exception("task_failed", task=task_id)
            task.fail(f"{type(error).__name__}: {error}")
        return False

    def _give_back(self, task_id: str, error: str) -> None:
        """The disk is full: let others have the room until this task is handed over again."""
        log.warning("out_of_room", task=task_id, error=error)
        task = self._tasks.pop(task_id)
        lines = [to_json(event) for event in task.events()]
        task.discard()
        self._send([*lines, to_json(OutOfRoom(task_id, error))])

    def _report(self) -> None:
        lines = []
        for task_id, task in list(self._tasks.items()):
            lines += [to_json(event) for event in task.events()]
            if task.over:
                del self._tasks[task_id]
        if lines:
            self._send(lines)

    def _take_commands(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, command: dict[str, Any]) -> None:
        now = self._monotonic()
        match command["command"]:
            case "record":
                self._record(command["spec"], now)
            case "finish":
                if (known := self._tasks.get(command["task_id"])) is not None and not known.done:
                    known.finish_at(SpoolPosition(*command["end"]), now)
                    self._due[command["task_id"]] = now
            case "interrupt":
                if (known := self._tasks.get(command["task_id"])) is not None and not known.done:
                    formats = frozenset(RecordFormat(name) for name in command["formats"])
                    known.interrupt_at(SpoolPosition(*command["at"]), formats)
                    self._due[command["task_id"]] = now
            case "forget":
                self._due.pop(command["task_id"], None)
                if (known := self._tasks.pop(command["task_id"], None)) is not None:
                    known.abort()
            case other:
                log.warning("unknown_command", command=other)

    def _record(self, spec: dict[str, Any], now: float) -> None:
        task_id = spec["task_id"]
        if task_id in self._tasks:  # handed over again before the worker had let it go
            return
        try:
            self._tasks[task_id] = TaskRecorder(TaskSpec.from_json(spec), now)
        except Exception as error:  # a spec that cannot be used must not cost the other tasks their worker
            log.exception("task_not_begun", task=task_id, **spec.get("about", {}))
            self._send([to_json(TaskFailed(task_id, f"cannot be begun: {type(error).__name__}: {error}"))])
        else:
            self._due[task_id] = now

    def _send(self, lines: list[str]) -> None:
        data = memoryview("".join(line + "\n" for line in lines).encode())
        while data:
            data = data[os.write(self._events, data) :]


def main() -> None:
    """Entry point: `python -m livereel.recorder.worker <busy note>`."""
    die_with_parent()
    # Ctrl-C and service managers signal the whole process group; when to end is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    configure_worker(sys.argv)
    worker = Worker(sys.stdin.fileno(), sys.stdout.fileno(), BusyNote(Path(sys.argv[1])), time.monotonic)
    with contextlib.suppress(BrokenPipeError):  # the server is dead, and there is nobody left to report to
        worker.run()
    os._exit(0)  # files under way stay as they are: closing them would only delay the end


if __name__ == "__main__":
    main()
