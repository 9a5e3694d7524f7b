"""Keeps pull tasks going: one worker process per task, started again with growing pauses when it fails.

Never imports libav. A life that fails for its source is followed by one with the backup source, if there is one; that
one goes on until it fails too.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from livereel.domain.clock import Clock
from livereel.observe import children, metrics
from livereel.pulls.events import (
    Alarm,
    Failed,
    Finished,
    Position,
    Progress,
    PullEventMessage,
    PullSpec,
    Started,
    from_json,
)

log = structlog.get_logger()

RESTART_DELAY_FIRST, RESTART_DELAY_LONGEST = 1.0, 30.0  # seconds; doubles with each life that fails
HEALTHY_AFTER = 30.0  # seconds; a life this long has its predecessors forgotten
STOP_GRACE = 4.0  # seconds a worker has to end its push
MAX_EVENT_BYTES = 64 * 1024  # an event holds a URL and a message at most


class NoDestination(Exception):
    """The task may not push to where it was to push to any more."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to push now. `tc_url` is what the server is told it was reached by."""

    url: str
    tc_url: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What to pull: one live source, or files one after the other."""

    live: bool
    urls: tuple[str, ...]


@dataclass(slots=True)
class PullPlan:
    """What a task wants. `destination` is asked before each life, since its signature may expire, and may raise
    NoDestination."""

    task_id: str
    source: Source
    backup: Source | None
    destination: Callable[[], Awaitable[Destination]]
    loop_time: int
    position: Position = field(default_factory=Position)


EventHandler = Callable[[str, PullEventMessage], Awaitable[None]]


class PullSupervisor:
    """`run` a task, `stop` it. `on_event` is awaited for one event of a task at a time, in order.

    Told are Started once per run, Alarm at the first failure of a row and when sources are changed, and Finished or a
    fatal Failed at the end; the task is not run any more then.
    """

    def __init__(self, on_event: EventHandler, clock: Clock, *, allow_private: tuple[str, ...] = ()) -> None:
        self._on_event = on_event
        self._clock = clock
        self._allow_private = allow_private
        self._runs: dict[str, _Run] = {}

    def run(self, plan: PullPlan) -> None:
        """Begin to work on a task."""
        if plan.task_id in self._runs:
            raise ValueError(f"pull task {plan.task_id} is being run already")
        run = self._runs[plan.task_id] = _Run(plan, self._on_event, self._clock, self._allow_private)
        run.task = asyncio.create_task(self._keep(run), name=f"pull {plan.task_id}")
        metrics.pull_tasks.set(len(self._runs))

    async def stop(self, task_id: str) -> None:
        """End a task's push in order and its process; no event of it follows. Not to be called from `on_event`."""
        run = self._runs.pop(task_id, None)
        metrics.pull_tasks.set(len(self._runs))
        if run is not None and run.task is not None:
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)

    async def stop_all(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self.stop(task_id) for task_id in list(self._runs)))

    def running(self) -> frozenset[str]:
        """The tasks that are worked on."""
        return frozenset(self._runs)

    def position(self, task_id: str) -> Position | None:
        """Where a task's files stand."""
        run = self._runs.get(task_id)
        return None if run is None else run.position

    def process(self, task_id: str) -> int | None:
        """Process id of a task's worker, if one runs now."""
        run = self._runs.get(task_id)
        return None if run is None or run.process is None else run.process.pid

    async def _keep(self, run: "_Run") -> None:
        try:
            await run.live()
        except Exception:
            log.exception("pull_task_broken", task=run.plan.task_id)
        finally:
            if self._runs.get(run.plan.task_id) is run:
                del self._runs[run.plan.task_id]
                metrics.pull_tasks.set(len(self._runs))


class _Run:
    """All lives of a task, until it ends by itself or is cancelled."""

    def __init__(self, plan: PullPlan, on_event: EventHandler, clock: Clock, allow_private: tuple[str, ...]) -> None:
        self.plan = plan
        self.position = plan.position
        self.task: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None
        self._on_event = on_event
        self._clock = clock
        self._allow_private = allow_private
        self._started = False
        self._on_backup = False

    async def live(self) -> None:
        """One life after the other."""
        delay, failures = RESTART_DELAY_FIRST, 0
        while True:
            born = self._clock.monotonic()
            ending = await self._one_life()
            if not isinstance(ending, Failed):
                if self._on_backup:  # the backup has been played; the task's own source is what it is about
                    ending = Failed("the backup source ended", "source")
                else:
                    await self._tell(ending)
                    return
            metrics.pull_failures.inc()
            log.warning("pull_failed", task=self.plan.task_id, reason=ending.error, backup=self._on_backup)
            if ending.fatal and not (self.plan.backup is not None and ending.fault == "source"):
                await self._tell(ending)
                return
            if self._clock.monotonic() - born > HEALTHY_AFTER:
                delay, failures = RESTART_DELAY_FIRST, 0
            failures += 1
            changes = self.plan.backup is not None and ending.fault == "source"
            if changes:
                self._on_backup = not self._on_backup
            if failures == 1:
                then = f"; going on with the {'backup' if self._on_backup else 'main'} source" if changes else ""
                await self._tell(Alarm(f"{ending.error}{then}"))
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_DELAY_LONGEST)

    async def _one_life(self) -> PullEventMessage:
        """The event that a life ended with."""
        plan = self.plan
        source = plan.backup if self._on_backup and plan.backup is not None else plan.source
        try:
            destination = await plan.destination()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "livereel.pulls.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_EVENT_BYTES,
            )
        except NoDestination as error:
            return Failed(str(error), "destination", fatal=True)
        except OSError as error:
            return Failed(f"the worker process cannot be started: {error}", "destination")
        spec = PullSpec(
            task_id=plan.task_id,
            live=source.live,
            urls=source.urls,
            destination=destination.url,
            tc_url=destination.tc_url,
            trusted=destination.trusted,
            loop_time=1 if self._on_backup and not source.live else plan.loop_time,
            position=Position() if self._on_backup else self.position,
            allow_private=self._allow_private,
        )
        self.process = process
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(spec.to_json().encode() + b"\n")
            ending: PullEventMessage | None = None
            while line := await process.stdout.readline():
                event = from_json(line)
                if isinstance(event, (Finished, Failed)):
                    ending = event
                else:
                    await self._take(event)
            code = await process.wait()
        except (ValueError, KeyError, TypeError) as error:
            ending, code = Failed(f"the worker process cannot be understood: {error}", "source"), 0
        finally:
            await children.dismiss([process], STOP_GRACE)
            self.process = None
        return ending or Failed(f"the worker process died (exit code {code})", "source")

    async def _take(self, event: PullEventMessage) -> None:
        if isinstance(event, Progress):
            if self._on_backup:
                return
            self.position = event.position
        elif isinstance(event, Started):
            if self._started:
                return
            self._started = True
        await self._tell(event)

    async def _tell(self, event: PullEventMessage) -> None:
        try:
            await self._on_event(self.plan.task_id, event)
        except Exception:
            log.exception("pull_event_not_handled", task=self.plan.task_id, kind=type(event).__name__)
