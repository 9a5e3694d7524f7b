"""Domains and what is set for them, and the buckets of projects."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from livereel.catalogue import tables
from livereel.catalogue.repositories.base import Repository
from livereel.domain.tenancy import (
    AuthType,
    BucketGrant,
    DomainMapping,
    DomainStatus,
    DomainType,
    KeyChain,
    LiveDomain,
)

# What goes with a domain when it is deleted.
_SETTINGS = (
    tables.templates.c.domain,
    tables.notifications.c.domain,
    tables.callbacks.c.domain,
    tables.domain_mappings.c.pull_domain,
    tables.domain_mappings.c.push_domain,
    tables.key_chains.c.domain,
    tables.stream_blocks.c.domain,
    tables.snapshots.c.domain,
)


class SqlDomains(Repository):
    """`port.Domains`."""

    async def add(self, domain: LiveDomain) -> None:
        await self._insert(tables.domains, asdict(domain), f"domain {domain.name} exists already")

    async def get(self, name: str) -> LiveDomain | None:
        row = await self._row(tables.domains, name=name)
        return _domain(row) if row else None

    async def update(self, domain: LiveDomain) -> None:
        key = {"name": domain.name}
        await self._update(tables.domains, key, asdict(domain), missing=f"there is no domain {domain.name}")

    async def delete(self, name: str) -> bool:
        for column in _SETTINGS:
            await self._remove(column.table, **{column.name: name})
        return await self._remove(tables.domains, name=name)

    async def list(self, project_id: str) -> list[LiveDomain]:
        return [_domain(row) for row in await self._rows(tables.domains, "name", project_id=project_id)]


class SqlDomainMappings(Repository):
    """`port.DomainMappings`."""

    async def add(self, mapping: DomainMapping) -> None:
        await self._insert(tables.domain_mappings, asdict(mapping), f"{mapping.pull_domain} is mapped already")

    async def delete(self, pull_domain: str, push_domain: str) -> bool:
        return await self._remove(tables.domain_mappings, pull_domain=pull_domain, push_domain=push_domain)

    async def list(self, project_id: str) -> list[DomainMapping]:
        rows = await self._rows(tables.domain_mappings, "pull_domain", project_id=project_id)
        return [DomainMapping(**row) for row in rows]

    async def for_pull(self, pull_domain: str) -> DomainMapping | None:
        row = await self._row(tables.domain_mappings, pull_domain=pull_domain)
        return DomainMapping(**row) if row else None


class SqlKeyChains(Repository):
    """`port.KeyChains`."""

    async def get(self, domain: str) -> KeyChain | None:
        row = await self._row(tables.key_chains, domain=domain)
        return KeyChain(row["domain"], row["key"], AuthType(row["auth_type"]), row["timeout"]) if row else None

    async def put(self, chain: KeyChain) -> bool:
        return await self._put(tables.key_chains, asdict(chain))

    async def delete(self, domain: str) -> bool:
        return await self._remove(tables.key_chains, domain=domain)


class SqlBucketGrants(Repository):
    """`port.BucketGrants`."""

    async def put(self, grant: BucketGrant) -> bool:
        return await self._insert_unless_taken(tables.bucket_grants, asdict(grant))

    async def delete(self, grant: BucketGrant) -> bool:
        return await self._remove(tables.bucket_grants, **asdict(grant))

    async def list(self, project_id: str) -> list[BucketGrant]:
        return [BucketGrant(**row) for row in await self._rows(tables.bucket_grants, "bucket", project_id=project_id)]


def _domain(row: Mapping[Any, Any]) -> LiveDomain:
    values = dict(row) | {"type": DomainType(row["type"]), "status": DomainStatus(row["status"])}
    return LiveDomain(**values)
