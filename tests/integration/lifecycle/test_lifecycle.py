"""Publish, media, breaks, returns, START, STOP, armed START, cycles, stops and crashes of the node, in any order.

Whatever the order: requests get answers that are documented, a stream has one task at most, every file has one final
message, and the joined files of a task hold exactly what was received between its begin and its end.
"""

import asyncio
import itertools
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from livereel.catalogue.engine import open_catalogue
from livereel.cluster.port import StartOptions
from livereel.control import owner
from livereel.control.callbacks import CallbackService, NewCallbackConfig
from livereel.control.domains import DomainService, NewDomain
from livereel.control.templates import NewTemplate, TemplateService
from livereel.domain.errors import (
    LivereelError,
    NoCommandTemplate,
    NoKeyFrame,
    NothingRecording,
    StreamNotLive,
    TaskExists,
)
from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.domain.messages import CallbackEvent, SignType
from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP, RecordFile, Task
from livereel.domain.states import ACTIVE_TASK_STATES, FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType
from livereel.domain.tenancy import DomainType, Project
from livereel.flv.codecs import is_sequence_header
from livereel.flv.tags import TagReader
from livereel.spool import pool
from livereel.storage.buckets import LocalStores
from livereel.streams.ring import RING_MAX_SECONDS
from livereel.streams.stream import Stream
from livereel.testing.clock import FakeClock
from tests.integration.lifecycle.node import PROJECT, SETTLE_TIMEOUT, Node
from tests.integration.lifecycle.parts import Dead

DOMAIN = "push.example.com"
COMMANDED, CONTINUOUS = StreamKey(DOMAIN, "live", "commanded"), StreamKey(DOMAIN, "live", "continuous")
KEYS = (COMMANDED, CONTINUOUS)
WINDOWS = (0, 30)  # seconds
CYCLE = 60  # seconds
ARMED_LIMIT = 3600.0
EXAMPLES, STEPS = 100, 40
STEP, STEPS_PER_GROUP = 2, 5  # seconds between frames; frames from key frame to key frame
HEADERS = [
    Tag(TAG_VIDEO, 0, bytes.fromhex("17000000000142c01effe100096742c01eda01404a01000468ce3c80")),
    Tag(TAG_AUDIO, 0, bytes.fromhex("af001210")),
]
START_REFUSALS = (TaskExists, StreamNotLive, NoKeyFrame)

WITHIN = ("publish", "media", "drop", "start", "armed", "stop", "pass", "record")  # where a crash may come

keys = st.sampled_from(KEYS)
commanded = st.sampled_from((COMMANDED, COMMANDED, COMMANDED, CONTINUOUS))
steps = st.integers(1, 45)


class Frame(NamedTuple):
    """A frame as it was sent and is to be found in a file."""

    kind: int
    payload: bytes
    is_key: bool = False


@dataclass
class Push:
    """A push, all it has sent, and what of it would be recorded if a recording began now."""

    key: StreamKey
    stream: Stream
    began_at: float
    sent: list[Frame] = field(default_factory=list)
    steps: int = 0
    task: str | None = None
    #: Where the last key frame is, while it is kept for a recording that may begin.
    kept_from: int | None = None
    kept_at: float = 0.0
    #: Where the recording that is being begun looks for its first key frame.
    attached_at: int = 0

    def first_key(self, since: int) -> int | None:
        return next((index for index, frame in enumerate(self.sent[since:], since) if frame.is_key), None)


