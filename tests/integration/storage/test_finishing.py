"""Finished recordings on their way into an object store that dies: put again until it works, and nothing left over."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from livereel.control.uploads import backoff
from livereel.domain.states import TaskState
from livereel.recorder.events import TaskFinished
from livereel.storage.buckets import Buckets, LocalStores
from livereel.storage.object_store import PART_SIZE
from tests.integration.control.conftest import Node
from tests.integration.control.test_finishing import finished, report, row, started, stopped_task
from tests.integration.storage.conftest import config
from tests.integration.storage.proxy import Proxy
from tests.integration.storage.seaweed import BUCKET, Seaweed


@pytest.fixture
def proxy(own_seaweed: Seaweed) -> Iterator[Proxy]:
    proxy = Proxy(own_seaweed.s3_port)
    yield proxy
    proxy.close()


async def test_a_server_killed_in_mid_upload(
    node: Node, own_seaweed: Seaweed, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.2)
    monkeypatch.setattr(backoff, "LONGEST", 1.0)
    buckets = Buckets(LocalStores(tmp_path / "store"), {"recordings": config(own_seaweed, endpoint=proxy.endpoint)})
    for part in (node.uploads, node.uploads.outages, node.uploads.discards):
        part._stores = buckets
    await node.template()
    task = await stopped_task(node)
    file = finished(node, task)
    data = os.urandom(5 * PART_SIZE + 7)
    file.path.write_bytes(data)
    file = replace(file, size=len(data))
    loop, killed = asyncio.get_running_loop(), asyncio.Event()

    def kill() -> None:
        own_seaweed.kill()
        loop.call_soon_threadsafe(killed.set)

    proxy.after(2 * PART_SIZE, kill)
    finishing = asyncio.create_task(report(node, started(task), file, TaskFinished(task.id, {})))
    await asyncio.wait_for(killed.wait(), 60)
    await asyncio.sleep(1)  # a few attempts find nobody
    assert not finishing.done()
    assert file.path.read_bytes() == data  # the only copy
    await asyncio.to_thread(own_seaweed.start)
    await asyncio.wait_for(finishing, 60)

    assert (await row(node, task.id)).state is TaskState.COMPLETED
    async with node.catalogue.read() as uow:
        [recorded] = await uow.files.of_task(task.id)
    store = buckets.get("recordings")
    assert b"".join([piece async for piece in store.read(recorded.object_key, 0, len(data))]) == data
    assert await store.stat(f"{recorded.object_key.rpartition('/')[0]}/recording.json") is not None
    assert own_seaweed.unfinished_uploads(BUCKET) == []
    assert not file.path.exists()
    assert not (tmp_path / "store").exists()  # nothing went to the directory of that name
