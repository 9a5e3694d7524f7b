"""Where a record file goes in its bucket, so that nothing of another recording is overwritten."""

from dataclasses import replace

from livereel.catalogue.port import UnitOfWork
from livereel.domain import neighbours
from livereel.domain.naming import without_collision
from livereel.domain.recordings import RecordFile
from livereel.domain.templates import RecordFormat, Template


async def apart(uow: UnitOfWork, template: Template, file: RecordFile) -> RecordFile:
    """`file`, or if its slices could overwrite those of another file the same with a directory of its own.

    Call it in the transaction that writes the row: two files may begin at once.
    """
    if file.format is not RecordFormat.HLS:
        return file
    config = template.formats[RecordFormat.HLS]
    if neighbours.is_alone(config.record_prefix):
        return file
    since = neighbours.ended_after(config.ts_prefix, file)
    if not neighbours.may_meet(config.ts_prefix, file, await uow.files.playlists_beside(file, ended_after=since)):
        return file
    return replace(file, object_key=without_collision(file.object_key, file.job_id))
