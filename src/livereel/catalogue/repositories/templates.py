"""Recording templates."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from livereel.catalogue import tables
from livereel.catalogue.port import Page
from livereel.catalogue.repositories.base import Repository, equal
from livereel.domain.retention import RetentionRule
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template


class SqlTemplates(Repository):
    """`port.Templates`."""

    async def add(self, template: Template) -> None:
        await self._insert(tables.templates, template_row(template), _same_scope(template))

    async def get(self, project_id: str, template_id: str) -> Template | None:
        row = await self._row(tables.templates, project_id=project_id, id=template_id)
        return template_of(row) if row else None

    async def with_retention(self) -> list[Template]:
        statement = select(tables.templates).where(tables.templates.c.retention.is_not(None))
        return [template_of(row) for row in await self._all(statement.order_by(tables.templates.c.id))]

    async def for_domain(self, domain: str) -> list[Template]:
        return [template_of(row) for row in await self._rows(tables.templates, "id", domain=domain)]

    async def update(self, template: Template) -> None:
        await self._update(
            tables.templates,
            {"project_id": template.project_id, "id": template.id},
            template_row(template),
            missing=f"there is no template {template.id}",
            taken=_same_scope(template),
        )

    async def delete(self, project_id: str, template_id: str) -> bool:
        return await self._remove(tables.templates, project_id=project_id, id=template_id)

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
        c = tables.templates.c
        where = [c.project_id == project_id]
        where += equal((c.domain, domain), (c.app, app), (c.stream, stream), (c.record_type, record_type))
        total, rows = await self._page(tables.templates, where, c.created_at, c.id, offset=offset, limit=limit)
        return Page(total, [template_of(row) for row in rows])


def _same_scope(template: Template) -> str:
    return f"a template for {template.domain}/{template.app}/{template.stream} exists already"


def template_row(template: Template) -> dict[str, Any]:
    """Its members as columns; also how a task keeps its template."""
    row = asdict(template)
    row["formats"] = {record_format.value: config for record_format, config in row["formats"].items()}
    return row


def template_of(row: Mapping[Any, Any]) -> Template:
    """The inverse of `template_row`; members that came later may be absent in what a task kept."""
    formats = {RecordFormat(name): FormatConfig(**config) for name, config in row["formats"].items()}
    retention = row.get("retention")
    values = dict(row) | {
        "record_type": RecordType(row["record_type"]),
        "address": ObsAddress(**row["address"]),
        "formats": formats,
        "retention": None if retention is None else RetentionRule(**retention),
    }
    return Template(**values)
