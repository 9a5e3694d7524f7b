"""Which buckets a project may record into (`obs/authority`).

As long as a project has authorised none it may use every bucket. The first authorisation puts its list in force for
good: from then on only buckets on it are recorded into, and cancelling the last one leaves none.
"""

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.tenancy import BucketGrant
from livereel.storage.port import Stores

# Stands in the list once it is in force. No bucket has this name.
_IN_FORCE = ""


class BucketService:
    """Authorises buckets. A change counts from the next template, START or publish; recordings that run go on."""

    def __init__(self, catalogue: Catalogue, stores: Stores) -> None:
        self._catalogue = catalogue
        self._stores = stores

    async def authorise(self, project_id: str, bucket: str) -> None:
        """Put a bucket on the list of the project. Raises InvalidParameter for one that is not configured."""
        self._stores.get(bucket)
        async with self._catalogue.write() as uow:
            await uow.bucket_grants.put(BucketGrant(project_id, _IN_FORCE))
            await uow.bucket_grants.put(BucketGrant(project_id, bucket))

    async def cancel(self, project_id: str, bucket: str) -> None:
        """Take a bucket off the list; nothing happens if it is not on it. Raises InvalidParameter for a bad name."""
        self._stores.get(bucket)
        async with self._catalogue.write() as uow:
            await uow.bucket_grants.delete(BucketGrant(project_id, bucket))


async def is_authorised(uow: UnitOfWork, project_id: str, bucket: str) -> bool:
    """True if the project has no list, or `bucket` is on it."""
    granted = {grant.bucket for grant in await uow.bucket_grants.list(project_id)}
    return not granted or bucket in granted
