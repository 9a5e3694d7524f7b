"""What has been recorded."""

from dataclasses import dataclass

from livereel.catalogue.port import Catalogue, Page
from livereel.domain.recordings import RecordFile
from livereel.domain.states import FileState
from livereel.domain.templates import RecordType


@dataclass(frozen=True, slots=True)
class ContentFilter:
    """Which stored files to list: `started_from` <= start < `started_to` (Unix seconds)."""

    started_from: float
    started_to: float | None = None
    domain: str | None = None
    app: str | None = None
    stream: str | None = None
    record_type: RecordType | None = None


class ContentService:
    """Lists stored record files, newest first."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def list(self, project_id: str, wanted: ContentFilter, *, offset: int, limit: int) -> Page[RecordFile]:
        """Files that the store has confirmed."""
        async with self._catalogue.read() as uow:
            return await uow.files.list(
                project_id,
                started_from=wanted.started_from,
                started_to=wanted.started_to,
                domain=wanted.domain,
                app=wanted.app,
                stream=wanted.stream,
                record_type=wanted.record_type,
                state=FileState.STORED,
                offset=offset,
                limit=limit,
            )
