"""Pull tasks (`pull/stream/task`): create, change, list, delete. Running them is `control.pull_runner`'s part."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from livereel.callbacks.guard import TargetGuard, TargetRefused
from livereel.callbacks.pulls import pull_callback
from livereel.catalogue.port import Catalogue, Page, UnitOfWork
from livereel.control.domains import known_domain
from livereel.control.pull_runner import ExitReason, PullRunner
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, ResourceNotFound
from livereel.domain.keys import is_address
from livereel.domain.streams import (
    OPEN_PULL_STATES,
    PULL_MAX_SPAN,
    PullEvent,
    PullSource,
    PullState,
    PullTask,
    RefreshType,
)
from livereel.domain.tenancy import DomainType
from livereel.pulls.events import Position


@dataclass(frozen=True, slots=True)
class NewPullTask:
    """What a client says about a task it creates. Times are Unix seconds; None is now, or as long as possible."""

    source_type: PullSource
    source_urls: tuple[str, ...]
    region: str = ""
    domain: str = ""
    app: str = ""
    stream: str = ""
    destination_url: str = ""
    push_args: str = ""
    start_at: float | None = None
    end_at: float | None = None
    callback_url: str = ""
    callback_events: tuple[PullEvent, ...] = tuple(PullEvent)
    loop_time: int = -1
    refresh_type: RefreshType = RefreshType.IMMEDIATE
    start_index: int = 0
    start_time: float = 0.0
    backup_source_type: PullSource | None = None
    backup_source_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PullChange:
    """What a client changes; None stays as it is. `enabled` False pauses the task."""

    enabled: bool | None = None
    source_urls: tuple[str, ...] | None = None
    loop_time: int | None = None
    refresh_type: RefreshType | None = None
    start_index: int | None = None
    start_time: float | None = None
    start_at: float | None = None
    end_at: float | None = None
    callback_events: tuple[PullEvent, ...] | None = None


class PullService:
    """Tasks of all projects together are bounded: each open one may be a process."""

    def __init__(
        self,
        catalogue: Catalogue,
        runner: PullRunner,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        guard: TargetGuard,
        max_tasks: int,
    ) -> None:
        self._guard = guard
        self._catalogue = catalogue
        self._runner = runner
        self._clock = clock
        self._new_id = new_id
        self._max_tasks = max_tasks

    async def create(self, project_id: str, new: NewPullTask) -> PullTask:
        """Create a task; it begins at its start time. Raises InvalidParameter (UnknownDomain among them)."""
        now = self._clock.now()
        start_at = now if new.start_at is None else new.start_at
        task = PullTask(
            id=self._new_id(),
            project_id=project_id,
            source_type=new.source_type,
            source_urls=new.source_urls,
            region=new.region,
            domain=new.domain,
            app=new.app,
            stream=new.stream,
            start_at=start_at,
            end_at=start_at + PULL_MAX_SPAN if new.end_at is None else new.end_at,
            created_at=now,
            destination_url=new.destination_url,
            push_args=new.push_args.lstrip("?&"),
            callback_url=new.callback_url,
            callback_events=new.callback_events,
            loop_time=new.loop_time,
            refresh_type=new.refresh_type,
            start_index=new.start_index,
            start_time=new.start_time,
            backup_source_type=new.backup_source_type,
            backup_source_urls=new.backup_source_urls,
        )
        self._check(task)
        async with self._catalogue.write() as uow:
            if not task.destination_url:
                domain = await known_domain(uow, project_id, task.domain)
                if domain.type is not DomainType.PUSH:
                    raise InvalidParameter(f"{task.domain} is a streaming domain; pull tasks push to an ingest domain")
            self._check_room(len(await uow.pull_tasks.open()))
            await uow.pull_tasks.add(task)
        self._runner.wake()
        return task

    async def modify(self, project_id: str, task_id: str, change: PullChange) -> None:
        """Change a loop of files, pause it or let it go on; also one that ended, if its end time is to come.

        Where it goes on is what its refresh type says. Raises ResourceNotFound and InvalidParameter.
        """
        async with self._catalogue.read() as uow:
            known = _found(await uow.pull_tasks.get(project_id, task_id), task_id)
        # What is refused must not interrupt the push, so it is looked at before the task is held.
        self._changed(known, change)
        async with self._runner.held(task_id):
            async with self._catalogue.write() as uow:
                before = _found(await uow.pull_tasks.get(project_id, task_id), task_id)
                after = self._changed(before, change)
                if before.state not in OPEN_PULL_STATES and after.state in OPEN_PULL_STATES:
                    self._check_room(len(await uow.pull_tasks.open()))
                await uow.pull_tasks.update(after)
                if _config(after) != _config(before):
                    await self._tell(uow, after, PullEvent.RESET_TASK_CONFIG)
                if before.state is PullState.RUNNING and after.state is PullState.PAUSED:
                    await self._tell(uow, after, PullEvent.TASK_EXIT, reason=ExitReason.PAUSED.value)
            await self._runner.reposition(task_id, _position(before, after, self._runner.position(task_id)))
        self._runner.wake()

    async def list(
        self, project_id: str, *, region: str | None, task_id: str | None, offset: int, limit: int
    ) -> Page[PullTask]:
        """A page of tasks, oldest first."""
        async with self._catalogue.read() as uow:
            return await uow.pull_tasks.list(project_id, region=region, task_id=task_id, offset=offset, limit=limit)

    async def delete(self, project_id: str, task_id: str) -> None:
        """End a task and forget it. Raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            _found(await uow.pull_tasks.get(project_id, task_id), task_id)
        async with self._runner.held(task_id):
            async with self._catalogue.write() as uow:
                task = _found(await uow.pull_tasks.get(project_id, task_id), task_id)
                await uow.pull_tasks.delete(project_id, task_id)
                if task.state is PullState.RUNNING:
                    await self._tell(uow, task, PullEvent.TASK_EXIT, reason=ExitReason.DELETED.value)
            await self._runner.reposition(task_id, None)
        self._runner.wake()

    async def _tell(self, uow: UnitOfWork, task: PullTask, event: PullEvent, **about: str) -> None:
        if task.callback_url and event in task.callback_events:
            await uow.outbox.add(pull_callback(task, event, self._clock.now(), **about))

    def _changed(self, before: PullTask, change: PullChange) -> PullTask:
        """The task with the change in it. Raises InvalidParameter."""
        if before.source_type is not PullSource.VOD:
            raise InvalidParameter(f"only tasks of {PullSource.VOD} can be modified")
        after = replace(
            before,
            source_urls=before.source_urls if change.source_urls is None else change.source_urls,
            loop_time=before.loop_time if change.loop_time is None else change.loop_time,
            refresh_type=before.refresh_type if change.refresh_type is None else change.refresh_type,
            start_index=before.start_index if change.start_index is None else change.start_index,
            start_time=before.start_time if change.start_time is None else change.start_time,
            start_at=before.start_at if change.start_at is None else change.start_at,
            end_at=before.end_at if change.end_at is None else change.end_at,
            callback_events=before.callback_events if change.callback_events is None else change.callback_events,
        )
        if change.enabled is False:
            if before.state not in OPEN_PULL_STATES:
                raise InvalidParameter(f"the task is {before.state.value} already")
            after = replace(after, state=PullState.PAUSED)
        elif change.enabled is True or before.state is PullState.RUNNING:
            # PENDING: the runner starts it when its time has come, which may be now.
            after = replace(after, state=PullState.PENDING, error=None)
        self._check(after)
        return after

    def _check(self, task: PullTask) -> None:
        """What depends on the time and on the operator's settings. Raises InvalidParameter."""
        if task.end_at <= self._clock.now() and task.state in OPEN_PULL_STATES:
            raise InvalidParameter("end_time must be in the future")
        if task.loop_time == 0:
            raise InvalidParameter("vod_loop_time must be -1 (endless) or at least 1")
        for url in (*task.source_urls, *task.backup_source_urls, *filter(None, [task.destination_url])):
            self._check_host(url)

    def _check_host(self, url: str) -> None:
        """Addresses are refused at once; names when they are resolved, each time the task connects."""
        host = urlsplit(url).hostname or ""
        if not is_address(host):
            return
        try:
            self._guard.check("127.0.0.1" if host == "localhost" else host)
        except TargetRefused as error:
            raise InvalidParameter(str(error)) from None

    def _check_room(self, taken: int) -> None:
        if taken >= self._max_tasks:
            raise InvalidParameter(
                f"there are {taken} pull tasks already, as many as this server takes (setting pulls.max_tasks)"
            )


def _config(task: PullTask) -> PullTask:
    return replace(task, state=PullState.PENDING, error=None)


def _position(before: PullTask, after: PullTask, reached: Position | None) -> Position:
    """Where a changed task goes on (spec huawei-live-streams-domains.md section 6, `vod_refresh_type`)."""
    beginning = Position(after.start_index, after.start_time)
    if reached is None or after.refresh_type is RefreshType.IMMEDIATE or reached.index >= len(before.source_urls):
        return beginning
    playing = before.source_urls[reached.index]
    if playing not in after.source_urls:
        return beginning
    index = after.source_urls.index(playing)
    if reached.index < len(after.source_urls) and after.source_urls[reached.index] == playing:
        index = reached.index  # a file may be in the list more than once
    seconds = reached.seconds if after.refresh_type is RefreshType.FROM_BREAK_POINT else 0.0
    return Position(index, seconds, reached.loops)


def _found(task: PullTask | None, task_id: str) -> PullTask:
    if task is None:
        raise ResourceNotFound(f"there is no pull task {task_id[:64]!r} in this project")
    return task
