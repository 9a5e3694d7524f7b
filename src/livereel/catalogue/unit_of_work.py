"""One transaction and the repositories in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from livereel.catalogue import port
from livereel.catalogue.repositories.base import Session
from livereel.catalogue.repositories.deletion import SqlHolds
from livereel.catalogue.repositories.domains import SqlBucketGrants, SqlDomainMappings, SqlDomains, SqlKeyChains
from livereel.catalogue.repositories.messages import SqlCallbacks, SqlNotifications, SqlOutbox
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

    def __init__(self, connection: Session, *, writing: bool) -> None:
        self.projects: port.Projects = SqlProjects(connection, writing=writing)
        self.users: port.Users = SqlUsers(connection, writing=writing)
        self.access_keys: port.AccessKeys = SqlAccessKeys(connection, writing=writing)
        self.tokens: port.Tokens = SqlTokens(connection, writing=writing)
        self.policies: port.Policies = SqlPolicies(connection, writing=writing)
        self.domains: port.Domains = SqlDomains(connection, writing=writing)
        self.domain_mappings: port.DomainMappings = SqlDomainMappings(connection, writing=writing)
        self.key_chains: port.KeyChains = SqlKeyChains(connection, writing=writing)
        self.bucket_grants: port.BucketGrants = SqlBucketGrants(connection, writing=writing)
        self.templates: port.Templates = SqlTemplates(connection, writing=writing)
        self.notifications: port.Notifications = SqlNotifications(connection, writing=writing)
        self.callbacks: port.Callbacks = SqlCallbacks(connection, writing=writing)
        self.tasks: port.Tasks = SqlTasks(connection, writing=writing)
        self.holds: port.Holds = SqlHolds(connection, writing=writing)
        self.files: port.Files = SqlFiles(connection, writing=writing)
        self.slices: port.Slices = SqlSlices(connection, writing=writing)
        self.uploads: port.Uploads = SqlUploads(connection, writing=writing)
        self.plan_tasks: port.PlanTasks = SqlPlanTasks(connection, writing=writing)
        self.stream_blocks: port.StreamBlocks = SqlStreamBlocks(connection, writing=writing)
        self.snapshots: port.Snapshots = SqlSnapshots(connection, writing=writing)
        self.pull_tasks: port.PullTasks = SqlPullTasks(connection, writing=writing)
        self.outbox: port.Outbox = SqlOutbox(connection, writing=writing)
        self.seen_requests: port.SeenRequests = SqlSeenRequests(connection, writing=writing)


class SqlCatalogue:
    """`port.Catalogue` on PostgreSQL. `writers` begins transactions that may write, `readers` those that may not."""

    def __init__(self, writers: AsyncEngine, readers: AsyncEngine) -> None:
        self._writers = writers
        self._readers = readers

    @asynccontextmanager
    async def read(self) -> AsyncIterator[port.UnitOfWork]:
        """A consistent picture of the database. An attempt to write raises CatalogueError."""
        async with _errors_translated(), self._readers.connect() as connection:
            yield SqlUnitOfWork(connection, writing=False)

    @asynccontextmanager
    async def write(self, *, durable: bool = True) -> AsyncIterator[port.UnitOfWork]:
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
