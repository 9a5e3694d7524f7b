"""Ingest and streaming domains: create, list, switch, delete."""

from dataclasses import dataclass, replace

from livereel.catalogue.port import Catalogue
from livereel.domain.clock import Clock
from livereel.domain.errors import DomainLimitReached, DomainNotOff, ResourceNotFound
from livereel.domain.keys import check_domain
from livereel.domain.tenancy import MAX_DOMAINS_PER_PROJECT, DomainStatus, DomainType, LiveDomain


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


def owned(domain: LiveDomain | None, project_id: str, name: str) -> LiveDomain:
    """`domain` if it belongs to the project; raises ResourceNotFound. Other projects' domains are as good as absent."""
    if domain is None or domain.project_id != project_id:
        raise ResourceNotFound(f"there is no domain {name[:255]!r} in this project")
    return domain
