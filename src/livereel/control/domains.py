"""Ingest and streaming domains: create, list, switch, delete."""

from dataclasses import dataclass, replace

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.errors import (
    DomainLimitReached,
    DomainNotOff,
    InvalidParameter,
    ResourceExists,
    ResourceNotFound,
    UnknownDomain,
)
from livereel.domain.keys import check_domain
from livereel.domain.tenancy import MAX_DOMAINS_PER_PROJECT, DomainMapping, DomainStatus, DomainType, LiveDomain


@dataclass(frozen=True, slots=True)
class NewDomain:
    """What a client says about a domain it creates."""

    name: str
    type: DomainType
    region: str
    service_area: str = ""
    enterprise_project_id: str = ""
    pull_protocol: str = ""


class DomainService:
    """Domains of a project. Names are unique over all projects."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    async def create(self, project_id: str, new: NewDomain) -> LiveDomain:
        """Create a domain that is `on` at once; raises InvalidName, ResourceExists, DomainLimitReached."""
        domain = LiveDomain(
            name=check_domain(new.name),
            project_id=project_id,
            type=new.type,
            status=DomainStatus.ON,
            region=new.region,
            service_area=new.service_area,
            enterprise_project_id=new.enterprise_project_id,
            pull_protocol=new.pull_protocol,
            created_at=self._clock.now(),
        )
        async with self._catalogue.write() as uow:
            if len(await uow.domains.list(project_id)) >= MAX_DOMAINS_PER_PROJECT:
                raise DomainLimitReached(f"a project may have {MAX_DOMAINS_PER_PROJECT} domains; delete one first")
            await uow.domains.add(domain)
        return domain

    async def list(self, project_id: str) -> list[LiveDomain]:
        """All domains of the project, by name."""
        async with self._catalogue.read() as uow:
            return await uow.domains.list(project_id)

    async def get(self, project_id: str, name: str) -> LiveDomain:
        """One domain; raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            return owned(await uow.domains.get(name), project_id, name)

    async def update(
        self, project_id: str, name: str, *, status: DomainStatus | None, enterprise_project_id: str | None = None
    ) -> LiveDomain:
        """Switch a domain on or off, or move it; takes effect for the next push. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            domain = owned(await uow.domains.get(name), project_id, name)
            if status is not None:
                domain = replace(domain, status=status)
            if enterprise_project_id is not None:
                domain = replace(domain, enterprise_project_id=enterprise_project_id)
            await uow.domains.update(domain)
        return domain

    async def delete(self, project_id: str, name: str) -> None:
        """Delete a domain that is off; raises ResourceNotFound, DomainNotOff."""
        async with self._catalogue.write() as uow:
            domain = owned(await uow.domains.get(name), project_id, name)
            if domain.status is not DomainStatus.OFF:
                raise DomainNotOff(f"switch {name} off (PUT domain, status off) before deleting it")
            await uow.domains.delete(name)

    async def map(self, project_id: str, mapping: DomainMapping) -> None:
        """Play streams of an ingest domain through a streaming domain; the same again is harmless.

        Raises ResourceNotFound, ResourceExists when the streaming domain is mapped to another, InvalidParameter when
        the two do not go together.
        """
        async with self._catalogue.write() as uow:
            pull = owned(await uow.domains.get(mapping.pull_domain), project_id, mapping.pull_domain)
            push = owned(await uow.domains.get(mapping.push_domain), project_id, mapping.push_domain)
            if pull.type is not DomainType.PULL:
                raise InvalidParameter(f"pull_domain (body): {pull.name} is not a streaming domain")
            if push.type is not DomainType.PUSH:
                raise InvalidParameter(f"push_domain (body): {push.name} is not an ingest domain")
            if pull.region != push.region:
                raise InvalidParameter(
                    f"{pull.name} is in region {pull.region} and {push.name} in {push.region}; "
                    "domains to be mapped must be in the same region"
                )
            before = await uow.domain_mappings.for_pull(pull.name)
            if before is None:
                await uow.domain_mappings.add(mapping)
            elif before.push_domain != push.name:
                raise ResourceExists(f"{pull.name} is mapped to {before.push_domain}; remove that mapping first")

    async def unmap(self, project_id: str, pull_domain: str, push_domain: str) -> None:
        """Remove a mapping. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            owned(await uow.domains.get(pull_domain), project_id, pull_domain)
            if not await uow.domain_mappings.delete(pull_domain, push_domain):
                raise ResourceNotFound(f"{pull_domain[:255]} is not mapped to {push_domain[:255]}")

    async def mappings(self, project_id: str) -> dict[str, str]:
        """The ingest domain of each mapped streaming domain."""
        async with self._catalogue.read() as uow:
            return {mapping.pull_domain: mapping.push_domain for mapping in await uow.domain_mappings.list(project_id)}

    async def stream_backup(self, project_id: str, name: str) -> bool:
        """Whether several encoders may push one stream of an ingest domain. Raises UnknownDomain, InvalidParameter."""
        async with self._catalogue.read() as uow:
            return (await ingest_domain(uow, project_id, name)).stream_backup

    async def set_stream_backup(self, project_id: str, name: str, enabled: bool) -> None:
        """Takes effect for the next push; who waits to take over goes on waiting. Raises as `stream_backup` does."""
        async with self._catalogue.write() as uow:
            domain = await ingest_domain(uow, project_id, name)
            await uow.domains.update(replace(domain, stream_backup=enabled))


async def known_domain(uow: UnitOfWork, project_id: str, name: str) -> LiveDomain:
    """A domain of the project for settings that hang on it; raises UnknownDomain."""
    try:
        return owned(await uow.domains.get(name), project_id, name)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None


async def ingest_domain(uow: UnitOfWork, project_id: str, name: str) -> LiveDomain:
    """Like `known_domain`; raises InvalidParameter for a streaming domain."""
    domain = await known_domain(uow, project_id, name)
    if domain.type is not DomainType.PUSH:
        raise InvalidParameter(f"{name} is a streaming domain; give an ingest domain")
    return domain


def owned(domain: LiveDomain | None, project_id: str, name: str) -> LiveDomain:
    """`domain` if it belongs to the project; raises ResourceNotFound. Other projects' domains are as good as absent."""
    if domain is None or domain.project_id != project_id:
        raise ResourceNotFound(f"there is no domain {name[:255]!r} in this project")
    return domain
