"""One transaction and the repositories in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from livereel.catalogue import port
from livereel.catalogue.repositories.base import Repository, Session
from livereel.catalogue.repositories.deletion import SqlHolds
from livereel.catalogue.repositories.domains import SqlBucketGrants, SqlDomainMappings, SqlDomains, SqlKeyChains
from livereel.catalogue.repositories.messages import SqlAnnouncedPushes, SqlCallbacks, SqlNotifications, SqlOutbox
from livereel.catalogue.repositories.plans import SqlPlanTasks
from livereel.catalogue.repositories.recording import SqlFiles, SqlSlices, SqlTasks
from livereel.catalogue.repositories.streams import SqlPullTasks, SqlSnapshots, SqlStreamBlocks
from livereel.catalogue.repositories.templates import SqlTemplates
from livereel.catalogue.repositories.tenancy import (
    SqlAccessKeys,
    SqlPolicies,
    SqlProjects,
    SqlSeenRequests,
    SqlTokens,
    SqlUsers,
)
from livereel.catalogue.repositories.uploads import SqlUploads


class SqlUnitOfWork:
    """`port.UnitOfWork` on one connection."""

    projects: port.Projects
    users: port.Users
    access_keys: port.AccessKeys
    tokens: port.Tokens
    policies: port.Policies
    domains: port.Domains
    domain_mappings: port.DomainMappings
    key_chains: port.KeyChains
    bucket_grants: port.BucketGrants
    templates: port.Templates
    notifications: port.Notifications
    announced_pushes: port.AnnouncedPushes
    callbacks: port.Callbacks
    tasks: port.Tasks
    holds: port.Holds
    files: port.Files
    slices: port.Slices
    uploads: port.Uploads
    plan_tasks: port.PlanTasks
    stream_blocks: port.StreamBlocks
    snapshots: port.Snapshots
    pull_tasks: port.PullTasks
    outbox: port.Outbox
    seen_requests: port.SeenRequests

    def __init__(self, connection: Session, *, writing: bool) -> None:
        self._connection = connection
        self._writing = writing

    def __getattr__(self, name: str) -> Any:
        """Repositories are made when they are asked for: most units need two of them."""
        if name not in _REPOSITORIES:
            raise AttributeError(name)
        made = _REPOSITORIES[name](self._connection, writing=self._writing)
        setattr(self, name, made)
        return made


_REPOSITORIES: dict[str, type[Repository]] = {
    "projects": SqlProjects,
    "users": SqlUsers,
    "access_keys": SqlAccessKeys,
    "tokens": SqlTokens,
    "policies": SqlPolicies,
    "domains": SqlDomains,
    "domain_mappings": SqlDomainMappings,
    "key_chains": SqlKeyChains,
    "bucket_grants": SqlBucketGrants,
    "templates": SqlTemplates,
    "notifications": SqlNotifications,
    "announced_pushes": SqlAnnouncedPushes,
    "callbacks": SqlCallbacks,
    "tasks": SqlTasks,
    "holds": SqlHolds,
    "files": SqlFiles,
    "slices": SqlSlices,
    "uploads": SqlUploads,
    "plan_tasks": SqlPlanTasks,
    "stream_blocks": SqlStreamBlocks,
    "snapshots": SqlSnapshots,
    "pull_tasks": SqlPullTasks,
    "outbox": SqlOutbox,
    "seen_requests": SqlSeenRequests,
}


class SqlCatalogue:
    """`port.Catalogue` on PostgreSQL. `writers` begins transactions that may write, `readers` those that may not."""

    def __init__(self, writers: AsyncEngine, readers: AsyncEngine) -> None:
        self._writers = writers
        self._readers = readers

    @asynccontextmanager
    async def read(self, *, latest: bool = True) -> AsyncIterator[port.UnitOfWork]:
        """A consistent picture of the database. An attempt to write raises CatalogueError."""
        async with _errors_translated(), self._readers.connect() as connection:
            yield SqlUnitOfWork(connection, writing=False)

    @asynccontextmanager
    async def write(
        self,
        *,
        durable: bool = True,
        patient: bool = False,
    ) -> AsyncIterator[port.UnitOfWork]:
        """Commits at the end, rolls back when an exception leaves the block. Do not open one inside another."""
        async with _errors_translated(), self._writers.begin() as connection:
            if not durable:
                await connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield SqlUnitOfWork(connection, writing=True)

    async def close(self) -> None:
        """Close all connections. No unit of work may be open."""
        await self._readers.dispose()
        await self._writers.dispose()


@asynccontextmanager
async def _errors_translated() -> AsyncIterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise port.CatalogueError(f"the catalogue failed: {error}") from error
