"""A playlist over the slices of a stream that were received in some time (`record/indexes`).

Slices are listed where they lie, across files and reconnects, also those of a file that still grows. Nothing is copied
and nothing is trimmed: every slice that holds a part of the time asked for is listed whole.
"""

from dataclasses import dataclass

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.domains import owned
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.keys import StreamKey
from livereel.domain.naming import DEFAULT_INDEX_OBJECT, index_key, relative_key
from livereel.domain.recordings import RecordFile, Slice, check_index_window
from livereel.domain.templates import DEFAULT_TS_PREFIX, RecordFormat
from livereel.recorder.muxing.playlist import Playlist
from livereel.storage.port import Stores

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Index:
    """A playlist that was stored. Times are those of the slices in it, `duration` is the sum of theirs."""

    key: StreamKey
    started_at: float
    ended_at: float
    duration: float
    width: int
    height: int
    bucket: str
    location: str
    object_key: str


@dataclass(frozen=True, slots=True)
class _Part:
    """The slices of one file that lie in the window, in order."""

    file: RecordFile
    slices: list[Slice]


class IndexService:
    """Makes indexes."""

    def __init__(self, catalogue: Catalogue, stores: Stores, clock: Clock) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock

    async def create(
        self, project_id: str, key: StreamKey, start: float, end: float, *, target: str | None = None
    ) -> Index:
        """Store a playlist of what was received of `key` from `start` to `end` (Unix seconds).

        `target` is its object key, with variables; the documented default if it is None. Raises InvalidParameter
        (UnknownDomain among them) whenever the documented constraints are not met, StoreError.
        """
        check_index_window(start, end, self._clock.now())
        async with self._catalogue.read() as uow:
            parts = await _parts(uow, project_id, key, start, end)
            index = _index(key, parts, target or DEFAULT_INDEX_OBJECT)
            if await uow.files.by_key(index.bucket, index.object_key) is not None:
                raise InvalidParameter(f"object: {index.object_key[:256]} is the playlist of a recording; name another")
        text = _text(index, parts)
        await self._stores.get(index.bucket).put_bytes(index.object_key, text.encode())
        slices = sum(len(part.slices) for part in parts)
        log.info("index_stored", stream=str(key), object=index.object_key, files=len(parts), slices=slices)
        return index


async def _parts(uow: UnitOfWork, project_id: str, key: StreamKey, start: float, end: float) -> list[_Part]:
    try:
        owned(await uow.domains.get(key.domain), project_id, key.domain)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None
    files = await uow.files.of_stream_in_window(project_id, key, start, end)
    listed = [file for file in files if file.format is RecordFormat.HLS]
    if not files:
        raise InvalidParameter(f"no record info found: {key} was not recorded in that time")
    if not listed:
        formats = ", ".join(sorted({file.format.value for file in files}))
        raise InvalidParameter(f"no record info found: {key} was recorded in {formats} only; the template needs HLS")
    for task_id in {file.task_id for file in listed}:
        task = await uow.tasks.get(task_id)
        if task is not None and task.template.formats[RecordFormat.HLS].ts_prefix != DEFAULT_TS_PREFIX:
            raise InvalidParameter(f"{key} was recorded with a record_ts_prefix that is not the default")
    if len({file.bucket for file in listed}) > 1:
        raise InvalidParameter(f"the slices of {key} in that time lie in several buckets; ask for a shorter time")
    of_file = {file.job_id: list[Slice]() for file in listed}
    for piece in await uow.slices.in_window(project_id, key, start, end):
        of_file[piece.job_id].append(piece)
    parts = [
        _Part(file, sorted(of_file[file.job_id], key=lambda piece: piece.sequence))
        for file in listed
        if of_file[file.job_id]
    ]
    if not parts:
        raise InvalidParameter(f"no ts info found: no slice of {key} was received and completed in that time")
    return sorted(parts, key=lambda part: part.slices[0].started_at)


def _index(key: StreamKey, parts: list[_Part], target: str) -> Index:
    slices = [piece for part in parts for piece in part.slices]
    started_at, ended_at = slices[0].started_at, max(piece.ended_at for piece in slices)
    latest = parts[-1].file
    return Index(
        key=key,
        started_at=started_at,
        ended_at=ended_at,
        duration=sum(piece.duration for piece in slices),
        width=latest.width or 0,
        height=latest.height or 0,
        bucket=latest.bucket,
        location=latest.location,
        object_key=index_key(key, target, started_at=started_at, ended_at=ended_at),
    )


def _text(index: Index, parts: list[_Part]) -> str:
    directory = index.object_key.rpartition("/")[0]
    playlist = Playlist()
    for number, part in enumerate(parts):
        for piece in part.slices:
            path = relative_key(piece.object_key, directory)
            discontinuity = number > 0 and piece is part.slices[0]
            playlist.add(path, piece.started_at, piece.duration, discontinuity=discontinuity)
    return playlist.text(complete=True)
