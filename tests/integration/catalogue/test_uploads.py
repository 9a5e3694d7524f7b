"""What is on its way into stores, on both databases."""

from dataclasses import replace

from livereel.catalogue.port import Catalogue
from livereel.domain.uploads import BucketBacklog, Upload, UploadPart, UploadState

UPLOAD = Upload(
    id="1",
    job_id="j",
    task_id="t",
    project_id="p",
    node="n",
    bucket="b",
    object_key="k",
    state=UploadState.SENDING,
    created_at=1.0,
    updated_at=2.0,
    upload_id="x" * 300,
    part_size=5 << 20,
    size=1 << 40,
    sent=5,
    waiting_since=1.5,
    attempts=2,
    last_error="away",
    next_retry_at=3.0,
    put_keys=["k", "l"],
)


async def test_uploads_and_their_parts(catalogue: Catalogue) -> None:
    second = replace(UPLOAD, id="2", node="other", bucket="c", created_at=0.5, waiting_since=None, upload_id=None)
    async with catalogue.write() as uow:
        assert await uow.uploads.put(UPLOAD)
        assert await uow.uploads.put(second)
        for number in (2, 1):
            await uow.uploads.put_part("1", UploadPart(number, 5, "0" * 32, "e"))
        await uow.uploads.put_part("1", UploadPart(2, 5, "1" * 32, "f"))
    changed = replace(UPLOAD, sent=1 << 39, state=UploadState.DISCARDING)
    async with catalogue.read() as uow:
        assert await uow.uploads.of_job("j") == [second, UPLOAD]
        assert await uow.uploads.of_node("n") == [UPLOAD]
        assert await uow.uploads.list(project_id="p", bucket="b") == (1, [UPLOAD])
        assert await uow.uploads.list(project_id="q") == (0, [])
        assert await uow.uploads.parts("1") == [UploadPart(1, 5, "0" * 32, "e"), UploadPart(2, 5, "1" * 32, "f")]
        assert await uow.uploads.backlog() == [
            BucketBacklog("b", 1, (1 << 40) - 5, 1.5, "away"),
            BucketBacklog("c", 1, (1 << 40) - 5, None, "away"),
        ]
    async with catalogue.write() as uow:
        assert not await uow.uploads.put(changed)
        await uow.uploads.delete_parts("1", [1])
        await uow.uploads.delete_parts("1", [])
    async with catalogue.read() as uow:
        assert await uow.uploads.of_node("n") == [changed]
        assert [part.number for part in await uow.uploads.parts("1")] == [2]
        assert [each.bucket for each in await uow.uploads.backlog(project_id="p")] == ["c"]
    async with catalogue.write() as uow:
        assert await uow.uploads.delete("1")
        assert not await uow.uploads.delete("1")
    async with catalogue.read() as uow:
        assert await uow.uploads.parts("1") == []
        assert await uow.uploads.of_job("j") == [second]
