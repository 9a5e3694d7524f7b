"""Only authorised buckets are recorded into, once a project has a list of them."""

import asyncio

import pytest

from livereel.control.buckets import BucketService
from livereel.domain.errors import BucketNotAuthorised
from livereel.domain.states import TaskState
from livereel.domain.templates import RecordType
from tests.integration.control.conftest import HEADERS, KEY, KEY_FRAME, OTHER_PROJECT, PROJECT, Node


@pytest.fixture
def buckets(node: Node) -> BucketService:
    return BucketService(node.catalogue, node.stores)


async def states(node: Node) -> list[TaskState]:
    async with node.catalogue.read() as uow:
        return [task.state for task in (await uow.tasks.list()).items]


async def test_start_with_a_template_from_before_the_list(node: Node, buckets: BucketService) -> None:
    await node.template()
    await buckets.authorise(PROJECT, "elsewhere")
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    with pytest.raises(BucketNotAuthorised, match="recordings"):
        await node.recording.start(PROJECT, KEY)
    assert await states(node) == [TaskState.FAILED]
    await buckets.authorise(PROJECT, "recordings")
    await node.recording.start(PROJECT, KEY)


async def test_a_continuous_template_whose_bucket_was_cancelled(node: Node, buckets: BucketService) -> None:
    await buckets.authorise(PROJECT, "recordings")
    await node.template(RecordType.CONTINUOUS)
    await buckets.cancel(PROJECT, "recordings")
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    async with asyncio.timeout(60):
        while await states(node) != [TaskState.FAILED]:
            await asyncio.sleep(0.02)


async def test_a_recording_that_runs_goes_on(node: Node, buckets: BucketService) -> None:
    await buckets.authorise(PROJECT, "recordings")
    await node.template()
    stream = await node.push()
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME)
    await node.recording.start(PROJECT, KEY)
    await buckets.cancel(PROJECT, "recordings")
    assert await states(node) == [TaskState.RECORDING]


async def test_each_project_has_a_list_of_its_own(node: Node, buckets: BucketService) -> None:
    await buckets.authorise(OTHER_PROJECT, "elsewhere")
    await node.template()