class Lifecycle(RuleBasedStateMachine):
    """Two streams, one recorded by command and one always, on one node after another."""

    compared = 0  # frames found in files

    def __init__(self, empty: Path) -> None:
        super().__init__()
        self._empty = empty
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_exception_handler(lambda _loop, _context: None)  # tasks of dead nodes
        self._root = Path(tempfile.mkdtemp(prefix="livereel-lifecycle-"))
        self._clock = FakeClock()
        self._numbers = itertools.count(1)
        self._pushes: dict[StreamKey, Push] = {}
        self._old: list[Push] = []
        #: What each task has to hold, and the tasks that may hold more: a crash came while they began or went on.
        self._expected: dict[str, list[Frame]] = {}
        self._uncertain: set[str] = set()
        self._node: Node | None = None
        self._failed = False

    # -- the world

    @initialize(
        window=st.sampled_from(WINDOWS), other_window=st.sampled_from(WINDOWS), cycle=st.sampled_from((0, CYCLE))
    )
    def begin(self, window: int, other_window: int, cycle: int) -> None:
        self._run(self._begin(window, other_window, cycle))

    async def _begin(self, window: int, other_window: int, cycle: int) -> None:
        shutil.copy(self._empty, self._root / "catalogue.db")
        self._catalogue = await open_catalogue(f"sqlite:///{self._root / 'catalogue.db'}")
        async with self._catalogue.write() as uow:
            await uow.projects.add(Project(PROJECT, "here", self._clock.now()))
        await DomainService(self._catalogue, self._clock).create(PROJECT, NewDomain(DOMAIN, DomainType.PUSH, "here"))
        everything = tuple(CallbackEvent)
        told = NewCallbackConfig(DOMAIN, "*", "https://app.example.com/", everything, SignType.MD5, None)
        await CallbackService(self._catalogue, self._clock, self._new_id).create(PROJECT, told)
        templates = TemplateService(self._catalogue, LocalStores(self._root / "store"), self._clock, self._new_id)
        for key, record_type, seconds in (
            (COMMANDED, RecordType.COMMAND, window),
            (CONTINUOUS, RecordType.CONTINUOUS, other_window),
        ):
            config = FormatConfig(cycle, "{stream}/{file_start_time}", merge_window=seconds)
            address = ObsAddress("recordings", "here")
            new = NewTemplate(DOMAIN, key.app, key.stream, record_type, address, {RecordFormat.FLV: config})
            await templates.create(PROJECT, new)
        await self._next_node()

    async def _next_node(self) -> None:
        self._node = Node(self._root, self._catalogue, self._clock, self._new_id)
        await self._node.begin()
        await self._settle()

    def _new_id(self) -> str:
        return f"{next(self._numbers):032x}"

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._runner.run(what)
        except BaseException:
            self._failed = True
            raise

    @property
    def node(self) -> Node:
        assert self._node is not None
        return self._node

    # -- what may happen

    @precondition(lambda self: len(self._pushes) < len(KEYS))
    @rule(key=keys, count=st.one_of(st.just(0), steps))
    def publish(self, key: StreamKey, count: int) -> None:
        key = next(other for other in (key, *KEYS) if other not in self._pushes)
        self._run(self._publish(key, count))

    @precondition(lambda self: self._pushes)
    @rule(key=keys, count=steps)
    def media(self, key: StreamKey, count: int) -> None:
        self._run(self._media(self._pushed(key), count))

    @precondition(lambda self: self._pushes)
    @rule(key=keys)
    def drop(self, key: StreamKey) -> None:
        self._run(self._drop(self._pushed(key)))

    @precondition(lambda self: self._pushes)
    @rule(key=keys, seconds=st.sampled_from((0, 1, 29, 31)), count=steps)
    def drop_and_return(self, key: StreamKey, seconds: int, count: int) -> None:
        key = self._pushed(key)
        self._run(self._drop(key))
        self._run(self._pass(seconds))
        self._run(self._publish(key, count))

    @rule(key=commanded, armed=st.booleans())
    def start(self, key: StreamKey, armed: bool) -> None:
        self._run(self._start(key, armed))

    @rule(key=commanded)
    def stop(self, key: StreamKey) -> None:
        self._run(self._stop(key))

    @precondition(lambda self: self._pushes)
    @rule(key=commanded, meanwhile=st.sampled_from(("media", "drop", "stop")))
    def start_and_not_wait(self, key: StreamKey, meanwhile: str) -> None:
        self._run(self._start_and_not_wait(key, meanwhile))

    @precondition(lambda self: self._pushes or self._old)
    @rule(seconds=st.sampled_from((1, 9, 11, 29, 31, 120, ARMED_LIMIT)))
    def time_passes(self, seconds: float) -> None:
        self._run(self._pass(seconds))

    @precondition(lambda self: self._expected)
    @rule(events=st.one_of(st.none(), st.integers(1, 4)))
    def record(self, events: int | None) -> None:
        self._run(self._record(events))

    @precondition(lambda self: self._pushes)
    @rule(
        how=st.sampled_from(("in order", "crash", "torn", *WITHIN)),
        key=keys,
        writes=st.integers(0, 3),
        again=st.one_of(st.none(), st.integers(0, 2)),
    )
    def restart(self, how: str, key: StreamKey, writes: int, again: int | None) -> None:
        if how in WITHIN:
            self._run(self._crash_within(key, how, writes, again))
        elif how == "in order":
            self._run(self._restart())
        else:
            self._run(self._crash(torn=how == "torn"))

    # -- how it is done

    def _pushed(self, key: StreamKey) -> StreamKey:
        return next(other for other in (key, *KEYS) if other in self._pushes)

    async def _publish(self, key: StreamKey, count: int = 0) -> None:
        push = Push(key, await self.node.push(key), self._clock.now())
        self._pushes[key] = push
        push.stream.feed(HEADERS, self._clock.now())
        await self._settle()
        await self._media(key, count)

    async def _media(self, key: StreamKey, count: int) -> None:
        if (push := self._pushes.get(key)) is None:
            return
        for _ in range(count):
            now = self._clock.now()
            is_key = push.steps % STEPS_PER_GROUP == 0
            push.steps += 1
            name = f"{next(self._numbers):08}".encode()
            head, unit = (b"\x17", b"\x65") if is_key else (b"\x27", b"\x41")
            picture = Frame(TAG_VIDEO, head + b"\1\0\0\0" + b"\0\0\0\x09" + unit + name, is_key)
            sound = Frame(TAG_AUDIO, b"\xaf\1" + name)
            at = int((now - push.began_at) * 1000)
            push.stream.feed([Tag(frame.kind, at, frame.payload) for frame in (picture, sound)], now)
            if push.task is not None:
                self._expected[push.task] += [picture, sound]
            elif is_key:
                push.kept_from, push.kept_at = len(push.sent), now
            elif now - push.kept_at > RING_MAX_SECONDS:
                push.kept_from = None
            push.sent += [picture, sound]
            await self.node.timers.advance(STEP, self._settle)
            if key not in self._pushes or (push.task is None and is_key):
                await self._settle()
        await self._settle()

    async def _drop(self, key: StreamKey) -> None:
        if (push := self._pushes.get(key)) is not None:
            await self.node.drop(push.stream)
            self._retire(key)
            await self._settle()

    async def _start(self, key: StreamKey, armed: bool) -> None:
        busy = self.node.running(key) is not None
        error = await self._answer_to_start(key, armed)
        assert error is None or not busy or isinstance(error, TaskExists | NoCommandTemplate), repr(error)
        assert error is not None or not busy
        await self._settle()

    async def _answer_to_start(self, key: StreamKey, armed: bool) -> LivereelError | None:
        push = self._pushes.get(key)
        attached_at = 0 if push is None else push.attached_at
        if push is not None and push.task is None and not self.node.awaits_key_frame(key):
            push.attached_at = len(push.sent) if push.kept_from is None else push.kept_from
        try:
            task_id = await self.node.start(key, StartOptions(armed=armed, limit=ARMED_LIMIT))
        except LivereelError as error:
            assert isinstance(error, START_REFUSALS if key is COMMANDED else NoCommandTemplate), repr(error)
            if push is not None:
                push.attached_at = attached_at
            return error
        assert key is COMMANDED
        if push is not None and task_id not in self._expected:  # it may have begun and be over by now
            self._began(push, task_id)
        return None

    async def _stop(self, key: StreamKey) -> None:
        running = self.node.running(key) if key is COMMANDED else None
        try:
            stopped = await self.node.stop_recording(key)
        except LivereelError as error:
            assert isinstance(error, NothingRecording), repr(error)
            assert running is None
        else:
            assert running in (None, stopped)
        await self._settle()

    async def _start_and_not_wait(self, key: StreamKey, meanwhile: str) -> None:
        starting = asyncio.create_task(self._answer_to_start(key, armed=False))
        while not starting.done() and not self._is_attached(key):
            await asyncio.sleep(0.001)
        await {"media": lambda: self._media(key, 1), "drop": lambda: self._drop(key), "stop": lambda: self._stop(key)}[
            meanwhile
        ]()
        await starting
        await self._settle()

    async def _pass(self, seconds: float) -> None:
        await self.node.timers.advance(seconds, self._settle)
        await self._settle()

    async def _record(self, events: int | None) -> None:
        await self.node.recorder.run(events)
        await self._settle()

    async def _restart(self) -> None:
        await self.node.stop()
        self._all_gone()
        await self._next_node()

    async def _crash(self, torn: bool) -> None:
        await self.node.die()
        self._all_gone()
        if torn:
            for segment in self._last_segments():
                with segment.open("ab") as file:
                    file.write(b"\x09\0\0\x20half a tag")
        await self._next_node()

    async def _crash_within(self, key: StreamKey, what: str, writes: int, again: int | None) -> None:
        self.node.catalogue.writes_left = writes
        before = set(self._expected)
        steps: dict[str, Coroutine[Any, Any, None]] = {
            "publish": self._publish(key, 1) if key not in self._pushes else self._pass(0),
            "media": self._media(key, STEPS_PER_GROUP),
            "drop": self._drop(key),
            "start": self._start(key, armed=False),
            "armed": self._start(key, armed=True),
            "stop": self._stop(key),
            "pass": self._pass(31),
            "record": self._record(None),
        }
        chosen = steps.pop(what)
        for other in steps.values():
            other.close()
        try:
            await chosen
        except Dead:
            note(f"died within {what}")
        beginning = {key for key, push in self._pushes.items() if push.task is None}
        self._uncertain |= set(self._expected) - before
        self._uncertain |= {task.id for task in await self._tasks() if task.key in beginning}
        await self.node.die()
        self._all_gone()
        if again is not None:
            dying = Node(self._root, self._catalogue, self._clock, self._new_id)
            dying.catalogue.writes_left = again
            try:
                await dying.begin()
            except Dead:
                note("died within its start")
            await dying.die()
        await self._next_node()

    # -- what must hold

    async def _settle(self) -> None:
        """Let everything happen that can, then note which recordings have begun and ended."""

        def sent_key_frame(key: StreamKey) -> bool:
            push = self._pushes.get(key)
            return push is not None and push.first_key(push.attached_at) is not None

        await self.node.settle(sent_key_frame)
        for key, push in self._pushes.items():
            task_id = self.node.running(key)
            if task_id == push.task:
                continue
            push.task, push.kept_from = task_id, None
            if task_id is not None:
                self._began(push, task_id)

    def _began(self, push: Push, task_id: str) -> None:
        first = push.first_key(push.attached_at)
        assert first is not None, f"{task_id} records {push.key}, which sent no key frame"
        push.task = task_id
        self._expected.setdefault(task_id, []).extend(push.sent[first:])

    def _is_attached(self, key: StreamKey) -> bool:
        push = self._pushes.get(key)
        return push is not None and bool(push.stream._sinks or push.stream._waiting)

    def _retire(self, key: StreamKey) -> None:
        self._old.append(self._pushes.pop(key))

    def _all_gone(self) -> None:
        for key in list(self._pushes):
            self._retire(key)

    def _last_segments(self) -> Iterator[Path]:
        for spool in (self._root / "spool").glob("*"):
            if segments := sorted(spool.glob("*.flv")):
                yield segments[-1]

    @invariant()
    def one_task_at_most_per_stream(self) -> None:
        if self._node is not None:
            active = Counter(task.key for task in self._run(self._tasks()) if task.state in ACTIVE_TASK_STATES)
            assert all(count == 1 for count in active.values()), active

    @invariant()
    def what_can_be_recorded_is_recorded(self) -> None:
        push = self._pushes.get(CONTINUOUS)
        if push is not None and push.first_key(0) is not None:
            assert push.task is not None

    def teardown(self) -> None:
        try:
            if self._node is not None:
                self._run(self._end(check=not self._failed))
        finally:
            for task in asyncio.all_tasks(self._runner.get_loop()):
                task.cancel()
            self._runner.close()
            shutil.rmtree(self._root, ignore_errors=True)

    async def _end(self, *, check: bool) -> None:
        """Everybody leaves; then everything must be finished, complete and told."""
        try:
            if check:
                for key in KEYS:
                    await self._drop(key)
                await self._pass(ARMED_LIMIT + max(WINDOWS) + MIN_PAUSE_AFTER_STOP)
                await self._record(None)
                await self._check()
        finally:
            await self.node.die()
            await self._catalogue.close()

    async def _check(self) -> None:
        tasks = {task.id: task for task in await self._tasks()}
        files = {task_id: await self._files(task_id) for task_id in tasks}
        for task in tasks.values():
            assert task.state in (TaskState.COMPLETED, TaskState.FAILED), f"{task.id} is {task.state}"
            assert task.state is TaskState.COMPLETED or task.id not in self._expected, f"{task.id}: {task.error}"
            assert all(file.state is FileState.STORED for file in files[task.id])
            for kind in (TAG_VIDEO, TAG_AUDIO):
                self._compare(task, kind, self._joined(files[task.id]))
        await self._check_messages(tasks, [file for group in files.values() for file in group])
        left = [path.name for path in (self._root / "spool").glob("*")]
        assert not left, f"spools are left of {left}"

    def _compare(self, task: Task, kind: int, frames: list[Frame]) -> None:
        found = [frame.payload for frame in frames if frame.kind == kind]
        wanted = [frame.payload for frame in self._expected.get(task.id, ()) if frame.kind == kind]
        if task.id in self._uncertain or task.id not in self._expected:
            # What a crash kept us from seeing: nothing is lost of what was seen, all was sent, and in this order.
            assert set(wanted) <= set(found)
            sent = [f.payload for push in self._old if push.key == task.key for f in push.sent if f.kind == kind]
            wanted = [payload for payload in sent if payload in set(found)]
        Lifecycle.compared += len(found)
        missing, more = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
        assert found == wanted, f"{task.key} {task.id}: lost {missing}, doubled or foreign {more}"

    async def _check_messages(self, tasks: dict[str, Task], files: list[RecordFile]) -> None:
        async with self._catalogue.read() as uow:
            messages = (await uow.outbox.list(limit=100_000)).items
        told = Counter((message.event, message.body.get("job_id", message.body["task_id"])) for message in messages)
        twice = {what: count for what, count in told.items() if count > 1}
        assert not twice, f"told more than once: {twice}"
        for file in files:
            final = [event for event in ("RECORD_FILE_COMPLETE", "RECORD_FAILED") if told[event, file.job_id]]
            assert final == ["RECORD_FILE_COMPLETE"], f"{file.job_id}: {final}"
            assert told["RECORD_NEW_FILE_START", file.job_id]
        for task in tasks.values():
            begun = told["RECORD_START", task.id]
            assert begun == told["RECORD_OVER", task.id], (
                f"{task.id}: begun {begun}, over {told['RECORD_OVER', task.id]}"
            )
            assert begun or task.id not in self._expected

    def _joined(self, files: list[RecordFile]) -> list[Frame]:
        frames: list[Frame] = []
        for file in sorted(files, key=lambda file: file.sequence):
            reader = TagReader()
            data = (self._root / "store" / file.bucket / file.object_key).read_bytes()
            frames += [
                Frame(tag.kind, tag.payload)
                for tag in reader.feed(data)
                if tag.kind in (TAG_VIDEO, TAG_AUDIO) and not is_sequence_header(tag.kind, tag.payload)
            ]
        return frames

    async def _tasks(self) -> list[Task]:
        async with self._catalogue.read() as uow:
            return (await uow.tasks.list(limit=100_000)).items

    async def _files(self, task_id: str) -> list[RecordFile]:
        async with self._catalogue.read() as uow:
            return await uow.files.of_task(task_id)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A catalogue that knows nothing; copying it is quicker than making it."""

    async def make() -> None:
        await (await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")).close()

    asyncio.run(make())
    return tmp_path / "catalogue.db"


@pytest.fixture
def quiet() -> Iterator[None]:
    """A hundred lives of a server say too much."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node has received gets into its spools however long the disk takes: no disk dies here."""
    monkeypatch.setattr(pool, "CLOSE_SECONDS", SETTLE_TIMEOUT)
    monkeypatch.setattr(owner, "SHUTDOWN_WAIT", SETTLE_TIMEOUT)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quiet", "patient")
def test_lifecycle(empty: Path) -> None:
    run_state_machine_as_test(
        lambda: Lifecycle(empty),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert Lifecycle.compared > EXAMPLES  # else nothing of all this was recorded
