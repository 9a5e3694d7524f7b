"""Snapshot configurations (`stream/snapshot`). Taking the pictures is `control.pictures`' part."""

from collections.abc import Callable
from dataclasses import replace

from livereel.catalogue.port import Catalogue, Page, UnitOfWork
from livereel.control.buckets import is_authorised
from livereel.control.domains import owned
from livereel.domain.errors import InvalidParameter, ResourceExists, ResourceNotFound, UnknownDomain
from livereel.domain.keys import StreamKey
from livereel.domain.naming import snapshot_key
from livereel.domain.streams import DEFAULT_SNAPSHOT_FORMATS, SnapshotConfig
from livereel.domain.tenancy import DomainType
from livereel.storage.port import Stores


def _nobody() -> None:
    return


class SnapshotService:
    """One configuration per (ingest domain, app). A change counts from the next picture."""

    def __init__(self, catalogue: Catalogue, stores: Stores, changed: Callable[[], None] = _nobody) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._changed = changed

    async def create(self, config: SnapshotConfig) -> None:
        """Raises InvalidParameter (UnknownDomain among them) and ResourceExists."""
        self._check(config)
        async with self._catalogue.write() as uow:
            await _check_domain(uow, config.project_id, config.domain)
            await _check_bucket(uow, config)
            if await uow.snapshots.get(config.domain, config.app) is not None:
                raise ResourceExists(f"snapshots of {config.domain}/{config.app} are configured already")
            await uow.snapshots.put(config)
        self._changed()

    async def update(self, config: SnapshotConfig, *, keep_key: bool) -> None:
        """Replace a configuration; with `keep_key` its signing key stays. Raises ResourceNotFound and as `create`."""
        self._check(config)
        async with self._catalogue.write() as uow:
            await _check_domain(uow, config.project_id, config.domain)
            await _check_bucket(uow, config)
            old = await uow.snapshots.get(config.domain, config.app)
            if old is None:
                raise _missing(config.domain, config.app)
            await uow.snapshots.put(replace(config, auth_key=old.auth_key) if keep_key else config)
        self._changed()

    async def list(
        self, project_id: str, *, domain: str, app: str | None, offset: int, limit: int
    ) -> Page[SnapshotConfig]:
        """A page of a domain's configurations. Raises UnknownDomain."""
        async with self._catalogue.read() as uow:
            await _check_domain(uow, project_id, domain)
            return await uow.snapshots.list(project_id, domain=domain, app=app, offset=offset, limit=limit)

    async def delete(self, project_id: str, domain: str, app: str) -> None:
        """Take no more pictures; those that are stored stay. Raises UnknownDomain and ResourceNotFound."""
        async with self._catalogue.write() as uow:
            await _check_domain(uow, project_id, domain)
            if not await uow.snapshots.delete(domain, app):
                raise _missing(domain, app)
        self._changed()

    def _check(self, config: SnapshotConfig) -> None:
        """What only other packages know: the bucket, and that the object key is usable."""
        self._stores.get(config.address.bucket)
        key_of(config, StreamKey(config.domain, config.app, "x"), 0.0)


def key_of(config: SnapshotConfig, key: StreamKey, taken_at: float) -> str:
    """The object key of a picture. Without a format of its own: the documented one, below `obs_location.object`."""
    given = config.object_format or "{obs_object}/" + DEFAULT_SNAPSHOT_FORMATS[config.write_mode]
    return snapshot_key(key, object_format=given, object_root=config.address.object, taken_at=taken_at)


async def _check_domain(uow: UnitOfWork, project_id: str, name: str) -> None:
    try:
        domain = owned(await uow.domains.get(name), project_id, name)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None
    if domain.type is not DomainType.PUSH:
        raise InvalidParameter(f"{name} is a streaming domain; snapshots want an ingest domain")


async def _check_bucket(uow: UnitOfWork, config: SnapshotConfig) -> None:
    bucket = config.address.bucket
    if not await is_authorised(uow, config.project_id, bucket):
        raise InvalidParameter(f"the bucket {bucket} is not authorised for this project; see PUT obs/authority")


def _missing(domain: str, app: str) -> ResourceNotFound:
    return ResourceNotFound(f"there are no snapshots configured for {domain[:64]}/{app[:64]}")
