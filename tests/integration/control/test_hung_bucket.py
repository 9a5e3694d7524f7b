"""A bucket whose file system hangs holds up its own recordings only, and these go on when it is back."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from livereel.control.templates import NewTemplate
from livereel.domain.errors import StoreError
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import Task
from livereel.domain.states import TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, default_prefix
from livereel.recorder.events import FileFinished, TaskFinished
from livereel.storage import local, threads
from livereel.storage.local import LocalStore
from tests.integration.control.conftest import FRAME, HEADERS, KEY_FRAME, PROJECT, Node
from tests.integration.control.test_finishing import finished, report, row, started

PATIENCE = 120.0  # seconds
STREAMS = 12  # to each bucket: more than there are threads of any kind


class HangingBucket:
    """Every call that reaches the directory of bucket `hung` waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._free, self._lock = threading.Event(), threading.Lock()
        self.inside = self.most = 0
        walk = LocalStore._walk

        def hanging_walk(store: LocalStore, directories: list[str], *, make: bool) -> object:
            if store.bucket == "hung" and not self._free.is_set():
                with self._lock:
                    self.inside += 1
                    self.most = max(self.most, self.inside)
                self._free.wait()
                with self._lock:
                    self.inside -= 1
            return walk(store, directories, make=make)

        monkeypatch.setattr(local.LocalStore, "_walk", hanging_walk)

    def let_go(self) -> None:
        self._free.set()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingBucket]:
    bucket = HangingBucket(monkeypatch)
    yield bucket
    bucket.let_go()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def stopped(node: Node, key: StreamKey) -> tuple[Task, FileFinished]:
    """A task whose spool is complete, and its only file."""
    stream = await node.push(key)
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, key)
    await node.recording.stop(PROJECT, key)
    task = await row(node, task_id)
    return task, finished(node, task)


async def test_one_bucket_hangs_and_the_other_records(
    node: Node, hanging: HangingBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {
        bucket: [StreamKey("push.example.com", "live", f"{bucket}-{number}") for number in range(STREAMS)]
        for bucket in ("hung", "sound")
    }
    for bucket, streams in keys.items():
        for key in streams:
            await node.templates.create(
                PROJECT,
                NewTemplate(
                    domain=key.domain,
                    app=key.app,
                    stream=key.stream,
                    record_type=RecordType.COMMAND,
                    address=ObsAddress(bucket, "here"),
                    formats={RecordFormat.FLV: FormatConfig(3600, default_prefix(RecordFormat.FLV))},
                ),
            )
    tasks = {bucket: [await stopped(node, key) for key in streams] for bucket, streams in keys.items()}
    going = {
        bucket: [
            asyncio.create_task(report(node, started(task), file, TaskFinished(task.id, {}))) for task, file in files
        ]
        for bucket, files in tasks.items()
    }
    await until(lambda: hanging.inside == threads.BUCKET_THREADS)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*going["sound"])
    for task, _ in tasks["sound"]:
        assert (await row(node, task.id)).state is TaskState.COMPLETED
    # The catalogue, the server's own disk and questions to the other bucket are answered; those to this one in time.
    assert await node.stores.get("sound").stat("nothing") is None
    monkeypatch.setattr(local, "LOOKUP_TIMEOUT", 0.2)
    with pytest.raises(StoreError, match="bucket hung has not answered"):
        await node.stores.get("hung").stat("nothing")
    assert await asyncio.to_thread(lambda: True)
    assert not any(job.done() for job in going["hung"])
    assert hanging.most == threads.BUCKET_THREADS
    for _, file in tasks["hung"]:
        assert file.path.exists()  # the only copy

    hanging.let_go()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*going["hung"])
    for task, _ in tasks["hung"]:
        assert (await row(node, task.id)).state is TaskState.COMPLETED
    assert len(list((node.root / "store" / "hung").rglob("*.flv"))) == STREAMS
