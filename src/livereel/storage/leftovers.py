"""Uploads in parts that nobody will complete: of a process that died, or of a store that was away when it mattered.

They are invisible and cost money. The client library aborts an upload that fails, but cannot list those of an earlier
life, so that is asked for here, for one key: before it is uploaded again, and once more when the object is there, since
requests of a connection that hung may reach the store late. Azure forgets unfinished blocks by itself after a week.
"""

import structlog

from livereel.domain.errors import StoreError
from livereel.storage.port import PartUploads

log = structlog.get_logger()


async def abort_all(uploads: PartUploads, key: str) -> None:
    """Abort the unfinished uploads of the object. No error if that fails: the object matters more."""
    try:
        found = await uploads.unfinished(key)
        for upload_id in found:
            await uploads.abort(key, upload_id)
    except StoreError as error:
        log.warning("unfinished_uploads_unknown", object=key, error=error.detail)
        return
    if found:
        log.info("unfinished_uploads_aborted", object=key, uploads=len(found))
