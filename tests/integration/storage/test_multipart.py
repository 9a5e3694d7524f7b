"""Uploads in parts that outlive a process, on a real object store."""

import asyncio
import os
from pathlib import Path

import pytest

from livereel.domain.errors import StoreError
from livereel.storage.multipart import PART_SIZE, composite
from livereel.storage.object_store import ObjectStore
from livereel.storage.port import Part, PartUploads
from tests.integration.storage.conftest import config
from tests.integration.storage.seaweed import ACCESS_KEY, NO_HOST, Seaweed

KEY = "Record/ümläut cam01 & <more>.mp4"


def uploads_of(store: ObjectStore) -> PartUploads:
    assert store.parts is not None
    return store.parts


async def test_parts_become_an_object_in_any_order(remote: ObjectStore) -> None:
    uploads, data = uploads_of(remote), os.urandom(2 * PART_SIZE + 77)
    upload_id = await uploads.begin(KEY)
    assert await uploads.unfinished(KEY) == [upload_id]
    assert await uploads.present(KEY, upload_id) == {}
    parts = {}
    for number in (2, 3, 1):
        parts[number] = await uploads.put(KEY, upload_id, number, piece(data, number))
    assert await uploads.present(KEY, upload_id) == {number: (part.size, part.etag) for number, part in parts.items()}
    assert await remote.stat(KEY) is None  # nobody sees it before it is whole
    stored = await uploads.complete(KEY, upload_id, [parts[number] for number in (1, 2, 3)])
    assert stored == await remote.stat(KEY)
    assert stored.size == len(data)
    assert b"".join([read async for read in remote.read(KEY, 0, len(data))]) == data
    # Nobody learned that it was completed: it can be asked for.
    assert await uploads.present(KEY, upload_id) is None
    assert await uploads.confirm(KEY, [parts[number] for number in (1, 2, 3)]) == stored
    with pytest.raises(StoreError, match="bytes in the store instead of"):
        await uploads.confirm(KEY, [parts[1], parts[2]])
    other = parts[3]._replace(md5="0" * 32)
    with pytest.raises(StoreError, match="arrived damaged"):
        await uploads.confirm(KEY, [parts[1], parts[2], other])


async def test_a_part_can_be_put_again(remote: ObjectStore) -> None:
    uploads, data = uploads_of(remote), os.urandom(PART_SIZE + 1)
    upload_id = await uploads.begin(KEY)
    await uploads.put(KEY, upload_id, 1, os.urandom(PART_SIZE))
    last = await uploads.put(KEY, upload_id, 2, data[PART_SIZE:])
    first = await uploads.put(KEY, upload_id, 1, data[:PART_SIZE])
    await uploads.complete(KEY, upload_id, [first, last])
    assert b"".join([read async for read in remote.read(KEY, 0, len(data))]) == data


async def test_aborting_leaves_nothing(remote: ObjectStore, seaweed: Seaweed, prefix: str) -> None:
    uploads = uploads_of(remote)
    upload_id, other = await uploads.begin(KEY), await uploads.begin(KEY + "2")
    await uploads.put(KEY, upload_id, 1, b"x")
    await uploads.abort(KEY, upload_id)
    await uploads.abort(KEY, upload_id)
    assert await uploads.present(KEY, upload_id) is None
    assert await uploads.unfinished(KEY) == []
    assert await uploads.unfinished(KEY + "2") == [other]  # its name begins with the first one's
    await uploads.abort(KEY + "2", other)
    assert seaweed.unfinished_uploads(below=prefix) == []
    with pytest.raises(StoreError, match="NoSuchUpload"):
        await uploads.put(KEY, upload_id, 2, b"x")


async def test_more_parts_than_a_page_lists(remote: ObjectStore) -> None:
    """S3 lists 1000 parts at once; the rest has to be asked for."""
    uploads = uploads_of(remote)
    upload_id = await uploads.begin(KEY)
    for first in range(1, 1101, 50):  # who waits for a turn waits in the time that the request may take
        await asyncio.gather(
            *(uploads.put(KEY, upload_id, number, b"%d" % number) for number in range(first, first + 50))
        )
    present = await uploads.present(KEY, upload_id)
    assert present is not None
    assert sorted(present) == list(range(1, 1101))
    await uploads.abort(KEY, upload_id)


async def test_an_object_is_compared_with_a_file(remote: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "slice.ts"
    source.write_bytes(b"some bytes")
    assert not await remote.holds(KEY, source)
    await remote.put_file(KEY, source)
    assert await remote.holds(KEY, source)
    source.write_bytes(b"some other")
    assert not await remote.holds(KEY, source)


async def test_refusals_say_what_to_do(seaweed: Seaweed) -> None:
    wrong = {"access_key": ACCESS_KEY, "secret_key": "wrong"}
    for changes, told in (
        ({"credentials": wrong}, "secret key is not that of the access key"),
        ({"url": "s3://no-such-bucket"}, "there is no such bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "no connection: look whether the store is up"),
        ({"endpoint": f"http://{NO_HOST}"}, "host name cannot be resolved"),
    ):
        uploads = uploads_of(ObjectStore("rec-a", config(seaweed, **changes)))
        with pytest.raises(StoreError, match=told) as refused:
            await uploads.begin(KEY)
        assert "wrong" not in refused.value.detail
        assert "\n" not in refused.value.detail


def test_the_etag_of_an_object_in_parts() -> None:
    # RFC 1321's test suite has the MD5s of "a" and "abc"; the sum is of the two digests.
    parts = [Part(1, 1, "0cc175b9c0f1b6a831c399e269772661", ""), Part(2, 3, "900150983cd24fb0d6963f7d28e17f72", "")]
    assert composite(parts) == "eec224fb6a37134ee373993a92761ffe-2"


def piece(data: bytes, number: int) -> bytes:
    return data[(number - 1) * PART_SIZE : number * PART_SIZE]
