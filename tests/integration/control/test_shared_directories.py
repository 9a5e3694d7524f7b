"""HLS files whose template puts them into one directory: nothing that was recorded is overwritten."""

from dataclasses import replace
from pathlib import Path

import pytest

from livereel.control.stored_files import account_of, check_stored
from livereel.control.templates import NewTemplate
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import RecordFile, Task
from livereel.domain.states import FileEvent, FileState, next_file_state
from livereel.domain.templates import DEFAULT_TS_PREFIX, FormatConfig, ObsAddress, RecordFormat, RecordType
from livereel.domain.verification import Verification
from livereel.verify.pool import VerifyPool
from tests.integration.control.conftest import FRAME, HEADERS, KEY, KEY_FRAME, PROJECT, Node
from tests.integration.control.test_finishing import files_of, report, row
from tests.integration.control.test_verification import Recorded, pool

__all__ = ["pool"]
HLS = RecordFormat.HLS
OTHER = replace(KEY, stream="other")


async def template(node: Node, prefix: str, ts_prefix: str) -> None:
    new = NewTemplate(
        domain=KEY.domain,
        app="live",
        stream="*",
        record_type=RecordType.COMMAND,
        address=ObsAddress("recordings", "here"),
        formats={HLS: FormatConfig(3600, prefix, ts_prefix=ts_prefix, slice_duration=2)},
    )
    await node.templates.create(PROJECT, new)


async def stopped(node: Node, key: StreamKey) -> Task:
    stream = node.registry.get(key) or await node.push(key)
    stream.feed(HEADERS, node.clock.now())
    node.feed(stream, KEY_FRAME, FRAME)
    task_id = await node.recording.start(PROJECT, key)
    await node.recording.stop(PROJECT, key)
    return await row(node, task_id)


async def recorded(node: Node, *keys: StreamKey) -> list[RecordFile]:
    """A recording of each, as if all had begun at the same moment and gone on at once."""
    made = []
    for key in keys:
        made.append(Recorded(node, await stopped(node, key)))
        node.clock.advance(11)  # between STOP and START
    for events in zip(*(recording.events for recording in made), strict=True):
        await report(node, *events)
    return [file for recording in made for file in await files_of(node, recording.task)]


async def check_whole(node: Node, pool: VerifyPool, files: list[RecordFile]) -> None:
    for file in files:
        store = node.stores.get(file.bucket)
        verdict = await check_stored(store, file.object_key, account_of(file), pool, below=node.root / "fetched")
        assert verdict.verification is Verification.VERIFIED, (file.object_key, verdict.damages)
    async with node.catalogue.read() as uow:
        keys = [piece.object_key for file in files for piece in await uow.slices.of_file(file.job_id)]
    assert len(set(keys)) == len(keys) >= 2 * len(files)


@pytest.mark.parametrize("ts_prefix", [DEFAULT_TS_PREFIX, "{ts_sequence_number}", "{stream}"])
async def test_streams_that_are_recorded_into_one_directory(node: Node, pool: VerifyPool, ts_prefix: str) -> None:
    await template(node, "all/{stream}", ts_prefix)
    one, two = await recorded(node, KEY, OTHER)
    assert one.object_key == f"all/{KEY.stream}.m3u8"
    if ts_prefix == "{stream}":  # names tell them apart
        assert two.object_key == "all/other.m3u8"
    else:
        assert two.object_key == f"all/other-{two.asset_id[:8]}/other.m3u8"
    await check_whole(node, pool, [one, two])


async def test_recordings_of_one_stream_in_one_directory(node: Node, pool: VerifyPool) -> None:
    """Without anything of time in the names of slices, the second has a directory of its own."""
    await template(node, "{stream}/{file_start_time}", "{ts_sequence_number}")
    [one] = await recorded(node, KEY)
    first = next(path for path in (node.root / "store").rglob("*.m3u8"))
    assert first.parent.name == KEY.stream
    [two] = await recorded(node, KEY)
    assert Path(two.object_key).parent != Path(one.object_key).parent
    await check_whole(node, pool, [one, two])


async def test_a_name_is_never_used_again(node: Node, pool: VerifyPool) -> None:
    """Not after a deletion either: what was told of the first must not lead to another."""
    await template(node, "{stream}", DEFAULT_TS_PREFIX)
    [one] = await recorded(node, KEY)
    async with node.catalogue.write() as uow:
        gone = replace(one, state=next_file_state(next_file_state(FileState.STORED, FileEvent.DELETE), FileEvent.GONE))
        await uow.files.update(gone)
    [two] = await recorded(node, KEY)
    assert (one.object_key, two.object_key) == (
        f"{KEY.stream}.m3u8",
        f"{KEY.stream}-{two.asset_id[:8]}/{KEY.stream}.m3u8",
    )
    await check_whole(node, pool, [two])
