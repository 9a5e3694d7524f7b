"""Recording templates: create, list, show, update, delete."""

from collections.abc import Callable
from dataclasses import dataclass

from livereel.catalogue.port import Catalogue, Page, UnitOfWork
from livereel.control.buckets import is_authorised
from livereel.domain.clock import Clock
from livereel.domain.errors import BucketNotAuthorised, InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.naming import check_object_key, check_prefix
from livereel.domain.retention import RetentionRule
from livereel.domain.templates import (
    TEMPLATE_RECORD_TYPES,
    FormatConfig,
    ObsAddress,
    RecordFormat,
    RecordType,
    Template,
)
from livereel.domain.tenancy import DomainType
from livereel.storage.port import Stores


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """What a client says about a template it creates or replaces."""

    domain: str
    app: str
    stream: str
    record_type: RecordType
    address: ObsAddress
    formats: dict[RecordFormat, FormatConfig]
    armed: bool = False
    pre_roll: float = 0.0
    retention: RetentionRule | None = None


class TemplateService:
    """Templates of a project. A change counts for streams pushed after it (CONTINUOUS) or the next START (COMMAND)."""

    def __init__(self, catalogue: Catalogue, stores: Stores, clock: Clock, new_id: Callable[[], str]) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock
        self._new_id = new_id

    async def create(self, project_id: str, new: NewTemplate) -> Template:
        """Raises InvalidParameter (UnknownDomain among them) and ResourceExists for a taken (domain, app, stream)."""
        now = self._clock.now()
        template = self._build(self._new_id(), project_id, new, created_at=now, updated_at=now)
        async with self._catalogue.write() as uow:
            await _check_domain(uow, template)
            await _check_bucket(uow, template)
            await uow.templates.add(template)
        return template

    async def get(self, project_id: str, template_id: str) -> Template:
        """Raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            return _found(await uow.templates.get(project_id, template_id), template_id)

    async def list(
        self,
        project_id: str,
        *,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        record_type: RecordType | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[Template]:
        """A page of templates; filters compare exactly ("*" means the template's own "*")."""
        async with self._catalogue.read() as uow:
            return await uow.templates.list(
                project_id,
                domain=domain,
                app=app,
                stream=stream,
                record_type=record_type,
                offset=offset,
                limit=limit,
            )

    async def update(self, project_id: str, template_id: str, new: NewTemplate) -> Template:
        """Replace a template; its id and creation time stay. Raises ResourceNotFound and what `create` raises."""
        async with self._catalogue.write() as uow:
            old = _found(await uow.templates.get(project_id, template_id), template_id)
            template = self._build(old.id, project_id, new, created_at=old.created_at, updated_at=self._clock.now())
            await _check_domain(uow, template)
            await _check_bucket(uow, template)
            await uow.templates.update(template)
        return template

    async def delete(self, project_id: str, template_id: str) -> None:
        """Running recordings go on. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            if not await uow.templates.delete(project_id, template_id):
                raise _missing(template_id)

    def _build(
        self, template_id: str, project_id: str, new: NewTemplate, *, created_at: float, updated_at: float
    ) -> Template:
        if new.record_type not in TEMPLATE_RECORD_TYPES:
            raise InvalidParameter(f"record_type {new.record_type} is not supported for templates")
        for record_format, config in new.formats.items():
            check_prefix(config.record_prefix)
            if record_format is RecordFormat.HLS:
                check_prefix(config.ts_prefix, slice_name=True)
        if new.address.object.strip("/"):
            check_object_key(new.address.object.strip("/"))
        self._stores.get(new.address.bucket)
        return Template(
            id=template_id,
            project_id=project_id,
            domain=new.domain,
            app=new.app,
            stream=new.stream,
            record_type=new.record_type,
            address=new.address,
            formats=new.formats,
            created_at=created_at,
            updated_at=updated_at,
            armed=new.armed,
            pre_roll=new.pre_roll,
            retention=new.retention,
        )


async def _check_domain(uow: UnitOfWork, template: Template) -> None:
    domain = await uow.domains.get(template.domain)
    if domain is None or domain.project_id != template.project_id:
        raise UnknownDomain(f"there is no domain {template.domain!r} in this project; create it first (POST domain)")
    if domain.type is not DomainType.PUSH:
        raise InvalidParameter(f"{template.domain} is a streaming domain; recording templates want an ingest domain")


async def _check_bucket(uow: UnitOfWork, template: Template) -> None:
    if not await is_authorised(uow, template.project_id, template.address.bucket):
        raise BucketNotAuthorised(template.address.bucket)


def _found(template: Template | None, template_id: str) -> Template:
    if template is None:
        raise _missing(template_id)
    return template


def _missing(template_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no recording template {template_id[:64]!r} in this project")
